import { relative } from 'node:path';
import { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { type PluginUse, pluginUses } from '../config/plugin-uses.ts';
import { EXIT } from '../errors.ts';
import { type LoadedPlugin, loadPlugins, type PluginFailure } from '../plugins/load.ts';
import { print, printJson, table } from './print.ts';
import { CONFIG_OPTION } from './session.ts';

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

const HELP = `
Every plugin of the folder is looked at in a thread of its own, used or not; the
exit code is 1 when one of them cannot be loaded.

Example:
  ouzel plugins list
  ouzel plugins list --json | jq '.[] | select(.used | length == 0)'`;

export function pluginsCommand(): Command {
  const command = new Command('plugins').description('look at plugins');
  command
    .command('list')
    .description('the plugins of the folder: what they are, where they are used, and what is wrong with them')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON, with the JSON schemas of their options')
    .addHelpText('after', HELP)
    .action(list);
  return command;
}

/** `consumers.billing.pipeline[0]`. */
const placeOf = ({ path }: PluginUse): string =>
  path
    .map((segment, at) => (typeof segment === 'number' ? `[${segment}]` : at === 0 ? segment : `.${segment}`))
    .join('');

function rowOf(name: string, uses: readonly PluginUse[], found: LoadedPlugin | PluginFailure | undefined) {
  const mine = uses.filter(({ plugin }) => plugin === name);
  const used = mine.map((use) => ({ at: placeOf(use), isolated: use.isolated }));
  if (found === undefined) return { name, used, problem: 'there is no file of this name' };
  if (!('kind' in found)) return { name, file: found.spot.file, line: found.spot.line, used, problem: found.message };
  return { name, kind: found.kind, file: found.file, options: found.isolated?.schema, used };
}

async function list({ config: file, json }: Options): Promise<void> {
  const cwd = process.cwd();
  const { config } = await loadConfig({ file, env: process.env, cwd, withoutPlugins: true });
  const { dir } = config.plugins;
  const uses = pluginUses(config);
  const { available = [] } = await loadPlugins(dir, []);
  const names = [...new Set([...available, ...uses.map(({ plugin }) => plugin)])].toSorted();
  // In threads, whatever the configuration says of them: looking must not be a risk.
  const { plugins, failures } = await loadPlugins(
    dir,
    names.map((plugin) => ({ plugin, isolated: true, options: {} })),
  );
  const rows = names.map((name) =>
    rowOf(name, uses, plugins.get(name) ?? failures.find((failure) => failure.name === name)),
  );
  if (rows.some(({ problem }) => problem !== undefined)) process.exitCode = EXIT.failed;
  if (json === true) return printJson(rows);
  if (rows.length === 0) return print(`${relative(cwd, dir) || dir} has no plugins.`);
  print(
    table(
      ['PLUGIN', 'KIND', 'USED', 'ISOLATED', 'FILE', 'PROBLEM'],
      rows.map(({ name, kind, used, file: path, problem }) => [
        name,
        kind ?? '-',
        used.map(({ at }) => at).join(', ') || '-',
        ['no', 'yes'].filter((_, isolated) => used.some((each) => each.isolated === (isolated === 1))).join(', ') ||
          '-',
        path === undefined ? '-' : relative(cwd, path),
        problem?.split('\n')[0] ?? '',
      ]),
    ),
  );
}
