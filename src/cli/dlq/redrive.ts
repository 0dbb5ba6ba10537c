import { Command, InvalidArgumentError } from 'commander';
import { type Followed, followLetters } from '../../deadletter/follow.ts';
import { parseRate } from '../../deadletter/pace.ts';
import { nextLetter } from '../../deadletter/read.ts';
import { redrive, type RedriveReport } from '../../deadletter/redrive.ts';
import { redriveJson } from '../../deadletter/show.ts';
import { EXIT } from '../../errors.ts';
import { stringifyJson } from '../../core/json.ts';
import type { Change } from '../../explain/changes.ts';
import { print, printJson } from '../print.ts';
import { fit, styleOf } from '../terminal.ts';
import {
  type ChoiceOptions,
  choiceOf,
  printGroups,
  progressLine,
  untilInterrupted,
  withChoice,
  withLetters,
} from './options.ts';

interface Options extends ChoiceOptions {
  readonly set?: Readonly<Record<string, string>>;
  readonly rate?: number;
  readonly wait?: boolean;
}

/** `data.currency='"EUR"'`: what stands before the first `=` is the path, all behind it the expression. */
function setField(text: string, before: NonNullable<Options['set']> = {}): Options['set'] {
  const at = text.indexOf('=');
  if (at < 1 || at === text.length - 1)
    throw new InvalidArgumentError(`write path=expression, for example data.currency='"EUR"'`);
  const path = text.slice(0, at).trim();
  if (Object.hasOwn(before, path)) throw new InvalidArgumentError(`${path} is set twice`);
  return { ...before, [path]: text.slice(at + 1).trim() };
}

const HELP = `
Each letter goes back to its consumer as a run of its own, with the event as it
came (or mended with --set) and only the routes that had not been delivered. It
stays until that run has an outcome; one that fails again is a new letter.

The values of --set are expressions over the event, so that a text needs quotes
of its own.

Examples:
  ouzel dlq redrive 17 18
  ouzel dlq redrive --consumer billing --reason rejected --dry-run
  ouzel dlq redrive --consumer billing --set data.currency='"EUR"' --rate 50/s --wait`;

export function redriveCommand(): Command {
  return withChoice(new Command('redrive').description('hand dead letters back to their consumers'))
    .option('--set <path=expression>', 'mend the data; may be given more than once', setField)
    .option('--rate <rate>', 'how many at most: 50/s, 3000/m', parseRate)
    .option('--wait', 'wait until each has an outcome, and say how many came back')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(numbers: readonly number[] | undefined, options: Options): Promise<void> {
  await withLetters(options.config, async (access) => {
    const signal = untilInterrupted();
    const from = await nextLetter(access);
    const line = progressLine(options.dryRun === true ? 'looked at' : 'handed over');
    const request = {
      ...choiceOf(numbers ?? [], options),
      set: options.set,
      rate: options.rate,
      dryRun: options.dryRun === true,
    };
    const report = await redrive(access, request, { signal, progress: (done, all) => line.show(done, all) });
    line.clear();
    const waits = options.wait === true && options.dryRun !== true;
    if (options.json !== true) printReport(report, options, waits);
    let followed: Followed | undefined;
    if (waits && report.runs.size > 0) {
      const waiting = progressLine('have an outcome');
      followed = await followLetters(access, report.runs, from, signal, (done, all) => waiting.show(done, all));
      waiting.clear();
    }
    if (options.json === true) printJson(redriveJson(report, followed));
    else if (followed !== undefined) printFollowed(followed);
    if (report.stopped !== undefined && report.stopped !== 'interrupted') throw report.stopped;
    const complete = report.failed === 0 && report.stopped === undefined;
    const good = followed === undefined || (followed.cameBack === 0 && followed.open === 0);
    if (!complete || !good) process.exitCode = EXIT.failed;
  });
}

function printReport(report: RedriveReport, options: Options, waits: boolean): void {
  if (report.selected === 0) return print(report.stopped === undefined ? 'No dead letters match.' : 'Interrupted.');
  printGroups(report.groups);
  print('');
  const dry = options.dryRun === true;
  for (const { letter, changes } of report.mended) printChanges(letter, changes);
  if (report.mended.length > 0) print('');
  if (report.stopped === 'interrupted') print('Interrupted.');
  print(`${report.handedOver} of ${report.selected} ${dry ? 'would be handed over' : 'handed over'}`);
  if (report.underway > 0) print(`${report.underway} already being re-driven`);
  if (report.gone > 0) print(`${report.gone} settled meanwhile by somebody else`);
  if (report.failed > 0) print(`${report.failed} ${dry ? 'could not be handed over' : 'not handed over'}:`);
  for (const { letter, message } of report.failures) print(`  ${letter}: ${message}`);
  if (report.more) print(`more are selected than --limit ${options.limit}`);
  if (dry) print('A dry run: nothing was done.');
  else if (!waits && report.handedOver > 0)
    print('They go when their runs have an outcome: `ouzel dlq list` shows what is left, `ouzel tap` what happens.');
}

function printChanges(letter: number, changes: readonly Change[]): void {
  const { width } = styleOf(process.stdout);
  if (changes.length === 0) return print(`${letter}: nothing changes`);
  print(`${letter}:`);
  for (const { op, path, before, after } of changes) {
    const from = op === 'add' ? '(none)' : stringifyJson(before);
    const to = op === 'remove' ? '(none)' : stringifyJson(after);
    print(fit(`  ${path}: ${from} → ${to}`, width));
  }
}

function printFollowed({ ended, cameBack, groups, open }: Followed): void {
  print('');
  print(
    `${ended} done, ${cameBack} came back as new dead letters${open > 0 ? `, ${open} without an outcome yet` : ''}`,
  );
  if (cameBack > 0) printGroups(groups.list());
}
