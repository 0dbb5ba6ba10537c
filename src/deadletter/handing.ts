/** Hands one dead letter back to its consumer, as a run of its own. */
import { parseTimestamp, replayOf, replayRun } from '../core/handover.ts';
import { type HandedOver, publishHandOver } from '../nats/hand-over.ts';
import { TIMER_STREAM } from '../nats/timers.ts';
import { originalBlock } from './event.ts';
import type { Mend } from './mend.ts';
import { completeLetter, letterAt, type LetterAccess, type StoredLetter } from './read.ts';

/**
 * The run of a re-drive: the same letter re-driven twice is the same run, and another letter never has it. What failed
 * in a replay stays of that replay.
 */
function redriveRun({ sequence, storedAt, run }: StoredLetter): string {
  const own = `redrive-${sequence}-${storedAt.toString(36)}`;
  const replay = replayOf(run);
  return replay === undefined ? own : `${replayRun(replay)}.${own}`;
}

/** What became of a letter: handed over as this run; on its way already; or gone, since somebody else settled it. */
export type Handed = { readonly kind: 'handed_over' | 'underway'; readonly run: string } | { readonly kind: 'gone' };

/**
 * Hands over the letter of this number. The letter stays: it goes when its run has an outcome.
 *
 * @throws OuzelError EVENT_* when it cannot be mended, NOT_FOUND when its body is gone, TARGET_* when it is not stored
 */
export async function handOver(access: LetterAccess, sequence: number, mend: Mend | undefined): Promise<Handed> {
  const stored = await letterAt(access.manager, sequence);
  if (stored === undefined) return { kind: 'gone' };
  const letter = await completeLetter(stored, access.bodies);
  const run = redriveRun(stored);
  const mended = mend?.(letter).body;
  // Within the window in which the server knows an id again, an earlier handover that was settled without the letter
  // going would be in the way of this one; its number makes another id, and again the same one for all who try.
  for (let id = run; ;) {
    const { duplicate, sequence: taken } = await publishLetter(access, letter, run, id, mended);
    if (!duplicate) return { kind: 'handed_over', run };
    if ((await access.manager.streams.getMessage(TIMER_STREAM, { seq: taken })) !== null)
      return { kind: 'underway', run };
    if ((await letterAt(access.manager, sequence)) === undefined) return { kind: 'gone' };
    id = `${run}.${taken}`;
  }
}

const publishLetter = (
  access: LetterAccess,
  letter: StoredLetter,
  run: string,
  id: string,
  mended: Uint8Array | undefined,
): Promise<HandedOver> =>
  publishHandOver(access, {
    consumer: letter.consumer,
    id,
    handover: {
      stream: letter.stream,
      subject: letter.subject,
      position: { sequence: letter.eventSequence, ...parseTimestamp(letter.time) },
      headers: originalBlock(letter),
      run,
      record: undefined,
      routes: letter.routes.length === 0 ? undefined : letter.routes,
      letter: letter.sequence,
    },
    body: mended ?? letter.body,
    bodyName: mended === undefined ? letter.bodyName : undefined,
    apart: run,
    what: `dead letter ${letter.sequence}`,
  });
