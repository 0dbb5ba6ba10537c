/** The composition root: connects, provisions, runs the consumers, drains. */
import type { JetStreamManager } from '@nats-io/jetstream';
import { Acts } from './audit/acts.ts';
import { fragmentFolder } from './config/discover.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { watchFiles, type Watching } from './config/watch.ts';
import type { Observer } from './core/ports.ts';
import { Pauses } from './core/pauses.ts';
import type { LetterAccess } from './deadletter/read.ts';
import { type Breaker, Breakers } from './deliver/breaker.ts';
import { FileStore } from './deliver/files/store.ts';
import { asOuzelError, OuzelError } from './errors.ts';
import './hash.ts';
import { Housekeeping } from './housekeeping.ts';
import { Ingress } from './http/ingress/server.ts';
import { type HttpServer, type NatsAccess, startHttp } from './http/server.ts';
import { DisabledTargets } from './fleet/disabled.ts';
import { Fleet } from './fleet/fleet.ts';
import type { LayeredLoader } from './fleet/load.ts';
import { checkServer } from './nats/connect.ts';
import { Link } from './nats/link.ts';
import { reportStrayErrors } from './plugins/stray.ts';
import { Reconciler } from './reconcile/apply.ts';
import { postedCheckOf } from './reconcile/posted.ts';
import type { ConsumerDiff } from './reconcile/diff.ts';
import { compileKeys, type KeyOf } from './reconcile/keys.ts';
import { pollDue, pollDurables } from './reconcile/poll.ts';
import { type Confirm, Reloads } from './reconcile/reload.ts';
import type { ConsumerRuntime } from './reconcile/runtime.ts';
import { ReplayHost } from './replay/host.ts';
import { prepareServer, type Shared } from './services.ts';
import { type DaemonStatus, statusOf } from './status.ts';
import { Incidents } from './telemetry/incidents.ts';
import type { Logger } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { LogObserver, observeAll } from './telemetry/observe.ts';
import { tapQuery } from './telemetry/tap-query.ts';
import { TapHub } from './telemetry/tap.ts';
import { sayOfTarget } from './telemetry/target-trouble.ts';
import { startTracesWhere } from './telemetry/optional-traces.ts';
import type { Traces } from './telemetry/traces.ts';
import { VERSION } from './version.ts';

/** Milliseconds between looks at what is in hand: keep-alives and time-outs. */
const SWEEP = 500;
/** Milliseconds between questions to the server about the durables. */
const POLL = 5_000;
/** Milliseconds between looks for events that are due for a consumer which pulls none yet. */
const POLL_DUE = 1_000;
/** Milliseconds between attempts to prepare a server that is not ready for Ouzel. */
const PREPARE_AGAIN = 5_000;
/** Milliseconds of the drain that are left to note and give back what has to be cut off. */
const CUT_OFF = 1_500;
/** Milliseconds that a shutdown waits for a trace collector, at most. */
const FLUSH_SPANS = 5_000;

/** Where a running daemon is reached. */
export interface Address {
  /** `http://host:port` of the admin listener. */
  readonly url: string;
}

export class Daemon {
  readonly #logger: Logger;
  readonly #metrics = createMetrics();
  readonly #housekeeping: Housekeeping;
  readonly #log: LogObserver;
  readonly #incidents: Incidents;
  /** What is changed over the API. */
  readonly #acts: Acts;
  readonly #replays: ReplayHost;
  #loaded: LoadedConfig;
  readonly #load: LayeredLoader;
  readonly #reloads: Reloads;
  /** Undefined before the first connection. */
  #fleet: Fleet | undefined;
  #watching: Watching | undefined;
  #http: HttpServer | undefined;
  readonly #ingress: Ingress;
  #reconciler: Reconciler | undefined;
  readonly #files: FileStore;
  #link: Link | undefined;
  #manager: JetStreamManager | undefined;
  readonly #pauses = new Pauses();
  readonly #disabled: DisabledTargets;
  readonly #breakers = new Breakers({
    changed: (breaker) => this.#targetChanged(breaker),
    disabled: (target) => this.#disabled.of(target),
  });
  #traces: Traces | undefined;
  /** Why the daemon as a whole cannot work; empty when it can. */
  #problem = 'NATS: connecting';
  #stopping = false;
  #endReports: () => void = () => undefined;

  /**
   * @param loaded What to start with.
   * @param load How to read it again, with what the fleet has on top.
   */
  constructor(loaded: LoadedConfig, load: LayeredLoader, logger: Logger) {
    this.#loaded = loaded;
    this.#load = load;
    this.#logger = logger;
    this.#housekeeping = new Housekeeping(logger);
    this.#files = new FileStore({ onWarning: (message) => logger.warn(message) });
    this.#log = new LogObserver(logger, this.#metrics.logLinesSuppressed.with());
    const metrics = this.#metrics;
    this.#incidents = new Incidents({ loaded: () => this.#loaded, keyOf: this.#keyOf, metrics, logger });
    this.#disabled = new DisabledTargets({
      breakers: () => this.#breakers,
      loaded: () => this.#loaded,
      fleet: () => this.#fleet,
      instance: this.#incidents.instance,
      logger,
    });
    this.#acts = new Acts({
      instance: this.#incidents.instance,
      redact: (text) => this.#loaded.redact(text),
      metrics,
      logger,
    });
    this.#ingress = new Ingress({
      config: () => this.#loaded.config,
      publisher: () => this.#natsAccess().publisher,
      trace: () => this.#traces?.request,
      check: () => postedCheckOf(this.#loaded),
      metrics,
      logger,
    });
    this.#replays = new ReplayHost(logger);
    this.#reloads = new Reloads({
      load: () => this.#fleet?.load() ?? load(),
      current: () => this.#loaded,
      apply: (next, confirm) => this.#apply(next, confirm),
      onRejected: (outcome) => this.#incidents.reloadRejected(outcome),
      metrics,
      logger,
    });
  }

  /** The configuration in force. */
  get loaded(): LoadedConfig {
    return this.#loaded;
  }

  /**
   * Serves HTTP, then connects and starts the consumers in the background: a NATS server that is away is waited for.
   *
   * @throws OuzelError HTTP_PORT_IN_USE
   */
  async start(): Promise<Address> {
    const { config, hash, file } = this.#loaded;
    this.#showAtStart();
    this.#endReports = reportStrayErrors({
      logger: this.#logger,
      count: (plugin) => this.#metrics.pluginStrayErrors.with(plugin).increment(),
    });
    this.#http = await startHttp({
      acts: this.#acts,
      logger: this.#logger,
      metrics: this.#metrics,
      status: () => this.status(),
      refresh: () => this.#refresh(),
      tap: (selectors, sink, sees) =>
        this.#taps.open(tapQuery(selectors, this.#loaded.config, this.#keyOf, sees), sink),
      deadLetters: () => this.#deadLetters(),
      replays: this.#replays,
      fleet: () => this.#fleetAccess(),
      loaded: () => this.#loaded,
      runtimes: () => this.#reconciler?.runtimes ?? new Map(),
      nats: () => this.#natsAccess(),
      targets: {
        disabled: (target) => this.#disabled.of(target),
        deliveries: (target) => this.#breakers.find(target)?.deliveries.latest ?? [],
        enable: (target, actor) => this.#disabled.enable(target, this.#fleetAccess(), actor),
      },
    });
    const { url } = this.#http;
    await this.#openIngress(config);
    const { url: ingress } = this.#ingress;
    this.#logger.info({ version: VERSION, config: file, hash, http: url, ingress }, 'ouzel starts');
    this.#traces = await startTracesWhere(config.telemetry.traces, {
      logger: this.#logger,
      dropped: this.#metrics.spansDropped.with(),
      redact: (text) => this.#loaded.redact(text),
    });
    this.#run().catch((error: unknown) => {
      if (this.#stopping) return;
      const { code, message } = asOuzelError(error);
      this.#problem = message;
      this.#logger.fatal({ code }, message);
    });
    this.#watching = watchFiles({
      files: () => this.#reloads.files,
      folders: () => [fragmentFolder(this.#loaded.file)],
      onChange: () => this.reload(),
    });
    return { url };
  }

  /** @throws OuzelError HTTP_PORT_IN_USE */
  async #openIngress(config: Config): Promise<void> {
    try {
      await this.#ingress.prepare(config);
      this.#ingress.follow();
    } catch (error) {
      await this.#http?.close();
      throw error;
    }
  }

  /** Reads the configuration again and puts it in force. Asked several times meanwhile, it does so once more. */
  reload(): void {
    this.#reloads.ask();
  }

  status(): DaemonStatus {
    const { file, hash } = this.#loaded;
    return statusOf({
      stopping: this.#stopping,
      problem: this.#problem,
      connected: this.#link?.connected ?? false,
      denied: this.#link?.denied ?? [],
      runtimes: this.#runtimes(),
      failed: this.#reconciler?.failed ?? new Map(),
      breakers: this.#breakers.open,
      config: {
        file,
        hash,
        generation: this.#reloads.generation,
        last_reload: this.#reloads.last ?? null,
        set_aside: [...(this.#fleet?.aside ?? [])].map(([resource, reason]) => ({ resource, reason })),
      },
    });
  }

  /**
   * Drains: no new events, what runs is finished within `http.drain`, the rest goes back to the server.
   *
   * @param reason Why, in a word: the signal that asked for it.
   */
  async stop(reason: string): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    this.#watching?.close();
    const { drain } = this.#loaded.config.http;
    this.#logger.info({ drain_ms: drain }, 'draining');
    this.#incidents.stopping(reason);
    const { promise: deadline, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(drain / 2, drain - CUT_OFF));
    // What came in is answered while its stream can still be reached.
    await this.#ingress.close(deadline);
    await Promise.race([this.#reloads.close(), deadline]);
    await Promise.race([this.#replays.close(), deadline]);
    await this.#reconciler?.stop(deadline);
    this.#disabled.close();
    await this.#fleet?.close();
    // Confirmed before the connection closes; without one, nothing is waited for.
    await this.#incidents.close(this.#link?.connected === true ? deadline : Promise.resolve());
    await this.#flushSpans(deadline);
    this.#housekeeping.stop();
    await this.#link?.flush();
    await Promise.race([this.#files.close(), deadline]);
    clearTimeout(timer);
    await this.#link?.connection.close();
    this.#taps.close('the daemon stops');
    await this.#http?.close();
    this.#log.close();
    const left = this.#runtimes().reduce((sum, { consumer }) => sum + consumer.held, 0);
    if (left > 0) this.#logger.warn({ events: left }, 'stopped with events in hand; the server delivers them again');
    this.#endReports();
    this.#logger.info('stopped');
  }

  async #flushSpans(deadline: Promise<void>): Promise<void> {
    if (this.#traces === undefined) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, FLUSH_SPANS);
    await this.#traces.shutdown(Promise.race([deadline, late]));
    clearTimeout(timer);
    const lost = this.#metrics.spansDropped.with().value;
    if (lost > 0) this.#logger.warn({ spans: lost }, 'spans were dropped');
  }

  async #run(): Promise<void> {
    const link = await Link.open(() => this.#loaded.config.nats, this.#logger, this.#metrics);
    if (this.#stopping) return link.connection.close();
    this.#link = link;
    link
      .watch({
        disconnected: () => {
          for (const runtime of this.#runtimes()) runtime.disconnected();
        },
        reconnected: () => {
          this.#incidents.reconnected();
          for (const runtime of this.#runtimes())
            runtime.reconnected().catch((error: unknown) => this.#unexpected(error));
        },
      })
      .catch((error: unknown) => this.#unexpected(error));
    this.#housekeeping.every(SWEEP, () => this.#sweep());
    this.#sweep();
    if (!(await this.#prepare(link))) return;
    const states = Object.fromEntries(this.#runtimes().map(({ name, state }) => [name, state]));
    this.#logger.info({ consumers: states }, 'ready');
    this.#incidents.started(states);
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
        checkServer(link.connection);
        const { services, store, letters, streams } = await prepareServer(link, this.#shared());
        this.#manager = services.manager;
        this.#letterPorts = letters;
        const reconciler = new Reconciler(services, this.#loaded.config.nats.domain);
        const fleet = new Fleet({
          store,
          load: this.#load,
          current: () => this.#loaded,
          reloads: this.#reloads,
          connected: () => link.connected,
          targetsChanged: () => this.#disabled.sync(),
          missing: streams.missing,
          logger: this.#logger,
        });
        await fleet.open();
        // A reload that comes meanwhile waits, and compares with what is started here.
        await this.#reloads.exclusively(async () => {
          this.#fleet = fleet;
          await this.#addFleet(fleet);
          await reconciler.start(this.#loaded);
          this.#reconciler = reconciler;
        });
        return true;
      } catch (error) {
        const { code, message } = asOuzelError(error);
        if (this.#problem !== message) this.#logger.error({ code }, message);
        this.#problem = message;
      }
      await new Promise((resolve) => setTimeout(resolve, PREPARE_AGAIN).unref());
    }
    return false;
  }

  #shared(): Shared {
    return {
      loaded: () => this.#loaded,
      keyOf: this.#keyOf,
      files: this.#files,
      breakers: this.#breakers,
      pauses: this.#pauses,
      observer: this.#observer(),
      incidents: this.#incidents,
      acts: this.#acts,
      traces: this.#traces,
      logger: this.#logger,
      metrics: this.#metrics,
    };
  }

  /** What the fleet has comes on top of the files, which hold without it. */
  async #addFleet(fleet: Fleet): Promise<void> {
    try {
      this.#loaded = await fleet.load();
    } catch (error) {
      this.#logger.error(`the files changed since the start, and do not load: ${asOuzelError(error).message}`);
    }
    await this.#ingress.prepare(this.#loaded.config).catch((error: unknown) => this.#unexpected(error));
    this.#ingress.follow();
  }

  #letterPorts: Omit<LetterAccess, 'config'> | undefined;

  #deadLetters(): LetterAccess {
    if (this.#letterPorts === undefined || this.#link?.connected !== true)
      throw new OuzelError('NATS_UNAVAILABLE', 'NATS is away, and all that is stored there with it');
    return { config: this.#loaded.config, ...this.#letterPorts };
  }

  #natsAccess(): NatsAccess {
    const { manager, publisher } = this.#deadLetters();
    if (this.#link === undefined) throw new OuzelError('NATS_UNAVAILABLE', 'NATS is away');
    return { manager, publisher, requester: this.#link.requester, files: this.#files, logger: this.#logger };
  }

  #fleetAccess(): Fleet {
    if (this.#fleet !== undefined) return this.#fleet;
    throw new OuzelError('NATS_UNAVAILABLE', "NATS is away, and the fleet's configuration with it");
  }

  /** Puts another configuration in force. @throws OuzelError when it cannot come up; then all is as it was. */
  async #apply(next: LoadedConfig, confirm?: Confirm): Promise<ConsumerDiff | undefined> {
    // Before the first connection there is nothing to change but what will be started.
    const takeBack = await this.#ingress.prepare(next.config);
    const changes = await this.#reconciler?.apply(next, confirm).catch(async (error: unknown) => {
      await takeBack();
      throw error;
    });
    this.#loaded = next;
    this.#ingress.follow();
    this.#keys = undefined;
    this.#disabled.sync();
    this.#logger.level = next.config.telemetry.log.level;
    return changes;
  }

  #showAtStart(): void {
    const metrics = this.#metrics;
    metrics.buildInfo.with(VERSION, process.version).set(1);
    metrics.natsConnected.with().set(0);
    metrics.natsReconnects.with();
    metrics.spansDropped.with();
  }

  #keys: KeyOf | undefined;

  #observer(): Observer {
    const { observer } = this.#traces ?? {};
    return observeAll([this.#log, this.#taps, this.#incidents, ...(observer === undefined ? [] : [observer])]);
  }

  /** The key of an event, by its stream's `key`. An event without one is still a letter. */
  readonly #keyOf: KeyOf = (run) => (this.#keys ??= compileKeys(this.#loaded.config))(run);

  /** Who looks at single events now. */
  readonly #taps = new TapHub({ keyOf: this.#keyOf, redact: (text) => this.#loaded.redact(text) });

  /** What goes on beside the events failed: it is said, and the events go on. */
  #unexpected(error: unknown): void {
    this.#logger.error({ error: asOuzelError(error).message }, 'unexpected error');
  }

  #runtimes(): ConsumerRuntime[] {
    return [...(this.#reconciler?.runtimes.values() ?? [])];
  }

  #sweep(): void {
    const now = performance.now();
    this.#pauses.tick(now);
    for (const { consumer } of this.#runtimes()) consumer.sweep(now);
  }

  async #poll(): Promise<void> {
    if (this.#link?.connected !== true || this.#manager === undefined) return;
    await pollDurables(this.#manager, this.#runtimes(), this.#metrics);
  }

  async #pollDue(): Promise<void> {
    if (this.#link?.connected !== true || this.#manager === undefined) return;
    await pollDue(this.#manager, this.#runtimes());
  }

  /** A target became unavailable, or is there again. */
  #targetChanged(breaker: Breaker): void {
    this.#metrics.targetBreakerOpen.with(breaker.target).set(breaker.isOpen ? 1 : 0);
    const concerned = this.#runtimes().filter(({ consumer }) => consumer.plan.targets.includes(breaker.target));
    if (breaker.trouble === undefined) return;
    sayOfTarget(
      breaker,
      concerned.map(({ name }) => name),
      this.#logger,
      this.#incidents,
      !breaker.isDisabled || !this.#disabled.found(breaker),
    );
    for (const { consumer } of concerned) consumer.ask();
  }

  #refresh(): void {
    this.#metrics.natsConnected.with().set(this.#link?.connected === true ? 1 : 0);
    for (const runtime of this.#runtimes()) runtime.refresh();
  }
}
