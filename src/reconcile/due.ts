/** What a consumer gets beside its stream: events that timers and re-drives hand to it, from OUZEL_TIMERS. */
import type { Consumer } from '../core/consumer.ts';
import type { Decoder } from '../core/event.ts';
import { asOuzelError } from '../errors.ts';
import type { Bodies } from '../nats/bodies.ts';
import { openHanded } from '../nats/handed.ts';
import { type DurableSpec, ensureDurable } from '../nats/provision.ts';
import { Pull } from '../nats/pull.ts';
import { dueSubject, removeAcked, TIMER_STREAM } from '../nats/timers.ts';
import type { RuntimeOptions } from './runtime.ts';

/** Events of this kind on their way, at most: they come when they are due, and must not push out the stream's. */
const MOST = 256;
/** Milliseconds before a durable that cannot be made is tried again. */
const AGAIN = 5_000;
/** Milliseconds that events may be due before it is asked whether they were acked. */
const LEFT_OVER = 10_000;

/** The durable for what is due; the same in all but its stream. */
const dueSpec = (spec: DurableSpec): DurableSpec => ({
  ...spec,
  stream: TIMER_STREAM,
  subjects: [dueSubject(spec.name)],
  // Where one instance has all, no other asks for what is due.
  pinned: false,
  // A stream that is a work queue hands out nothing else.
  start: 'all',
});

export interface DueOptions extends Pick<RuntimeOptions, 'connection' | 'manager' | 'wire' | 'domain' | 'logger'> {
  readonly consumer: Consumer;
  readonly bodies: Pick<Bodies, 'get'>;
  /** Of the consumer as it is configured now. */
  readonly spec: () => DurableSpec;
  readonly decode: () => Decoder;
}

/** Pulls due events once there are some; most consumers never have any. */
export class DueEvents {
  readonly #options: DueOptions;
  #pull: Pull | undefined;
  #wanted = false;
  /** Whether the consumer takes events at all now. */
  #taking = false;
  #opening = false;
  #stopped = false;
  #lookedAt = 0;
  #retry: NodeJS.Timeout | undefined;

  constructor(options: DueOptions) {
    this.#options = options;
  }

  /** There are events, or will be: they are pulled from now on. */
  want(): void {
    if (this.#wanted) return;
    this.#wanted = true;
    this.#lookedAt = performance.now();
    this.#open();
  }

  /** There are events: those that stay are looked into. */
  async tend(): Promise<void> {
    if (!this.#wanted) return this.want();
    const now = performance.now();
    if (!this.#taking || this.#opening || now - this.#lookedAt < LEFT_OVER) return;
    this.#lookedAt = now;
    await removeAcked(this.#options.manager, this.#options.consumer.name);
  }

  /** The consumer takes events, or takes none for now. */
  take(taking: boolean): void {
    this.#taking = taking;
    if (taking) this.#open();
    else this.#pull?.pause();
  }

  /** The consumer is paused, as `Pull.hold`. */
  hold(): void {
    this.#taking = false;
    this.#pull?.hold();
  }

  /** Stops for good, as `Pull.stop`. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#retry);
    await this.#pull?.stop();
  }

  #open(): void {
    const { wire, logger, consumer } = this.#options;
    if (!this.#wanted || !this.#taking || this.#stopped || this.#opening || !wire.connected) return;
    this.#opening = true;
    this.#provisionAndPull()
      .catch((error: unknown) => {
        const { code, message } = asOuzelError(error);
        logger.warn({ consumer: consumer.name, code }, `events that are due cannot be taken yet: ${message}`);
        this.#retry = setTimeout(() => this.#open(), AGAIN);
        this.#retry.unref();
      })
      .finally(() => (this.#opening = false));
  }

  async #provisionAndPull(): Promise<void> {
    const { consumer, connection, wire, domain, manager, spec, decode, bodies, logger } = this.#options;
    await ensureDurable(manager, dueSpec(spec()));
    if (this.#stopped) return;
    const onWarning = (message: string): void => logger.warn({ consumer: consumer.name }, message);
    this.#pull ??= new Pull({
      connection,
      wire,
      stream: TIMER_STREAM,
      durable: consumer.name,
      consumer,
      open: openHanded({ decode, bodies, onWarning }),
      most: MOST,
      domain,
      onLost: () => this.#open(),
      onWarning,
    });
    if (this.#taking) this.#pull.resume();
  }
}
