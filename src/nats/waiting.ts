/** What waits for a consumer, for whoever looks: events with a timer, and those that debounce holds. */
import type { JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { MsgHdrs } from '@nats-io/transport-node';
import { readRecord } from '../core/attempts.ts';
import { type Handover, handoverLines, readHandover } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import { HELD_STREAM, heldSubject } from './held.ts';
import { findStream } from './provision.ts';
import { SEEN_STREAM } from './seen.ts';
import { countMatching, dueSubject, TIMER_STREAM, timersOf } from './timers.ts';

/** An event that waits. */
export interface Waiting {
  /** `timer-17`, `held-3`: where it stands, and the number of the message there. */
  readonly id: string;
  /** Why: `retry`, or the stage that holds it back. */
  readonly why: string;
  /** Milliseconds since the epoch: when it goes on. */
  readonly until: number;
  /** The key that debounce goes by; undefined for others. */
  readonly key: string | undefined;
  readonly handover: Handover;
  /** Attempts that failed. */
  readonly attempts: number;
}

/** Milliseconds before an instant in which a timer may be going off: it is left alone then. */
const GOING_OFF = 10_000;
/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 10_000;
/** Messages asked for at once. */
const BATCH = 64;

/** How many wait. Alarms of debounce are not counted: what they are for is. @returns Undefined: it is not known */
export async function countWaiting(
  manager: JetStreamManager,
  consumer: string,
): Promise<{ readonly timers: number | undefined }> {
  return { timers: await countMatching(manager, TIMER_STREAM, timersOf(consumer)) };
}

/**
 * What waits for a consumer, in the order in which it was stored: first what has a timer, then what is held.
 *
 * @param after The id behind which the list begins.
 * @throws OuzelError USAGE for an id that is none; NATS_UNAVAILABLE
 */
export async function listWaiting(
  manager: JetStreamManager,
  consumer: string,
  limit: number,
  after?: string,
): Promise<Waiting[]> {
  const from = after === undefined ? { kind: 'timer' as const, sequence: 0 } : parseId(after);
  const found: Waiting[] = [];
  if (from.kind === 'timer')
    for await (const message of messagesOf(manager, TIMER_STREAM, timersOf(consumer), from.sequence + 1)) {
      const waiting = timerOf(message);
      if (waiting !== undefined) found.push(waiting);
      if (found.length === limit) return found;
    }
  const heldFrom = from.kind === 'held' ? from.sequence + 1 : 1;
  for await (const message of messagesOf(manager, HELD_STREAM, heldSubject(consumer, '*'), heldFrom)) {
    const waiting = heldOf(message);
    if (waiting !== undefined) found.push(waiting);
    if (found.length === limit) return found;
  }
  return found;
}

/** One that waits, with where it is held. @throws OuzelError NOT_FOUND, USAGE */
export async function findWaiting(
  manager: JetStreamManager,
  consumer: string,
  id: string,
): Promise<{ readonly waiting: Waiting; readonly message: StoredMsg; readonly place: string | undefined }> {
  const { kind, sequence } = parseId(id);
  const stream = kind === 'timer' ? TIMER_STREAM : HELD_STREAM;
  const message = await manager.streams.getMessage(stream, { seq: sequence }).catch(() => null);
  const [, what, of, ...rest] = message?.subject.split('.') ?? [];
  const waiting =
    message === null || of !== consumer ? undefined : kind === 'timer' ? timerOf(message) : heldOf(message);
  if (message === null || waiting === undefined || what !== kind)
    throw new OuzelError('NOT_FOUND', `nothing waits as ${id} for ${consumer}: it went on, or was never there`);
  return { waiting, message, place: kind === 'held' ? rest[0] : undefined };
}

/**
 * Hands over now what has a timer, or ends it as cancelled, and takes the timer away. Should the process die in
 * between, the event goes on now and once more when its timer goes off, with the same ids.
 *
 * @throws OuzelError CONFLICT where it goes off soon by itself
 */
export async function decideTimer(
  { manager, publisher }: { readonly manager: JetStreamManager; readonly publisher: Publisher },
  consumer: string,
  { id, until, handover }: Waiting,
  message: StoredMsg,
  cancelled: boolean,
): Promise<void> {
  // A timer that may be going off is never taken away: what it is about would be lost, or come twice.
  const left = until - Date.now();
  if (left < GOING_OFF)
    throw new OuzelError('CONFLICT', `${id} goes off by itself ${left < 0 ? 'now' : `in ${Math.ceil(left / 1000)} s`}`);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const lines =
    headerLine('Nats-Msg-Id', `decided.${id}.${message.timestamp}`) + handoverLines({ ...handover, cancelled });
  publisher.publish(dueSubject(consumer), headerBlock(lines), message.data, TIMEOUT, {
    confirmed: () => resolve(),
    failed: reject,
  });
  await promise;
  await manager.streams.deleteMessage(TIMER_STREAM, message.seq, false);
}

/**
 * Removes all that waits for a consumer that is gone, and all that is remembered for it.
 *
 * @returns How many messages there were
 * @throws OuzelError NATS_UNAVAILABLE, NATS_PERMISSION
 */
export async function removeWaiting(manager: JetStreamManager, consumer: string): Promise<number> {
  let removed = 0;
  for (const [stream, ...subjects] of [
    [TIMER_STREAM, timersOf(consumer), dueSubject(consumer)],
    [HELD_STREAM, heldSubject(consumer, '*')],
    [SEEN_STREAM, `ouzel.seen.${consumer}.*`, `ouzel.counted.${consumer}.*`],
  ] as const) {
    // Most daemons have none of some of these.
    if ((await findStream(manager, stream)) === undefined) continue;
    for (const filter of subjects) removed += (await manager.streams.purge(stream, { filter })).purged;
  }
  return removed;
}

function parseId(id: string): { kind: 'timer' | 'held'; sequence: number } {
  const [, kind, number] = /^(timer|held)-(\d{1,15})$/.exec(id) ?? [];
  if (kind !== 'timer' && kind !== 'held')
    throw new OuzelError('USAGE', `"${id}" is no id of something that waits: it is like timer-17 or held-3`);
  return { kind, sequence: Number(number) };
}

async function* messagesOf(
  manager: JetStreamManager,
  stream: string,
  pattern: string,
  from: number,
): AsyncGenerator<StoredMsg> {
  for (let next = from; ;) {
    const batch = await manager.direct.getBatch(stream, { batch: BATCH, seq: next, next_by_subj: pattern });
    let left = 0;
    let seen = false;
    try {
      for await (const message of batch) {
        seen = true;
        left = message.pending;
        next = message.seq + 1;
        yield message;
      }
    } catch (error) {
      // There is nothing of the kind, or no such stream.
      if (/not found|no responders|404|503/i.test(String(error))) return;
      throw error;
    }
    if (!seen || left === 0) return;
  }
}

/** The header block of a message that was read. */
const blockOf = (header: MsgHdrs): Uint8Array =>
  Buffer.from(headerBlock([...header].map(([name, [value = '']]) => headerLine(name, value)).join('')));

function timerOf({ subject, seq, header }: StoredMsg): Waiting | undefined {
  const handover = readHandover(blockOf(header));
  if (handover === undefined) return undefined;
  return {
    id: `timer-${seq}`,
    why: subject.split('.')[3] ?? '',
    until: Date.parse(header.get('Nats-Schedule').replace('@at ', '')) || 0,
    key: undefined,
    handover,
    attempts: attemptsOf(handover),
  };
}

function heldOf({ seq, header }: StoredMsg): Waiting | undefined {
  const handover = readHandover(blockOf(header));
  if (handover === undefined || header.get('Ouzel-State') !== '') return undefined;
  return {
    id: `held-${seq}`,
    why: 'debounce',
    until: Date.parse(header.get('Ouzel-Due')) || 0,
    key: header.get('Ouzel-Key') || undefined,
    handover,
    attempts: attemptsOf(handover),
  };
}

const attemptsOf = ({ record }: Handover): number => readRecord(record ?? '')?.used ?? 0;
