/**
 * One event a tick, whoever publishes it and however often it is begun. First the tick is claimed in KV, with where its
 * subject stood in the stream; then it is published, on condition that nothing came to that subject since it was looked
 * through for the tick; then it is noted as done. Whoever dies in between leaves a claim, and the next one looks before
 * it publishes. The id of the message alone would do within the duplicate window of the stream; this holds behind it.
 */
import { OuzelError } from '../../errors.ts';
import type { Message } from '../publish.ts';
import type { Claim, Ledger, Revised, Tick } from './ledger.ts';
import type { LeftOut } from './plan.ts';

export interface OneTick {
  /** Of the record in KV. */
  readonly key: string;
  readonly instant: number;
  readonly message: Message & { readonly id: string };
  /** Milliseconds to wait for the PubAck. */
  readonly timeout: number;
  /** Milliseconds that the record is kept from now. */
  readonly ttl: number;
  /** What is left out before it. */
  readonly leaves?: LeftOut | undefined;
}

export interface Ticked {
  /** Whether this call put it into the stream; false: it was there already. */
  readonly published: boolean;
  /** What was left out before it, where this call noted it: then it is to be counted here. */
  readonly leaves: LeftOut | undefined;
  readonly progress: Revised;
}

/** Others who publish to the same subject may come in between this often. */
const TRIES = 50;

/**
 * Publishes a tick, unless it is there already.
 *
 * @param since What the record says where there is none: up to when the schedule is done with.
 * @throws OuzelError as the ledger; TARGET_UNAVAILABLE when others kept coming in between
 */
export async function publishOnce(ledger: Ledger, tick: OneTick, since: number): Promise<Ticked> {
  const { key, instant, ttl } = tick;
  let published = false;
  for (let tries = 0; tries < TRIES; tries++) {
    const known = (await ledger.read(key)) ?? { upto: since, revision: 0 };
    if (known.upto >= instant) return { published, leaves: undefined, progress: known };
    const claimed = await claim(ledger, tick, known);
    if (claimed === undefined) continue;
    const stored = await publishClaimed(ledger, tick, claimed);
    if (stored === undefined) continue;
    published ||= stored.published;
    const done = { upto: instant, tick: stored.tick };
    const revision = await ledger.write(key, done, claimed.revision, ttl);
    if (revision !== undefined) return { published, leaves: claimed.claim.leaves, progress: { ...done, revision } };
    // Somebody else noted something: this, or the next round finds it in the stream.
  }
  throw new OuzelError(
    'TARGET_UNAVAILABLE',
    `${tick.message.subject}: others kept publishing to it, so that the tick found no place between theirs`,
  );
}

interface Claimed {
  readonly claim: Claim;
  /** Whether somebody may have published it before. */
  readonly begun: boolean;
  readonly revision: number;
}

/** @returns Undefined when the record has changed meanwhile. */
async function claim(
  ledger: Ledger,
  { key, instant, message, ttl, leaves }: OneTick,
  known: Revised,
): Promise<Claimed | undefined> {
  const { revision, upto, tick } = known;
  const { subject } = message;
  if (known.claim?.instant === instant && (await canEnd(ledger, known.claim, subject)))
    return { claim: known.claim, begun: true, revision };
  const stream = await ledger.streamOf(subject);
  const { last, id } = await ledger.lastOn(stream, subject);
  // It is there, and the record is from before: of a server that lost what it had not written to the disk, or a bucket
  // that was deleted.
  const begun = id === message.id;
  const made: Claim = { instant, stream, subject, after: begun ? last - 1 : last, leaves };
  const next = await ledger.write(key, { upto, tick, claim: made }, revision, ttl);
  return next === undefined ? undefined : { claim: made, begun, revision: next };
}

/** Whether what was begun can be finished where it was: not where the configuration and the streams are others by now. */
async function canEnd(ledger: Ledger, { subject }: Claim, wanted: string): Promise<boolean> {
  if (subject === wanted) return true;
  try {
    await ledger.streamOf(subject);
    return true;
  } catch (error) {
    if (error instanceof OuzelError && error.code === 'TARGET_NO_STREAM') return false;
    throw error;
  }
}

/** @returns Undefined when something else came to the subject, and it has to be looked through again. */
async function publishClaimed(
  ledger: Ledger,
  { instant, message, timeout }: OneTick,
  { claim: { stream, subject, after }, begun }: Claimed,
): Promise<{ readonly tick: Tick; readonly published: boolean } | undefined> {
  const { found, last } = begun
    ? await ledger.find({ stream, subject, after }, message.id)
    : { found: undefined, last: after };
  if (found !== undefined) return { tick: { instant, stream, sequence: found }, published: false };
  // Where it was begun it is finished: a configuration that says otherwise holds from the next tick on.
  const stored = await ledger.publish({ ...message, subject }, timeout, last);
  if (stored === undefined) return undefined;
  return { tick: { instant, stream: stored.stream, sequence: stored.sequence }, published: !stored.duplicate };
}
