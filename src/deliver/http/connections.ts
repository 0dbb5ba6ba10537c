/** Connections to one origin, an exchange at a time on each: the others wait, first come, first served. */
import type { Connection } from './connection.ts';
import type { Exchange, ExchangeEnd } from './exchange.ts';

export class Connections {
  readonly #most: number;
  readonly #load: () => Promise<() => Connection>;
  #open: (() => Connection) | undefined;
  #loading = false;
  #count = 0;
  /** The one that was used last comes first: what is not needed grows old, and is closed. */
  readonly #idle: Connection[] = [];
  readonly #busy = new Map<Exchange, Connection>();
  /** From `#first` on; one that was given up meanwhile is passed over. */
  #waiting: Exchange[] = [];
  #first = 0;
  #closed = false;

  /** @param load Makes ready what makes them; asked by the first exchange, and again where it failed. */
  constructor(most: number, load: () => Promise<() => Connection>) {
    this.#most = most;
    this.#load = load;
  }

  /** Has an exchange begin as soon as there is a connection for it. It has to leave, whatever becomes of it. */
  enter(exchange: Exchange): void {
    const connection = this.#take();
    if (connection !== undefined) return this.#begin(exchange, connection);
    this.#waiting.push(exchange);
    if (this.#open === undefined && !this.#loading) this.#makeReady().catch(() => undefined);
  }

  /** Gives its connection to the one that waits longest. Of an exchange that still waits nothing is to be done. */
  leave(exchange: Exchange, end: ExchangeEnd): void {
    const connection = this.#busy.get(exchange);
    if (connection === undefined) return;
    this.#busy.delete(exchange);
    if (end === 'ended') return this.#free(connection);
    connection.giveUp();
    // However many fail at once, none is begun from within the end of another.
    queueMicrotask(() => this.#free(connection));
  }

  /** Closes all, each when its exchange has ended. */
  close(): void {
    this.#closed = true;
    for (const connection of this.#idle.splice(0)) connection.close();
  }

  async #makeReady(): Promise<void> {
    this.#loading = true;
    try {
      this.#open = await this.#load();
    } catch (error) {
      const waiting = this.#waiting;
      this.#waiting = [];
      this.#first = 0;
      for (const exchange of waiting) exchange.cancel(error as Error);
    }
    this.#loading = false;
    while (this.#next(() => this.#take()));
  }

  /** One that is idle, or a new one while there may be more. */
  #take(): Connection | undefined {
    const idle = this.#idle.pop();
    if (idle !== undefined || this.#open === undefined || this.#count >= this.#most) return idle;
    this.#count++;
    return this.#open();
  }

  #free(connection: Connection): void {
    if (this.#next(() => connection)) return;
    if (this.#closed) return connection.close();
    connection.rest();
    this.#idle.push(connection);
  }

  /** Has the one begin that waits longest. @returns Whether one did. */
  #next(connectionFor: () => Connection | undefined): boolean {
    const exchange = this.#longest();
    const connection = exchange && connectionFor();
    if (exchange === undefined || connection === undefined) return false;
    this.#first++;
    this.#begin(exchange, connection);
    return true;
  }

  #longest(): Exchange | undefined {
    while (this.#waiting[this.#first]?.isOver === true) this.#first++;
    if (this.#first === this.#waiting.length || this.#first > 1024) {
      this.#waiting = this.#waiting.slice(this.#first);
      this.#first = 0;
    }
    return this.#waiting[this.#first];
  }

  #begin(exchange: Exchange, connection: Connection): void {
    this.#busy.set(exchange, connection);
    exchange.begin(connection);
  }
}
