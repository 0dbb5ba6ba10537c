/**
 * Reads what comes back over a connection, as HTTP/1.1 frames it (RFC 9112). One that nobody asked for, or whose end
 * cannot be told, leaves a connection that is not used again: no byte of it may be taken for the next answer.
 */
import type { HttpAnswer } from './answer.ts';
import { HEADER_NAME } from './headers.ts';

/** Bytes that status and headers may have, and what is behind the last chunk. */
const LONGEST_HEAD = 16_384;
/** Bytes of the line that says how long a chunk is. */
const LONGEST_SIZE = 1_024;
/** Milliseconds in the unit of `Keep-Alive: timeout`. */
const SECOND = 1_000;

const STATUS = /^HTTP\/1\.([01]) ([1-9]\d\d)(?: |$)/;
const PROTOCOL = 'HTTP/1.';
const BROKEN = /\0|\r(?!\n)|(?<!\r)\n/;
const LENGTH = /^\d{1,15}$/;
const SIZE = /^([0-9a-f]{1,12})[ \t]*(?:;.*)?$/i;
const LAST_CHUNKED = /(?:^|,)[ \t]*chunked[ \t]*$/i;
const CLOSE = /(?:^|,)[ \t]*close[ \t]*(?:,|$)/i;
const KEEP_ALIVE = /(?:^|,)[ \t]*keep-alive[ \t]*(?:,|$)/i;
const TIMEOUT = /(?:^|[,;])[ \t]*timeout=(\d{1,9})/i;

const NOTHING = Buffer.alloc(0);
const CRLF = '\r\n';
const HEAD_END = '\r\n\r\n';

export type ResponseHeaders = HttpAnswer['headers'];

/** Who is told of an answer. It may give up at any time, with `stop`. */
export interface ResponseReader {
  /** Status and headers are there; not called for what comes before the answer (1xx). */
  started(status: number, headers: ResponseHeaders): void;
  /** More of the body. The bytes are the reader's to keep. */
  data(bytes: Buffer): void;
  /** All of it came. */
  ended(): void;
}

/** What an answer cannot be read for. */
class ResponseError extends Error {}

type State = 'head' | 'body' | 'rest' | 'size' | 'chunk' | 'chunk-end' | 'trailers';

export class ResponseParser {
  #reader: ResponseReader | undefined;
  #state: State = 'head';
  /** The beginning of what cannot be read before more of it is there. */
  #held: Buffer = NOTHING;
  /** How many of the bytes at hand were searched for an end before. */
  #searched = 0;
  /** Bytes of the body, or of its chunk, that are still to come; or those of the trailers that came. */
  #count = 0;
  /** Whether the connection may be used again. */
  keepsOpen = true;
  /** Milliseconds for which the server keeps it open, where it says so. */
  keepsFor: number | undefined;

  /** The next answer is this reader's. */
  begin(reader: ResponseReader): void {
    this.#reader = reader;
    this.#state = 'head';
  }

  /** The reader wants no more of it; nor can the connection be used again. */
  stop(): void {
    this.#reader = undefined;
    this.keepsOpen = false;
  }

  /** Whether an answer is to come, or more of it. */
  get isReading(): boolean {
    return this.#reader !== undefined;
  }

  /** @throws ResponseError */
  push(bytes: Buffer): void {
    this.#searched = this.#held.length;
    let rest = this.#searched === 0 ? bytes : Buffer.concat([this.#held, bytes]);
    this.#held = NOTHING;
    while (rest.length > 0 && this.#reader !== undefined) {
      rest = this.#step(rest, this.#reader);
      this.#searched = 0;
    }
    if (rest.length > 0) this.keepsOpen = false;
  }

  /** No more will come, which is the end of an answer that has no other. */
  finish(): void {
    this.keepsOpen = false;
    if (this.#reader !== undefined && this.#state === 'rest') this.#end(this.#reader);
  }

  /** @returns What is left to be read. */
  #step(bytes: Buffer, reader: ResponseReader): Buffer {
    switch (this.#state) {
      case 'head':
        return this.#head(bytes, reader);
      case 'rest':
        reader.data(bytes);
        return NOTHING;
      case 'body':
      case 'chunk':
        return this.#counted(bytes, reader);
      case 'size':
        return this.#line(bytes, LONGEST_SIZE, (line) => this.#chunk(line));
      case 'chunk-end':
        return this.#line(bytes, 0, () => void (this.#state = 'size'));
      case 'trailers':
        return this.#line(bytes, LONGEST_HEAD - this.#count, (line) => {
          this.#count += line.length + CRLF.length;
          if (line === '') this.#end(reader);
        });
    }
  }

  #head(bytes: Buffer, reader: ResponseReader): Buffer {
    const end = bytes.indexOf(HEAD_END, Math.max(0, this.#searched - HEAD_END.length));
    if ((end < 0 ? bytes.length : end) > LONGEST_HEAD)
      throw new ResponseError(`the headers of the answer have more than ${LONGEST_HEAD} bytes`);
    if (end < 0) return this.#hold(bytes);
    const [first = '', ...lines] = linesOf(bytes.toString('latin1', 0, end));
    const [, minor, digits] = STATUS.exec(first) ?? [];
    if (minor === undefined) throw notHttp();
    const status = Number(digits);
    // Nobody asked for another protocol; what comes over it would be no answer.
    if (status === 101) throw new ResponseError('the answer changes the protocol (101)');
    const rest = bytes.subarray(end + HEAD_END.length);
    if (status < 200) return rest;
    const headers = headersOf(lines);
    this.#frame(status, minor === '1', headers);
    reader.started(status, headers);
    if (this.#state === 'body' && this.#count === 0) this.#end(reader);
    return rest;
  }

  /** How the body ends (RFC 9112, 6.3), and what becomes of the connection behind it. */
  #frame(status: number, isNew: boolean, headers: ResponseHeaders): void {
    const connection = joined(headers['connection']) ?? '';
    this.keepsOpen = isNew ? !CLOSE.test(connection) : KEEP_ALIVE.test(connection);
    const [, seconds] = TIMEOUT.exec(joined(headers['keep-alive']) ?? '') ?? [];
    this.keepsFor = seconds === undefined ? undefined : Number(seconds) * SECOND;
    const length = lengthOf(joined(headers['content-length']));
    const coding = joined(headers['transfer-encoding']);
    this.#state = 'body';
    this.#count = 0;
    if (status === 204 || status === 304) {
      // What is announced all the same may come, and be nobody's.
      if (coding !== undefined || (length ?? 0) > 0) this.keepsOpen = false;
    } else if (coding !== undefined) {
      // Two lengths, of which others may believe the other one.
      if (length !== undefined || !isNew) this.keepsOpen = false;
      this.#state = LAST_CHUNKED.test(coding) ? 'size' : 'rest';
    } else if (length === undefined) this.#state = 'rest';
    else this.#count = length;
    if (this.#state === 'rest') this.keepsOpen = false;
  }

  #counted(bytes: Buffer, reader: ResponseReader): Buffer {
    const taken = Math.min(this.#count, bytes.length);
    this.#count -= taken;
    const isLast = this.#count === 0;
    const isChunk = this.#state === 'chunk';
    if (isLast && isChunk) this.#state = 'chunk-end';
    reader.data(bytes.subarray(0, taken));
    if (isLast && !isChunk) this.#end(reader);
    return bytes.subarray(taken);
  }

  #chunk(line: string): void {
    const [, digits] = SIZE.exec(line) ?? [];
    if (digits === undefined) throw new ResponseError('the answer has a chunk without a length');
    this.#count = Number.parseInt(digits, 16);
    this.#state = this.#count === 0 ? 'trailers' : 'chunk';
  }

  /** Reads to the end of a line, once that is there. */
  #line(bytes: Buffer, longest: number, read: (line: string) => void): Buffer {
    const end = bytes.indexOf(CRLF, Math.max(0, this.#searched - CRLF.length));
    if (end > longest || (end < 0 && bytes.length > longest + 1))
      throw new ResponseError('the answer has a chunk that does not end where it says');
    if (end < 0) return this.#hold(bytes);
    read(bytes.toString('latin1', 0, end));
    return bytes.subarray(end + CRLF.length);
  }

  #hold(bytes: Buffer): Buffer {
    // Whoever speaks another protocol may say little, and then wait.
    if (this.#state === 'head' && !PROTOCOL.startsWith(bytes.toString('latin1', 0, PROTOCOL.length))) throw notHttp();
    this.#held = bytes;
    return NOTHING;
  }

  #end(reader: ResponseReader): void {
    // It gave up meanwhile.
    if (this.#reader !== reader) return;
    this.#reader = undefined;
    reader.ended();
  }
}

const notHttp = (): ResponseError => new ResponseError('the answer is not HTTP/1.1');

/** @throws ResponseError */
function linesOf(head: string): string[] {
  if (BROKEN.test(head)) throw new ResponseError('the headers of the answer hold a control character');
  // A line that begins with a space belongs to the one before it (RFC 9112, 5.2).
  return (/\n[ \t]/.test(head) ? head.replaceAll(/\r\n[ \t]+/g, ' ') : head).split(CRLF);
}

/** @throws ResponseError */
function headersOf(lines: readonly string[]): ResponseHeaders {
  const headers = Object.create(null) as Record<string, string | string[]>;
  for (const line of lines) {
    const colon = line.indexOf(':');
    const given = line.slice(0, Math.max(0, colon));
    if (!HEADER_NAME.test(given)) throw new ResponseError('the answer has a header without a name');
    const name = given.toLowerCase();
    const value = line.slice(colon + 1).trim();
    const before = headers[name];
    headers[name] = before === undefined ? value : [before, value].flat();
  }
  return headers;
}

const joined = (value: string | string[] | undefined): string | undefined =>
  Array.isArray(value) ? value.join(', ') : value;

/** @throws ResponseError */
function lengthOf(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  const [first = '', ...others] = value.split(/[ \t]*,[ \t]*/);
  if (LENGTH.test(first) && others.every((other) => other === first)) return Number(first);
  throw new ResponseError('the answer has a `content-length` that is none');
}
