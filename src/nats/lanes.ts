/**
 * The events of ordered consumers that wait for those of their key before them, in the stream OUZEL_LANES: a subject a
 * lane and tier, `ouzel.lane.<consumer>.<name>.<tier>`. They are written as handovers are (`core/handover.ts`), with
 * `Ouzel-Behind` where they are not in order; read one by one, and deleted with their outcome. Read from the leader of
 * the stream: a stale answer would break the order.
 */
import { createHash } from 'node:crypto';
import type { JetStreamManager } from '@nats-io/jetstream';
import { writeRecord } from '../core/attempts.ts';
import { type Decoder, Event } from '../core/event.ts';
import { type Handed, handoverLines, readHandover } from '../core/handover.ts';
import { headerBlock, headerLine, headerValue } from '../core/headers.ts';
import { DEAD_LETTER_STREAM } from '../deadletter/store.ts';
import { messageIds } from '../deliver/ids.ts';
import type { Publisher, Requester } from '../deliver/ports.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Hold, LaneStore, StoredEvent, StoredLane, Tier } from '../flow/lane.ts';
import type { Bodies } from './bodies.ts';
import { LANE_STREAM, laneSubjects } from './lane-stream.ts';
import { findStream } from './provision.ts';

/** What answers for an event that was stored: no ack subject begins so. */
const REPLY = Buffer.from('lane');
const DOLLAR = 36;

/** Whether an ack subject answers for an event of a stream, and not for one that was stored. */
export const isOfStream = (reply: Uint8Array): boolean => reply[0] === DOLLAR;

const prefixOf = (consumer: string): string => `ouzel.lane.${consumer}.`;

/** Milliseconds to wait for an answer of the server, and before something is asked again. */
const TIMEOUT = 10_000;
const AGAIN = 1_000;
/** Lanes whose last event is asked for at once, when all are looked for. */
const AT_ONCE = 64;
/** Letters of a lane's name: as many as make two keys of one name out of the question. */
const NAME = 24;
/** Of an event that is not in order: the highest number in the event stream that was stored in order before it. */
const BEHIND = 'Ouzel-Behind';
/** A hold of which only is known that it is there. */
const NOT_READ: Hold = { letter: 0, number: 0 };
/** JetStream API: no message found; no such message. */
const NOT_FOUND = new Set([10037, 10057, 10059]);

interface StoredMessage {
  readonly subject: string;
  readonly seq: number;
  readonly hdrs?: string;
  readonly data?: string;
  readonly time: string;
}

interface Answer {
  readonly message?: StoredMessage;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

export interface LaneStoreOptions {
  readonly consumer: string;
  readonly publisher: Publisher;
  readonly requester: Requester;
  readonly manager: JetStreamManager;
  readonly bodies: Pick<Bodies, 'get'>;
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** How the consumer's events are decoded now. */
  readonly decode: () => Decoder;
  /** Makes the stream, which is not there until something is to be stored. */
  readonly ensure: () => Promise<void>;
}

/** The store of one consumer. */
export function createLaneStore(options: LaneStoreOptions): LaneStore {
  const { consumer, publisher, requester, manager, domain, ensure } = options;
  const api = `${domain === undefined ? '$JS' : `$JS.${domain}`}.API.STREAM.MSG.`;
  const prefix = prefixOf(consumer);

  const ask = async (
    verb: 'GET' | 'DELETE',
    question: object,
    stream = LANE_STREAM,
  ): Promise<StoredMessage | undefined> =>
    new Promise((resolve, reject) => {
      requester.request(`${api}${verb}.${stream}`, headerBlock(''), JSON.stringify(question), TIMEOUT, {
        failed: reject,
        replied: ({ body }) => {
          const { message, error } = JSON.parse(Buffer.from(body).toString()) as Answer;
          if (error === undefined || NOT_FOUND.has(error.err_code ?? 0)) resolve(message);
          else reject(new OuzelError('NATS_UNAVAILABLE', `${stream}: ${error.description ?? ''}`));
        },
      });
    });

  /** The first one makes the stream; what could not be stored is when it is tried again. */
  const whenMade = (error: OuzelError, done: (error: Error) => void): void => {
    if (error.code !== 'TARGET_NO_STREAM') return done(error);
    ensure().then(
      () => done(error),
      (reason: unknown) => done(asOuzelError(reason)),
    );
  };

  const remove = (number: number): void => {
    ask('DELETE', { seq: number, no_erase: true }).catch(() => void setTimeout(() => remove(number), AGAIN).unref());
  };

  return {
    name: (key) => (key === undefined ? 'none' : createHash('sha256').update(key).digest('hex').slice(0, NAME)),
    put(lane, tier, run, record, behind, done) {
      const { event, handed } = run;
      const { subject, headers, body } = event.carrier;
      // It may have waited here before, for its turn with the stage before.
      const steps = record === undefined ? [] : [record.used, record.deferred, record.passed ?? ''];
      const id = [messageIds(event.stream, consumer, 'lane')(run), ...steps].join('.');
      let lines = headerLine('Nats-Msg-Id', id);
      lines += handoverLines({
        stream: event.stream,
        subject,
        position: event.position,
        headers,
        run: run.id,
        record: record === undefined ? handed?.record : writeRecord(record),
        routes: handed?.routes,
        letter: handed?.letter,
        bodyName: handed?.bodyName,
      });
      if (behind !== undefined) lines += headerLine(BEHIND, String(behind));
      const rest = handed?.bodyName === undefined ? body : '';
      publisher.publish(`${prefix}${lane}.${tier}`, headerBlock(lines), rest, TIMEOUT, {
        confirmed: (duplicate) => done(undefined, !duplicate),
        failed: (error) => whenMade(error, done),
      });
    },
    async next(lane, tier, from, again) {
      const message = await ask('GET', { seq: Math.max(1, from), next_by_subj: `${prefix}${lane}.${tier}` });
      return message === undefined ? undefined : await stored(message, lane, again, options);
    },
    remove,
    hold(lane, letter, done) {
      let lines = headerLine('Nats-Rollup', 'sub');
      lines += headerLine('Ouzel-Letter', String(letter));
      publisher.publish(`${prefix}${lane}.hold`, headerBlock(lines), '', TIMEOUT, {
        confirmed: (_duplicate, sequence) => done(undefined, sequence),
        failed: (error) => whenMade(error, done),
      });
    },
    async isLetter(letter) {
      return (await ask('GET', { seq: letter }, DEAD_LETTER_STREAM)) !== undefined;
    },
    async lanes() {
      if ((await findStream(manager, LANE_STREAM)) === undefined) return new Map();
      const { state } = await manager.streams.info(LANE_STREAM, { subjects_filter: laneSubjects(consumer) });
      const counts = new Map<string, { front: number; rest: number; last: number; hold?: Hold | undefined }>();
      for (const [subject, count] of Object.entries(state.subjects ?? {})) {
        const [name = '', tier] = subject.slice(prefix.length).split('.');
        const known = counts.get(name) ?? { front: 0, rest: 0, last: 0 };
        counts.set(name, tier === 'hold' ? { ...known, hold: NOT_READ } : { ...known, [tier as Tier]: count });
      }
      const rest = [...counts].values();
      const worker = async (): Promise<void> => {
        for (const [name, found] of rest) {
          found.last = await lastOf(name, found);
          if (found.hold !== undefined) found.hold = await holdOf(name);
        }
      };
      await Promise.all(Array.from({ length: AT_ONCE }, worker));
      return counts;
    },
  };

  async function holdOf(name: string): Promise<Hold | undefined> {
    const message = await ask('GET', { last_by_subj: `${prefix}${name}.hold` });
    const headers = headersOf(message);
    if (message === undefined || headers === undefined) return undefined;
    return { letter: Number(headerValue(headers, 'Ouzel-Letter')), number: message.seq };
  }

  /** The number in the event stream of the last one that was stored in order. */
  async function lastOf(name: string, { rest }: StoredLane): Promise<number> {
    const message = await ask('GET', { last_by_subj: `${prefix}${name}.${rest > 0 ? 'rest' : 'front'}` });
    const headers = headersOf(message);
    const behind = headers === undefined ? undefined : headerValue(headers, BEHIND);
    return behind === undefined ? (readHandover(headers)?.position.sequence ?? 0) : Number(behind);
  }
}

const headersOf = (message: StoredMessage | undefined): Uint8Array | undefined =>
  message?.hdrs === undefined ? undefined : Buffer.from(message.hdrs, 'base64');

async function stored(
  message: StoredMessage,
  lane: string,
  again: boolean,
  { decode, bodies }: LaneStoreOptions,
): Promise<StoredEvent | undefined> {
  const block = headersOf(message);
  const handover = readHandover(block);
  // Nobody but Ouzel publishes here; what it cannot read is none of its events.
  if (handover === undefined) return undefined;
  const { subject, position, headers, bodyName, stream } = handover;
  const body = bodyName === undefined ? Buffer.from(message.data ?? '', 'base64') : await bodies.get(bodyName);
  const gone = (): never => {
    throw new OuzelError('EVENT_UNDECODABLE', `its body was stored apart as ${bodyName}, and is gone`);
  };
  const inOrder = handover.run === '' && (block === undefined || headerValue(block, BEHIND) === undefined);
  const deliveries = again ? 2 : 1;
  const carrier = { subject, reply: REPLY, headers, body: body ?? new Uint8Array(0) };
  const event = new Event(carrier, { ...position, deliveries }, stream, body === undefined ? gone : decode());
  const due = { sequence: message.seq, deliveries, milliseconds: Date.parse(message.time), nanoseconds: 0 };
  const handed: Handed = { ...handover, due, lane: { name: lane, number: message.seq, inOrder } };
  return { number: message.seq, event, handed };
}
