/**
 * The fleet's resources in the bucket OUZEL_CONFIG: a key a resource, `consumers.billing`, with its history; and a key a
 * pause, `paused.billing`. A value is the YAML of the entry as it was given, so that any client of KV shows it.
 */
import { randomUUID } from 'node:crypto';
import {
  type ConsumerMessages,
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type StreamConfig,
} from '@nats-io/jetstream';
import { headers as newHeaders, type NatsConnection } from '@nats-io/transport-node';
import { asOuzelError, OuzelError } from '../errors.ts';
import { findStream } from '../nats/provision.ts';
import type { Actor } from './ports.ts';

export const CONFIG_STREAM = 'KV_OUZEL_CONFIG';
const PREFIX = '$KV.OUZEL_CONFIG.';
export const CONFIG_SUBJECTS = [`${PREFIX}>`];

/** The bucket's configuration beside its name and subjects: what every client takes for a bucket, with its history. */
export const CONFIG_STREAM_OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 64,
  allow_rollup_hdrs: true,
  deny_delete: true,
  allow_direct: true,
  // Several changes are stored together, or not at all.
  allow_atomic: true,
  max_msg_size: 512 * 1024,
};

/** Milliseconds to wait for an answer of the server. */
const TIMEOUT = 5_000;
/** Milliseconds before a watch that ended is begun anew. */
const AGAIN = 1_000;
/** JetStream API: wrong last sequence. */
const WRONG_SEQUENCE = new Set([10071, 10164]);

const BY = 'Ouzel-By';
const FROM = 'Ouzel-From';
const OPERATION = 'KV-Operation';

/** One revision of a key. */
export interface Entry {
  /** `consumers.billing` */
  readonly key: string;
  /** Undefined where this revision removed it. */
  readonly text: string | undefined;
  readonly revision: number;
  readonly by: Actor;
  /** RFC 3339. */
  readonly at: string;
}

export interface Write {
  readonly key: string;
  /** Undefined removes it. */
  readonly text: string | undefined;
  /** The revision that it must have now; 0: none at all. */
  readonly expected: number;
}

function entryOf(message: JsMsg): Entry {
  const { subject, seq, headers, info } = message;
  return {
    key: subject.slice(PREFIX.length),
    // DEL and PURGE, whoever wrote them.
    text: headers?.has(OPERATION) === true ? undefined : message.string(),
    revision: seq,
    by: { name: headers?.get(BY) || 'unknown', from: headers?.get(FROM) ?? '' },
    at: new Date(Number(BigInt(info.timestampNanos) / 1_000_000n)).toISOString(),
  };
}

/** Hears of what becomes of the bucket. */
export interface Watcher {
  entry(entry: Entry): void;
  /** Somebody deleted the bucket, and it was made anew: revisions count from 1 again. */
  madeAnew(): void;
  /** The watch ended, or could not begin, and is tried again; then every entry is told of again. */
  trouble(reason: string): void;
}

interface BatchAck {
  readonly seq?: number;
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

export class ConfigStore {
  readonly #connection: NatsConnection;
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  /** When the bucket was made that the watch knows. */
  #made: string | undefined;
  #messages: ConsumerMessages | undefined;
  #again: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(connection: NatsConnection, client: JetStreamClient, manager: JetStreamManager) {
    this.#connection = connection;
    this.#client = client;
    this.#manager = manager;
  }

  /**
   * Stores changes: all of them or none.
   *
   * @returns The revision of each; undefined when a key has another one than expected, and nothing was stored.
   * @throws OuzelError NATS_UNAVAILABLE when it is not known whether they were stored
   */
  async write(writes: readonly Write[], actor: Actor): Promise<readonly number[] | undefined> {
    const batch = randomUUID();
    let answer: BatchAck | undefined;
    for (const [index, { key, text, expected }] of writes.entries()) {
      const headers = newHeaders();
      headers.set('Nats-Batch-Id', batch);
      headers.set('Nats-Batch-Sequence', String(index + 1));
      headers.set('Nats-Expected-Last-Subject-Sequence', String(expected));
      headers.set(BY, inHeader(actor.name));
      headers.set(FROM, inHeader(actor.from));
      if (text === undefined) headers.set(OPERATION, 'DEL');
      const last = index === writes.length - 1;
      if (last) headers.set('Nats-Batch-Commit', '1');
      try {
        if (!last) this.#connection.publish(PREFIX + key, text ?? '', { headers });
        else
          answer = (
            await this.#connection.request(PREFIX + key, text ?? '', { headers, timeout: TIMEOUT })
          ).json<BatchAck>();
      } catch (error) {
        throw unavailable(error);
      }
    }
    const { seq, error } = answer ?? {};
    if (WRONG_SEQUENCE.has(error?.err_code ?? 0)) return undefined;
    if (seq === undefined) throw unavailable(new Error(error?.description ?? 'the answer is no PubAck'));
    return writes.map((_write, index) => seq - writes.length + index + 1);
  }

  /** The revisions of a key that are kept, newest first. @throws OuzelError NATS_UNAVAILABLE */
  async history(key: string): Promise<readonly Entry[]> {
    const entries: Entry[] = [];
    try {
      const consumer = await this.#client.consumers.get(CONFIG_STREAM, { filter_subjects: PREFIX + key });
      const { num_pending: count } = await consumer.info();
      if (count === 0) return [];
      for await (const message of await consumer.fetch({ max_messages: count, expires: TIMEOUT }))
        entries.unshift(entryOf(message));
    } catch (error) {
      throw unavailable(error);
    }
    return entries;
  }

  /** The newest of each key. Nothing where there is no bucket yet. @throws OuzelError NATS_UNAVAILABLE */
  async all(): Promise<readonly Entry[]> {
    if ((await findStream(this.#manager, CONFIG_STREAM)) === undefined) return [];
    const entries: Entry[] = [];
    try {
      const consumer = await this.#client.consumers.get(CONFIG_STREAM, {
        filter_subjects: CONFIG_SUBJECTS,
        deliver_policy: DeliverPolicy.LastPerSubject,
      });
      const { num_pending: count } = await consumer.info();
      if (count === 0) return [];
      for await (const message of await consumer.fetch({ max_messages: count, expires: TIMEOUT }))
        entries.push(entryOf(message));
    } catch (error) {
      throw unavailable(error);
    }
    return entries;
  }

  /**
   * Tells of all that is there, then of each change, in order, until it is closed; through losses of the connection.
   * What is there at first is complete when the promise is kept.
   *
   * @throws OuzelError NATS_UNAVAILABLE when it cannot begin
   */
  async watch(watcher: Watcher): Promise<void> {
    const { promise: complete, resolve } = Promise.withResolvers<void>();
    let left: number;
    try {
      const { created } = await this.#manager.streams.info(CONFIG_STREAM);
      const consumer = await this.#client.consumers.get(CONFIG_STREAM, {
        filter_subjects: CONFIG_SUBJECTS,
        deliver_policy: DeliverPolicy.LastPerSubject,
      });
      left = (await consumer.info()).num_pending;
      if (this.#made !== undefined && this.#made !== created) watcher.madeAnew();
      this.#made = created;
      this.#messages = await consumer.consume({ abort_on_missing_resource: true });
    } catch (error) {
      throw unavailable(error);
    }
    if (left === 0) resolve();
    this.#follow(this.#messages, (entry) => {
      watcher.entry(entry);
      if (--left === 0) resolve();
    })
      .catch((error: unknown) => watcher.trouble(asOuzelError(error).message))
      .finally(() => {
        resolve();
        this.#watchAgain(watcher);
      });
    await complete;
  }

  async #follow(messages: ConsumerMessages, onEntry: (entry: Entry) => void): Promise<void> {
    for await (const message of messages) onEntry(entryOf(message));
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#again);
    await this.#messages?.close();
  }

  #watchAgain(watcher: Watcher): void {
    if (this.#closed) return;
    this.#again = setTimeout(() => {
      this.watch(watcher).catch((error: unknown) => {
        watcher.trouble(asOuzelError(error).message);
        this.#watchAgain(watcher);
      });
    }, AGAIN);
    this.#again.unref();
  }
}

/** Header values end at the line's end. */
const inHeader = (text: string): string => text.replaceAll(/[\r\n]+/g, ' ');

const unavailable = (error: unknown): OuzelError =>
  error instanceof OuzelError
    ? error
    : new OuzelError('NATS_UNAVAILABLE', `${CONFIG_STREAM}: ${(error as Error).message}`, { cause: error });
