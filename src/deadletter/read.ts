/** Reads dead letters back. */
import { JetStreamApiError, type JetStreamClient, type JetStreamManager, type StoredMsg } from '@nats-io/jetstream';
import type { Config } from '../config/schema.ts';
import { parseTimestamp } from '../core/handover.ts';
import { headerEntries, headerValue } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import type { Bodies } from '../nats/bodies.ts';
import { findStream } from '../nats/provision.ts';
import { BODY_HEADER, DEAD_LETTER_STREAM, deadLetterSubject, HEADERS_HEADER } from './store.ts';

/** What work on dead letters needs: of a command, or of the daemon. */
export interface LetterAccess {
  readonly config: Config;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly publisher: Publisher;
  readonly bodies: Bodies;
  /**
   * Which letters may be looked at and touched; left out: all. A letter whose event cannot be decoded has no type.
   * The others are as if they were not there.
   */
  readonly permits?: ((consumer: string, type: string | undefined) => boolean) | undefined;
}

type Header = readonly [name: string, value: string];

export interface DeadLetter {
  /** Its number in the stream of dead letters. */
  readonly sequence: number;
  readonly consumer: string;
  /** The routes that were not confirmed; empty: all. */
  readonly routes: readonly string[];
  readonly reason: string;
  readonly error: string;
  readonly attempts: number;
  /** Where the event stands, or stood: stream, subject, sequence, timestamp. */
  readonly stream: string;
  readonly subject: string;
  readonly eventSequence: number;
  readonly time: string;
  /** RFC 3339. */
  readonly firstFailed: string;
  readonly failed: string;
  readonly key: string | undefined;
  /** `first` for the first passage of the event. */
  readonly run: string;
  /** 32 hexadecimal digits; undefined where the attempt was not traced. */
  readonly traceId: string | undefined;
  /** The event's `Nats-Msg-Id`. */
  readonly messageId: string | undefined;
  /** The event's own headers. */
  readonly headers: readonly Header[];
  readonly body: Uint8Array;
  /** The object that holds the body, where it is stored apart. */
  readonly bodyName: string | undefined;
  /** The object that holds the event's own headers, where they are stored apart. */
  readonly headersName: string | undefined;
}

/** A letter as the stream holds it. */
export interface StoredLetter extends DeadLetter {
  /** Milliseconds since the epoch, of the stream's timestamp: with its number, what no other letter ever has. */
  readonly storedAt: number;
}

/** The event's own headers, in a letter or in the block that was stored beside it; and how often it went through Ouzel. */
const ownHeaders = (entries: Iterable<Header>): Header[] =>
  [...entries].filter(([name]) => !/^(?:ouzel-(?!hops$)|nats-)/i.test(name)).map(([name, value]) => [name, value]);

/** The letter with all that is stored beside it. @throws OuzelError NOT_FOUND when that is gone */
export async function completeLetter<T extends DeadLetter>(letter: T, bodies: Bodies): Promise<T> {
  const fetch = async (what: string, name: string): Promise<Uint8Array> => {
    const found = await bodies.get(name);
    if (found !== undefined) return found;
    throw new OuzelError('NOT_FOUND', `the ${what} of dead letter ${letter.sequence} (object ${name}) is gone`);
  };
  const { bodyName, headersName } = letter;
  const body = bodyName === undefined ? letter.body : await fetch('body', bodyName);
  if (headersName === undefined) return { ...letter, body };
  const block = await fetch('headers', headersName);
  const messageId = headerValue(block, 'Nats-Msg-Id');
  return { ...letter, body, headers: ownHeaders(headerEntries(block)), messageId };
}

interface Letter {
  readonly seq: number;
  readonly data: Uint8Array;
  readonly headers: StoredMsg['header'] | undefined;
}

function decode({ seq, data, headers }: Letter): DeadLetter {
  const get = (name: string): string => headers?.get(name) ?? '';
  const own = ownHeaders(
    [...(headers ?? [])].flatMap(([name, values]) => values.map((value) => [name, value] as const)),
  );
  return {
    sequence: seq,
    consumer: get('Ouzel-Consumer'),
    routes: get('Ouzel-Routes')
      .split(',')
      .filter((route) => route !== ''),
    reason: get('Ouzel-Reason'),
    error: get('Ouzel-Error'),
    attempts: Number(get('Ouzel-Attempts')),
    stream: get('Ouzel-Stream'),
    subject: get('Ouzel-Subject'),
    eventSequence: Number(get('Ouzel-Sequence')),
    time: get('Ouzel-Time'),
    firstFailed: get('Ouzel-First-Failed'),
    failed: get('Ouzel-Failed'),
    key: get('Ouzel-Key') || undefined,
    run: get('Ouzel-Run'),
    traceId: get('Ouzel-Trace').split('-')[1],
    messageId: get('Ouzel-Msg-Id') || undefined,
    headers: own,
    body: data,
    bodyName: get(BODY_HEADER) || undefined,
    headersName: get(HEADERS_HEADER) || undefined,
  };
}

/** Letters asked for at once. */
const BATCH = 500;
/** Milliseconds that an unfinished batch waits: letters that were counted may be gone before they are read. */
const EXPIRES = 1_000;

/**
 * The dead letters that there are now, the oldest first, without what is stored beside them.
 *
 * @param consumer Only of this one.
 * @param from The first number to look at.
 */
export async function* letters(
  { client, manager }: Pick<LetterAccess, 'client' | 'manager'>,
  consumer?: string,
  from?: number,
): AsyncGenerator<DeadLetter> {
  const stream = await findStream(manager, DEAD_LETTER_STREAM);
  if (stream === undefined || stream.state.messages === 0) return;
  // What comes meanwhile is for whoever asks next.
  const last = stream.state.last_seq;
  if (from !== undefined && from > last) return;
  const ordered = await client.consumers.get(DEAD_LETTER_STREAM, {
    ...(consumer === undefined ? {} : { filter_subjects: [deadLetterSubject(consumer)] }),
    ...(from === undefined ? {} : { opt_start_seq: from }),
  });
  try {
    let pending = (await ordered.info(true)).num_pending;
    while (pending > 0) {
      let read = 0;
      for await (const message of await ordered.fetch({
        max_messages: Math.min(BATCH, pending),
        expires: EXPIRES,
      })) {
        if (message.seq > last) return;
        yield decode({ seq: message.seq, data: message.data, headers: message.headers });
        read++;
        pending = message.info.pending;
      }
      if (read === 0) pending = (await ordered.info()).num_pending;
    }
  } finally {
    await ordered.delete().catch(() => false);
  }
}

/** The number that the next letter will have. */
export const nextLetter = async ({ manager }: Pick<LetterAccess, 'manager'>): Promise<number> =>
  ((await findStream(manager, DEAD_LETTER_STREAM))?.state.last_seq ?? 0) + 1;

const STREAM_NOT_FOUND = 10059;

/** The dead letter of that number, without what is stored beside it, or undefined. */
export async function letterAt(manager: JetStreamManager, sequence: number): Promise<StoredLetter | undefined> {
  const stored = await manager.streams.getMessage(DEAD_LETTER_STREAM, { seq: sequence }).catch((error: unknown) => {
    if (error instanceof JetStreamApiError && error.code === STREAM_NOT_FOUND) return null;
    throw error;
  });
  if (stored === null) return undefined;
  const { milliseconds } = parseTimestamp(stored.timestamp);
  return { ...decode({ seq: stored.seq, data: stored.data, headers: stored.header }), storedAt: milliseconds };
}

/** Takes a letter away for good; one that is not there is gone already. */
export async function removeLetter(manager: JetStreamManager, sequence: number): Promise<void> {
  try {
    await manager.streams.deleteMessage(DEAD_LETTER_STREAM, sequence, false);
  } catch (error) {
    if ((await letterAt(manager, sequence)) !== undefined) throw error;
  }
}
