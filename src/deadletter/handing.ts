/** Hands one dead letter back to its consumer, as a run of its own. */
import { handoverLines, parseTimestamp } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import { OuzelError } from '../errors.ts';
import { dueSubject, TIMER_STREAM } from '../nats/timers.ts';
import { originalBlock } from './event.ts';
import type { Mend } from './mend.ts';
import { completeLetter, letterAt, type LetterAccess, type StoredLetter } from './read.ts';

/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 10_000;
const NO_BODY = new Uint8Array(0);

/** The run of a re-drive: the same letter re-driven twice is the same run, and another letter never has it. */
const redriveRun = ({ sequence, storedAt }: StoredLetter): string => `redrive-${sequence}-${storedAt.toString(36)}`;

/** What became of a letter: handed over as this run; on its way already; or gone, since somebody else settled it. */
export type Handed = { readonly kind: 'handed_over' | 'underway'; readonly run: string } | { readonly kind: 'gone' };

interface Stored {
  readonly duplicate: boolean;
  /** The number of the message, or of the one that was there already. */
  readonly sequence: number;
}

const publish = ({ publisher }: LetterAccess, subject: string, lines: string, body: Uint8Array): Promise<Stored> =>
  new Promise((resolve, reject) =>
    publisher.publish(subject, headerBlock(lines), body, TIMEOUT, {
      confirmed: (duplicate, sequence = 0) => resolve({ duplicate, sequence }),
      failed: reject,
    }),
  );

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

/** Publishes the handover; a body that leaves no room for the headers is stored apart. */
async function publishLetter(
  access: LetterAccess,
  letter: StoredLetter,
  run: string,
  id: string,
  mended: Uint8Array | undefined,
): Promise<Stored> {
  const subject = dueSubject(letter.consumer);
  const lines = (bodyName: string | undefined): string =>
    headerLine('Nats-Msg-Id', id) +
    handoverLines({
      stream: letter.stream,
      subject: letter.subject,
      position: { sequence: letter.eventSequence, ...parseTimestamp(letter.time) },
      headers: originalBlock(letter),
      run,
      record: undefined,
      routes: letter.routes.length === 0 ? undefined : letter.routes,
      letter: letter.sequence,
      bodyName,
    });
  if (mended === undefined && letter.bodyName !== undefined)
    return publishHeaders(access, subject, lines(letter.bodyName), letter.sequence);
  const body = mended ?? letter.body;
  try {
    return await publish(access, subject, lines(undefined), body);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
  }
  return publishHeaders(access, subject, lines(await access.bodies.put(run, body)), letter.sequence);
}

const isTooLarge = (error: unknown): boolean => error instanceof OuzelError && error.code === 'TARGET_TOO_LARGE';

async function publishHeaders(access: LetterAccess, subject: string, lines: string, letter: number): Promise<Stored> {
  try {
    return await publish(access, subject, lines, NO_BODY);
  } catch (error) {
    if (!isTooLarge(error)) throw error;
    const message = `dead letter ${letter}: the headers of its event leave no room for a handover (64 KiB in all)`;
    throw new OuzelError('TARGET_TOO_LARGE', message, { cause: error });
  }
}
