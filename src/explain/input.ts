/** Where the event to explain comes from: a file, standard input, a stream, or a dead letter. */
import { readFile, stat } from 'node:fs/promises';
import { text as readText } from 'node:stream/consumers';
import type { JetStreamClient, JetStreamManager, StoredMsg } from '@nats-io/jetstream';
import type { Config } from '../config/schema.ts';
import { type Carrier, Event } from '../core/event.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import { eventOfLetter } from '../deadletter/event.ts';
import { completeLetter, letterAt } from '../deadletter/read.ts';
import { DEAD_LETTER_STREAM } from '../deadletter/store.ts';
import { OuzelError } from '../errors.ts';
import { createBodies } from '../nats/bodies.ts';
import { decoderOf } from '../reconcile/build.ts';

/** An event that stands in a stream. */
export interface Address {
  readonly stream: string;
  readonly sequence: number;
}

/** What the command line says of an event that comes from a file. */
export interface PlainOptions {
  readonly subject?: string | undefined;
  readonly type?: string | undefined;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

/** `EVENTS:1042`, unless there is a file of this name. `dlq:17` is short for a dead letter. */
export async function addressOf(argument: string): Promise<Address | undefined> {
  const [, stream = '', digits = ''] = /^([^\s.*>:/\\]+):(\d+)$/.exec(argument) ?? [];
  if (digits === '' || (await stat(argument).catch(() => undefined)) !== undefined) return undefined;
  return { stream: stream === 'dlq' ? DEAD_LETTER_STREAM : stream, sequence: Number(digits) };
}

/** The bytes of a file, or of standard input for `-`. @throws OuzelError NOT_FOUND */
export async function bytesOf(argument: string, stdin: NodeJS.ReadableStream = process.stdin): Promise<Uint8Array> {
  if (argument === '-') return Buffer.from(await readText(stdin));
  try {
    return await readFile(argument);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is none' : (error as Error).message;
    throw new OuzelError('NOT_FOUND', `no event in ${argument}: ${reason}. It is a file, - or stream:seq`, {
      cause: error,
    });
  }
}

/**
 * An event of these bytes, as if the consumer's stream held it.
 *
 * @param now Milliseconds since the epoch, for its timestamp.
 * @throws OuzelError USAGE when nothing says of what subject it is
 */
export function plainEvent(
  config: Config,
  consumer: string,
  body: Uint8Array,
  options: PlainOptions,
  now = Date.now(),
): Event {
  const stream = config.consumers[consumer]?.stream ?? '';
  const subject = subjectOf(config, consumer, body, options);
  const carrier = { ...carrierOf(subject, options.headers), body };
  const position = { sequence: 1, deliveries: 1, milliseconds: now, nanoseconds: 0 };
  return new Event(carrier, position, stream, decoderOf(config, stream));
}

/**
 * The event that stands in a stream.
 *
 * @throws OuzelError NOT_FOUND
 */
export async function storedEvent(config: Config, manager: JetStreamManager, address: Address): Promise<Event> {
  const { stream, sequence } = address;
  const stored = await manager.streams.getMessage(stream, { seq: sequence }).catch((error: unknown) => {
    if (/not found/i.test((error as Error).message)) return null;
    throw error;
  });
  if (stored === null) throw new OuzelError('NOT_FOUND', `stream ${stream} has no message ${sequence}`);
  const headers = [...(stored.header ?? [])].flatMap(([name, values]) => values.map((value) => [name, value] as const));
  const carrier = { ...carrierOf(stored.subject, headers), body: stored.data };
  return new Event(carrier, { sequence, deliveries: 1, ...timeOf(stored) }, stream, decoderOf(config, stream));
}

/**
 * The event of a dead letter, as it came, and the consumer that failed on it.
 *
 * @throws OuzelError NOT_FOUND
 */
export async function letterEvent(
  config: Config,
  manager: JetStreamManager,
  client: JetStreamClient,
  number: number,
): Promise<{ event: Event; consumer: string }> {
  const letter = await letterAt(manager, number);
  if (letter === undefined) throw new OuzelError('NOT_FOUND', `there is no dead letter ${number}`);
  const complete = await completeLetter(letter, createBodies(client, config.nats.system.replicas));
  return { event: eventOfLetter(complete, config), consumer: letter.consumer };
}

function carrierOf(subject: string, headers: PlainOptions['headers']): Omit<Carrier, 'body'> {
  const lines = headers.map(([name, value]) => headerLine(name, value)).join('');
  return {
    subject,
    reply: new Uint8Array(0),
    headers: lines === '' ? undefined : new TextEncoder().encode(headerBlock(lines)),
  };
}

/** Whole milliseconds, and the nanoseconds below them: a date holds only the former. */
function timeOf({ timestamp }: StoredMsg): { milliseconds: number; nanoseconds: number } {
  const fraction = (/\.(\d+)/.exec(timestamp)?.[1] ?? '').padEnd(9, '0');
  const milliseconds = Math.floor(Date.parse(timestamp.replace(/\.\d+/, '')) / 1000) * 1000;
  return { milliseconds: milliseconds + Number(fraction.slice(0, 3)), nanoseconds: Number(fraction.slice(3, 9)) };
}

/** The subject that is given, or that the type stands for, or the only one that the consumer takes. */
function subjectOf(config: Config, name: string, body: Uint8Array, { subject, type, headers }: PlainOptions): string {
  if (subject !== undefined) return subject;
  const consumer = config.consumers[name];
  const strip = config.streams[consumer?.stream ?? '']?.strip ?? '';
  const declared = type ?? headers.find(([header]) => header.toLowerCase() === 'ce-type')?.[1] ?? typeIn(body);
  if (declared !== undefined) return strip + declared;
  const takes = [
    (consumer?.types ?? []).map((each) => strip + each),
    consumer?.subjects ?? [],
    config.streams[consumer?.stream ?? '']?.subjects ?? [],
  ];
  for (const subjects of takes) {
    const [only, ...others] = subjects;
    if (only !== undefined && others.length === 0 && !/[*>]/.test(only)) return only;
  }
  const some = takes.find((subjects) => subjects.length > 0) ?? ['any subject'];
  throw new OuzelError('USAGE', `an event in a file needs --subject or --type: ${name} takes ${some.join(', ')}`);
}

/** The type of a body that is a whole CloudEvent. */
function typeIn(body: Uint8Array): string | undefined {
  try {
    const value = JSON.parse(new TextDecoder().decode(body)) as { specversion?: unknown; type?: unknown } | null;
    return value?.specversion === '1.0' && typeof value.type === 'string' ? value.type : undefined;
  } catch {
    return undefined;
  }
}
