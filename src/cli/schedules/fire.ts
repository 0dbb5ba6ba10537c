import { Command } from 'commander';
import { type ApiOptions, apiOptions, openApi } from '../api.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';

interface Options extends ApiOptions {
  readonly json?: boolean;
}

const HELP = `
One event more, in which \`schedule.fired\` is true. The ticks that are to come
stay as they are. It stands in the audit as schedule.fire.

Example:
  ouzel schedules fire nightly`;

export const fireCommand = (): Command =>
  apiOptions(
    new Command('fire')
      .description('publish a tick of a schedule now')
      .argument('<name>', 'name of the source')
      .option(...CONFIG_OPTION),
  )
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(fire);

async function fire(name: string, options: Options): Promise<void> {
  const api = await openApi(options);
  const path = `/api/v1/schedules/${encodeURIComponent(name)}/fire`;
  const stored = await api.call<{ readonly stream: string; readonly seq: number; readonly duplicate: boolean }>(
    'POST',
    path,
  );
  if (options.json === true) return printJson(stored);
  const { stream, seq, duplicate } = stored;
  print(duplicate ? `${name} ticked with this id before: ${stream}:${seq}` : `${name} ticked: ${stream}:${seq}`);
}
