/** One consumer on its way through life: provisioned, pulling, lost and found again, drained. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Consumer } from '../core/consumer.ts';
import type { Decoder } from '../core/event.ts';
import { asOuzelError } from '../errors.ts';
import { type Difference, type DurableSpec, ensureDurable, findDurable } from '../nats/provision.ts';
import { Pull } from '../nats/pull.ts';
import type { Wire } from '../nats/wire.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { CONSUMER_STATES, type ConsumerState } from '../telemetry/names.ts';

export interface RuntimeOptions {
  readonly consumer: Consumer;
  readonly spec: DurableSpec;
  readonly decode: Decoder;
  readonly prefetch: number;
  /** Does not pull, and leaves the durable as it is. */
  readonly paused: boolean;
  readonly domain: string | undefined;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly wire: Wire;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Milliseconds between attempts to provision a consumer that cannot run. */
const RETRY_FIRST = 1_000;
const RETRY_MAX = 15_000;

export class ConsumerRuntime {
  readonly name: string;
  readonly consumer: Consumer;
  readonly #options: RuntimeOptions;
  readonly #pull: Pull;
  #state: ConsumerState = 'starting';
  #reason = '';
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  /** Last of the durable's acknowledgements that is known, for making it anew where it was. */
  #ackFloor: number | undefined;

  constructor(options: RuntimeOptions) {
    const { consumer, connection, wire, spec, decode, prefetch, domain } = options;
    this.name = consumer.name;
    this.consumer = consumer;
    this.#options = options;
    this.#pull = new Pull({
      connection,
      wire,
      stream: spec.stream,
      durable: spec.name,
      consumer,
      decode,
      prefetch,
      domain,
      onLost: (reason) => this.#lost(reason),
      onWarning: (message) => options.logger.warn({ consumer: this.name }, message),
    });
    this.#show();
  }

  /** The state as metrics and `/readyz` show it; `running` is told from `backpressured` by what is in hand. */
  get state(): ConsumerState {
    return this.#state === 'running' && this.#pull.full ? 'backpressured' : this.#state;
  }

  /** Why it failed; empty otherwise. */
  get reason(): string {
    return this.#reason;
  }

  /** Provisions the durable and starts to pull. A consumer that cannot run is `failed` and tried again. */
  async start(): Promise<void> {
    const { spec, manager, logger, paused } = this.#options;
    if (paused) return this.#become('paused');
    try {
      const { made, changed } = await ensureDurable(manager, spec);
      if (made) logger.info({ consumer: this.name, stream: spec.stream }, 'durable made');
      if (changed.length > 0) logger.info({ consumer: this.name, changed: describe(changed) }, 'durable changed');
      this.#failures = 0;
      if (this.#closing) return;
      this.#become('running');
      this.#pull.resume();
    } catch (error) {
      this.#failed(error, () => this.start());
    }
  }

  disconnected(): void {
    if (this.#closing || this.#state === 'paused') return;
    this.#pull.pause();
    if (this.#state === 'running') this.#become('disconnected');
  }

  reconnected(): void {
    if (this.#state !== 'disconnected') return;
    this.#become('running');
    this.#pull.resume();
  }

  /**
   * Drains: asks for no more, gives back what has not started, and waits for what runs.
   *
   * @param deadline Resolves when there is no more time; what runs then is left to `ack_wait`.
   */
  async stop(deadline: Promise<void>): Promise<void> {
    this.#become('draining');
    clearTimeout(this.#retry);
    this.consumer.draining = true;
    await Promise.race([this.#pull.stop(), deadline]);
    this.consumer.giveBackUnstarted();
    await Promise.race([this.consumer.idle(), deadline]);
    this.#become('stopped');
  }

  /** Brings gauges up to date that are computed rather than counted. */
  refresh(): void {
    const { metrics } = this.#options;
    metrics.oldestUnsettled.with(this.name).set(this.consumer.oldestAge());
    this.#show();
  }

  /** Asks the server for what the durable has left. */
  async poll(): Promise<void> {
    const { manager, spec, metrics } = this.#options;
    if (this.#state !== 'running' && this.#state !== 'paused') return;
    const info = await findDurable(manager, spec.stream, spec.name).catch(() => undefined);
    if (info === undefined) return;
    this.#ackFloor = info.ack_floor.stream_seq;
    metrics.consumerPending.with(this.name).set(info.num_pending);
    metrics.consumerAckPending.with(this.name).set(info.num_ack_pending);
  }

  get #closing(): boolean {
    return this.#state === 'draining' || this.#state === 'stopped';
  }

  #become(state: ConsumerState, reason = ''): void {
    if (this.#state === 'stopped') return;
    this.#state = state;
    this.#reason = reason;
    this.#show();
  }

  #show(): void {
    const { metrics } = this.#options;
    for (const state of CONSUMER_STATES) metrics.consumerState.with(this.name, state).set(state === this.state ? 1 : 0);
  }

  #failed(error: unknown, again: () => Promise<void>): void {
    if (this.#closing) return;
    const { code, message } = asOuzelError(error);
    if (this.#reason !== message)
      this.#options.logger.error({ consumer: this.name, code }, `consumer cannot run: ${message}`);
    this.#become('failed', message);
    this.#later(again);
  }

  #later(again: () => Promise<void>): void {
    const delay = Math.min(RETRY_MAX, RETRY_FIRST * 2 ** this.#failures++);
    this.#retry = setTimeout(() => {
      again().catch((unexpected: unknown) => this.#failed(unexpected, again));
    }, delay);
    this.#retry.unref();
  }

  /** The durable did not answer: it is made anew if it is gone, from the first event that has no outcome yet. */
  #lost(reason: string): void {
    this.#recover(reason).catch((error: unknown) => this.#failed(error, () => this.#recover(reason)));
  }

  async #recover(reason: string): Promise<void> {
    const { manager, spec, logger, metrics, wire } = this.#options;
    if (this.#closing) return;
    if (!wire.connected) {
      // A consumer that runs is taken up again by `reconnected`; one that failed has nothing but this.
      if (this.#state === 'failed') this.#later(() => this.#recover(reason));
      return;
    }
    try {
      const { made } = await ensureDurable(manager, spec, this.#resumeFrom());
      if (made) {
        metrics.consumerRecreated.with(this.name).increment();
        logger.warn(
          { consumer: this.name, reason, from: this.#resumeFrom() },
          'the durable was gone and has been made anew',
        );
      } else if (this.#state === 'failed') logger.info({ consumer: this.name }, 'consumer runs again');
      this.#failures = 0;
      this.#become('running');
      this.#pull.resume();
    } catch (error) {
      this.#failed(error, () => this.#recover(reason));
    }
  }

  #resumeFrom(): number | undefined {
    const { highestSequence } = this.consumer;
    const settled = this.#ackFloor === undefined ? 0 : this.#ackFloor + 1;
    // What failed once may have left the stream since; nothing up to the ack floor is taken up again for it.
    if (highestSequence > 0) return Math.max(settled, this.consumer.lowestSequence() ?? highestSequence + 1);
    return settled === 0 ? undefined : settled;
  }
}

const describe = (changed: readonly Difference[]): string =>
  changed
    .map(({ field, server, config }) => `${field}: ${JSON.stringify(server)} → ${JSON.stringify(config)}`)
    .join('; ');
