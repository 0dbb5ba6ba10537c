import { Command } from 'commander';
import { ConfigError } from '../../config/problems.ts';
import { OuzelError } from '../../errors.ts';
import type { Applied } from '../../http/applied.ts';
import { type ApiOptions, apiOptions, openApi } from '../api.ts';
import { wholeNumber } from '../arguments.ts';
import { printJson } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';
import { printChanges } from './changes.ts';
import { pathOf, resourceOf } from './resource.ts';

interface Options extends ApiOptions {
  readonly to?: number;
  readonly dryRun?: boolean;
  readonly json?: boolean;
}

const HELP = `
Without --to it is the revision before the newest. A rollback is a new revision,
which is checked like any change; a second one takes the first back. A resource
that was removed comes back.

Examples:
  ouzel config rollback consumers/billing --dry-run
  ouzel config rollback consumers/billing --to 12`;

/** `ouzel config rollback`: lets a resource of the fleet say what it said before. */
export function rollbackCommand(): Command {
  return apiOptions(
    new Command('rollback')
      .description('let a resource of the fleet say what it said before')
      .argument('<resource>', 'section/name')
      .option(...CONFIG_OPTION),
  )
    .option('--to <revision>', 'a revision of `ouzel config history`', wholeNumber)
    .option('--dry-run', 'only show what would change')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(rollback);
}

async function rollback(resource: string, options: Options): Promise<void> {
  const { to, dryRun = false, json } = options;
  const path = `${pathOf(resourceOf(resource))}/rollback`;
  const api = await openApi(options);
  try {
    const answer = await api.call<Applied>('POST', path, { ...(to === undefined ? {} : { to }), dry_run: dryRun });
    if (json === true) printJson(answer);
    else printChanges(answer);
  } catch (error) {
    // A whole change of others may be in the way: the places are in a text that stands in no file.
    if (!(error instanceof ConfigError)) throw error;
    throw new OuzelError(error.code, `${resource} as it was does not fit what is in force now:\n\n${error.message}`);
  }
}
