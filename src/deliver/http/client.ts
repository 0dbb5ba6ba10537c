/** HTTP/1.1 to one origin: connections that are kept, checked addresses, and a time for the whole of an exchange. */
import { lookup as resolve, type LookupAddress, type LookupOptions } from 'node:dns';
import type { buildConnector } from 'undici';
import { OuzelError } from '../../errors.ts';
import { bareHost, specialAddress, specialHost } from './addresses.ts';
import type { HttpAnswer } from './answer.ts';
import { Connection, ConnectionError, type Host, type HttpRequest } from './connection.ts';
import { Connections } from './connections.ts';
import { type Asker, Exchange, type Terms } from './exchange.ts';
import { type TlsFiles, withTlsFiles } from './tls.ts';

export interface HttpClientOptions {
  /** `https://partner.example`. */
  readonly origin: string;
  /** Connections at most. */
  readonly connections: number;
  /** Milliseconds that an exchange may take, from its turn on one of the connections to the end of the answer's body. */
  readonly timeout: number;
  /** Bytes of an answer that are read; the connection of a larger one is closed. */
  readonly maxResponse: number;
  readonly allowPrivate: boolean;
  /** Milliseconds that connecting may take, TLS included. Default: `timeout`. */
  readonly connectTimeout?: number | undefined;
  /** Milliseconds between a request and the status and headers of its answer. Default: `timeout`. */
  readonly headersTimeout?: number | undefined;
  /** Certificates; the public authorities and none of its own without. */
  readonly tls?: TlsFiles | undefined;
}

/** A request that is on its way, or waits for a connection. */
export interface Ongoing {
  cancel(reason: Error): void;
}

/** Milliseconds that one address of several is tried, before the next one is. */
const ATTEMPT = 1000;

export class HttpClient {
  readonly #options: HttpClientOptions;
  readonly #connections: Connections;
  readonly #terms: Terms;

  constructor(options: HttpClientOptions) {
    this.#options = options;
    const { timeout, maxResponse } = options;
    this.#connections = new Connections(options.connections, () => this.#opener());
    this.#terms = {
      timeout,
      maxResponse,
      late: (request) => new OuzelError('TARGET_TIMEOUT', `${this.#asked(request)}: no answer within ${timeout} ms`),
      tooLarge: (request) =>
        new OuzelError('TARGET_REJECTED', `${this.#asked(request)}: the answer has more than ${maxResponse} bytes`),
      over: (exchange, end) => this.#connections.leave(exchange, end),
      failure: (request, error) => this.#failure(request, error),
    };
  }

  /**
   * Makes a request and answers once it is known what came of it: as soon as there is a 2xx, else when the beginning of
   * the body is there too. Redirects are not followed.
   *
   * @param signal Ends the exchange; what it was aborted with is thrown.
   * @throws OuzelError TARGET_TIMEOUT, TARGET_UNAVAILABLE, TARGET_ADDRESS
   */
  send(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    return this.#promised(request, signal, false);
  }

  /**
   * The same, for somebody who wants to have the answer: a 2xx comes with the whole of its body.
   *
   * @throws OuzelError TARGET_REJECTED also for a body of more than `maxResponse`
   */
  fetch(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
    return this.#promised(request, signal, true);
  }

  async #promised(request: HttpRequest, signal: AbortSignal, whole: boolean): Promise<HttpAnswer> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
    const exchange = this.begin(request, { answered: resolve, failed: reject }, whole);
    const ended = (): void => exchange.cancel(signal.reason as Error);
    signal.addEventListener('abort', ended, { once: true });
    try {
      return await promise;
    } finally {
      // Of a 2xx the body may still come, which nobody waits for.
      signal.removeEventListener('abort', ended);
    }
  }

  /**
   * The same as `send`, for whoever makes many of them: without a promise and a signal each.
   *
   * @param whole As `fetch`.
   * @returns What ends it: the asker is told the reason, unless it knows the answer.
   */
  begin(request: HttpRequest, asker: Asker, whole = false): Ongoing {
    const exchange = new Exchange(request, asker, this.#terms, whole);
    // The time that others take who came first, and that of loading the client, is not the target's.
    this.#connections.enter(exchange);
    return exchange;
  }

  /** Closes the connections, each when what runs on it has ended. */
  close(): void {
    this.#connections.close();
  }

  /** Loaded by the first request: a configuration without webhooks does not pay for it. */
  async #opener(): Promise<() => Connection> {
    const { origin, timeout, connectTimeout, headersTimeout, allowPrivate, tls } = this.#options;
    const { buildConnector } = await import('undici');
    const remedy = '`allow_private: true` in the target';
    const connector = (content: object): buildConnector.connector =>
      guardedConnector(
        (options) => buildConnector({ ...options, ...content }),
        connectTimeout ?? timeout,
        allowPrivate,
        remedy,
      );
    const connect = tls === undefined ? connector({}) : withTlsFiles(tls, connector);
    const { host, hostname, protocol, port } = new URL(origin);
    const to = { host, hostname: bareHost(hostname), protocol, port };
    const known: Host = {
      name: host,
      headersTimeout,
      connect: (connected) =>
        connect(to, (...[error, socket]) => (error === null ? connected(null, socket) : connected(error, null))),
    };
    return () => new Connection(known);
  }

  #asked({ method }: HttpRequest): string {
    return `${method} ${this.#options.origin}`;
  }

  /** What went wrong on the way, as one of ours. */
  #failure(request: HttpRequest, error: unknown): OuzelError {
    if (error instanceof OuzelError) return error;
    // All addresses of a name failed: each says why, and the whole says nothing.
    const { errors } = error as { errors?: readonly unknown[] };
    const cause: unknown = Array.isArray(errors) && errors.length > 0 ? errors[0] : error;
    const { message: text, code } = cause as { readonly message?: string; readonly code?: string };
    const { timeout, connectTimeout = timeout } = this.#options;
    const late = code === 'UND_ERR_CONNECT_TIMEOUT' ? `no connection within ${connectTimeout} ms` : undefined;
    const kind = error instanceof ConnectionError ? error.kind : undefined;
    if (late !== undefined || kind === 'late')
      return new OuzelError('TARGET_TIMEOUT', `${this.#asked(request)}: ${late ?? text}`, { cause: error });
    // OpenSSL tells where in its own code the fault was found, over two lines.
    const message = text?.replace(/^.*:SSL routines:[^:]*:([^:]+):.*$/s, 'TLS: $1').trim();
    if (kind === 'unwritable')
      return new OuzelError('EVENT_FAILED', `${this.#asked(request)}: cannot be written: ${message}`, { cause: error });
    const host = bareHost(new URL(this.#options.origin).hostname);
    const what =
      code === 'ENOTFOUND' || code?.startsWith('EAI_') === true
        ? `the name ${host} cannot be resolved (${code})`
        : `${message ?? String(cause)}${code === undefined || message?.includes(code) === true ? '' : ` (${code})`}`;
    return new OuzelError('TARGET_UNAVAILABLE', `${this.#asked(request)}: ${what}`, { cause: error });
  }
}

/**
 * Makes connections that lead to public addresses only, unless others are allowed.
 *
 * @param build undici's `buildConnector`, which is loaded when it is needed.
 * @param timeout Milliseconds.
 * @param remedy What to write where another address is meant.
 */
export function guardedConnector(
  build: (options: buildConnector.BuildOptions) => buildConnector.connector,
  timeout: number,
  allowPrivate: boolean,
  remedy: string,
): buildConnector.connector {
  const connect = build({
    timeout,
    allowH2: false,
    autoSelectFamilyAttemptTimeout: ATTEMPT,
    ...(allowPrivate ? {} : { lookup: lookupPublic(remedy) }),
  });
  return (options, callback) => {
    // An address is not looked up: it has to be checked here.
    const special = allowPrivate ? undefined : specialHost(options.hostname);
    if (special !== undefined) return callback(addressRefused(options.hostname, special, remedy), null);
    connect(options, callback);
  };
}

export const addressRefused = (host: string, what: string, remedy: string, address?: string): OuzelError =>
  new OuzelError(
    'TARGET_ADDRESS',
    `${bareHost(host)} ${address === undefined ? 'is' : `resolves to ${address},`} ${what} address; if that is meant, set ${remedy}`,
  );

type LookupCallback = (error: Error | null, address: string | LookupAddress[], family?: number) => void;

/**
 * Resolves a name and answers with its public addresses only. The connection is made to what was checked: no second
 * resolution could say something else.
 */
export const lookupPublic =
  (remedy: string) =>
  (hostname: string, options: LookupOptions, callback: LookupCallback): void => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) return callback(error, []);
      const found = addresses.filter(({ address }) => specialAddress(address) === undefined);
      const [first] = found;
      if (first === undefined) {
        const address = addresses[0]?.address ?? '';
        return callback(addressRefused(hostname, specialAddress(address) ?? 'no', remedy, address), []);
      }
      if (options.all === true) return callback(null, found);
      callback(null, first.address, first.family);
    });
  };
