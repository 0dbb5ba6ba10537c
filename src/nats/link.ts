/** The connection of a daemon, with all that talks over it, and what becomes of it. */
import type { NatsConnection } from '@nats-io/transport-node';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { connectNats, type NatsSettings, watchConnection } from './connect.ts';
import { Denials } from './denials.ts';
import { JetStreamPublisher } from './publish.ts';
import { NatsRequester } from './request.ts';
import { Wire } from './wire.ts';

export interface LinkEvents {
  disconnected(): void;
  /** The connection is there again, and what was held is sent. */
  reconnected(): void;
}

export class Link {
  readonly connection: NatsConnection;
  readonly wire: Wire;
  readonly publisher: JetStreamPublisher;
  readonly requester: NatsRequester;
  readonly #denials: Denials;
  readonly #logger: Logger;
  readonly #metrics: Metrics;

  private constructor(connection: NatsConnection, logger: Logger, metrics: Metrics) {
    const onWarning = (message: string): void => logger.error(message);
    this.connection = connection;
    this.#logger = logger;
    this.#metrics = metrics;
    this.wire = new Wire(connection);
    this.publisher = new JetStreamPublisher(connection, this.wire, onWarning);
    this.requester = new NatsRequester(connection, this.wire, onWarning);
    this.#denials = new Denials(connection, this.#warn);
    metrics.natsConnected.with().set(1);
    logger.info({ server: connection.getServer(), version: connection.info?.version }, 'connected to NATS');
  }

  /**
   * Connects, however long it takes.
   *
   * @param settings Those in force: their credentials are asked for at every connect.
   * @throws OuzelError NATS_UNAVAILABLE when it was closed meanwhile
   */
  static async open(settings: () => NatsSettings, logger: Logger, metrics: Metrics): Promise<Link> {
    return new Link(await connectNats(settings(), true, settings), logger, metrics);
  }

  get connected(): boolean {
    return this.wire.connected;
  }

  /** What the server refuses this user, and nothing can be done without. */
  get denied(): readonly string[] {
    return this.#denials.reasons;
  }

  /** Tells of what becomes of the connection, until it is closed. */
  async watch(events: LinkEvents): Promise<void> {
    const connected = this.#metrics.natsConnected.with();
    const watching = {
      disconnected: (server: string) => {
        connected.set(0);
        this.#logger.warn({ server }, 'disconnected from NATS');
        events.disconnected();
        this.publisher.disconnected();
        this.requester.disconnected();
      },
      reconnected: (server: string) => {
        connected.set(1);
        this.#metrics.natsReconnects.with().increment();
        this.#logger.info({ server }, 'reconnected to NATS');
        this.wire.resume();
        events.reconnected();
      },
      warning: this.#warn,
    };
    await watchConnection(this.connection, watching, this.#denials);
    connected.set(0);
  }

  /** Sends what is still to be sent, and closes what waits for answers. */
  async flush(): Promise<void> {
    this.wire.flush();
    if (this.connected) await this.connection.flush().catch(() => undefined);
    this.publisher.close();
    this.requester.close();
  }

  readonly #warn = (message: string): void => this.#logger.warn(`NATS: ${message}`);
}
