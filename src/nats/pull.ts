/**
 * The pull: asks the server for as many events as the consumer has room for, and for more as room is given back.
 *
 * All requests of a consumer share one subscription. Data messages carry the stream's subject and do not tell which
 * request they answer, so only the sum is kept: asked for, less received, less what a request's final status says was
 * left over. A request lives a few seconds, which bounds how long a stop has to wait for it.
 */
import { createInbox, type Msg, type NatsConnection, type Subscription } from '@nats-io/transport-node';
import { headerDescription, headerStatus, headerValue } from '../core/headers.ts';
import type { Consumer } from '../core/consumer.ts';
import type { Carrier, Event, Position } from '../core/event.ts';
import type { Handed } from '../core/handover.ts';
import type { Lane } from '../core/lane.ts';
import type { Run } from '../core/run.ts';
import type { Pin } from './pin.ts';
import { numbersAt, parsePosition } from './position.ts';
import { headerBytes, replyBytes, subjectOf, type Wire } from './wire.ts';

/** Takes an event in hand. */
export type Take = (event: Event, handed?: Handed) => void;

export interface PullOptions {
  readonly connection: NatsConnection;
  readonly wire: Wire;
  readonly stream: string;
  readonly durable: string;
  readonly consumer: Consumer;
  /** Makes an event of a message and hands it to the consumer, now or later. */
  readonly open: (carrier: Carrier, position: Position, take: Take) => void;
  /** The lane whose durable this is; undefined where the consumer has none. Asked anew for each event and request. */
  readonly lane?: (() => Lane | undefined) | undefined;
  /** Events on their way for this pull, at most; what is in hand is bounded by the consumer. */
  readonly most?: number;
  /** Of a durable that hands out to one instance alone. */
  readonly pin?: Pin | undefined;
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** The durable is gone, or nobody answers for it: it has to be looked at before the pull goes on. */
  readonly onLost: (reason: string) => void;
  /** Something unforeseen, once for each kind. */
  readonly onWarning: (message: string) => void;
}

/** Milliseconds that a request lives, and between the server's signs of life while it does. */
const EXPIRES = 3_000;
const HEARTBEAT = 1_000;
/** Milliseconds that an answer may be on its way, there and back: a slow network is no silence. */
const LATENCY = 4_500;
/** The reason of a loss that nobody announced. */
export const SILENCE = 'missed heartbeats';
/** Milliseconds of silence after which the durable is looked at. */
const LONGEST_SILENCE = 2 * HEARTBEAT + LATENCY;
/** Bytes in hand, at most. */
const BYTES = 64 * 1024 * 1024;
/** Bytes on their way, at most: well below what a server lets a client fall behind (`max_pending`, 64 MiB by default). */
const BYTES_ON_THE_WAY = 16 * 1024 * 1024;
/** Room for subject, reply and headers in `max_bytes`, beside the payload. */
const OVERHEAD = 64 * 1024;

/** A message as the core sees it. Its subject is decoded when somebody asks for it; many events never need it. */
class ReceivedMessage implements Carrier {
  readonly reply: Uint8Array;
  readonly headers: Uint8Array | undefined;
  readonly body: Uint8Array;
  readonly #message: Msg;
  #subject: string | undefined;

  constructor(message: Msg, reply: Uint8Array, headers: Uint8Array | undefined) {
    this.#message = message;
    this.reply = reply;
    this.headers = headers;
    this.body = message.data;
  }

  get subject(): string {
    return (this.#subject ??= subjectOf(this.#message));
  }
}

export class Pull {
  readonly #options: PullOptions;
  readonly #inbox = `${createInbox()}.`;
  readonly #request: string;
  #subscription: Subscription;
  /** When the server ended the subscription (a permission was taken away); undefined while there is one. */
  #endedAt: number | undefined;
  readonly #watch: NodeJS.Timeout;
  #number = 0;
  /** Events asked for and neither received nor given up by the server. */
  #outstanding = 0;
  #lastExpiry = 0;
  #lastHeard = performance.now();
  #lastLook = performance.now();
  #stopping = false;
  #paused = true;
  /** Nothing that still comes is to start. */
  #holding = false;
  /** Where the numbers begin in this durable's ack subjects; 0 until one was seen. */
  #numbersAt = 0;
  /** The head of the stream is larger than what was asked for: it is asked for alone, without a bound. */
  #large = false;
  /** Events on their way, at most. */
  #most: number;
  readonly #refused: Run[] = [];
  #whenSpent: (() => void) | undefined;

  constructor(options: PullOptions) {
    this.#options = options;
    const { domain, stream, durable, most = Number.POSITIVE_INFINITY } = options;
    this.#most = most;
    this.#request = `${domain === undefined ? '$JS' : `$JS.${domain}`}.API.CONSUMER.MSG.NEXT.${stream}.${durable}`;
    this.#subscription = this.#subscribe();
    this.#watch = setInterval(() => this.#look(), HEARTBEAT);
    this.#watch.unref();
    options.consumer.onRelease.push(this.#ask);
  }

  /** Whether there is no room for further events. */
  get full(): boolean {
    const lane = this.#options.lane?.();
    const { held, heldBytes, limits } = this.#options.consumer;
    if (lane !== undefined) return lane.held >= lane.prefetch || lane.heldBytes >= BYTES * lane.share;
    return held >= limits.prefetch || heldBytes >= BYTES;
  }

  /** Whether nothing is asked for. */
  get paused(): boolean {
    return this.#paused;
  }

  /** What is in hand that this pull brought, as far as it is counted, and how much of it may be. */
  get #hand(): Pick<Lane, 'held' | 'heldBytes' | 'room'> {
    return this.#options.lane?.() ?? this.#options.consumer;
  }

  /** Starts asking, or starts again after a reconnect or after the durable was lost. */
  resume(): void {
    this.#paused = false;
    this.#holding = false;
    this.#giveBackRefused();
    this.#outstanding = 0;
    this.#numbersAt = 0;
    this.#lastHeard = performance.now();
    this.#ask();
  }

  /** Has no more events on their way than this; what is on its way already stays. */
  bound(most = Number.POSITIVE_INFINITY): void {
    this.#most = most;
    this.#ask();
  }

  /** What was asked for with a pin that is gone brings nothing any more. */
  forgetOutstanding(): void {
    this.#outstanding = 0;
    this.#spent();
  }

  /** Asks for nothing until `resume`; what is on its way is still taken. */
  pause(): void {
    this.#paused = true;
  }

  /** The same, and what is on its way is not taken: it is given back when the last request has ended. */
  hold(): void {
    this.#paused = true;
    this.#holding = true;
    this.#spent();
  }

  /**
   * Stops for good: asks for no more, waits until the last request has ended, and gives back what came meanwhile. An
   * earlier nak would only bring the event back here.
   */
  async stop(): Promise<void> {
    this.#stopping = true;
    clearInterval(this.#watch);
    const left = this.#lastExpiry - performance.now();
    if (this.#outstanding > 0 && left > 0 && this.#options.wire.connected) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left + 250);
        this.#whenSpent = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.#subscription.unsubscribe();
    this.#giveBackRefused();
    this.#leave();
  }

  /** Milliseconds in which what is given back may still come straight back here, because a request is under way. */
  get spentIn(): number {
    return this.#outstanding > 0 ? Math.max(0, this.#lastExpiry - performance.now()) : 0;
  }

  /** Lets go of a pull that never asked. */
  discard(): void {
    clearInterval(this.#watch);
    this.#subscription.unsubscribe();
    this.#leave();
  }

  /** Asks again: what came was let go, and nothing was settled that would say so. */
  askAgain(): void {
    this.#ask();
  }

  #leave(): void {
    const { onRelease } = this.#options.consumer;
    const at = onRelease.indexOf(this.#ask);
    if (at !== -1) onRelease.splice(at, 1);
  }

  #subscribe(): Subscription {
    return this.#options.connection.subscribe(`${this.#inbox}*`, {
      callback: (error, message) => {
        // What is thrown in here would end the connection's reader.
        try {
          if (error === null) this.#receive(message);
          // It is over for good: it is made again, until that is allowed. The connection says what was refused.
          else this.#endedAt = performance.now();
        } catch (thrown) {
          this.#options.onWarning(`a message could not be taken: ${String(thrown)}`);
        }
      },
    });
  }

  #receive(message: Msg): void {
    this.#lastHeard = performance.now();
    const reply = replyBytes(message);
    if (reply.length === 0) return this.#status(message);
    if (this.#outstanding > 0) this.#outstanding--;
    this.#large = false;
    if (this.#numbersAt === 0) this.#numbersAt = numbersAt(reply);
    const { open, pin } = this.#options;
    const block = headerBytes(message);
    const headers = pin === undefined ? block : pin.read(block);
    open(new ReceivedMessage(message, reply, headers), parsePosition(reply, this.#numbersAt), this.#take);
    this.#spent();
  }

  readonly #take: Take = (event, handed) => {
    const { consumer } = this.#options;
    const lane = this.#options.lane?.();
    if (this.#stopping || this.#holding) this.#refused.push(consumer.refuse(event, handed, lane));
    else consumer.receive(event, handed, lane);
  };

  #status(message: Msg): void {
    const headers = headerBytes(message);
    if (headers === undefined) return;
    const status = headerStatus(headers);
    if (status === 100) return;
    if (status === 423) return this.#unpinned();
    const description = headerDescription(headers);
    // A server that goes away or loses the lead forgets every request, and does not say how much was left of each.
    const forgotten = /leadership change|server shutdown/i.test(description);
    const left = forgotten ? this.#outstanding : Number(headerValue(headers, 'Nats-Pending-Messages')) || 0;
    this.#outstanding = Math.max(0, this.#outstanding - left);
    if (status === 503 || /consumer deleted|no responders/i.test(description))
      return this.#lost(description || 'no responders');
    // The whole request came back: the next event alone is larger than the bound.
    if (/maxbytes/i.test(description) && left > 0 && this.#hand.held === 0) this.#large = true;
    if (status === 409 && !forgotten && !/maxbytes|batch completed/i.test(description))
      this.#options.onWarning(`the server ended a pull: ${status} ${description}`);
    this.#spent();
    this.#renew();
  }

  /** The pin that was asked with is another instance's by now. */
  #unpinned(): void {
    this.forgetOutstanding();
    this.#options.pin?.refused();
    this.#ask();
  }

  #spent(): void {
    if (this.#outstanding > 0) return;
    if (this.#stopping) this.#whenSpent?.();
    if (this.#holding) this.#giveBackRefused();
  }

  #giveBackRefused(): void {
    for (const run of this.#refused.splice(0)) run.consumer.settle.giveBack(run);
  }

  #lost(reason: string): void {
    this.#outstanding = 0;
    if (this.#stopping) return this.#spent();
    if (this.#paused) return;
    this.#paused = true;
    this.#options.onLost(reason);
  }

  /**
   * Asks anew for what a request left over when it ended. At rest that waits as long as enough is on its way: the
   * requests that a load has cut into pieces become one again.
   */
  #renew(): void {
    const { held, room } = this.#hand;
    if (held > 0 || this.#outstanding < room / 4) this.#ask();
  }

  readonly #ask = (): void => {
    if (this.#stopping || this.#paused || this.#endedAt !== undefined || !this.#options.wire.connected) return;
    const { consumer, connection, wire, pin } = this.#options;
    const { held, heldBytes, room } = this.#hand;
    const most = this.#most;
    const free = Math.min(room - held, most) - this.#outstanding;
    // Small requests are saved up, as long as something is still on its way or in hand.
    if (free < 1 || (free < Math.min(room, most) / 4 && this.#outstanding + held > 0)) return;
    if (heldBytes >= BYTES * (this.#options.lane?.()?.share ?? 1)) return;
    const batch = this.#large ? 1 : free;
    // Nothing was to be heard while nothing was asked for.
    if (this.#outstanding === 0) this.#lastHeard = performance.now();
    this.#outstanding += batch;
    this.#lastExpiry = performance.now() + EXPIRES;
    const largest = (connection.info?.max_payload ?? 1024 * 1024) + OVERHEAD;
    const request = {
      batch,
      expires: EXPIRES * 1_000_000,
      idle_heartbeat: HEARTBEAT * 1_000_000,
      ...pin?.request,
      ...(this.#large
        ? {}
        : { max_bytes: Math.max(largest, Math.round((BYTES_ON_THE_WAY * batch) / consumer.limits.prefetch)) }),
    };
    this.#number = (this.#number + 1) % 1_000_000;
    wire.request(this.#request, this.#inbox + this.#number, JSON.stringify(request));
  };

  /** Once a second: whether the server is still there for what was asked, and whether the sums still hold. */
  #look(): void {
    if (this.#holding && performance.now() > this.#lastExpiry + LATENCY) {
      this.#outstanding = 0;
      this.#spent();
    }
    if (this.#paused || !this.#options.wire.connected) return;
    const now = performance.now();
    if (this.#endedAt !== undefined && now - this.#endedAt >= HEARTBEAT) {
      this.#endedAt = undefined;
      this.#subscription = this.#subscribe();
      // What was asked for went to nobody; the server hands it out again after ack_wait.
      this.#outstanding = 0;
    }
    const late = now - this.#lastLook > 2 * HEARTBEAT;
    this.#lastLook = now;
    // A process that was stopped or busy has not read what came meanwhile: it may not speak of silence.
    if (late) this.#lastHeard = now;
    if (this.#outstanding > 0 && now - this.#lastHeard > LONGEST_SILENCE) return this.#lost(SILENCE);
    // Past the last request's life nothing can be on its way any more.
    if (now > this.#lastExpiry + LATENCY) this.#outstanding = 0;
    this.#renew();
  }
}
