/** The composition root: what a daemon is made of, how it starts, and how it drains. */
import { Acts } from './audit/acts.ts';
import { Projection } from './audit/projection.ts';
import { Trail } from './audit/trail.ts';
import { fragmentFolder } from './config/discover.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Config } from './config/schema.ts';
import { watchFiles, type Watching } from './config/watch.ts';
import type { Observer } from './core/ports.ts';
import { Pauses } from './core/pauses.ts';
import { type Breaker, Breakers } from './deliver/breaker.ts';
import { FileStore } from './deliver/files/store.ts';
import { Engine } from './engine.ts';
import { asOuzelError, OuzelError } from './errors.ts';
import './hash.ts';
import { Ingress } from './http/ingress/server.ts';
import { type HttpServer, type NatsAccess, startHttp } from './http/server.ts';
import { DisabledTargets } from './fleet/disabled.ts';
import type { Fleet } from './fleet/fleet.ts';
import type { LayeredLoader } from './fleet/load.ts';
import { reportStrayErrors } from './plugins/stray.ts';
import { postedCheckOf } from './reconcile/posted.ts';
import type { ConsumerDiff } from './reconcile/diff.ts';
import { compileKeys, type KeyOf } from './reconcile/keys.ts';
import { type Confirm, Reloads } from './reconcile/reload.ts';
import { ReplayHost } from './replay/host.ts';
import { startSchedules, type RunningSchedules } from './sources/schedules/index.ts';
import type { Shared } from './services.ts';
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

/** Milliseconds of the drain that are left to note and give back what has to be cut off. */
const CUT_OFF = 1_500;
/** Milliseconds that a shutdown waits for a trace collector, at most. */
const FLUSH_SPANS = 5_000;

/** Who wants to know what the daemon is about. */
export interface DaemonHooks {
  /** All consumers were looked after; twice a second, as long as the loop turns. */
  readonly swept?: (() => void) | undefined;
  /** A change of the configuration is read, and has been put in force or refused. */
  readonly reloading?: () => void;
  readonly reloaded?: () => void;
}

/** Where a running daemon is reached. */
export interface Address {
  /** `http://host:port` of the admin listener. */
  readonly url: string;
}

export class Daemon {
  readonly #logger: Logger;
  readonly #metrics = createMetrics();
  readonly #log: LogObserver;
  readonly #incidents: Incidents;
  /** What is changed over the API. */
  readonly #acts: Acts;
  /** What became of the events. */
  readonly #trail: Trail;
  readonly #projection: Projection;
  readonly #replays: ReplayHost;
  #loaded: LoadedConfig;
  readonly #reloads: Reloads;
  #watching: Watching | undefined;
  #http: HttpServer | undefined;
  readonly #ingress: Ingress;
  readonly #schedules: RunningSchedules;
  readonly #engine: Engine;
  readonly #files: FileStore;
  readonly #pauses = new Pauses();
  readonly #disabled: DisabledTargets;
  readonly #breakers = new Breakers({
    changed: (breaker) => this.#targetChanged(breaker),
    disabled: (target) => this.#disabled.of(target),
  });
  #traces: Traces | undefined;
  #stopping = false;
  #endReports: () => void = () => undefined;

  /**
   * @param loaded What to start with.
   * @param load How to read it again, with what the fleet has on top.
   */
  constructor(loaded: LoadedConfig, load: LayeredLoader, logger: Logger, hooks: DaemonHooks = {}) {
    this.#loaded = loaded;
    this.#logger = logger;
    this.#files = new FileStore({ onWarning: (message) => logger.warn(message) });
    this.#log = new LogObserver(logger, this.#metrics.logLinesSuppressed.with());
    const metrics = this.#metrics;
    this.#incidents = new Incidents({ loaded: () => this.#loaded, keyOf: this.#keyOf, metrics, logger });
    this.#disabled = new DisabledTargets({
      breakers: () => this.#breakers,
      loaded: () => this.#loaded,
      fleet: () => this.#engine.fleet,
      instance: this.#incidents.instance,
      logger,
    });
    const { instance } = this.#incidents;
    const redact = (text: string): string => this.#loaded.redact(text);
    this.#trail = new Trail(loaded.config.audit, { instance, keyOf: this.#keyOf, redact, metrics, logger });
    this.#projection = new Projection(logger);
    const chain = (): Trail | undefined => (this.#trail.mode === 'off' ? undefined : this.#trail);
    this.#acts = new Acts({ instance, redact, metrics, logger, chain });
    this.#ingress = new Ingress({
      config: () => this.#loaded.config,
      publisher: () => this.#natsAccess().publisher,
      trace: () => this.#traces?.request,
      check: () => postedCheckOf(this.#loaded),
      metrics,
      logger,
    });
    this.#schedules = startSchedules({
      config: () => this.#loaded.config,
      nats: () => this.#engine.letterAccess(),
      incidents: this.#incidents,
      metrics,
      logger,
    });
    this.#replays = new ReplayHost(logger);
    this.#reloads = new Reloads({
      load: () => this.#engine.fleet?.load() ?? load(),
      current: () => this.#loaded,
      apply: (next, confirm) => this.#apply(next, confirm),
      onRejected: (outcome) => this.#incidents.reloadRejected(outcome),
      onBegin: hooks.reloading,
      onEnd: hooks.reloaded,
      metrics,
      logger,
    });
    this.#engine = new Engine({
      loaded: () => this.#loaded,
      load,
      reloads: this.#reloads,
      shared: () => this.#shared(),
      pauses: this.#pauses,
      addFleet: (fleet) => this.#addFleet(fleet),
      targetsChanged: () => this.#disabled.sync(),
      swept: hooks.swept,
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
      refresh: () => {
        this.#engine.refresh();
        this.#trail.refresh();
      },
      tap: (selectors, sink, sees) =>
        this.#taps.open(tapQuery(selectors, this.#loaded.config, this.#keyOf, sees), sink),
      deadLetters: () => this.#engine.letterAccess(),
      replays: this.#replays,
      schedules: this.#schedules,
      fleet: () => this.#engine.fleetAccess(),
      loaded: () => this.#loaded,
      runtimes: () => this.#engine.runtimes,
      nats: () => this.#natsAccess(),
      targets: {
        disabled: (target) => this.#disabled.of(target),
        deliveries: (target) => this.#breakers.find(target)?.deliveries.latest ?? [],
        enable: (target, actor) => this.#disabled.enable(target, this.#engine.fleetAccess(), actor),
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
    this.#schedules.follow();
    this.#engine.run().catch((error: unknown) => this.#unexpected(error));
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
      problem: this.#engine.problem,
      connected: this.#engine.connected,
      denied: this.#engine.denied,
      runtimes: [...this.#engine.runtimes.values()],
      failed: this.#engine.failed,
      breakers: this.#breakers.open,
      config: {
        file,
        hash,
        generation: this.#reloads.generation,
        last_reload: this.#reloads.last ?? null,
        set_aside: [...(this.#engine.fleet?.aside ?? [])].map(([resource, reason]) => ({ resource, reason })),
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
    this.#engine.halt();
    this.#watching?.close();
    const { drain } = this.#loaded.config.http;
    this.#logger.info({ drain_ms: drain }, 'draining');
    this.#incidents.stopping(reason);
    const { promise: deadline, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, Math.max(drain / 2, drain - CUT_OFF));
    // What comes in slowly must not take the time from what runs; it is answered while its stream can still be reached.
    const answered = this.#ingress.close(deadline);
    await Promise.race([this.#reloads.close(), deadline]);
    const replays = Promise.race([this.#replays.close(), deadline]);
    await Promise.all([answered, replays, this.#schedules.close(deadline), this.#engine.drain(deadline)]);
    this.#disabled.close();
    const connected = this.#engine.connected ? deadline : Promise.resolve();
    await Promise.all([this.#trail.close(connected), this.#projection.close(connected)]);
    // Confirmed before the connection closes; without one, nothing is waited for.
    await this.#incidents.close(connected);
    await this.#flushSpans(deadline);
    await this.#engine.flush();
    await Promise.race([this.#files.close(), deadline]);
    clearTimeout(timer);
    await this.#engine.close();
    this.#taps.close('the daemon stops');
    await this.#http?.close();
    this.#log.close();
    const left = [...this.#engine.runtimes.values()].reduce((sum, { consumer }) => sum + consumer.held, 0);
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
      trail: this.#trail,
      projection: this.#projection,
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
    this.#schedules.follow();
  }

  #natsAccess(): NatsAccess {
    const { manager, publisher } = this.#engine.letterAccess();
    const { link } = this.#engine;
    if (link === undefined) throw new OuzelError('NATS_UNAVAILABLE', 'NATS is away');
    return { manager, publisher, requester: link.requester, files: this.#files, logger: this.#logger };
  }

  /** Puts another configuration in force. @throws OuzelError when it cannot come up; then all is as it was. */
  async #apply(next: LoadedConfig, confirm?: Confirm): Promise<ConsumerDiff | undefined> {
    const takeBack = await this.#ingress.prepare(next.config);
    const changes = await this.#engine.apply(next, confirm)?.catch(async (error: unknown) => {
      await takeBack();
      throw error;
    });
    const { audit } = this.#loaded.config;
    this.#loaded = next;
    this.#trail.follow(next.config.audit, audit);
    this.#projection.follow(next.config.audit, audit);
    this.#ingress.follow();
    this.#schedules.follow();
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

  /** A target became unavailable, or is there again. */
  #targetChanged(breaker: Breaker): void {
    this.#metrics.targetBreakerOpen.with(breaker.target).set(breaker.isOpen ? 1 : 0);
    const concerned = [...this.#engine.runtimes.values()].filter(({ consumer }) =>
      consumer.plan.targets.includes(breaker.target),
    );
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
}
