/** The composition root: connects, provisions, runs the consumers, drains. */
import { createHash } from 'node:crypto';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { LoadedConfig } from './config/load.ts';
import type { Run } from './core/run.ts';
import { Turns } from './core/turns.ts';
import { createDeadLetterStore, DEAD_LETTER_STREAM, DEAD_LETTER_SUBJECTS } from './deadletter/store.ts';
import { asOuzelError } from './errors.ts';
import { configureHash, type Evaluate, Fault, toText } from './expression/index.ts';
import { type HttpServer, startHttp } from './http/server.ts';
import { createBodies, KEPT } from './nats/bodies.ts';
import { checkServer, connectNats, watchConnection } from './nats/connect.ts';
import { ensureStream, type StreamSpec } from './nats/provision.ts';
import { JetStreamPublisher } from './nats/publish.ts';
import { Wire } from './nats/wire.ts';
import { buildRuntime, type Services, streamSpecs } from './reconcile/build.ts';
import { bindFilters } from './reconcile/compile.ts';
import type { ConsumerRuntime } from './reconcile/runtime.ts';
import type { DaemonStatus } from './status.ts';
import type { Logger } from './telemetry/log.ts';
import { createMetrics } from './telemetry/metrics.ts';
import { createLogObserver } from './telemetry/observe.ts';
import { VERSION } from './version.ts';

/** Milliseconds between looks at what is in hand: keep-alives and time-outs. */
const SWEEP = 500;
/** Milliseconds between questions to the server about the durables. */
const POLL = 5_000;
/** Milliseconds between attempts to prepare a server that is not ready for Ouzel. */
const PREPARE_AGAIN = 5_000;

configureHash((text) => createHash('sha256').update(text).digest('hex'));

/** Where a running daemon is reached. */
export interface Address {
  /** `http://host:port` of the admin listener. */
  readonly url: string;
}

export class Daemon {
  readonly #loaded: LoadedConfig;
  readonly #logger: Logger;
  readonly #metrics = createMetrics();
  readonly #runtimes = new Map<string, ConsumerRuntime>();
  readonly #timers: NodeJS.Timeout[] = [];
  #http: HttpServer | undefined;
  #connection: NatsConnection | undefined;
  #publisher: JetStreamPublisher | undefined;
  #wire: Wire | undefined;
  /** Why the daemon as a whole cannot work; empty when it can. */
  #problem = 'NATS: connecting';
  #stopping = false;

  constructor(loaded: LoadedConfig, logger: Logger) {
    this.#loaded = loaded;
    this.#logger = logger;
  }

  /**
   * Serves HTTP, then connects and starts the consumers in the background: a NATS server that is away is waited for.
   *
   * @throws OuzelError HTTP_PORT_IN_USE
   */
  async start(): Promise<Address> {
    const { config, hash } = this.#loaded;
    const metrics = this.#metrics;
    metrics.buildInfo.with(VERSION, process.version).set(1);
    metrics.natsConnected.with().set(0);
    metrics.natsReconnects.with();
    metrics.logLinesSuppressed.with();
    metrics.configGeneration.with().set(1);
    metrics.configLastSuccess.with().set(Date.now() / 1000);
    this.#http = await startHttp(config.http.listen, {
      metrics,
      status: () => this.status(),
      refresh: () => this.#refresh(),
    });
    const { url } = this.#http;
    this.#logger.info({ version: VERSION, config: this.#loaded.file, hash, http: url }, 'ouzel starts');
    this.#run().catch((error: unknown) => {
      if (this.#stopping) return;
      const { code, message } = asOuzelError(error);
      this.#problem = message;
      this.#logger.fatal({ code }, message);
    });
    return { url };
  }

  status(): DaemonStatus {
    const consumers = [...this.#runtimes.values()].map(({ name, state, reason }) => ({ name, state, reason }));
    const connected = this.#wire?.connected ?? false;
    const reasons = [
      ...(this.#stopping ? ['draining'] : []),
      ...(this.#problem === '' ? [] : [this.#problem]),
      ...(this.#problem === '' && !connected ? ['NATS: disconnected'] : []),
      ...consumers
        .filter(({ state }) => state === 'failed' || state === 'starting')
        .map(({ name, state, reason }) => `consumer ${name}: ${reason === '' ? state : reason}`),
    ];
    const { file, hash } = this.#loaded;
    return { ready: reasons.length === 0, reasons, connected, consumers, config: { file, hash, generation: 1 } };
  }

  /** Drains: no new events, what runs is finished within `http.drain`, the rest goes back to the server. */
  async stop(): Promise<void> {
    if (this.#stopping) return;
    this.#stopping = true;
    const { drain } = this.#loaded.config.http;
    this.#logger.info({ drain_ms: drain }, 'draining');
    const { promise: deadline, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, drain);
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.stop(deadline)));
    clearTimeout(timer);
    for (const each of this.#timers) clearInterval(each);
    this.#wire?.flush();
    const connection = this.#connection;
    if (connection !== undefined && this.#wire?.connected === true) await connection.flush().catch(() => undefined);
    this.#publisher?.close();
    await connection?.close();
    await this.#http?.close();
    const left = [...this.#runtimes.values()].reduce((sum, { consumer }) => sum + consumer.held, 0);
    if (left > 0) this.#logger.warn({ events: left }, 'stopped with events in hand; the server delivers them again');
    this.#logger.info('stopped');
  }

  async #run(): Promise<void> {
    const { config } = this.#loaded;
    const connection = await connectNats(config.nats);
    if (this.#stopping) return connection.close();
    this.#connection = connection;
    const wire = new Wire(connection);
    const publisher = new JetStreamPublisher(connection, wire);
    this.#wire = wire;
    this.#publisher = publisher;
    this.#metrics.natsConnected.with().set(1);
    this.#logger.info({ server: connection.getServer(), version: connection.info?.version }, 'connected to NATS');
    this.#watch(connection).catch((error: unknown) => this.#unexpected(error));
    const services = await this.#prepare(connection, wire, publisher);
    if (services === undefined) return;
    this.#problem = '';
    for (const name of Object.keys(config.consumers))
      this.#runtimes.set(name, buildRuntime(name, this.#loaded, services));
    this.#every(SWEEP, () => this.#sweep());
    this.#every(POLL, () => {
      this.#poll().catch((error: unknown) => this.#unexpected(error));
    });
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.start()));
    await this.#poll();
    const states = Object.fromEntries([...this.#runtimes].map(([name, { state }]) => [name, state]));
    this.#logger.info({ consumers: states }, 'ready');
  }

  /** Makes the streams; a server that is not fit for it is asked again until it is. */
  async #prepare(connection: NatsConnection, wire: Wire, publisher: JetStreamPublisher): Promise<Services | undefined> {
    const { config } = this.#loaded;
    const { domain, system } = config.nats;
    const options = domain === undefined ? {} : { domain };
    for (;;) {
      try {
        checkServer(connection);
        const manager = await jetstreamManager(connection, { ...options, checkAPI: false, timeout: 10_000 });
        const client = jetstream(connection, options);
        const letters: StreamSpec = {
          name: DEAD_LETTER_STREAM,
          subjects: [DEAD_LETTER_SUBJECTS],
          replicas: system.replicas,
          discard: 'new',
          maxAge: KEPT,
          description: 'Dead letters of Ouzel',
          manage: false,
        };
        for (const spec of [letters, ...streamSpecs(config)]) {
          const { made, changed, kept } = await ensureStream(manager, spec);
          if (made) this.#logger.info({ stream: spec.name, subjects: spec.subjects }, 'stream made');
          if (changed.length > 0) this.#logger.info({ stream: spec.name, changed }, 'stream changed');
          if (kept.length > 0)
            this.#logger.warn(
              { stream: spec.name, differs: kept },
              'stream differs from the configuration; `manage: true` would change it',
            );
        }
        return {
          connection,
          manager,
          wire,
          publisher,
          letters: createDeadLetterStore(publisher, createBodies(client, system.replicas), {
            keyOf: this.#keys(),
            redact: this.#loaded.redact,
          }),
          observer: createLogObserver(this.#logger, this.#metrics.logLinesSuppressed.with()),
          turns: new Turns(),
          logger: this.#logger,
          metrics: this.#metrics,
        };
      } catch (error) {
        const { code, message } = asOuzelError(error);
        if (this.#problem !== message) this.#logger.error({ code }, message);
        this.#problem = message;
      }
      await new Promise((resolve) => setTimeout(resolve, PREPARE_AGAIN).unref());
      if (this.#stopping) return undefined;
    }
  }

  /** The key of an event, by its stream's `key`. An event without one is still a letter. */
  #keys(): (run: Run) => string | undefined {
    const { config } = this.#loaded;
    const filters = bindFilters(config);
    const keys = new Map<string, Evaluate>();
    for (const [name, { key }] of Object.entries(config.streams))
      if (key !== undefined) keys.set(name, key.bind(filters));
    return (run) => {
      try {
        const value = keys.get(run.stream)?.(run);
        return value === undefined || value instanceof Fault ? undefined : toText(value);
      } catch {
        // The data cannot be decoded, which is why it is a dead letter.
        return undefined;
      }
    };
  }

  async #watch(connection: NatsConnection): Promise<void> {
    const connected = this.#metrics.natsConnected.with();
    await watchConnection(connection, {
      disconnected: (server) => {
        connected.set(0);
        this.#logger.warn({ server }, 'disconnected from NATS');
        for (const runtime of this.#runtimes.values()) runtime.disconnected();
        this.#publisher?.disconnected();
      },
      reconnected: (server) => {
        connected.set(1);
        this.#metrics.natsReconnects.with().increment();
        this.#logger.info({ server }, 'reconnected to NATS');
        this.#wire?.resume();
        for (const runtime of this.#runtimes.values()) runtime.reconnected();
      },
      warning: (message) => this.#logger.warn(`NATS: ${message}`),
    });
    connected.set(0);
  }

  /** What goes on beside the events failed: it is said, and the events go on. */
  #unexpected(error: unknown): void {
    this.#logger.error({ error: asOuzelError(error).message }, 'unexpected error');
  }

  #every(milliseconds: number, task: () => void): void {
    this.#timers.push(setInterval(task, milliseconds));
  }

  #sweep(): void {
    const now = performance.now();
    for (const [name, { consumer }] of this.#runtimes) {
      const ackWait = this.#loaded.config.consumers[name]?.ack_wait ?? 30_000;
      consumer.sweep(now, ackWait / 3);
    }
  }

  async #poll(): Promise<void> {
    if (this.#wire?.connected !== true) return;
    for (const runtime of this.#runtimes.values()) await runtime.poll();
  }

  #refresh(): void {
    this.#metrics.natsConnected.with().set(this.#wire?.connected === true ? 1 : 0);
    for (const runtime of this.#runtimes.values()) runtime.refresh();
  }
}
