import { mkdir, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { Command, Option } from 'commander';
import { loadConfig } from '../config/load.ts';
import { name as nameSchema } from '../config/fields.ts';
import { OuzelError } from '../errors.ts';
import type { PluginKind } from '../plugins/define.ts';
import { print } from './print.ts';
import { CONFIG_OPTION } from './session.ts';

interface Options {
  readonly config?: string;
  readonly kind: PluginKind;
  readonly isolate?: boolean;
}

const HELP = `
The file goes into the folder of the configuration's plugins. What is there
already is left as it is.

Examples:
  ouzel init plugin geo
  ouzel init plugin crm --kind target --isolate`;

export function initCommand(): Command {
  const command = new Command('init').description('write the beginnings of something');
  command
    .command('plugin')
    .description('write a plugin to begin with, and show how it is used')
    .argument('<name>', 'its name, and that of its file')
    .addOption(
      new Option('--kind <kind>', 'what it is').choices(['filter', 'transformer', 'target']).default('transformer'),
    )
    .option('--isolate', 'show it in a thread of its own')
    .option(...CONFIG_OPTION)
    .addHelpText('after', HELP)
    .action(initPlugin);
  return command;
}

/** A name of a file as one of JavaScript: `business-hours` is `businessHours`. */
const identifierOf = (name: string): string =>
  name.replace(/[-_]+(.?)/g, (_, next: string) => next.toUpperCase()).replace(/^(?=\d)/, '_');

const PLUGINS: Readonly<Record<PluginKind, (identifier: string) => string>> = {
  filter: (identifier) => `export const ${identifier} = defineFilter({
  // What may stand under \`options\`. Keys that are not here are refused, with their place in the YAML.
  options: z.object({ least: z.number().default(0) }),
  // Called once for each place that names the plugin: for what is made once. It answers at once.
  setup:
    ({ options }) =>
    // Called for each event: true lets it pass. \`async\` only where it waits for something.
    (event) => Number(event.get('data.total') ?? 0) >= options.least,
});
`,
  transformer: (identifier) => `export const ${identifier} = defineTransformer({
  // What may stand under \`options\`. Keys that are not here are refused, with their place in the YAML.
  options: z.object({ into: z.string().default('data.note') }),
  // Called once for each place that names the plugin: for what is made once. It answers at once.
  setup:
    ({ options, consumer }) =>
    // Called for each event. \`async\` only where it waits for something; \`kv\` and \`fetch\` come with the setup.
    (event) => {
      event.set(options.into, \`seen by \${consumer}\`);
    },
});
`,
  target: (identifier) => `export const ${identifier} = defineTarget({
  // What may stand under \`options\`. Keys that are not here are refused, with their place in the YAML.
  options: z.object({ url: z.url() }),
  // Called once for each place that names the plugin: for what is made once. It answers at once.
  setup:
    ({ options, fetch }) =>
    // Called for each delivery, which is confirmed when the promise is kept. \`id\` is the same however often it is tried.
    async (event, { id }) => {
      const response = await fetch(options.url, {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': id },
        body: JSON.stringify(event.data),
      });
      if (response.status >= 500) throw new UnavailableError('it is down', { status: response.status });
      if (!response.ok) throw new RejectedError('it refuses this', { status: response.status });
    },
});
`,
};

const IMPORTS: Readonly<Record<PluginKind, string>> = {
  filter: 'defineFilter, z',
  transformer: 'defineTransformer, z',
  target: 'defineTarget, RejectedError, UnavailableError, z',
};

/** The file of a plugin to begin with. */
const pluginText = (name: string, kind: PluginKind): string =>
  `/** TODO: say in a sentence what ${name} does. How plugins work: docs/guides/plugins.md. */
import { ${IMPORTS[kind]} } from 'ouzel';

${PLUGINS[kind](identifierOf(name))}`;

/** How it stands in a configuration. */
function exampleOf(name: string, kind: PluginKind, isolate: boolean): string {
  const entry = `plugin: ${name}${isolate ? ', isolate: true' : ''}`;
  if (kind === 'target')
    return `    deliver:\n      - to: { ${entry}, options: { url: 'https://crm.example/events' } }`;
  return `    pipeline:\n      - { ${entry}${kind === 'filter' ? ', options: { least: 100 }' : ''} }`;
}

async function initPlugin(name: string, { config: file, kind, isolate = false }: Options): Promise<void> {
  const problem = nameSchema().safeParse(name).error?.issues[0]?.message;
  if (problem !== undefined) throw new OuzelError('USAGE', problem);
  const cwd = process.cwd();
  const { config } = await loadConfig({ file, env: process.env, cwd, withoutPlugins: true });
  const { dir } = config.plugins;
  const path = join(dir, `${name}.ts`);
  await mkdir(dir, { recursive: true });
  try {
    await writeFile(path, pluginText(name, kind), { flag: 'wx' });
  } catch (error) {
    if ((error as { code?: unknown }).code !== 'EEXIST') throw error;
    throw new OuzelError('USAGE', `${relative(cwd, path)} is there already; it was left as it is`);
  }
  print(`${relative(cwd, path)} written. Use it in a consumer of the configuration:\n`);
  print(exampleOf(name, kind, isolate));
}
