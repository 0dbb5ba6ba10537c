import { Command } from 'commander';
import { discard, type DiscardReport } from '../../deadletter/discard.ts';
import { discardJson } from '../../deadletter/show.ts';
import { EXIT } from '../../errors.ts';
import { print, printJson } from '../print.ts';
import { thisUser } from '../user.ts';
import { type ChoiceOptions, choiceOf, printGroups, untilInterrupted, withChoice, withLetters } from './options.ts';

interface Options extends ChoiceOptions {
  readonly why: string;
  readonly who?: string;
}

const HELP = `
Who did it, why, when and to which letters is stored first, as the event
dead_letters.discarded in the stream OUZEL_EVENTS; without that nothing is
deleted. Letters that are being re-driven are left.

Examples:
  ouzel dlq discard 17 --why 'a test of ours'
  ouzel dlq discard --consumer billing --until 7d --why 'settled by hand, ticket 4711' --dry-run`;

export function discardCommand(): Command {
  return withChoice(new Command('discard').description('throw dead letters away, and keep who did so and why'))
    .requiredOption('--why <text>', 'why they are not needed')
    .option('--who <name>', 'who says so (default: user@host)')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(numbers: readonly number[] | undefined, options: Options): Promise<void> {
  await withLetters(options.config, async (access) => {
    const request = {
      ...choiceOf(numbers ?? [], options),
      why: options.why,
      who: options.who ?? thisUser(),
      dryRun: options.dryRun === true,
    };
    const report = await discard(access, request, untilInterrupted());
    if (options.json === true) printJson(discardJson(report));
    else printReport(report, options);
    if (report.stopped === 'interrupted') process.exitCode = EXIT.failed;
    else if (report.stopped !== undefined) throw report.stopped;
  });
}

function printReport(report: DiscardReport, { dryRun, limit }: Options): void {
  if (report.selected === 0) return print(report.stopped === undefined ? 'No dead letters match.' : 'Interrupted.');
  printGroups(report.groups);
  print('');
  if (report.stopped === 'interrupted') print('Interrupted.');
  print(`${report.discarded} of ${report.selected} ${dryRun === true ? 'would be discarded' : 'discarded'}`);
  if (report.underway > 0) print(`${report.underway} left: they are being re-driven`);
  if (report.gone > 0) print(`${report.gone} settled meanwhile by somebody else`);
  if (report.more) print(`more are selected than --limit ${limit}`);
  if (dryRun === true) print('A dry run: nothing was done.');
}
