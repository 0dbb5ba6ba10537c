/** Throws dead letters away, once it is written down who did so and why. */
import { randomUUID } from 'node:crypto';
import { asOuzelError, OuzelError } from '../errors.ts';
import { ensureStream } from '../nats/provision.ts';
import { incidentSpec } from '../reconcile/system-streams.ts';
import { incidentMessage, newInstance } from '../telemetry/incidents/message.ts';
import { type Choice, chooseLetters } from './choose.ts';
import type { Group } from './groups.ts';
import { letterAt, type LetterAccess, removeLetter, type StoredLetter } from './read.ts';
import { lettersUnderway } from './underway.ts';

export interface DiscardRequest extends Choice {
  readonly why: string;
  readonly who: string;
  readonly dryRun: boolean;
}

export interface DiscardReport {
  readonly selected: number;
  readonly groups: readonly Group[];
  readonly more: boolean;
  discarded: number;
  /** They are being re-driven, and so were left. */
  underway: number;
  gone: number;
  /** Why it ended before all were gone. */
  stopped: OuzelError | 'interrupted' | undefined;
}

const TIMEOUT = 10_000;
/** Letters in one record: with the longest keys it still fits into a message. */
const BATCH = 200;

/**
 * Deletes dead letters, with what is stored beside them. Before that, a record of each batch is stored as the CloudEvent
 * `dead_letters.discarded`; without the record nothing is deleted.
 *
 * @throws OuzelError USAGE, NOT_FOUND, and STREAM_REFUSED or NATS_* when there is no place for the record
 */
export async function discard(
  access: LetterAccess,
  request: DiscardRequest,
  signal?: AbortSignal,
): Promise<DiscardReport> {
  if (request.why.trim() === '') throw new OuzelError('USAGE', '--why says why they are thrown away; it is empty');
  const { letters, groups, more } = await chooseLetters(access, request, signal);
  const report: DiscardReport = {
    selected: letters.length,
    groups: groups.list(),
    more,
    discarded: 0,
    underway: 0,
    gone: 0,
    stopped: signal?.aborted === true ? 'interrupted' : undefined,
  };
  if (letters.length === 0 || report.stopped !== undefined) return report;
  const underway = await lettersUnderway(access, new Set(letters.map(({ consumer }) => consumer)), signal);
  if (!request.dryRun) await ensureStream(access.manager, incidentSpec(access.config));
  for (let from = 0; from < letters.length && report.stopped === undefined; from += BATCH) {
    const batch: StoredLetter[] = [];
    for (const { sequence } of letters.slice(from, from + BATCH)) {
      const letter = underway.has(sequence) ? undefined : await letterAt(access.manager, sequence);
      if (underway.has(sequence)) report.underway++;
      else if (letter === undefined) report.gone++;
      else batch.push(letter);
    }
    if (request.dryRun) report.discarded += batch.length;
    else
      report.stopped = await discardBatch(access, request, batch, report).catch((error: unknown) =>
        asOuzelError(error, 'NATS_UNAVAILABLE'),
      );
    if (signal?.aborted === true) report.stopped ??= 'interrupted';
  }
  return report;
}

/** @throws what kept it from going on; what was deleted is counted. */
async function discardBatch(
  access: LetterAccess,
  request: DiscardRequest,
  batch: readonly StoredLetter[],
  report: DiscardReport,
): Promise<undefined> {
  if (batch.length === 0) return;
  await record(access, request, batch);
  for (const letter of batch) {
    await removeWhole(access, letter);
    report.discarded++;
  }
}

/** Takes a letter away with what is stored beside it. The letter goes first: one without its body would be useless. */
async function removeWhole({ manager, bodies }: LetterAccess, letter: StoredLetter): Promise<void> {
  await removeLetter(manager, letter.sequence);
  for (const name of [letter.bodyName, letter.headersName]) if (name !== undefined) await bodies.delete(name);
}

/** Stores who threw away what, when and why. @throws OuzelError TARGET_* */
async function record(
  { publisher }: LetterAccess,
  { who, why }: DiscardRequest,
  batch: readonly StoredLetter[],
): Promise<void> {
  const consumers = [...new Set(batch.map(({ consumer }) => consumer))];
  const data = {
    who,
    why,
    count: batch.length,
    consumers,
    letters: batch.map(({ sequence }) => sequence),
    events: batch.map(({ sequence, consumer, reason, stream, subject, eventSequence, key }) => ({
      letter: sequence,
      consumer,
      reason,
      stream,
      subject,
      sequence: eventSequence,
      ...(key === undefined ? {} : { key }),
    })),
  };
  const origin = { instance: newInstance(), id: randomUUID(), concerns: consumers, time: Date.now() };
  const { subject, headers, body } = incidentMessage('dead_letters.discarded', data, origin);
  await new Promise<void>((resolve, reject) =>
    publisher.publish(subject, headers, body, TIMEOUT, {
      confirmed: () => resolve(),
      failed: reject,
    }),
  );
}
