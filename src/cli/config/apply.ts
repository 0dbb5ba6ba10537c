import { Command } from 'commander';
import type { FileEntry } from '../../config/entries.ts';
import { EXIT } from '../../errors.ts';
import type { Applied } from '../../http/applied.ts';
import { type Api, type ApiOptions, apiOptions, openApi } from '../api.ts';
import { agreed, needsSomebody } from '../confirm.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';
import { differs, printChanges, printSummary } from './changes.ts';
import { placed, readEntries, warnOfSecrets } from './files.ts';

interface Options extends ApiOptions {
  readonly dryRun?: boolean;
  readonly prune?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const FILES = `
The files are written like ouzel.yaml, with the sections filters, types,
transformers, targets, consumers and sources alone: each entry becomes a
resource of the fleet, which every instance puts in force, on top of its own
file. The other sections stay in each instance's file.`;

const APPLY_HELP = `${FILES}

All of it is put in force, or nothing: a mistake is shown where it stands, and
the exit code is 78. With --prune, resources of the fleet that none of the files
has are removed; they are listed first, and on a terminal you are asked.

Examples:
  ouzel apply fleet.yaml --dry-run
  ouzel apply fleet/ --prune
  kustomize build . | ouzel apply - --json`;

/** `ouzel apply`: makes and changes resources of the fleet. */
export function applyCommand(): Command {
  return apiOptions(
    new Command('apply')
      .description('put the resources of files in force on every instance')
      .argument('<files...>', 'files, folders, or - (standard input)')
      .option(...CONFIG_OPTION),
  )
    .option('--dry-run', 'only show what would change')
    .option('--prune', 'remove what the fleet has and the files do not')
    .option('--yes', 'with --prune: do not ask')
    .option('--json', 'as JSON')
    .addHelpText('after', APPLY_HELP)
    .action(apply);
}

const DIFF_HELP = `${FILES}

Nothing is changed: this is \`ouzel apply --dry-run\`. The exit code is 1 when
something differs, 0 when nothing does.

Examples:
  ouzel config diff fleet/
  ouzel config diff fleet/ --prune --json | jq '.resources[] | select(.action == "removed")'`;

/** `ouzel config diff`: what `ouzel apply` would change. */
export function diffCommand(): Command {
  return apiOptions(
    new Command('diff')
      .description('what the resources of files would change; the exit code is 1 if anything')
      .argument('<files...>', 'files, folders, or - (standard input)')
      .option(...CONFIG_OPTION),
  )
    .option('--prune', 'show what the fleet has and the files do not')
    .option('--json', 'as JSON')
    .addHelpText('after', DIFF_HELP)
    .action(async (files: string[], options: Options) => {
      const entries = await readEntries(files);
      const answer = await ask(await openApi(options), entries, { ...options, dryRun: true });
      show(answer, options);
      if (differs(answer)) process.exitCode = EXIT.failed;
    });
}

async function apply(files: readonly string[], options: Options): Promise<void> {
  const { dryRun = false, prune = false, yes = false } = options;
  const asks = prune && !yes && !dryRun;
  if (asks) needsSomebody('--prune removes things');
  const entries = await readEntries(files);
  warnOfSecrets(entries);
  const api = await openApi(options);
  if (!prune || dryRun) return show(await ask(api, entries, options), options);

  const plan = await ask(api, entries, { prune, dryRun: true });
  const removed = plan.resources.filter(({ action }) => action === 'removed');
  const isListed = options.json !== true && removed.length > 0;
  if (isListed) {
    printChanges(plan);
    print('');
  }
  if (asks && removed.length > 0 && !(await agreed(`Remove ${removed.length} from every instance?`))) {
    print('Nothing was done.');
    process.exitCode = EXIT.failed;
    return;
  }
  const answer = await placed(entries, () => api.call<Applied>('POST', APPLY, { resources: planned(plan, entries) }));
  if (isListed) printSummary(answer);
  else show(answer, options);
}

const APPLY = '/api/v1/config/apply';

const ask = (api: Api, entries: readonly FileEntry[], { prune = false, dryRun = false }: Options): Promise<Applied> =>
  placed(entries, () =>
    api.call<Applied>('POST', APPLY, {
      resources: entries.map(({ section, name, text }) => ({ section, name, text })),
      prune,
      dry_run: dryRun,
    }),
  );

/** What was shown, and nothing else: whoever changed something meanwhile is not overwritten, and nothing new removed. */
const planned = ({ resources }: Applied, entries: readonly FileEntry[]) =>
  resources.map(({ section, name, action, revision }) => ({
    section,
    name,
    text:
      action === 'removed'
        ? null
        : (entries.find((each) => each.section === section && each.name === name)?.text ?? ''),
    revision: revision ?? 0,
  }));

function show(answer: Applied, { json }: Options): void {
  if (json === true) printJson(answer);
  else printChanges(answer);
}
