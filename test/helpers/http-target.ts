/** A real HTTP server that somebody delivers to: a test decides over each answer, and looks at what was asked. */
import { createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer, type ServerOptions } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { releasing } from './resources.ts';
import { waitFor } from './wait.ts';

/** A request that arrived whole. */
export interface HttpRequest {
  readonly method: string;
  /** Path and query, as they came. */
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  /** Counts the connections from 1: requests of one number came over one connection. */
  readonly connection: number;
  /** When it was there, in milliseconds of the monotonic clock. */
  readonly at: number;
  /** How many requests came before it. */
  readonly index: number;
}

export interface HttpAnswer {
  /** Default 200. */
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Milliseconds before the answer begins. */
  readonly delay?: number;
  /**
   * `hang`: nothing comes. `reset`: the connection is reset in place of an answer. `trickle`: status and headers, then
   * a character each 20 ms for as long as somebody listens. `cut`: status, headers and a half of the body, then a reset.
   */
  readonly fault?: 'hang' | 'reset' | 'trickle' | 'cut';
}

/** What the server answers; it can be changed at any time. */
export type Answering = (request: HttpRequest) => HttpAnswer | Promise<HttpAnswer>;

export interface HttpTarget extends AsyncDisposable {
  readonly port: number;
  /** `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly requests: readonly HttpRequest[];
  /** The numbers of the connections that are open now. */
  readonly openConnections: ReadonlySet<number>;
  /** Connections that were ever opened. */
  readonly connections: number;
  answer: Answering;
  /** Waits until at least that many requests came. */
  untilRequests(count: number, timeout?: number): Promise<readonly HttpRequest[]>;
  /** Closes the port and resets what is open, as a crash would. Requests stay recorded. */
  stop(): Promise<void>;
  /** Listens again on the same port. */
  start(): Promise<void>;
}

const TRICKLE = 20;

/**
 * Starts a server on the loopback address. It ends with the test, or with `await using`.
 *
 * @param tls Makes it an https server.
 */
export async function startHttpTarget(answer: Answering = () => ({}), tls?: ServerOptions): Promise<HttpTarget> {
  const requests: HttpRequest[] = [];
  let connections = 0;
  const open = new Set<number>();
  const numbers = new WeakMap<object, number>();
  const listener = (message: IncomingMessage, response: ServerResponse): void => {
    respond(message, response).catch(() => message.socket.destroy());
  };
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener);
  // What a test waits for must not be ended by the server's own time-outs.
  Object.assign(server, { requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 });
  server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Socket) => {
    const number = ++connections;
    numbers.set(socket, number);
    open.add(number);
    socket.on('error', () => undefined);
    socket.once('close', () => open.delete(number));
  });

  async function respond(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    for await (const chunk of message) chunks.push(chunk as Buffer);
    const request: HttpRequest = {
      method: message.method ?? '',
      path: message.url ?? '',
      headers: message.headers,
      body: Buffer.concat(chunks).toString(),
      connection: numbers.get(message.socket) ?? 0,
      at: performance.now(),
      index: requests.length,
    };
    requests.push(request);
    const { status = 200, headers = {}, body = '', delay = 0, fault } = await target.answer(request);
    if (delay > 0) await sleep(delay);
    if (fault === 'hang') return;
    if (fault === 'reset') return void message.socket.resetAndDestroy();
    response.writeHead(status, headers);
    if (fault === undefined) return void response.end(body);
    if (fault === 'cut') {
      response.write(body.slice(0, Math.ceil(body.length / 2)) || 'x', () => message.socket.resetAndDestroy());
      return;
    }
    for (let index = 0; !response.destroyed; index++) {
      response.write(body[index] ?? ' ');
      await sleep(TRICKLE);
    }
  }

  const listen = async (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', () => {
        server.off('error', reject);
        resolve();
      });
    });
  const stop = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    server.closeAllConnections();
    await closed;
  };

  await listen(0);
  const { port } = server.address() as AddressInfo;
  const target: HttpTarget = {
    port,
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    requests,
    openConnections: open,
    get connections() {
      return connections;
    },
    answer,
    untilRequests: async (count, timeout = 45_000) => {
      await waitFor(() => requests.length >= count, {
        timeout,
        what: () => `${count} requests; ${requests.length} came`,
      });
      return requests;
    },
    stop,
    start: () => listen(port),
    [Symbol.asyncDispose]: releasing(stop),
  };
  return target;
}
