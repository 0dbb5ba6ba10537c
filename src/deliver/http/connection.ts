/**
 * A connection to one host, with an exchange at a time over it (RFC 9112), made when it is needed, and again when it is
 * gone. undici makes the socket; what goes over it is written and read here, for half of the cost.
 */
import type { Socket } from 'node:net';
import { HEADER_NAME } from './headers.ts';
import { type ResponseHeaders, ResponseParser, type ResponseReader } from './response.ts';

/** Milliseconds that a connection is kept without a request, unless the server says for how long it keeps it. */
const KEPT = 4_000;
const KEPT_MOST = 600_000;
/** Milliseconds before the end of that time in which a request might meet the server's closing. */
const EARLY = 2_000;

const PATH = /^\/[!-~]*$/;
/** Bytes as characters; those of a line end would begin another header. */
const NOT_IN_VALUE = /[^\t\u0020-\u007e\u0080-\u00ff]/;

export interface HttpRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** Path and query. */
  readonly path: string;
  /** Values in Latin-1: `httpValue`. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** What all connections to one origin have in common. */
export interface Host {
  /** `partner.example:8443`. */
  readonly name: string;
  /** Milliseconds until the status is there, from when the request was sent; undefined: no bound of their own. */
  readonly headersTimeout: number | undefined;
  connect(connected: (error: Error | null, socket: Socket | null) => void): void;
}

/** Whoever makes a request. */
export interface Requester extends ResponseReader {
  /** There will be no answer, or no more of it. */
  failed(error: Error): void;
}

/** Why a request has no answer: it cannot be written, took too long, or the connection is no good. */
export class ConnectionError extends Error {
  readonly kind: 'unwritable' | 'late' | 'closed';

  constructor(kind: ConnectionError['kind'], message: string) {
    super(message);
    this.kind = kind;
  }
}

/** The bytes of a request. @throws ConnectionError */
function requestBytes(host: string, { method, path, headers, body = '' }: HttpRequest): Buffer {
  if (!PATH.test(path)) throw new ConnectionError('unwritable', 'the path holds what cannot stand in one');
  let head = `${method} ${path} HTTP/1.1\r\nhost: ${host}\r\nconnection: keep-alive\r\n`;
  for (const name in headers) {
    const value = headers[name] as string;
    if (!HEADER_NAME.test(name) || NOT_IN_VALUE.test(value))
      throw new ConnectionError('unwritable', `the header ${JSON.stringify(name)} holds what cannot stand in one`);
    head += `${name}: ${value}\r\n`;
  }
  const length = typeof body === 'string' ? Buffer.byteLength(body) : body.length;
  if (length > 0 || (method !== 'GET' && method !== 'DELETE')) head += `content-length: ${length}\r\n`;
  head += '\r\n';
  const bytes = Buffer.allocUnsafe(head.length + length);
  bytes.write(head, 'latin1');
  if (typeof body === 'string') bytes.write(body, head.length);
  else bytes.set(body, head.length);
  return bytes;
}

/**
 * Requests over connections that were used before. They are written when the event loop has read what was there: bytes
 * that nobody asked for, or the other side's closing, are seen before they could be taken for the answer.
 */
let due: (() => void)[] = [];

function whenRead(write: () => void): void {
  if (due.push(write) === 1)
    setImmediate(() => {
      const writes = due;
      due = [];
      for (const each of writes) each();
    });
}

export class Connection implements ResponseReader {
  readonly #host: Host;
  #socket: Socket | undefined;
  #parser = new ResponseParser();
  #requester: Requester | undefined;
  #request: Buffer | undefined;
  /** Counts the sockets that were asked for: one that comes late is nobody's. */
  #attempts = 0;
  #headersTimer: NodeJS.Timeout | undefined;
  /** While it is not needed: since when, by the monotonic clock, and for how long it is kept. Milliseconds. */
  #restsSince: number | undefined;
  #kept = 0;
  #keptTimer: NodeJS.Timeout | undefined;

  constructor(host: Host) {
    this.#host = host;
  }

  /** Makes a request. The one before it has ended, or was given up. @throws ConnectionError unwritable */
  send(request: HttpRequest, requester: Requester): void {
    this.#request = requestBytes(this.#host.name, request);
    this.#requester = requester;
    this.#wake();
    if (this.#socket === undefined) this.#connect();
    else whenRead(this.#write);
  }

  /** Nobody waits for the answer any more. What was written cannot be taken back: its connection is closed. */
  giveUp(): void {
    if (this.#requester === undefined) return;
    if (this.#request === undefined || this.#socket === undefined) return this.close();
    this.#request = undefined;
    this.#requester = undefined;
  }

  /** It is not needed for now: it is kept for a while, and keeps no process from ending. */
  rest(): void {
    const { keepsFor } = this.#parser;
    const kept = keepsFor === undefined ? KEPT : Math.min(KEPT_MOST, keepsFor - EARLY);
    if (this.#socket === undefined) return;
    if (kept <= 0) return this.close();
    this.#socket.unref();
    this.#restsSince = performance.now();
    if (kept === this.#kept && this.#keptTimer !== undefined) return void this.#keptTimer.refresh();
    clearTimeout(this.#keptTimer);
    this.#kept = kept;
    this.#keptTimer = setTimeout(() => {
      if (this.#restsSince !== undefined) this.close();
    }, kept).unref();
  }

  #wake(): void {
    if (this.#restsSince === undefined) return;
    // The timer is late when the process had no time.
    if (performance.now() - this.#restsSince >= this.#kept) this.#drop();
    this.#restsSince = undefined;
    this.#socket?.ref();
  }

  /** Closes it, whatever is under way. The next request makes a new connection. */
  close(): void {
    this.#requester = undefined;
    this.#request = undefined;
    this.#attempts++;
    this.#restsSince = undefined;
    clearTimeout(this.#headersTimer);
    clearTimeout(this.#keptTimer);
    this.#keptTimer = undefined;
    this.#drop();
  }

  #drop(): void {
    const socket = this.#socket;
    this.#socket = undefined;
    this.#parser.stop();
    socket?.destroy();
  }

  #connect(): void {
    const attempt = ++this.#attempts;
    const connected = (error: Error | null, socket: Socket | null): void => {
      if (attempt !== this.#attempts) return void socket?.on('error', () => undefined).destroy();
      if (socket === null) return this.#fail(error ?? new ConnectionError('closed', 'there is no connection'));
      this.#adopt(socket);
      this.#write();
    };
    try {
      this.#host.connect(connected);
    } catch (error) {
      connected(error as Error, null);
    }
  }

  #adopt(socket: Socket): void {
    const parser = new ResponseParser();
    this.#socket = socket;
    this.#parser = parser;
    const lost = (error: Error): void => {
      if (this.#socket !== socket) return;
      // A request of which nothing went out is written to another one.
      if (this.#request !== undefined || this.#requester === undefined) this.#drop();
      else this.#fail(error);
    };
    const isClosed = (): void => lost(new ConnectionError('closed', 'the connection was closed before the answer'));
    socket.on('data', (bytes: Buffer) => {
      try {
        parser.push(bytes);
        if (!parser.keepsOpen && !parser.isReading) isClosed();
      } catch (error) {
        lost(error as Error);
      }
    });
    socket.on('end', () => {
      parser.finish();
      isClosed();
    });
    socket.on('error', lost);
    socket.on('close', isClosed);
  }

  readonly #write = (): void => {
    const requester = this.#requester;
    const request = this.#request;
    if (requester === undefined || request === undefined) return;
    // It was closed while the request waited: nothing of it went out.
    if (this.#socket === undefined) return this.#connect();
    this.#request = undefined;
    this.#parser.begin(this);
    this.#socket.write(request);
    const { headersTimeout: bound } = this.#host;
    if (bound === undefined) return;
    clearTimeout(this.#headersTimer);
    this.#headersTimer = setTimeout(
      () => this.#fail(new ConnectionError('late', `no status within ${bound} ms`)),
      bound,
    );
  };

  started(status: number, headers: ResponseHeaders): void {
    clearTimeout(this.#headersTimer);
    this.#requester?.started(status, headers);
  }

  data(bytes: Buffer): void {
    this.#requester?.data(bytes);
  }

  ended(): void {
    const requester = this.#requester;
    this.#requester = undefined;
    // What was answered before all of it was sent is not known to have an end.
    if (!this.#parser.keepsOpen || (this.#socket?.writableLength ?? 0) > 0) this.#drop();
    requester?.ended();
  }

  #fail(error: Error): void {
    const requester = this.#requester;
    this.close();
    requester?.failed(error);
  }
}
