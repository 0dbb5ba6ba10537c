/**
 * The pin of a durable: of all instances that pull, the server hands out events to one alone (a priority group with the
 * policy `pinned_client`). A message brings the id of the pin; it lives by the requests that carry it.
 *
 * The server keeps a pin for `PIN_TIMEOUT` after the last such request. An instance that has heard nothing of its own for
 * `FENCE` must take it that another one is about to have its events.
 */
import { createInbox, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { headerDescription, headerStatus, headerValue } from '../core/headers.ts';
import { headerBytes, subjectNumber, type Wire } from './wire.ts';

/** The one group of a durable that is pinned. */
export const PIN_GROUP = 'ouzel';
/** Milliseconds after which the server pins another instance. `ack_wait` should be less: then nothing is out any more. */
export const PIN_TIMEOUT = 15_000;
/** Milliseconds since the last keep-alive that was confirmed after which nothing may begin. */
export const FENCE = 10_000;
/** Milliseconds between keep-alives. */
const KEEP_ALIVE = 3_000;
/** Milliseconds that the request for taking back a pin may take. */
const UNPIN = 1_000;
/** Bytes of `NATS/1.0` and its end of line. */
const STATUS_LINE = 10;
/** Keep-alives that are remembered; one that is answered later than that says nothing any more. */
const REMEMBERED = 8;

export interface PinOptions {
  readonly connection: NatsConnection;
  readonly wire: Wire;
  readonly stream: string;
  readonly durable: string;
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** The server hands out to this instance from now on. */
  readonly onPinned: () => void;
  /** It does so no more. */
  readonly onLost: () => void;
  /** The pin was this instance's at this instant, by the monotonic clock. */
  readonly onConfirmed: (at: number) => void;
}

export class Pin {
  readonly #options: PinOptions;
  readonly #api: string;
  readonly #inbox = `${createInbox()}.`;
  readonly #sent = new Map<number, number>();
  #subscription: Subscription | undefined;
  #timer: NodeJS.Timeout | undefined;
  #number = 0;
  #id: string | undefined;
  /** The line of the id as it ends the header block of each message. */
  #line: Buffer = Buffer.alloc(0);
  #confirmedAt = Number.NEGATIVE_INFINITY;

  constructor(options: PinOptions) {
    const { domain } = options;
    this.#options = options;
    this.#api = `${domain === undefined ? '$JS' : `$JS.${domain}`}.API.CONSUMER.`;
  }

  /** The id of the pin that this instance has; undefined while it has none. */
  get id(): string | undefined {
    return this.#id;
  }

  /** When the pin was known to be this instance's last, by the monotonic clock. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  /** What requests for events carry. */
  get request(): { readonly group: string; readonly id?: string } {
    return this.#id === undefined ? { group: PIN_GROUP } : { group: PIN_GROUP, id: this.#id };
  }

  /** Reads the pin off a message. @returns The event's own header block; undefined where it has none. */
  read(block: Uint8Array | undefined): Uint8Array | undefined {
    if (block === undefined) return undefined;
    const line = this.#line;
    const own = block.length - line.length;
    if (line.length === 0 || own < STATUS_LINE || line.compare(block, own) !== 0)
      this.#found(headerValue(block, 'Nats-Pin-Id'));
    // Nothing but the status line and the pin: the event came without headers.
    return block.length - this.#line.length === STATUS_LINE ? undefined : block;
  }

  /** The server refused the pin with this id (423). */
  refused(id: string | undefined = this.#id): void {
    if (id === undefined || id !== this.#id) return;
    this.forget();
    this.#options.onLost();
  }

  /** Lets go of the id: whoever is pinned next, it is as if for the first time. */
  forget(): void {
    this.#id = undefined;
    this.#line = Buffer.alloc(0);
    this.#confirmedAt = Number.NEGATIVE_INFINITY;
    this.#sent.clear();
    clearInterval(this.#timer);
  }

  /** Keeps the pin alive now, and hears whether it is still this instance's. */
  keepAlive(): void {
    const { wire, stream, durable } = this.#options;
    if (this.#id === undefined || !wire.connected) return;
    this.#subscription ??= this.#subscribe();
    this.#number = (this.#number + 1) % 1_000_000;
    this.#sent.set(this.#number, performance.now());
    for (const oldest of this.#sent.keys()) {
      if (this.#sent.size <= REMEMBERED) break;
      this.#sent.delete(oldest);
    }
    // No event is as small as that, so the request ends at once and brings none.
    const request = { batch: 1, max_bytes: 1, expires: 1_000_000, ...this.request };
    wire.request(`${this.#api}MSG.NEXT.${stream}.${durable}`, this.#inbox + this.#number, JSON.stringify(request));
  }

  /** Gives the pin back, so that another instance has it at once. */
  async unpin(): Promise<void> {
    const { connection, wire, stream, durable } = this.#options;
    if (this.#id === undefined) return;
    this.forget();
    if (!wire.connected) return;
    const request = JSON.stringify({ group: PIN_GROUP });
    // Should it not be heard, the server gives the pin to another instance by itself, only later.
    await connection
      .request(`${this.#api}UNPIN.${stream}.${durable}`, request, { timeout: UNPIN })
      .catch(() => undefined);
  }

  close(): void {
    this.forget();
    this.#subscription?.unsubscribe();
  }

  #found(id: string | undefined): void {
    if (id === undefined || id === this.#id) return;
    this.#id = id;
    this.#line = Buffer.from(`Nats-Pin-Id: ${id}\r\n\r\n`);
    this.#confirmedAt = Number.NEGATIVE_INFINITY;
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.keepAlive(), KEEP_ALIVE);
    this.#timer.unref();
    this.keepAlive();
    this.#options.onPinned();
  }

  #subscribe(): Subscription {
    return this.#options.connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        if (error === null) this.#answered(message);
      },
    });
  }

  #answered(message: Msg): void {
    const number = subjectNumber(message);
    const sentAt = this.#sent.get(number);
    const headers = headerBytes(message);
    if (sentAt === undefined || headers === undefined) return;
    this.#sent.delete(number);
    const status = headerStatus(headers);
    if (status === 423) return this.refused();
    // It ended because it ran out of time, or because every event is larger than it allows: the pin holds.
    const holds = status === 408 || status === 404 || (status === 409 && /maxbytes/i.test(headerDescription(headers)));
    if (!holds || sentAt <= this.#confirmedAt) return;
    this.#confirmedAt = sentAt;
    this.#options.onConfirmed(sentAt);
  }
}
