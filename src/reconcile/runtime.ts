/** One consumer on its way through life: provisioned, pulling, lost and found again, drained. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { Consumer } from '../core/consumer.ts';
import { Event } from '../core/event.ts';
import { asOuzelError } from '../errors.ts';
import type { HeldEvents } from '../flow/held.ts';
import type { Publisher } from '../deliver/ports.ts';
import { findActive, noteActive, type ActiveHolder } from '../nats/active.ts';
import type { Bodies } from '../nats/bodies.ts';
import { findDurable } from '../nats/provision.ts';
import { Pull, SILENCE } from '../nats/pull.ts';
import type { Wire } from '../nats/wire.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { CONSUMER_STATES, type ConsumerState } from '../telemetry/names.ts';
import type { Blueprint } from './build.ts';
import { ActiveInstance } from './active.ts';
import { DueEvents } from './due.ts';
import { OwnDurable } from './durable.ts';
import { LaneFeeds, type LaneShown } from './lanes.ts';

export interface RuntimeOptions {
  readonly consumer: Consumer;
  readonly blueprint: Blueprint;
  readonly domain: string | undefined;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly wire: Wire;
  readonly bodies: Pick<Bodies, 'get'>;
  /** What debounce holds for the consumer. */
  readonly held: HeldEvents;
  readonly publisher: Publisher;
  /** The name of this instance. */
  readonly instance: string;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

/** Milliseconds between attempts to provision a consumer that cannot run. */
const RETRY_FIRST = 1_000;
const RETRY_MAX = 15_000;
/** Milliseconds after which it is said again that a server says nothing. */
const SAY_AGAIN = 60_000;
/** Milliseconds that events which are cut off at the end of a drain have to be noted and given back. */
const INTERRUPT = 1_000;

export class ConsumerRuntime {
  readonly name: string;
  readonly consumer: Consumer;
  readonly #options: RuntimeOptions;
  readonly #pull: Pull;
  readonly #due: DueEvents;
  readonly #lanes: LaneFeeds;
  readonly #durable: OwnDurable;
  /** Undefined for a consumer whose instances share its events. */
  readonly #active: ActiveInstance | undefined;
  #blueprint: Blueprint;
  #provisioned = false;
  #state: ConsumerState = 'starting';
  #reason = '';
  #retry: NodeJS.Timeout | undefined;
  #failures = 0;
  #silenceSaidAt = Number.NEGATIVE_INFINITY;

  constructor(options: RuntimeOptions) {
    const { consumer, connection, wire, domain, blueprint, logger } = options;
    const { spec } = blueprint;
    const { stream } = spec;
    this.name = consumer.name;
    this.consumer = consumer;
    this.#options = options;
    this.#blueprint = blueprint;
    this.#lanes = new LaneFeeds({ ...options, blueprint: () => this.#blueprint });
    this.#durable = new OwnDurable({
      ...options,
      lanes: this.#lanes,
      onMadeAnew: async () => this.#active?.release(),
    });
    this.#active =
      blueprint.lanes === undefined
        ? undefined
        : new ActiveInstance({
            ...options,
            stream,
            durable: spec.name,
            lanes: blueprint.lanes,
            bound: (most) => this.#pull.bound(most),
            inspect: async () => findDurable(options.manager, stream, spec.name),
            takeDue: (taking) => (taking ? this.#due.take(true) : this.#due.hold()),
            limit: () => this.#limit(),
            note: (pin) =>
              noteActive(options.publisher, this.name, pin, {
                instance: options.instance,
                since: new Date().toISOString(),
              }),
            holder: async (pin) => findActive(options.manager, this.name, pin),
          });
    this.#pull = new Pull({
      connection,
      wire,
      stream,
      durable: spec.name,
      consumer,
      pin: this.#active?.pin,
      lane: () => this.#lanes.rest,
      open: (carrier, position, take) => {
        if (this.#lanes.takes(this.#lanes.rest, carrier, position))
          take(new Event(carrier, position, stream, this.#blueprint.decode));
        else this.#pull.askAgain();
      },
      domain,
      onLost: (reason) => this.#lost(reason),
      onWarning: (message) => logger.warn({ consumer: this.name }, message),
    });
    this.#due = new DueEvents({
      ...options,
      spec: () => this.#blueprint.spec,
      decode: () => this.#blueprint.decode,
    });
    // So that the first one is seen as an increase.
    options.metrics.consumerRecreated.with(this.name);
    this.#limit();
    this.#lanes.apply();
    this.#show();
  }

  /** The state as metrics and `/readyz` show it; `running` is told from `backpressured` by what is in hand. */
  get state(): ConsumerState {
    if (this.#state !== 'running') return this.#state;
    if (this.consumer.blocked !== '' || this.consumer.plan.unavailable()) return 'blocked';
    if (this.#active?.waits === true) return 'standby';
    return this.#pull.full ? 'backpressured' : 'running';
  }

  /** Why it failed, or is blocked; empty otherwise. */
  get reason(): string {
    if (this.state === 'standby') return this.#active?.reason ?? '';
    if (this.state !== 'blocked') return this.#reason;
    return this.consumer.blocked || 'its targets are unavailable';
  }

  /** Of a consumer that runs on one instance at a time: this one's part, and which instance is active. */
  get exclusive(): { readonly role: 'active' | 'standby'; readonly holder: ActiveHolder | undefined } | undefined {
    if (this.#active === undefined) return undefined;
    return { role: this.#active.phase === 'active' ? 'active' : 'standby', holder: this.#active.holder };
  }

  /** Whether it is blocked because its own streams refuse: then it cannot run. */
  get refused(): boolean {
    return this.#state === 'running' && this.consumer.blocked !== '';
  }

  /** Events are due for this consumer, or will be: they are pulled too. */
  wantDue(): void {
    this.#due.want();
  }

  /** Events are due for this consumer, as the stream says: they are pulled, and what stays is looked into. */
  tendDue(): Promise<void> {
    return this.#due.tend();
  }

  /** What debounce holds for it. */
  get held(): HeldEvents {
    return this.#options.held;
  }

  /** Whether something is stored of the order of its keys, as the server said last. */
  stored = false;

  /** Looks after what waits on the server. To be called every second or so. @param isDue Whether events are due for it. */
  async tend(isDue: boolean): Promise<void> {
    await this.#active?.tend(isDue || this.stored);
  }

  get blueprint(): Blueprint {
    return this.#blueprint;
  }

  /** Its lanes, as they run; none where it has none. */
  get lanes(): readonly LaneShown[] {
    return this.#lanes.shown;
  }

  /** Its durables on its stream. */
  get durables(): readonly string[] {
    return [this.#blueprint.spec.name, ...this.#lanes.durables];
  }

  /** As `OwnDurable.provision`. */
  provision(blueprint: Blueprint): ReturnType<OwnDurable['provision']> {
    return this.#durable.provision(blueprint);
  }

  /**
   * Provisions the durable and starts to pull. A consumer that cannot run is `failed` and tried again.
   *
   * @param provisioned Whether the durable is known to be in line.
   */
  async start(provisioned = false): Promise<void> {
    clearTimeout(this.#retry);
    if (this.#blueprint.paused) return this.#become('paused');
    this.#provisioned = provisioned;
    // There is nobody to ask now; `reconnected` starts it.
    if (!this.#options.wire.connected) return this.#become('disconnected');
    try {
      // Lanes may have left meanwhile.
      if (!provisioned || !this.#lanes.isFresh) await this.provision(this.#blueprint);
      this.#provisioned = true;
      this.#failures = 0;
      if (this.#closing) return;
      this.#run();
    } catch (error) {
      this.#failed(error, () => this.start());
    }
  }

  /**
   * Puts a change in force. An unpaused consumer keeps pulling; runs in hand finish on the plan they began with.
   *
   * @param provisioned Whether the durable is in line with it already; else that is made up for when NATS is back.
   */
  async update(blueprint: Blueprint, provisioned: boolean): Promise<void> {
    const { paused } = this.#blueprint;
    const { plan, admission, keyed, concurrency } = blueprint;
    this.#blueprint = blueprint;
    this.#provisioned = provisioned;
    this.consumer.replacePlan(plan);
    if (admission !== undefined && concurrency !== undefined) admission.resize(concurrency);
    if (keyed !== undefined && concurrency !== undefined) keyed.resize(concurrency);
    this.#limit();
    this.#lanes.apply();
    if (blueprint.paused) {
      this.#hold();
      this.#become('paused');
    } else if (paused || this.#state === 'failed') await this.start(provisioned);
  }

  disconnected(): void {
    if (this.#closing || this.#state === 'paused') return;
    this.#pause();
    this.#active?.halt();
    if (this.#state === 'running') this.#become('disconnected');
  }

  /** The connection is back. What was changed meanwhile is provisioned now. */
  async reconnected(): Promise<void> {
    if (this.#state === 'failed') return this.start();
    if (this.#state === 'disconnected') await this.start(this.#provisioned);
  }

  /**
   * Drains: asks for no more, gives back what has not started, and waits for what runs.
   *
   * @param deadline Resolves when there is no more time; what runs then is cut off and given back.
   */
  async stop(deadline: Promise<void>): Promise<void> {
    this.#become('draining');
    clearTimeout(this.#retry);
    this.consumer.draining = true;
    if (this.#active !== undefined) {
      await this.#active.giveUp(deadline);
      this.#pull.forgetOutstanding();
      this.consumer.giveBackUnstarted(0);
    }
    await Promise.race([Promise.all([this.#pull.stop(), this.#due.stop(), this.#lanes.stop()]), deadline]);
    this.consumer.giveBackUnstarted(this.#pull.spentIn);
    await Promise.race([this.consumer.idle(), deadline]);
    if (this.consumer.held > 0) {
      this.consumer.interrupt(this.#pull.spentIn);
      await Promise.race([this.consumer.idle(), new Promise((resolve) => setTimeout(resolve, INTERRUPT).unref())]);
    }
    await Promise.race([this.consumer.plan.flush?.(), deadline]);
    this.consumer.plan.close();
    this.#active?.close();
    this.#become('stopped');
  }

  /** Lets go of a consumer that never started. */
  discard(): void {
    this.#pull.discard();
    this.#active?.close();
  }

  /** Brings gauges up to date that are computed rather than counted. */
  refresh(): void {
    const { metrics } = this.#options;
    metrics.oldestUnsettled.with(this.name).set(this.consumer.oldestAge());
    this.#show();
  }

  /** Asks the server for what the durable has left. */
  async poll(): Promise<void> {
    const { manager, metrics } = this.#options;
    const { spec } = this.#blueprint;
    if (this.#state !== 'running' && this.#state !== 'paused') return;
    const info = await findDurable(manager, spec.stream, spec.name).catch(() => undefined);
    if (info === undefined) return;
    this.#durable.seen(info.ack_floor.stream_seq);
    await this.#active?.seen(info);
    const lanes = await this.#lanes.poll(info);
    metrics.consumerPending.with(this.name).set(info.num_pending + lanes.pending);
    metrics.consumerAckPending.with(this.name).set(info.num_ack_pending + lanes.ackPending);
    metrics.consumerRedelivered.with(this.name).set(info.num_redelivered + lanes.redelivered);
  }

  #run(): void {
    this.#become('running');
    this.#lanes.apply();
    this.#active?.resumed();
    this.#pull.resume();
    this.#lanes.take(true);
    if (this.#active === undefined) this.#due.take(true);
  }

  #pause(): void {
    this.#pull.pause();
    this.#lanes.take(false);
    this.#due.take(false);
  }

  /** Somebody paused it: what has not started is given back, and comes when it is resumed. */
  #hold(): void {
    this.#pull.hold();
    this.#lanes.hold();
    this.#due.hold();
    this.consumer.giveBackUnstarted(this.#pull.spentIn);
    this.#active?.release().catch(() => undefined);
  }

  #limit(): void {
    const { prefetch, spec, waits } = this.#blueprint;
    this.consumer.limits = { prefetch, ackWait: spec.ackWait };
    if (waits) this.#due.want();
    this.consumer.ask();
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
    const now = performance.now();
    // A silence that goes on is found again every few seconds.
    if (reason !== SILENCE || now - this.#silenceSaidAt > SAY_AGAIN) {
      this.#options.logger.warn({ consumer: this.name, reason }, 'the pull ended; its durable is looked at');
      if (reason === SILENCE) this.#silenceSaidAt = now;
    }
    this.#recover().catch((error: unknown) => this.#failed(error, () => this.#recover()));
  }

  async #recover(): Promise<void> {
    const { logger, wire } = this.#options;
    if (this.#closing) return;
    if (!wire.connected) {
      // A consumer that runs is taken up again by `reconnected`; one that failed has nothing but this.
      if (this.#state === 'failed') this.#later(() => this.#recover());
      return;
    }
    try {
      const failed = this.#state === 'failed';
      await this.provision(this.#blueprint);
      if (this.#closing) return;
      if (failed) logger.info({ consumer: this.name }, 'consumer runs again');
      this.#failures = 0;
      this.#run();
    } catch (error) {
      this.#failed(error, () => this.#recover());
    }
  }
}
