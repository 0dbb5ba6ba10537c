/** What listens: bounded in connections, sizes and times, with TLS or without. */
import type { Server } from 'node:http';
import type { Server as TlsServer } from 'node:tls';
import { fastify, type FastifyInstance, type FastifyServerOptions } from 'fastify';
import type { Address } from '../config/fields.ts';
import { OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';
import { answerFrameworkError } from './api.ts';
import { type ConnectionLimits, limitConnections } from './connections.ts';
import { followRenewals, tlsOptions, type TlsSettings } from './tls.ts';

const CONNECTIONS: ConnectionLimits = { total: 512, perAddress: 128, unread: 30_000 };

/** What a request may be, and how slowly it may come. */
const LIMITS = {
  bodyLimit: 1_048_576,
  /** Milliseconds from the first byte of a request to the last one of its body. */
  requestTimeout: 30_000,
  keepAliveTimeout: 72_000,
  routerOptions: { maxParamLength: 256 },
  frameworkErrors: answerFrameworkError,
} as const satisfies FastifyServerOptions;

const NODE_LIMITS = {
  /** Bytes of all headers. */
  maxHeaderSize: 16_384,
  /** Milliseconds for them to be there. */
  headersTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
} as const;

export interface ListenerOptions {
  readonly listen: Address;
  readonly tls: TlsSettings | undefined;
  /** Where both stand in the configuration. */
  readonly field: string;
  readonly tlsField: string;
  readonly logger: Logger;
  /** Whether requests in work are answered before it is closed. Default: no. */
  readonly finish?: boolean;
  readonly connections?: ConnectionLimits;
}

export interface Listener {
  readonly app: FastifyInstance;
  /** @returns The URL. @throws OuzelError HTTP_PORT_IN_USE */
  open(): Promise<string>;
  close(): Promise<void>;
}

/** A listener without routes. @throws OuzelError CONFIG_UNREADABLE, CONFIG_INVALID_VALUE */
export async function createListener(options: ListenerOptions): Promise<Listener> {
  const { listen, tls, field, tlsField, logger, finish = false, connections = CONNECTIONS } = options;
  const secure = tls === undefined ? undefined : await tlsOptions(tls, tlsField);
  const limits = { ...LIMITS, forceCloseConnections: finish ? ('idle' as const) : true };
  const app = (
    secure === undefined
      ? fastify({ ...limits, http: NODE_LIMITS })
      : fastify({ ...limits, https: { ...NODE_LIMITS, ...secure } })
  ) as FastifyInstance;
  const server: Server = app.server;
  // Node leaves out what is too many in silence; too many are refused instead (`auth/index.ts`).
  server.maxHeadersCount = 0;
  limitConnections(server, connections);
  let endRenewals = (): void => undefined;
  return {
    app,
    async open() {
      try {
        const url = await app.listen(listen);
        if (tls !== undefined) endRenewals = followRenewals(server as unknown as TlsServer, tls, logger);
        return url;
      } catch (error) {
        const code = (error as NodeJS.ErrnoException).code ?? '';
        await app.close();
        const hint =
          code === 'EADDRINUSE' ? `already in use. Stop what holds it, or change ${field}` : `not possible: ${code}`;
        const message = `listening on ${listen.host}:${listen.port} is ${hint}`;
        throw new OuzelError('HTTP_PORT_IN_USE', message, { cause: error });
      }
    },
    async close() {
      endRenewals();
      await app.close();
    },
  };
}
