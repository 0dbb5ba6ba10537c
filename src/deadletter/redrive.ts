/** Hands dead letters back to their consumers: all that are chosen, at a rate, with a count of what became of each. */
import { setTimeout as sleep } from 'node:timers/promises';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Change } from '../explain/changes.ts';
import { ensureStream } from '../nats/provision.ts';
import { timersSpec } from '../reconcile/system-streams.ts';
import { type Choice, chooseLetters, type Chosen } from './choose.ts';
import type { Group } from './groups.ts';
import { handOver, type Handed } from './handing.ts';
import { compileMend, type Mend, type MendFields } from './mend.ts';
import { pacer } from './pace.ts';
import { completeLetter, letterAt, type LetterAccess } from './read.ts';
import { lettersUnderway } from './underway.ts';

export interface RedriveRequest extends Choice {
  /** Path → expression; undefined: the events go as they came. */
  readonly set: MendFields | undefined;
  /** Letters a second; undefined: as fast as may be. */
  readonly rate: number | undefined;
  readonly dryRun: boolean;
}

/** A letter that was not handed over, and why. */
export interface NotHanded {
  readonly letter: number;
  readonly consumer: string;
  readonly code: string;
  readonly message: string;
}

/** How a letter would be mended. */
export interface MendShown {
  readonly letter: number;
  readonly consumer: string;
  readonly changes: readonly Change[];
}

export interface RedriveReport {
  /** Letters that are meant, and the same by consumer and reason. */
  readonly selected: number;
  readonly groups: readonly Group[];
  /** Whether the limit left some out. */
  readonly more: boolean;
  handedOver: number;
  /** They are being re-driven already. */
  underway: number;
  /** Somebody else settled them meanwhile. */
  gone: number;
  failed: number;
  /** The first of the failed ones. */
  readonly failures: NotHanded[];
  /** The first of those that would be mended, in a dry run. */
  readonly mended: MendShown[];
  /** Why it ended before all were handed over. */
  stopped: OuzelError | 'interrupted' | undefined;
  /** The letters handed over, with their runs. */
  readonly runs: Map<number, string>;
}

export interface RedriveControl {
  readonly signal?: AbortSignal;
  /** Hears of each letter that was dealt with. */
  readonly progress?: (done: number, selected: number) => void;
}

/** Handovers on their way at once. */
const AT_ONCE = 64;
/** Examples in a report. */
const EXAMPLES = 5;
const FAILURES = 100;

/**
 * Re-drives dead letters, or says what a re-drive would do. Each becomes a run of its own (`handing.ts`); the consumer
 * takes it from there, and its letter goes when that run has an outcome.
 *
 * @throws OuzelError USAGE; NOT_FOUND for a number without a letter or a consumer that is not configured. Nothing was
 *   handed over then. What goes wrong later is in the report.
 */
export async function redrive(
  access: LetterAccess,
  request: RedriveRequest,
  { signal, progress }: RedriveControl = {},
): Promise<RedriveReport> {
  const mend = request.set === undefined ? undefined : compileMend(request.set, access.config);
  const { letters, groups, more } = await chooseLetters(access, request, signal);
  checkConsumers(access, request.selectors.consumer, groups.list());
  const report = newReport(letters.length, groups.list(), more);
  if (signal?.aborted === true) report.stopped = 'interrupted';
  if (letters.length === 0) return report;
  const underway = await lettersUnderway(access, new Set(letters.map(({ consumer }) => consumer)), signal);
  if (!request.dryRun) await ensureStream(access.manager, timersSpec(access.config));
  const one = request.dryRun ? rehearse(access, mend, report) : handOver;
  const turn = pacer(request.dryRun ? undefined : request.rate);
  await each(letters, signal, report, progress, async (letter) => {
    if (underway.has(letter.sequence)) return { kind: 'underway', run: '' };
    await turn((ms) => sleep(ms, undefined, signal === undefined ? {} : { signal }));
    return one(access, letter.sequence, mend);
  });
  return report;
}

const newReport = (selected: number, groups: readonly Group[], more: boolean): RedriveReport => ({
  selected,
  groups,
  more,
  handedOver: 0,
  underway: 0,
  gone: 0,
  failed: 0,
  failures: [],
  mended: [],
  stopped: undefined,
  runs: new Map(),
});

/** @param named The consumer that was asked for, if one was. @throws OuzelError NOT_FOUND */
function checkConsumers(
  { config: { consumers } }: LetterAccess,
  named: string | undefined,
  groups: readonly Group[],
): void {
  const names = [...(named === undefined ? [] : [named]), ...groups.map(({ consumer }) => consumer)];
  const unknown = names.find((name) => !Object.hasOwn(consumers, name));
  if (unknown === undefined) return;
  throw new OuzelError(
    'NOT_FOUND',
    `nobody can take the dead letters of "${unknown}": no such consumer is configured; there are: ` +
      `${Object.keys(consumers).join(', ') || 'none'}. Put it back into the configuration, or choose others with --consumer`,
  );
}

/** In a dry run: mends the letter and keeps nothing of it but an example. */
const rehearse =
  (access: LetterAccess, mend: Mend | undefined, report: RedriveReport) =>
  async (_access: LetterAccess, sequence: number): Promise<Handed> => {
    const stored = await letterAt(access.manager, sequence);
    if (stored === undefined) return { kind: 'gone' };
    const letter = await completeLetter(stored, access.bodies);
    if (mend !== undefined) {
      const { changes } = mend(letter);
      if (report.mended.length < EXAMPLES) report.mended.push({ letter: sequence, consumer: letter.consumer, changes });
    }
    return { kind: 'handed_over', run: '' };
  };

/** Does it to every letter, some at once, until the end, the signal, or the first trouble that is not the letter's own. */
async function each(
  letters: readonly Chosen[],
  signal: AbortSignal | undefined,
  report: RedriveReport,
  progress: RedriveControl['progress'],
  work: (letter: Chosen) => Promise<Handed>,
): Promise<void> {
  const rest = letters.values();
  let done = 0;
  const worker = async (): Promise<void> => {
    for (const letter of rest) {
      if (signal?.aborted === true) report.stopped ??= 'interrupted';
      if (report.stopped !== undefined) return;
      try {
        count(report, letter, await work(letter));
      } catch (error) {
        if (signal?.aborted === true && (error as Error).name === 'AbortError') report.stopped ??= 'interrupted';
        else failed(report, letter, error);
      }
      if (report.stopped === undefined) progress?.(++done, letters.length);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, letters.length) }, worker));
}

function count(report: RedriveReport, { sequence }: Chosen, handed: Handed): void {
  if (handed.kind === 'gone') report.gone++;
  else if (handed.kind === 'underway') report.underway++;
  else {
    report.handedOver++;
    report.runs.set(sequence, handed.run);
  }
}

function failed(report: RedriveReport, { sequence, consumer }: Chosen, error: unknown): void {
  // Without an error of ours, the server did not answer.
  const own = asOuzelError(error, 'NATS_UNAVAILABLE');
  // What is the letter's own fault lets the others go on; a server that is away does not.
  if (own.kind !== 'rejected') report.stopped ??= own;
  report.failed++;
  if (report.failures.length < FAILURES)
    report.failures.push({ letter: sequence, consumer, code: own.code, message: own.message });
}
