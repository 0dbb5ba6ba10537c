/** The admin listener: metrics and health. One file a resource in `routes/`. */
import { fastify, type FastifyInstance } from 'fastify';
import type { LetterAccess } from '../deadletter/read.ts';
import { OuzelError } from '../errors.ts';
import type { FleetAccess } from '../fleet/ports.ts';
import type { DaemonStatus } from '../status.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { TapSelectors } from '../telemetry/tap-query.ts';
import type { TapSink } from '../telemetry/tap.ts';
import { routes } from './routes/index.ts';

/** What the routes show. */
export interface HttpContext {
  readonly metrics: Metrics;
  readonly status: () => DaemonStatus;
  /** Brings computed gauges up to date before a scrape. */
  readonly refresh: () => void;
  /** Lets somebody look at single events; answers with what ends it. @throws OuzelError */
  readonly tap: (selectors: TapSelectors, sink: TapSink) => () => void;
  /** What work on dead letters needs. @throws OuzelError NATS_UNAVAILABLE */
  readonly deadLetters: () => LetterAccess;
  /** The fleet's configuration. @throws OuzelError NATS_UNAVAILABLE */
  readonly fleet: () => FleetAccess;
}

/** Adds the routes of one resource. */
export type RouteModule = (app: FastifyInstance, context: HttpContext) => void;

export interface HttpServer {
  readonly url: string;
  close(): Promise<void>;
}

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** @throws OuzelError HTTP_PORT_IN_USE */
export async function startHttp({ host, port }: ListenAddress, context: HttpContext): Promise<HttpServer> {
  const app = fastify({ bodyLimit: 1024 * 1024, requestTimeout: 30_000, forceCloseConnections: true });
  for (const add of routes) add(app, context);
  try {
    return { url: await app.listen({ host, port }), close: () => app.close() };
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? '';
    await app.close();
    const hint =
      code === 'EADDRINUSE' ? 'already in use. Stop what holds it, or change http.listen' : `not possible: ${code}`;
    throw new OuzelError('HTTP_PORT_IN_USE', `listening on ${host}:${port} is ${hint}`, { cause: error });
  }
}
