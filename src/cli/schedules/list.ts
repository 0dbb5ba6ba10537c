import { Command } from 'commander';
import { type ApiOptions, apiOptions, openApi } from '../api.ts';
import { print, printJson, table } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';

interface Options extends ApiOptions {
  readonly json?: boolean;
}

interface Shown {
  readonly name: string;
  readonly when: string;
  readonly timezone: string;
  readonly missed: string;
  readonly next: string | null;
  readonly last: { readonly instant: string; readonly stream: string; readonly seq: number } | null;
  readonly trouble: { readonly message: string } | null;
}

const HELP = `
Of a running daemon. LAST is the last tick that is in a stream, whichever
instance put it there.

Examples:
  ouzel schedules
  ouzel schedules list --json`;

export const listCommand = (): Command =>
  apiOptions(new Command('list').description('list schedules with their next and last ticks').option(...CONFIG_OPTION))
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(list);

async function list(options: Options): Promise<void> {
  const api = await openApi(options);
  const found = await api.call<{ readonly schedules: readonly Shown[] }>('GET', '/api/v1/schedules');
  if (options.json === true) return printJson(found);
  if (found.schedules.length === 0) return print('No schedules: none of `sources` has a `schedule`.');
  print(table(['NAME', 'WHEN', 'TIMEZONE', 'MISSED', 'NEXT', 'LAST', 'EVENT'], found.schedules.map(rowOf)));
  for (const { name, trouble } of found.schedules) if (trouble !== null) print(`\n${name}: ${trouble.message}`);
}

const rowOf = ({ name, when, timezone, missed, next, last }: Shown): string[] => [
  name,
  when,
  timezone,
  missed,
  next ?? 'never',
  last?.instant ?? '-',
  last === null ? '-' : `${last.stream}:${last.seq}`,
];
