import { Command } from 'commander';
import { type ApiOptions, apiOptions, openApi } from '../api.ts';
import { print, printJson, table } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';
import { pathOf, resourceOf } from './resource.ts';

interface Options extends ApiOptions {
  readonly text?: boolean;
  readonly json?: boolean;
}

interface Revision {
  readonly revision: number;
  readonly by: string;
  readonly from: string;
  readonly at: string;
  readonly text: string | null;
}

const HELP = `
The newest is the first. 64 revisions are kept of each resource, also when it is
removed. Secrets are not shown.

Examples:
  ouzel config history consumers/billing
  ouzel config history consumers/billing --text`;

/** `ouzel config history`: who changed a resource of the fleet, when, and to what. */
export function historyCommand(): Command {
  return apiOptions(
    new Command('history')
      .description('the revisions of a resource of the fleet')
      .argument('<resource>', 'section/name')
      .option(...CONFIG_OPTION),
  )
    .option('--text', 'with what each of them says')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(history);
}

async function history(resource: string, options: Options): Promise<void> {
  const path = pathOf(resourceOf(resource));
  const api = await openApi(options);
  const { revisions } = await api.call<{ revisions: readonly Revision[] }>('GET', `${path}/history`);
  if (options.json === true) return printJson(revisions);
  if (options.text === true)
    return print(revisions.map((each, index) => withText(each, revisions[index + 1])).join('\n'));
  print(
    table(
      ['REVISION', 'WHEN', 'WHO', 'FROM', 'WHAT'],
      revisions.map((each, index) => [
        each.revision,
        instant(each.at),
        each.by,
        each.from,
        whatOf(each, revisions[index + 1]),
      ]),
    ),
  );
}

const instant = (at: string): string => at.slice(0, 19).replace('T', ' ');

function whatOf({ text }: Revision, before: Revision | undefined): string {
  if (text === null) return 'removed';
  return (before?.text ?? null) === null ? 'made' : 'changed';
}

function withText(revision: Revision, before: Revision | undefined): string {
  const { revision: number, by, from, at, text } = revision;
  const head = `# revision ${number}: ${whatOf(revision, before)} by ${by} from ${from}, ${instant(at)}`;
  return `${head}\n${text ?? ''}`;
}
