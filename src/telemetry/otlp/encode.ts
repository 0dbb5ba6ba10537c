/**
 * Spans as OTLP protobuf, written straight into the buffer that is sent: no object a span, no string of an id, and what
 * spans have in common is encoded once. Message and field numbers are those of opentelemetry/proto/trace/v1/trace.proto.
 *
 * A length that is not known before what it counts is written as a varint of two bytes, whatever its value: protobuf
 * allows a varint to be longer than it must be.
 */
import { ATTRIBUTES } from '../names.ts';
import type {
  Attributes,
  AttributeValue,
  EventFacts,
  SpanEnding,
  SpanKind,
  SpanRecord,
  SpanTemplate,
} from '../span-record.ts';
import { type Ids, SPAN_ID, TRACE_ID } from '../trace-context.ts';

const VARINT = 0;
const FIXED64 = 1;
const BYTES = 2;
const FIXED32 = 5;

const KINDS: Readonly<Record<SpanKind, number>> = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 };
const STATUS_ERROR = 2;
/** Span.flags: sampled, and whether the parent is remote is known; and that it is. */
const FLAGS = 0x101;
const IS_REMOTE = 0x200;

/** Buffers that are kept to be used again, at most. */
const SPARE = 8;
/** Bytes that one span takes at most. Names, subjects and ids are bounded where they are made; this has room for all. */
const LARGEST = 16 * 1024;

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest > 127; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return bytes;
}

const tag = (field: number, type: number): number[] => varint(field * 8 + type);

function delimited(field: number, ...parts: readonly (Uint8Array | readonly number[])[]): Buffer {
  const content = Buffer.concat(parts.map((part) => Buffer.from(part)));
  return Buffer.concat([Buffer.from(tag(field, BYTES)), Buffer.from(varint(content.length)), content]);
}

const text = (field: number, value: string): Buffer => delimited(field, Buffer.from(value));

function anyValue(value: AttributeValue): Buffer {
  if (typeof value === 'string') return text(1, value);
  if (Number.isSafeInteger(value) && value >= 0) return Buffer.from([...tag(3, VARINT), ...varint(value)]);
  const double = Buffer.alloc(8);
  double.writeDoubleLE(value);
  return Buffer.concat([Buffer.from(tag(4, FIXED64)), double]);
}

const keyValues = (field: number, attributes: Attributes): Buffer =>
  Buffer.concat(
    Object.entries(attributes).map(([key, value]) => delimited(field, text(1, key), delimited(2, anyValue(value)))),
  );

const templateBytes = ({ name, kind, attributes }: SpanTemplate): Buffer =>
  Buffer.concat([text(5, name), Buffer.from([...tag(6, VARINT), KINDS[kind]]), keyValues(9, attributes)]);

function endingBytes({ attributes, error }: SpanEnding): Buffer {
  const encoded = keyValues(9, attributes);
  if (error === undefined) return encoded;
  return Buffer.concat([encoded, delimited(15, text(2, error), [...tag(3, VARINT), STATUS_ERROR])]);
}

/** An attribute whose value is a string that each span has of its own: everything up to the value. */
class TextAttribute {
  readonly #before: Buffer;
  readonly #key: Buffer;

  constructor(key: string) {
    this.#key = text(1, key);
    // KeyValue, its length; the key; AnyValue, its length; string_value, its length.
    this.#before = Buffer.concat([
      Buffer.from([...tag(9, BYTES), 0, 0]),
      this.#key,
      Buffer.from([...tag(2, BYTES), 0, 0, ...tag(1, BYTES), 0, 0]),
    ]);
  }

  write(buffer: Buffer, at: number, value: string): number {
    const before = this.#before;
    buffer.set(before, at);
    const from = at + before.length;
    const end = writeText(buffer, from, value);
    const length = end - from;
    writeLength(buffer, from - 2, length);
    writeLength(buffer, from - 5, length + 3);
    writeLength(buffer, at + 1, this.#key.length + length + 6);
    return end;
  }
}

/** An attribute whose value is a number that each span has of its own. */
class NumberAttribute {
  readonly #before: Buffer;

  constructor(key: string) {
    this.#before = Buffer.concat([
      Buffer.from([...tag(9, BYTES), 0]),
      text(1, key),
      Buffer.from([...tag(2, BYTES), 0, ...tag(3, VARINT)]),
    ]);
  }

  /** @param value A whole number, not negative. */
  write(buffer: Buffer, at: number, value: number): number {
    const before = this.#before;
    buffer.set(before, at);
    const from = at + before.length;
    let end = from;
    let rest = value;
    for (; rest > 127; rest = Math.floor(rest / 128)) buffer[end++] = (rest % 128) + 128;
    buffer[end++] = rest;
    buffer[from - 2] = end - from + 1;
    buffer[at + 1] = end - at - 2;
    return end;
  }
}

const SUBJECT = new TextAttribute(ATTRIBUTES.destinationName);
const MESSAGE_ID = new TextAttribute(ATTRIBUTES.messageId);
const SEQUENCE = new NumberAttribute(ATTRIBUTES.sequence);
const ATTEMPT = new NumberAttribute(ATTRIBUTES.attempt);
const RUN = new TextAttribute(ATTRIBUTES.run);
const SIZE = new NumberAttribute(ATTRIBUTES.bodySize);
const RETRY_DELAY = new NumberAttribute(ATTRIBUTES.retryDelay);
const THROTTLED = new NumberAttribute(ATTRIBUTES.throttled);

/** A length below 2^14 as two bytes. */
function writeLength(buffer: Buffer, at: number, length: number): void {
  buffer[at] = (length & 127) | 128;
  buffer[at + 1] = length >> 7;
}

function writeText(buffer: Buffer, at: number, value: string): number {
  // A short text goes faster by hand than through a call that leaves JavaScript.
  if (value.length > 64) return at + buffer.write(value, at);
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code > 127) return at + buffer.write(value, at);
    buffer[at + index] = code;
  }
  return at + value.length;
}

function writeTime(buffer: Buffer, at: number, field: number, milliseconds: number): number {
  const nanoseconds = milliseconds * 1e6;
  const high = Math.floor(nanoseconds / 0x1_0000_0000);
  const low = nanoseconds - high * 0x1_0000_0000;
  buffer[at] = field * 8 + FIXED64;
  writeUInt32(buffer, at + 1, low);
  writeUInt32(buffer, at + 5, high);
  return at + 9;
}

function writeUInt32(buffer: Buffer, at: number, value: number): void {
  buffer[at] = value;
  buffer[at + 1] = value >>> 8;
  buffer[at + 2] = value >>> 16;
  buffer[at + 3] = value >>> 24;
}

function writeBytes(
  buffer: Buffer,
  at: number,
  field: number,
  from: Uint8Array,
  start: number,
  length: number,
): number {
  buffer[at] = field * 8 + BYTES;
  buffer[at + 1] = length;
  for (let index = 0; index < length; index++) buffer[at + 2 + index] = from[start + index] as number;
  return at + 2 + length;
}

const writeTraceId = (buffer: Buffer, at: number, field: number, ids: Ids): number =>
  writeBytes(buffer, at, field, ids.bytes, ids.at, TRACE_ID);
const writeSpanId = (buffer: Buffer, at: number, field: number, ids: Ids): number =>
  writeBytes(buffer, at, field, ids.bytes, ids.at + TRACE_ID, SPAN_ID);

function writeFacts(buffer: Buffer, at: number, facts: EventFacts): number {
  let end = SUBJECT.write(buffer, at, facts.subject);
  end = MESSAGE_ID.write(buffer, end, facts.messageId);
  end = SEQUENCE.write(buffer, end, facts.sequence);
  end = ATTEMPT.write(buffer, end, facts.attempt);
  end = SIZE.write(buffer, end, facts.size);
  if (facts.run !== undefined) end = RUN.write(buffer, end, facts.run);
  if (facts.throttledFor > 0) end = THROTTLED.write(buffer, end, Math.round(facts.throttledFor));
  return facts.retryDelay === undefined ? end : RETRY_DELAY.write(buffer, end, Math.round(facts.retryDelay));
}

/** What the spans of a batch say of where they come from. */
export interface Origin {
  readonly resource: Attributes;
  readonly scope: { readonly name: string; readonly version: string };
}

/** A request body, ready to be sent. */
export interface Batch {
  /** Part of a larger buffer, which `recycle` takes back. */
  readonly body: Buffer;
  readonly spans: number;
}

/** Collects spans in a buffer until they are taken as one `ExportTraceServiceRequest`. */
export class SpanEncoder {
  spans = 0;
  readonly #resource: Buffer;
  readonly #scope: Buffer;
  /** Bytes that are left free in front of the spans, for what encloses them. */
  readonly #head: number;
  readonly #templates = new WeakMap<SpanTemplate, Buffer>();
  readonly #endings = new WeakMap<SpanEnding, Buffer>();
  readonly #size: number;
  /** Buffers that were sent: new ones would cost the kernel more than a span costs us. */
  readonly #spare: ArrayBufferLike[] = [];
  #buffer: Buffer;
  #end: number;

  /** @param size Bytes of spans after which a batch is full. */
  constructor({ resource, scope }: Origin, size: number) {
    this.#resource = delimited(1, keyValues(1, resource));
    this.#scope = delimited(1, text(1, scope.name), text(2, scope.version));
    this.#head = this.#resource.length + this.#scope.length + 2 * (1 + 5);
    this.#size = this.#head + size + LARGEST;
    this.#buffer = Buffer.alloc(0);
    this.#end = this.#head;
  }

  /** Whether the next span might find no room. */
  get full(): boolean {
    return this.#end + LARGEST > this.#size;
  }

  /** Adds a span. To be called only while it is not `full`. */
  add(span: SpanRecord): void {
    if (this.#buffer.length === 0) this.#buffer = this.#fresh();
    const buffer = this.#buffer;
    const start = this.#end;
    let at = start + 3;
    at = writeTraceId(buffer, at, 1, span);
    at = writeSpanId(buffer, at, 2, span);
    if (span.parent !== undefined) at = writeSpanId(buffer, at, 4, span.parent);
    const template = this.#encoded(this.#templates, span.template, templateBytes);
    buffer.set(template, at);
    at += template.length;
    at = writeTime(buffer, at, 7, span.startedAt);
    at = writeTime(buffer, at, 8, span.endedAt);
    if (span.facts !== undefined) at = writeFacts(buffer, at, span.facts);
    const ending = this.#encoded(this.#endings, span.ending, endingBytes);
    buffer.set(ending, at);
    at += ending.length;
    if (span.tracestate !== undefined) at = append(buffer, at, text(3, span.tracestate));
    if (span.link !== undefined) at = append(buffer, at, linkBytes(span.link));
    // The tag of field 16 takes two bytes.
    buffer[at] = 0x80 | FIXED32;
    buffer[at + 1] = 1;
    writeUInt32(buffer, at + 2, span.remote ? FLAGS | IS_REMOTE : FLAGS);
    at += 6;
    buffer[start] = 2 * 8 + BYTES;
    writeLength(buffer, start + 1, at - start - 3);
    this.#end = at;
    this.spans++;
  }

  /** The spans so far as a request, and starts anew. */
  take(): Batch {
    const { spans } = this;
    const buffer = this.#buffer;
    const end = this.#end;
    let start = this.#head;
    start = prepend(buffer, start, this.#scope);
    start = prepend(buffer, start, Buffer.from([...tag(2, BYTES), ...varint(end - start)]));
    start = prepend(buffer, start, this.#resource);
    start = prepend(buffer, start, Buffer.from([...tag(1, BYTES), ...varint(end - start)]));
    this.#buffer = Buffer.alloc(0);
    this.#end = this.#head;
    this.spans = 0;
    return { body: buffer.subarray(start, end), spans };
  }

  /** Takes back the buffer of a batch that nobody reads any more. */
  recycle({ body }: Batch): void {
    if (this.#spare.length < SPARE) this.#spare.push(body.buffer);
  }

  #fresh(): Buffer {
    const spare = this.#spare.pop();
    return spare === undefined ? Buffer.allocUnsafeSlow(this.#size) : Buffer.from(spare);
  }

  #encoded<T extends object>(cache: WeakMap<T, Buffer>, value: T, encode: (value: T) => Buffer): Buffer {
    const known = cache.get(value);
    if (known !== undefined) return known;
    const made = encode(value);
    cache.set(value, made);
    return made;
  }
}

function append(buffer: Buffer, at: number, bytes: Uint8Array): number {
  buffer.set(bytes, at);
  return at + bytes.length;
}

function prepend(buffer: Buffer, at: number, bytes: Uint8Array): number {
  buffer.set(bytes, at - bytes.length);
  return at - bytes.length;
}

function linkBytes(link: NonNullable<SpanRecord['link']>): Buffer {
  const flags = Buffer.alloc(4);
  flags.writeUInt32LE((link.sampled ? FLAGS : FLAGS - 1) | IS_REMOTE);
  return delimited(
    13,
    delimited(1, link.bytes.subarray(link.at, link.at + TRACE_ID)),
    delimited(2, link.bytes.subarray(link.at + TRACE_ID, link.at + TRACE_ID + SPAN_ID)),
    link.tracestate === undefined ? [] : text(3, link.tracestate),
    tag(6, FIXED32),
    flags,
  );
}
