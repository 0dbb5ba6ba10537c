/** What is done to consumers while the daemon runs, over its API. */
import { Command } from 'commander';
import { wholeEntry } from '../../config/entries.ts';
import { name as consumerName } from '../../config/fields.ts';
import { OuzelError } from '../../errors.ts';
import { type ApiOptions, apiOptions, openApi } from '../api.ts';
import { placed, readSource, warnOfSecrets } from '../config/files.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';

interface Options extends ApiOptions {
  readonly replace?: boolean;
  readonly why?: string;
  readonly json?: boolean;
}

/** What the API says of a consumer, as far as it is printed. */
interface Shown {
  readonly name: string;
  readonly owner: 'file' | 'fleet';
  readonly place: string | null;
  readonly state: string;
  readonly reason: string;
  readonly revision: number | null;
}

const NAME = consumerName();

/** `/api/v1/consumers/billing`. @throws OuzelError USAGE */
function pathOf(name: string): string {
  const { error } = NAME.safeParse(name);
  if (error !== undefined) throw new OuzelError('USAGE', error.issues[0]?.message ?? `"${name}" cannot be a name`);
  return `/api/v1/consumers/${name}`;
}

const command = (name: string, description: string, help: string): Command =>
  apiOptions(new Command(name).description(description).option(...CONFIG_OPTION))
    .option('--json', 'as JSON')
    .addHelpText('after', help);

const ADD_HELP = `
The file holds the consumer as it would stand below its name in ouzel.yaml. All
instances run it from then on, until it is removed.

Examples:
  ouzel consumers add billing billing.yaml
  echo '{ stream: EVENTS, deliver: [{ to: log }] }' | ouzel consumers add look -`;

export const addCommand = (): Command =>
  command('add', 'let the fleet have a consumer', ADD_HELP)
    .argument('<name>', 'name of the consumer')
    .argument('<file>', 'YAML or JSON, or - (standard input)')
    .option('--replace', 'also when the fleet has one of this name')
    .action(add);

async function add(name: string, file: string, options: Options): Promise<void> {
  const path = pathOf(name);
  const entry = wholeEntry(await readSource(file), 'consumers', name);
  warnOfSecrets([entry]);
  const api = await openApi(options);
  const headers = {
    'content-type': 'application/yaml',
    ...(options.replace === true ? {} : { 'if-none-match': '*' }),
  };
  const response = await placed([entry], () => api.request(path, { method: 'PUT', headers, body: entry.text })).catch(
    async (error: unknown) => {
      if (!(error instanceof OuzelError) || error.code !== 'CONFLICT' || options.replace === true) throw error;
      const { owner, place } = await api.call<Shown>('GET', path);
      const message = `there is a consumer "${name}" already`;
      if (owner === 'file') throw new OuzelError('CONFIG_OWNED_BY_FILE', `${message}, at ${place}: change it there`);
      throw new OuzelError('CONFLICT', `${message}: --replace puts this one in its place`);
    },
  );
  const shown = (await response.json()) as Shown;
  if (options.json === true) return printJson(shown);
  print(`${name} ${response.status === 201 ? 'added' : 'replaced'}, revision ${shown.revision}: ${stateOf(shown)}`);
}

const stateOf = ({ state, reason }: Shown): string => (reason === '' ? state : `${state}, ${reason}`);

const PAUSE_HELP = `
Of the file or the fleet, on all instances, over restarts. Events in hand are
finished; the others wait in their stream.

Examples:
  ouzel consumers pause billing --why 'the partner is migrating'
  ouzel consumers pause billing shipping`;

export const pauseCommand = (): Command =>
  command('pause', 'let consumers take no events for now', PAUSE_HELP)
    .argument('<names...>', 'names of consumers')
    .option('--why <text>', 'for the audit')
    .action((names: string[], options: Options) => switched(names, 'pause', options));

export const resumeCommand = (): Command =>
  command('resume', 'let paused consumers go on', '\nExample:\n  ouzel consumers resume billing')
    .argument('<names...>', 'names of consumers')
    .option('--why <text>', 'for the audit')
    .action((names: string[], options: Options) => switched(names, 'resume', options));

async function switched(names: readonly string[], verb: 'pause' | 'resume', options: Options): Promise<void> {
  const paths = names.map((name) => `${pathOf(name)}/${verb}`);
  const api = await openApi(options);
  const all: Shown[] = [];
  for (const path of paths) {
    const shown = await api.call<Shown>('POST', path, options.why === undefined ? {} : { why: options.why });
    all.push(shown);
    if (options.json !== true) print(`${shown.name} is ${stateOf(shown)}`);
  }
  if (options.json === true) printJson(all);
}

const REMOVE_HELP = `
Of the fleet, from all instances. The durable stays on the server, with its
place in the stream, unless the consumer says \`on_remove: delete\`; then
\`ouzel consumers prune\` deletes it. \`ouzel config rollback consumers/NAME\`
brings a consumer back.

Example:
  ouzel consumers remove billing`;

export const removeCommand = (): Command =>
  command('remove', 'take consumers out of the fleet', REMOVE_HELP)
    .argument('<names...>', 'names of consumers')
    .action(async (names: string[], options: Options) => {
      const paths = names.map(pathOf);
      const api = await openApi(options);
      for (const [index, path] of paths.entries()) {
        await api.request(path, { method: 'DELETE' });
        if (options.json !== true) print(`${names[index]} removed`);
      }
      if (options.json === true) printJson(names.map((name) => ({ name, removed: true })));
    });
