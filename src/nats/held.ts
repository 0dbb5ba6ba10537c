/** Where debounce holds events: the stream OUZEL_HELD, one message a key, and alarms among the timers. */
import { createHash } from 'node:crypto';
import { RetentionPolicy, type StreamConfig } from '@nats-io/jetstream';
import { NO_ATTEMPTS, writeRecord } from '../core/attempts.ts';
import { type Decoder, Event } from '../core/event.ts';
import { formatTimestamp, handoverLines, parseTimestamp, readHandover } from '../core/handover.ts';
import { headerBlock, headerLine, headerValue } from '../core/headers.ts';
import type { Run } from '../core/run.ts';
import { messageIds } from '../deliver/ids.ts';
import type { Publisher } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import type { Former, Held, HeldEvents, Holding, Identity } from '../flow/held.ts';
import type { Bodies } from './bodies.ts';
import { isWrongSequence } from './publish.ts';
import { type StoredAccess, storedMessage } from './stored.ts';
import { dueSubject, PLACE, timerSubject } from './timers.ts';

export const HELD_STREAM = 'OUZEL_HELD';
const PREFIX = 'ouzel.held.';
export const HELD_SUBJECTS = [`${PREFIX}*.*`];
/** The stream's configuration beside its name and subjects. What is held stays until it is taken away. */
export const HELD_STREAM_OPTIONS: Partial<StreamConfig> = {
  retention: RetentionPolicy.Limits,
  allow_rollup_hdrs: true,
  allow_msg_ttl: true,
  allow_direct: true,
};

/** The header of an alarm: the place that it is for. */
const ALARM = 'Ouzel-Alarm';
/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 10_000;
/** Characters of a key that are kept beside its hash, for whoever looks. */
const LONGEST_KEY = 256;
const NO_BYTES = new Uint8Array(0);

export const heldSubject = (consumer: string, place: string): string => `${PREFIX}${consumer}.${place}`;

const hashOf = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, PLACE);

/** Compact: one in each message that is held. A `+` at the end says that the event went on. */
const trailLine = (trail: readonly Former[]): string =>
  trail.length === 0 ? '' : headerLine('Ouzel-Trail', trail.map(writeFormer).join(' '));

const writeFormer = ({ sequence, milliseconds, nanoseconds, wentOn }: Former): string =>
  `${[sequence, milliseconds, nanoseconds].map((number) => number.toString(36)).join('.')}${wentOn ? '+' : ''}`;

const readTrail = (text: string): Former[] =>
  (text === '' ? [] : text.split(' ')).map((each) => {
    const [sequence = 0, milliseconds = 0, nanoseconds = 0] = each
      .replace('+', '')
      .split('.')
      .map((number) => Number.parseInt(number, 36));
    return { sequence, milliseconds, nanoseconds, wentOn: each.endsWith('+') };
  });

const instantLine = (name: string, instant: number): string => headerLine(name, new Date(instant).toISOString());

/** An alarm, as a message on `ouzel.due.<consumer>` says it; undefined for every other. */
export function readAlarm(headers: Uint8Array | undefined): { place: string; at: number } | undefined {
  const place = headers === undefined ? undefined : headerValue(headers, ALARM);
  if (headers === undefined || place === undefined) return undefined;
  return { place, at: Date.parse(headerValue(headers, 'Ouzel-Due') ?? '') || 0 };
}

export interface HeldOptions extends StoredAccess {
  readonly publisher: Publisher;
  readonly bodies: Pick<Bodies, 'put' | 'get'>;
}

/** What is held for one consumer. @param decode How its events are decoded now. */
export type HeldOf = (consumer: string, decode: () => Decoder) => HeldEvents;

export const createHeld =
  (options: HeldOptions): HeldOf =>
  (consumer, decode) =>
    new HeldStream(options, consumer, decode);

class HeldStream implements HeldEvents {
  readonly #options: HeldOptions;
  readonly #consumer: string;
  readonly #decode: () => Decoder;

  constructor(options: HeldOptions, consumer: string, decode: () => Decoder) {
    this.#options = options;
    this.#consumer = consumer;
    this.#decode = decode;
  }

  placeOf({ id }: Run, key: string | undefined): string {
    return hashOf(key === undefined ? [id] : [id, key]);
  }

  async get(place: string): Promise<Held | undefined> {
    const question = { last_by_subj: heldSubject(this.#consumer, place) };
    const stored = await storedMessage(this.#options, HELD_STREAM, question);
    const handover = readHandover(stored?.headers);
    // What is no held event is none of ours: it is put aside by the next that comes.
    if (stored?.headers === undefined || handover === undefined) return undefined;
    const { headers, sequence, body } = stored;
    const instant = (name: string): number => Date.parse(headerValue(headers, name) ?? '') || 0;
    const state = headerValue(headers, 'Ouzel-State');
    return {
      revision: sequence,
      handover,
      body,
      due: instant('Ouzel-Due'),
      first: instant('Ouzel-First'),
      state: state === 'released' || state === 'gone' ? state : 'waits',
      trail: readTrail(headerValue(headers, 'Ouzel-Trail') ?? ''),
    };
  }

  async put(
    place: string,
    run: Run,
    key: string | undefined,
    { due, first, trail }: Holding,
    expected: number,
  ): Promise<Held | undefined> {
    const { event, handed } = run;
    const { subject, headers, body } = event.carrier;
    const passed = {
      ...(run.record ?? NO_ATTEMPTS),
      open: false,
      alone: false,
      next: due,
      passed: 'debounce',
    } as const;
    const handover = {
      stream: event.stream,
      subject,
      position: event.position,
      headers,
      run: run.id,
      record: writeRecord(passed),
      routes: handed?.routes,
      letter: undefined,
    };
    let lines = instantLine('Ouzel-Due', due) + instantLine('Ouzel-First', first) + trailLine(trail);
    if (key !== undefined) lines += headerLine('Ouzel-Key', key.slice(0, LONGEST_KEY));
    const store = async (bodyName: string | undefined): Promise<Held | undefined> => {
      const stored = { handover: { ...handover, bodyName }, body: bodyName === undefined ? body : NO_BYTES };
      const revision = await this.#store(place, lines + handoverLines(stored.handover), stored.body, expected);
      return revision === undefined ? undefined : { revision, ...stored, due, first, trail, state: 'waits' };
    };
    if (handed?.bodyName !== undefined) return store(handed.bodyName);
    try {
      return await store(undefined);
    } catch (error) {
      if (!(error instanceof OuzelError) || error.code !== 'TARGET_TOO_LARGE') throw error;
    }
    return store(await this.#options.bodies.put(`held.${this.#idOf(run)}`, body));
  }

  release(place: string, { handover, body, due, first, trail, revision }: Held): Promise<number | undefined> {
    const times = instantLine('Ouzel-Due', due) + instantLine('Ouzel-First', first);
    const lines = times + trailLine(trail) + headerLine('Ouzel-State', 'released');
    return this.#store(place, lines + handoverLines(handover), body, revision);
  }

  async handOver({ handover, body }: Held): Promise<void> {
    const run = { id: handover.run, event: { position: { ...handover.position, deliveries: 1 } } };
    const id = headerLine('Nats-Msg-Id', messageIds(handover.stream, this.#consumer, 'debounce')(run));
    await this.#publish(dueSubject(this.#consumer), id + handoverLines(handover), body);
  }

  async leave(place: string, { handover, trail }: Held, revision: number, remembered: number): Promise<void> {
    const state = headerLine('Ouzel-State', 'gone') + trailLine(trail);
    const lines = state + headerLine('Nats-TTL', `${Math.ceil(remembered / 1000)}s`);
    const rest = { ...handover, headers: undefined, record: undefined, routes: undefined, bodyName: undefined };
    await this.#store(place, lines + handoverLines(rest), NO_BYTES, revision);
  }

  async alarm(place: string, at: number, id: string = crypto.randomUUID()): Promise<void> {
    // No timer is ever replaced, so that each has a subject of its own.
    const lines =
      headerLine('Nats-Msg-Id', `alarm.${this.#consumer}.${id}`) +
      headerLine('Nats-Schedule', `@at ${new Date(at).toISOString()}`) +
      headerLine('Nats-Schedule-Target', dueSubject(this.#consumer)) +
      instantLine('Ouzel-Due', at) +
      headerLine(ALARM, place);
    await this.#publish(timerSubject(this.#consumer, 'debounce', `${place}-${hashOf([id])}`), lines, '');
  }

  async open({ handover, body }: Held): Promise<Event> {
    const { stream, subject, position, headers, bodyName } = handover;
    const whole = bodyName === undefined ? body : ((await this.#options.bodies.get(bodyName)) ?? body);
    const carrier = { subject, reply: NO_BYTES, headers, body: whole };
    return new Event(carrier, { ...position, deliveries: 1 }, stream, this.#decode());
  }

  async find(stream: string, identity: Identity): Promise<Event | undefined> {
    const stored = await storedMessage(this.#options, stream, { seq: identity.sequence });
    if (stored === undefined || formatTimestamp(identity) !== formatTimestamp(timeOf(stored.time, identity)))
      return undefined;
    const { subject, headers, body } = stored;
    const carrier = { subject, reply: NO_BYTES, headers, body };
    return new Event(carrier, { ...identity, deliveries: 1 }, stream, this.#decode());
  }

  #idOf(run: Run): string {
    return messageIds(run.event.stream, this.#consumer, 'held')(run);
  }

  /** @returns The number of the message; undefined when something else than what was expected is there */
  async #store(place: string, lines: string, body: Uint8Array, expected: number): Promise<number | undefined> {
    const subject = heldSubject(this.#consumer, place);
    const rollup = headerLine('Nats-Rollup', 'sub');
    const expectation = headerLine('Nats-Expected-Last-Subject-Sequence', String(expected));
    try {
      return await this.#publish(subject, rollup + expectation + lines, body);
    } catch (error) {
      if (isWrongSequence(error)) return undefined;
      throw error;
    }
  }

  #publish(subject: string, lines: string, body: Uint8Array | string): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    this.#options.publisher.publish(subject, headerBlock(lines), body, TIMEOUT, {
      confirmed: (_duplicate, sequence = 0) => resolve(sequence),
      failed: reject,
    });
    return promise;
  }
}

/** The server leaves out zeros at the end. */
const timeOf = (time: string, { sequence }: Identity): Identity => ({ sequence, ...parseTimestamp(time) });
