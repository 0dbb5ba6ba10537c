/**
 * Incidents on their way into the stream: one after another, so that they stand there in the order in which they
 * happened, and within a bound. While NATS is away they wait.
 */
import type { Publisher } from '../../deliver/ports.ts';
import type { OuzelError } from '../../errors.ts';
import type { IncidentMessage } from './message.ts';

/** Incidents that wait, at most. Beyond it the oldest go, since the newest say how things stand. */
const LONGEST = 256;
/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 5_000;
/** Milliseconds between attempts: the first, and the longest. */
const AGAIN_FIRST = 500;
const AGAIN_MAX = 30_000;

export interface OutboxOptions {
  readonly published: (message: IncidentMessage) => void;
  readonly dropped: (message: IncidentMessage) => void;
  /** Said once when it begins, until one was published again. */
  readonly warn: (error: OuzelError, waiting: number) => void;
}

export class Outbox {
  readonly #options: OutboxOptions;
  readonly #waiting: IncidentMessage[] = [];
  #sending: IncidentMessage | undefined;
  #publisher: Publisher | undefined;
  #prepare: () => Promise<void> = () => Promise.resolve();
  #failures = 0;
  #again: NodeJS.Timeout | undefined;
  #closed = false;
  #whenEmpty: (() => void) | undefined;

  constructor(options: OutboxOptions) {
    this.#options = options;
  }

  /** Those that are not in the stream yet. */
  get length(): number {
    return this.#waiting.length + (this.#sending === undefined ? 0 : 1);
  }

  add(message: IncidentMessage): void {
    if (this.#closed) return this.#options.dropped(message);
    this.#waiting.push(message);
    if (this.#waiting.length > LONGEST) this.#options.dropped(this.#waiting.shift() as IncidentMessage);
    this.#next();
  }

  /**
   * Begins to publish.
   *
   * @param prepare Makes the stream where it is gone.
   */
  connect(publisher: Publisher, prepare: () => Promise<void>): void {
    this.#publisher = publisher;
    this.#prepare = prepare;
    this.resume();
  }

  /** To be called when NATS is back: what waits goes out now. */
  resume(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    this.#next();
  }

  /** Sends what waits, and takes no more. @param limit Resolves when there is no more time; what is left is dropped. */
  async close(limit: Promise<void>): Promise<void> {
    const { promise: empty, resolve } = Promise.withResolvers<void>();
    this.#whenEmpty = resolve;
    this.resume();
    if (this.length > 0) await Promise.race([empty, limit]);
    this.#closed = true;
    clearTimeout(this.#again);
    for (const message of this.#waiting.splice(0)) this.#options.dropped(message);
    if (this.#sending !== undefined) this.#options.dropped(this.#sending);
    this.#sending = undefined;
  }

  #next(): void {
    const publisher = this.#publisher;
    if (publisher === undefined || this.#sending !== undefined || this.#again !== undefined) return;
    const message = this.#waiting.shift();
    if (message === undefined) return this.#whenEmpty?.();
    this.#sending = message;
    const { subject, headers, body } = message;
    publisher.publish(subject, headers, body, TIMEOUT, {
      confirmed: () => this.#confirmed(message),
      failed: (error) => this.#failed(message, error),
    });
  }

  #confirmed(message: IncidentMessage): void {
    if (this.#sending !== message) return;
    this.#sending = undefined;
    this.#failures = 0;
    this.#options.published(message);
    this.#next();
  }

  #failed(message: IncidentMessage, error: OuzelError): void {
    if (this.#sending !== message) return;
    this.#sending = undefined;
    // A message that is refused would be refused again.
    if (error.kind === 'rejected') this.#options.dropped(message);
    else this.#waiting.unshift(message);
    if (this.#failures++ === 0) this.#options.warn(error, this.#waiting.length);
    const delay = Math.min(AGAIN_MAX, AGAIN_FIRST * 2 ** Math.min(this.#failures - 1, 16));
    this.#again = setTimeout(() => {
      this.#retry(error).catch(() => undefined);
    }, delay);
    this.#again.unref();
  }

  async #retry({ code }: OuzelError): Promise<void> {
    // Whether the stream could be made shows when it is published to.
    if (code === 'TARGET_NO_STREAM') await this.#prepare().catch(() => undefined);
    this.resume();
  }
}
