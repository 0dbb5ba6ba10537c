/** The admin listener: metrics, health and the API. One file a resource in `routes/`. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { FastifyInstance } from 'fastify';
import type { Acts } from '../audit/acts.ts';
import type { LoadedConfig } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import type { LetterAccess } from '../deadletter/read.ts';
import type { Disabling } from '../deliver/breaker.ts';
import type { DeliveryRecord } from '../deliver/log.ts';
import type { Actor, FleetAccess } from '../fleet/ports.ts';
import type { ReplayHost } from '../replay/host.ts';
import type { ConsumerRuntime } from '../reconcile/runtime.ts';
import type { TestPorts } from '../reconcile/test-delivery.ts';
import type { RunningSchedules } from '../sources/schedules/index.ts';
import type { DaemonStatus } from '../status.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Sees, TapSelectors } from '../telemetry/tap-query.ts';
import type { TapSink } from '../telemetry/tap.ts';
import { answerProblems, mountApi } from './api.ts';
import { auditWrites } from './audit.ts';
import { Authenticator } from './auth/authenticate.ts';
import { guard } from './auth/index.ts';
import { isLoopbackHost } from './auth/origin.ts';
import { createListener } from './listener.ts';
import { apiRoutes, routes } from './routes/index.ts';

/** What the routes show, and what guards them. */
export interface HttpContext {
  /** The configuration in force. */
  readonly loaded: () => LoadedConfig;
  readonly acts: Acts;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly status: () => DaemonStatus;
  /** Brings computed gauges up to date before a scrape. */
  readonly refresh: () => void;
  /** Lets somebody look at single events; answers with what ends it. @throws OuzelError */
  readonly tap: (selectors: TapSelectors, sink: TapSink, sees: Sees | undefined) => () => void;
  /** What work on dead letters needs. @throws OuzelError NATS_UNAVAILABLE */
  readonly deadLetters: () => LetterAccess;
  /** The replays that run here. */
  readonly replays: ReplayHost;
  readonly schedules: ScheduleAccess;
  /** The fleet's configuration. @throws OuzelError NATS_UNAVAILABLE */
  readonly fleet: () => FleetAccess;
  /** The consumers that run here. */
  readonly runtimes: () => ReadonlyMap<string, ConsumerRuntime>;
  /** What events are posted and targets are tried with. @throws OuzelError NATS_UNAVAILABLE */
  readonly nats: () => NatsAccess;
  readonly targets: TargetAccess;
}

/** What is known of schedules beside their configuration, and what can be done with them. */
export type ScheduleAccess = Pick<RunningSchedules, 'state' | 'fire'>;

/** What is known of targets beside their configuration. */
export interface TargetAccess {
  /** Undefined: it is not disabled. */
  readonly disabled: (target: string) => Disabling | undefined;
  /** The latest deliveries of this instance, the newest first. */
  readonly deliveries: (target: string) => readonly DeliveryRecord[];
  /** @throws OuzelError NATS_UNAVAILABLE, CONFLICT */
  readonly enable: (target: string, actor: Actor) => Promise<void>;
}

export interface NatsAccess extends TestPorts {
  readonly manager: JetStreamManager;
}

/** Adds the routes of one resource. */
export type RouteModule = (app: FastifyInstance, context: HttpContext) => void;

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Listens as `http` of the configuration says.
 *
 * @throws OuzelError HTTP_PORT_IN_USE, CONFIG_UNREADABLE, CONFIG_INVALID_VALUE
 */
export async function startHttp(context: HttpContext): Promise<HttpServer> {
  const { loaded, logger, acts } = context;
  const config = (): Config => loaded().config;
  const { listen, tls } = config().http;
  const listener = await createListener({ listen, tls, field: 'http.listen', tlsField: 'http.tls', logger });
  const { app } = listener;
  const authenticator = new Authenticator(config, logger);
  guard(app, authenticator);
  auditWrites(app, acts);
  const api = apiRoutes(context);
  answerProblems(app, api);
  for (const add of routes) add(app, context);
  mountApi(app, api);
  warnExposed(config(), logger);
  const url = await listener.open();
  return {
    url,
    close: async () => {
      await listener.close();
      authenticator.close();
    },
  };
}

/** Says at the start what a listener that others can reach will not do, or will do in the clear. */
function warnExposed({ http: { listen, tls }, access }: Config, logger: Logger): void {
  if (isLoopbackHost(listen.host)) return;
  const { host } = listen;
  if (access.length === 0)
    logger.warn(
      { host },
      'others can reach http.listen, and there is no `access`: they get /metrics, /healthz and /readyz',
    );
  else if (tls === undefined)
    logger.warn({ host }, 'tokens come to http.listen in the clear, unless a proxy before it has TLS: see http.tls');
}
