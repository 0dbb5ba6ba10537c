/** What a daemon does with NATS: connects, makes ready what Ouzel keeps there, runs the consumers and looks after them. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { LoadedConfig } from './config/load.ts';
import type { Pauses } from './core/pauses.ts';
import type { LetterAccess } from './deadletter/read.ts';
import { asOuzelError, OuzelError } from './errors.ts';
import { Fleet } from './fleet/fleet.ts';
import type { LayeredLoader } from './fleet/load.ts';
import { Housekeeping } from './housekeeping.ts';
import { checkServer } from './nats/connect.ts';
import { Link } from './nats/link.ts';
import { Reconciler } from './reconcile/apply.ts';
import type { ConsumerDiff } from './reconcile/diff.ts';
import { showThrottled } from './reconcile/gauges.ts';
import { pollDue, pollDurables } from './reconcile/poll.ts';
import type { Confirm, Reloads } from './reconcile/reload.ts';
import type { ConsumerRuntime } from './reconcile/runtime.ts';
import { prepareServer, type Shared } from './services.ts';
import type { Logger } from './telemetry/log.ts';
import type { Metrics } from './telemetry/metrics.ts';

/** Milliseconds between looks at what is in hand: keep-alives and time-outs. */
const SWEEP = 500;
/** Milliseconds between questions to the server about the durables. */
const POLL = 5_000;
/** Milliseconds between looks for events that are due for a consumer which pulls none yet. */
const POLL_DUE = 1_000;
/** Milliseconds between attempts to prepare a server that is not ready for Ouzel. */
const PREPARE_AGAIN = 5_000;

export interface EngineOptions {
  /** The configuration in force. */
  readonly loaded: () => LoadedConfig;
  /** How to read it again, with what the fleet has on top. */
  readonly load: LayeredLoader;
  readonly reloads: Reloads;
  /** What the consumers are given that is there without NATS. */
  readonly shared: () => Shared;
  readonly pauses: Pauses;
  /** Puts what the fleet has in force, before the consumers start. It never throws. */
  readonly addFleet: (fleet: Fleet) => Promise<void>;
  /** Somebody disabled a target for the fleet, or enabled it. */
  readonly targetsChanged: () => void;
  /** All consumers were looked after: hears of it twice a second, from the start on. */
  readonly swept?: (() => void) | undefined;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export class Engine {
  readonly #options: EngineOptions;
  readonly #housekeeping: Housekeeping;
  #link: Link | undefined;
  #manager: JetStreamManager | undefined;
  #letters: Omit<LetterAccess, 'config'> | undefined;
  #reconciler: Reconciler | undefined;
  #fleet: Fleet | undefined;
  #problem = 'NATS: connecting';
  #stopping = false;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.#housekeeping = new Housekeeping(options.logger);
  }

  /** Why no consumer can work; empty when they can. */
  get problem(): string {
    return this.#problem;
  }

  get connected(): boolean {
    return this.#link?.connected === true;
  }

  /** Undefined before the first connection. */
  get link(): Link | undefined {
    return this.#link;
  }

  /** What the server refuses, and nothing can be done without. */
  get denied(): readonly string[] {
    return this.#link?.denied ?? [];
  }

  /** Undefined before the first connection. */
  get fleet(): Fleet | undefined {
    return this.#fleet;
  }

  /** The consumers that run, by name. */
  get runtimes(): ReadonlyMap<string, ConsumerRuntime> {
    return this.#reconciler?.runtimes ?? new Map<string, ConsumerRuntime>();
  }

  /** Consumers that could not even be built, with the reasons. */
  get failed(): ReadonlyMap<string, string> {
    return this.#reconciler?.failed ?? new Map<string, string>();
  }

  /** What work on dead letters needs. @throws OuzelError NATS_UNAVAILABLE */
  letterAccess(): LetterAccess {
    if (this.#letters === undefined || !this.connected)
      throw new OuzelError('NATS_UNAVAILABLE', 'NATS is away, and all that is stored there with it');
    return { config: this.#options.loaded().config, ...this.#letters };
  }

  /** @throws OuzelError NATS_UNAVAILABLE before the first connection */
  fleetAccess(): Fleet {
    if (this.#fleet !== undefined) return this.#fleet;
    throw new OuzelError('NATS_UNAVAILABLE', "NATS is away, and the fleet's configuration with it");
  }

  /** Connects, however long it takes, and starts the consumers. */
  async run(): Promise<void> {
    try {
      await this.#run();
    } catch (error) {
      if (this.#stopping) return;
      const { code, message } = asOuzelError(error);
      this.#problem = message;
      this.#options.logger.fatal({ code }, message);
    }
  }

  /**
   * Puts another configuration in force, as `Reconciler.apply`. Before the first connection there is nothing to change
   * but what will be started.
   */
  apply(next: LoadedConfig, confirm?: Confirm): Promise<ConsumerDiff> | undefined {
    return this.#reconciler?.apply(next, confirm);
  }

  /** Begins no work any more that a drain would have to wait for. */
  halt(): void {
    this.#stopping = true;
  }

  /** Drains the consumers. @param deadline Resolves when there is no more time. */
  async drain(deadline: Promise<void>): Promise<void> {
    await this.#reconciler?.stop(deadline);
    await this.#fleet?.close();
  }

  /** Sends what is still to be sent. */
  async flush(): Promise<void> {
    this.#housekeeping.stop();
    await this.#link?.flush();
  }

  async close(): Promise<void> {
    await this.#link?.connection.close();
  }

  /** Brings gauges up to date that are computed rather than counted. */
  refresh(): void {
    this.#options.metrics.natsConnected.with().set(this.connected ? 1 : 0);
    for (const runtime of this.runtimes.values()) runtime.refresh();
    showThrottled(this.runtimes.values(), this.#options.metrics);
  }

  async #run(): Promise<void> {
    const { loaded, logger, metrics, shared } = this.#options;
    // Before there is anything to look after, it is still a sign of life.
    this.#housekeeping.every(SWEEP, () => this.#sweep());
    const link = await Link.open(() => loaded().config.nats, logger, metrics);
    if (this.#stopping) return link.connection.close();
    this.#link = link;
    const { incidents, trail } = shared();
    link
      .watch({
        disconnected: () => {
          for (const runtime of this.runtimes.values()) runtime.disconnected();
        },
        reconnected: () => {
          incidents.reconnected();
          trail.resume();
          for (const runtime of this.runtimes.values()) runtime.reconnected().catch(this.#unexpected);
        },
      })
      .catch(this.#unexpected);
    this.#sweep();
    if (!(await this.#prepare(link))) return;
    const states = Object.fromEntries([...this.runtimes].map(([name, { state }]) => [name, state]));
    logger.info({ consumers: states }, 'ready');
    incidents.started(states);
    this.#problem = '';
    this.#housekeeping.asking(POLL, () => this.#poll());
    this.#housekeeping.asking(POLL_DUE, () => this.#pollDue());
    await this.#poll();
  }

  /**
   * Makes the streams and starts the consumers; a server that is not fit for it is asked again until it is.
   *
   * @returns Whether it came to that; false when the daemon was stopped meanwhile.
   */
  async #prepare(link: Link): Promise<boolean> {
    while (!this.#stopping) {
      try {
        await this.#start(link);
        return true;
      } catch (error) {
        const { code, message } = asOuzelError(error);
        if (this.#problem !== message) this.#options.logger.error({ code }, message);
        this.#problem = message;
      }
      await new Promise((resolve) => setTimeout(resolve, PREPARE_AGAIN).unref());
    }
    return false;
  }

  async #start(link: Link): Promise<void> {
    const { loaded, load, reloads, shared, addFleet, targetsChanged, logger } = this.#options;
    checkServer(link.connection);
    const { services, store, letters, streams } = await prepareServer(link, shared());
    this.#manager = services.manager;
    this.#letters = letters;
    const reconciler = new Reconciler(services, loaded().config.nats.domain);
    const fleet = new Fleet({
      store,
      load,
      current: loaded,
      reloads,
      connected: () => link.connected,
      targetsChanged,
      missing: streams.missing,
      logger,
    });
    try {
      await fleet.open();
      // A reload that comes meanwhile waits, and compares with what is started here.
      await reloads.exclusively(async () => {
        this.#fleet = fleet;
        await addFleet(fleet);
        await reconciler.start(loaded());
        this.#reconciler = reconciler;
      });
    } catch (error) {
      // The next try follows it anew.
      await fleet.close();
      throw error;
    }
  }

  #sweep(): void {
    const now = performance.now();
    this.#options.pauses.tick(now);
    for (const { consumer } of this.runtimes.values()) consumer.sweep(now);
    this.#options.swept?.();
  }

  async #poll(): Promise<void> {
    if (!this.connected || this.#manager === undefined) return;
    await pollDurables(this.#manager, [...this.runtimes.values()], this.#options.metrics);
  }

  async #pollDue(): Promise<void> {
    if (!this.connected || this.#manager === undefined) return;
    await pollDue(this.#manager, [...this.runtimes.values()]);
  }

  /** What goes on beside the events failed: it is said, and the events go on. */
  readonly #unexpected = (error: unknown): void =>
    this.#options.logger.error({ error: asOuzelError(error).message }, 'unexpected error');
}
