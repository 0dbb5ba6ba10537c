/** Reads dead letters back. */
import type { JetStreamClient, JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import { headerEntries } from '../core/headers.ts';
import { OuzelError } from '../errors.ts';
import type { Bodies } from '../nats/bodies.ts';
import { findStream } from '../nats/provision.ts';
import { BODY_HEADER, DEAD_LETTER_STREAM, deadLetterSubject, HEADERS_HEADER } from './store.ts';

export interface DeadLetter {
  /** Its number in the stream of dead letters. */
  readonly sequence: number;
  readonly consumer: string;
  readonly routes: string;
  readonly reason: string;
  readonly error: string;
  readonly attempts: number;
  /** Where the event stands, or stood: stream, subject, sequence, timestamp. */
  readonly stream: string;
  readonly subject: string;
  readonly eventSequence: number;
  readonly time: string;
  readonly firstFailed: string;
  readonly failed: string;
  readonly key: string | undefined;
  readonly run: string;
  /** The event's own headers. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly body: Uint8Array;
  /** The object that holds the body, where it is stored apart. */
  readonly bodyName: string | undefined;
  /** The object that holds the event's own headers, where they are stored apart. */
  readonly headersName: string | undefined;
}

/** The event's own headers, in a letter or in the block that was stored beside it. */
const ownHeaders = (entries: Iterable<readonly [name: string, value: string]>): [string, string][] =>
  [...entries].filter(([name]) => !/^(?:ouzel-|nats-)/i.test(name)).map(([name, value]) => [name, value]);

/** The letter with all that is stored beside it. @throws OuzelError NOT_FOUND when that is gone */
export async function completeLetter(letter: DeadLetter, bodies: Bodies): Promise<DeadLetter> {
  const fetch = async (what: string, name: string): Promise<Uint8Array> => {
    const found = await bodies.get(name);
    if (found !== undefined) return found;
    throw new OuzelError('NOT_FOUND', `the ${what} of dead letter ${letter.sequence} (object ${name}) is gone`);
  };
  const { bodyName, headersName } = letter;
  return {
    ...letter,
    ...(bodyName === undefined ? {} : { body: await fetch('body', bodyName) }),
    ...(headersName === undefined ? {} : { headers: ownHeaders(headerEntries(await fetch('headers', headersName))) }),
  };
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
    routes: get('Ouzel-Routes'),
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
    headers: own,
    body: data,
    bodyName: get(BODY_HEADER) || undefined,
    headersName: get(HEADERS_HEADER) || undefined,
  };
}

/** All dead letters from the oldest on, or those of one consumer. */
export async function* letters(
  client: JetStreamClient,
  manager: JetStreamManager,
  consumer?: string,
): AsyncGenerator<DeadLetter> {
  const stream = await findStream(manager, DEAD_LETTER_STREAM);
  if (stream === undefined || stream.state.messages === 0) return;
  const ordered = await client.consumers.get(
    DEAD_LETTER_STREAM,
    consumer === undefined ? {} : { filter_subjects: [deadLetterSubject(consumer)] },
  );
  let left = (await ordered.info()).num_pending;
  if (left === 0) return;
  for await (const message of await ordered.consume()) {
    yield decode({ seq: message.seq, data: message.data, headers: message.headers });
    if (--left === 0) return;
  }
}

/** The dead letter of that number, or undefined. */
export async function letterAt(manager: JetStreamManager, sequence: number): Promise<DeadLetter | undefined> {
  if ((await findStream(manager, DEAD_LETTER_STREAM)) === undefined) return undefined;
  const stored = await manager.streams.getMessage(DEAD_LETTER_STREAM, { seq: sequence });
  return stored === null ? undefined : decode({ seq: stored.seq, data: stored.data, headers: stored.header });
}

/** Takes a letter away for good; one that is not there is gone already. */
export async function removeLetter(manager: JetStreamManager, sequence: number): Promise<void> {
  try {
    await manager.streams.deleteMessage(DEAD_LETTER_STREAM, sequence, false);
  } catch (error) {
    if ((await letterAt(manager, sequence)) !== undefined) throw error;
  }
}
