import { createServer, connect as dial, type Server, type Socket } from 'node:net';
import { freePort } from './ports.ts';
import { releasing } from './resources.ts';
import { waitFor } from './wait.ts';

/** What passed through a proxy, since its start. */
export interface ProxyCounters {
  /** Connections taken from clients. */
  accepted: number;
  /** Connections that a cut ended with a reset. */
  reset: number;
  /** Bytes handed on to the server, and to the clients. */
  up: number;
  down: number;
}

/** A TCP proxy on loopback whose faults are switched while connections are open. One fault at a time. */
export interface Proxy extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly counters: Readonly<ProxyCounters>;
  /** Connections that are open now. */
  readonly open: number;
  /** No fault: what was held back goes on at once, in order, and a cut port listens again. */
  pass(): Promise<void>;
  /** Resets every connection and refuses new ones (the port does not listen). */
  cut(): Promise<void>;
  /** Resets every connection once; new ones pass. */
  reset(): void;
  /** Holds everything back, both ways and the ends of connections too, with nothing closed. New ones are taken. */
  halfOpen(): Promise<void>;
  /** Everything arrives that much later, each way, in milliseconds. */
  latency(milliseconds: number): Promise<void>;
  /** So many bytes a second at most, for each connection and way. */
  throttle(bytesPerSecond: number): Promise<void>;
}

interface Fault {
  readonly held: boolean;
  /** Milliseconds each way. */
  readonly delay: number;
  /** Bytes a second. */
  readonly rate: number;
}

const NONE: Fault = { held: false, delay: 0, rate: Number.POSITIVE_INFINITY };
/** Bytes that wait in one direction of a connection before its sender is made to wait. */
const WAITING = 1024 * 1024;

/** One direction of a connection: what came and when it is due at the other end. `undefined` is the end. */
class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #count: (bytes: number) => void;
  readonly #queue: { readonly chunk: Buffer | undefined; readonly due: number }[] = [];
  #fault: Fault;
  #waiting = 0;
  #lastDue = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(from: Socket, to: Socket, fault: Fault, count: (bytes: number) => void) {
    this.#from = from;
    this.#to = to;
    this.#fault = fault;
    this.#count = count;
    from.on('data', (chunk: Buffer) => this.#put(chunk));
    from.on('end', () => this.#put(undefined));
    to.on('drain', () => this.#move());
  }

  set fault(fault: Fault) {
    this.#fault = fault;
    if (fault === NONE) this.#lastDue = 0;
    this.#move();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
  }

  #put(chunk: Buffer | undefined): void {
    const { delay, rate } = this.#fault;
    const due = Math.max(performance.now() + delay, this.#lastDue) + ((chunk?.length ?? 0) / rate) * 1000;
    this.#lastDue = due;
    this.#queue.push({ chunk, due });
    this.#waiting += chunk?.length ?? 0;
    if (this.#waiting > WAITING) this.#from.pause();
    this.#move();
  }

  #move(): void {
    clearTimeout(this.#timer);
    if (this.#fault.held) return;
    const now = performance.now();
    for (;;) {
      const [head] = this.#queue;
      if (head === undefined || this.#to.destroyed || this.#to.writableNeedDrain) return;
      if (this.#fault !== NONE && head.due > now) {
        this.#timer = setTimeout(() => this.#move(), head.due - now);
        return;
      }
      this.#queue.shift();
      if (head.chunk === undefined) return void this.#to.end();
      this.#to.write(head.chunk);
      this.#count(head.chunk.length);
      this.#waiting -= head.chunk.length;
      if (this.#waiting <= WAITING) this.#from.resume();
    }
  }
}

/** A client's connection and the one to the server that answers it. */
class Pair {
  readonly #client: Socket;
  readonly #server: Socket;
  readonly #lanes: readonly Lane[];
  #fault: Fault;
  /** A side is gone, and the other does not know while everything is held back. */
  #broken = false;

  constructor(client: Socket, port: number, fault: Fault, counters: ProxyCounters, onGone: (pair: Pair) => void) {
    this.#client = client;
    this.#server = dial({ port, host: '127.0.0.1', noDelay: true });
    this.#fault = fault;
    this.#lanes = [
      new Lane(client, this.#server, fault, (bytes) => (counters.up += bytes)),
      new Lane(this.#server, client, fault, (bytes) => (counters.down += bytes)),
    ];
    for (const socket of [client, this.#server]) {
      socket.on('error', () => {
        this.#broken = true;
        if (!this.#fault.held) this.reset();
      });
      socket.on('close', () => {
        if (client.destroyed && this.#server.destroyed) onGone(this);
      });
    }
  }

  set fault(fault: Fault) {
    this.#fault = fault;
    for (const lane of this.#lanes) lane.fault = fault;
    if (this.#broken && !fault.held) this.reset();
  }

  reset(): void {
    for (const lane of this.#lanes) lane.close();
    for (const socket of [this.#client, this.#server]) socket.resetAndDestroy();
  }
}

/** Starts a proxy in front of a port of the loopback address. It goes when the test ends, or with `await using`. */
export async function startProxy(upstream: { readonly port: number }): Promise<Proxy> {
  const port = await freePort();
  const counters: ProxyCounters = { accepted: 0, reset: 0, up: 0, down: 0 };
  const pairs = new Set<Pair>();
  let fault = NONE;
  const take = (client: Socket): void => {
    counters.accepted++;
    pairs.add(new Pair(client, upstream.port, fault, counters, (pair) => pairs.delete(pair)));
  };

  let listener: Server | undefined;
  const listen = async (): Promise<void> => {
    if (listener !== undefined) return;
    // Somebody who looks for a free port may hold this one for a moment.
    listener = await waitFor(() => listenOn(port, take), { what: `port ${port} to be free again` });
  };
  const refuse = (): void => {
    listener?.close();
    listener = undefined;
  };
  const reset = (): void => {
    counters.reset += pairs.size;
    for (const pair of pairs) pair.reset();
  };
  const change = async (next: Fault): Promise<void> => {
    fault = next;
    for (const pair of pairs) pair.fault = next;
    await listen();
  };

  await listen();
  return {
    url: `nats://127.0.0.1:${port}`,
    port,
    counters,
    get open() {
      return pairs.size;
    },
    pass: () => change(NONE),
    cut: async () => {
      refuse();
      reset();
      await waitFor(() => pairs.size === 0, { what: 'the connections to be reset' });
    },
    reset,
    halfOpen: () => change({ ...NONE, held: true }),
    latency: (delay) => change({ ...NONE, delay }),
    throttle: (rate) => change({ ...NONE, rate }),
    [Symbol.asyncDispose]: releasing(async () => {
      refuse();
      reset();
      await waitFor(() => pairs.size === 0, { what: 'the connections to be reset' });
    }),
  };
}

async function listenOn(port: number, take: (client: Socket) => void): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, take);
    server.once('error', reject);
    server.listen(port, '127.0.0.1', () => resolve(server));
  });
}
