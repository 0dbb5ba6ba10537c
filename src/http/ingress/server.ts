/**
 * The listener for what comes in: webhooks of the configuration in force, and posted events. Apart from the admin
 * listener, so that it alone can be reached from outside.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../../config/schema.ts';
import { traceHeaders } from '../../deliver/outgoing.ts';
import type { PostedCheck } from '../../reconcile/posted.ts';
import type { Publisher } from '../../deliver/ports.ts';
import { asOuzelError, OuzelError } from '../../errors.ts';
import { Webhooks } from '../../sources/registry.ts';
import { EVENTS_PATH, LARGEST_BODY } from '../../sources/webhook.ts';
import { LogEconomy } from '../../telemetry/economy.ts';
import type { Logger } from '../../telemetry/log.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import type { RequestTracer } from '../../telemetry/request-spans.ts';
import { passedOn } from '../../telemetry/trace-context.ts';
import { Attempts } from '../auth/attempts.ts';
import { Authenticator } from '../auth/authenticate.ts';
import { guard } from '../auth/index.ts';
import { addressOf, isLoopbackHost } from '../auth/origin.ts';
import { createListener, type Listener } from '../listener.ts';
import { HttpError, sendError } from '../problem.ts';
import { Budget, readBody } from './body.ts';
import { postEvents } from './events.ts';
import { type Incoming, receive, type Received, Unverified } from './receive.ts';
import { type IngressResult, INGRESS_RESULTS, resultOf } from './results.ts';

/** Where it listens as soon as there is a webhook and the configuration does not say. */
const DEFAULT = { host: '127.0.0.1', port: 8080 };
/** A proxy before it has one address for all. */
const CONNECTIONS = { total: 1024, perAddress: 512, unread: 30_000 };
/** Requests of an address that are not verified before it is told to wait, milliseconds until one more, addresses. */
const WRONG = { burst: 20, every: 3_000, addresses: 10_000 };
/** What requests to no source, and posted events, are counted as: no source can have these names. */
const NO_SOURCE = '';

export interface IngressContext {
  /** The configuration in force. */
  readonly config: () => Config;
  /** What looks at events that are posted. */
  readonly check: () => PostedCheck;
  /** @throws OuzelError NATS_UNAVAILABLE */
  readonly publisher: () => Publisher;
  /** Undefined while traces are off. */
  readonly trace: () => RequestTracer | undefined;
  readonly metrics: Metrics;
  readonly logger: Logger;
}

declare module 'fastify' {
  interface FastifyRequest {
    /** Whether the ingress has counted it. */
    counted: boolean;
  }
}

export class Ingress {
  readonly #context: IngressContext;
  readonly #webhooks: Webhooks;
  readonly #economy: LogEconomy;
  readonly #timer: NodeJS.Timeout;
  readonly #wrong = new Attempts(WRONG);
  readonly #budget = new Budget();
  readonly #authenticator: Authenticator;
  #listener: Listener | undefined;
  #closing = false;
  /** Where it listens; undefined while it does not. */
  url: string | undefined;

  constructor(context: IngressContext) {
    const { config, logger, metrics } = context;
    this.#context = context;
    const count = metrics.ingressRequests;
    this.#webhooks = new Webhooks(config, {
      added: (name) => INGRESS_RESULTS.forEach((result) => count.with(name, result)),
      removed: (name) => count.remove('source', name),
    });
    this.#economy = new LogEconomy({ logger, suppressed: metrics.logLinesSuppressed.with() });
    this.#timer = setInterval(() => this.#economy.tick(), 1000).unref();
    // A proxy on this machine speaks for others: nobody is let in for where they sit.
    this.#authenticator = new Authenticator(config, logger, false);
  }

  /**
   * Listens, if a configuration asks for it and it does not yet.
   *
   * @returns Takes it back, where the configuration does not come up after all.
   * @throws OuzelError HTTP_PORT_IN_USE, CONFIG_UNREADABLE, CONFIG_INVALID_VALUE
   */
  async prepare({ http, sources }: Config): Promise<() => Promise<void>> {
    const wanted = http.ingress !== undefined || Object.values(sources).some(({ webhook }) => webhook !== undefined);
    if (!wanted || this.#listener !== undefined) return () => Promise.resolve();
    const listen = http.ingress ?? DEFAULT;
    const tls = http.ingress_tls;
    const { logger } = this.#context;
    const names = { field: 'http.ingress', tlsField: 'http.ingress_tls' };
    const listener = await createListener({ listen, tls, ...names, logger, finish: true, connections: CONNECTIONS });
    this.#addRoutes(listener.app);
    this.url = await listener.open();
    this.#listener = listener;
    this.#closing = false;
    if (tls === undefined && !isLoopbackHost(listen.host))
      logger.warn(
        { host: listen.host },
        'what comes to http.ingress is in the clear, unless a proxy before it has TLS',
      );
    return () => this.#closeListener();
  }

  /** The configuration in force is another one. */
  follow(): void {
    this.#webhooks.follow();
  }

  /** Answers what is in work, and takes no more. What is not done by the deadline is cut off. */
  async close(deadline: Promise<void>): Promise<void> {
    clearInterval(this.#timer);
    const { server } = this.#listener?.app ?? {};
    await Promise.race([this.#closeListener(), deadline]);
    server?.closeAllConnections();
    this.#webhooks.close();
    this.#authenticator.close();
    this.#economy.flush();
  }

  async #closeListener(): Promise<void> {
    this.#closing = true;
    const listener = this.#listener;
    this.#listener = undefined;
    this.url = undefined;
    await listener?.close();
  }

  #addRoutes(app: FastifyInstance): void {
    app.decorateRequest('counted', false);
    // What the guard refused came to no handler.
    app.addHook('onResponse', (request, reply, done) => {
      const source = pathOf(request) === EVENTS_PATH ? EVENTS_PATH : NO_SOURCE;
      if (!request.counted) this.#count(request, source, resultOf(reply.statusCode));
      done();
    });
    guard(app, this.#authenticator);
    app.setErrorHandler((error, _request, reply) => sendError(reply, error));
    app.register((scope, _options, done) => {
      scope.removeAllContentTypeParsers();
      // Bodies are read by who knows how large they may be.
      scope.addContentTypeParser('*', (_request, _payload, parsed) => parsed(null));
      scope.route({
        method: 'POST',
        url: EVENTS_PATH,
        bodyLimit: LARGEST_BODY,
        config: { needs: { scope: 'publish', write: true, what: 'event.publish', narrows: true } },
        handler: (request, reply) => this.#post(request, reply),
      });
      scope.route({
        method: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
        url: '/*',
        bodyLimit: LARGEST_BODY,
        config: { open: true },
        handler: (request, reply) => this.#receive(request, reply),
      });
      done();
    });
  }

  #count(request: FastifyRequest, source: string, result: IngressResult): void {
    request.counted = true;
    this.#context.metrics.ingressRequests.with(source, result).increment();
  }

  async #receive(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const webhook = this.#webhooks.at(pathOf(request));
    if (webhook === undefined)
      return this.#refuse(request, reply, NO_SOURCE, new HttpError(404, 'nothing is here', 'NOT_FOUND'));
    return this.#answer(request, reply, webhook.name, async (incoming) => ({
      status: 200,
      ...(await receive(webhook, incoming)),
    }));
  }

  async #post(request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
    const { actor } = request;
    const may = (type: string): boolean => actor.may('publish', { type });
    return this.#answer(request, reply, EVENTS_PATH, (incoming) => postEvents(this.#context.config(), incoming, may));
  }

  async #answer(
    request: FastifyRequest,
    reply: FastifyReply,
    source: string,
    work: (incoming: Incoming) => Promise<Received & { readonly status: number }>,
  ): Promise<FastifyReply> {
    const taken = { length: 0 };
    const path = pathOf(request);
    const headers = headersOf(request);
    const context = [headers.get('traceparent'), headers.get('tracestate')] as const;
    const span = this.#context.trace()?.({ method: request.method, route: path, source }, ...context);
    const answer = await work({
      method: request.method,
      path,
      query: request.url.slice(path.length + 1),
      headers,
      read: (limit) => readBody(request.raw, limit, this.#budget, taken),
      trace: traceHeaders(span ?? passedOn(...context), NONE),
      publisher: this.#context.publisher,
      check: this.#context.check(),
    }).then(
      ({ status, body, duplicate }) =>
        () => {
          const result = duplicate ? 'duplicate' : 'accepted';
          this.#count(request, source, result);
          span?.end(status, result);
          return reply.code(status).send(body);
        },
      (error: unknown) => () => {
        const refused = this.#refuse(request, reply, source, error);
        span?.end(refused.statusCode, resultOf(refused.statusCode));
        return refused;
      },
    );
    this.#budget.give(taken.length);
    // A connection that is kept would keep the listener from closing.
    if (this.#closing) reply.header('connection', 'close');
    return answer();
  }

  #refuse(request: FastifyRequest, reply: FastifyReply, source: string, error: unknown): FastifyReply {
    // A body that is still on its way is not waited for.
    if (!request.raw.complete) reply.header('connection', 'close');
    const from = addressOf(request);
    const answer = sendError(reply, this.#shown(error, source, from));
    const { statusCode } = answer;
    this.#count(request, source, resultOf(statusCode));
    if (statusCode >= 500) {
      const { code, message } = asOuzelError(error);
      const line = { kind: `${source} ${code}`, level: 'error', message: 'what came in was not stored' } as const;
      this.#economy.write(line, { source, code }, () => ({ reason: message }));
    } else if (!(error instanceof Unverified) && source !== NO_SOURCE)
      this.#context.logger.debug({ source, status: statusCode, from }, (error as Error).message);
    return answer;
  }

  /** What of an error is for the sender. */
  #shown(error: unknown, source: string, from: string): unknown {
    if (error instanceof OuzelError && error.code === 'OIDC_UNAVAILABLE')
      return new HttpError(503, 'tokens cannot be checked now', error.code);
    if (!(error instanceof Unverified)) return error;
    const { reason } = error;
    const line = { kind: `unverified ${source}`, level: 'warn', message: 'a webhook was not verified' } as const;
    this.#economy.write(line, { source }, () => ({ reason, from }));
    const wait = this.#wrong.take(from, performance.now());
    if (wait === 0) return error;
    return new HttpError(429, 'too many requests of this address could not be verified', 'TOO_MANY_ATTEMPTS', {
      'retry-after': String(Math.ceil(wait / 1000)),
    });
  }
}

const NONE: ReadonlySet<string> = new Set();

const pathOf = ({ url }: FastifyRequest): string => url.split('?', 1)[0] ?? '';

/** Names in lower case; what stands several times is one, as HTTP has it. */
function headersOf({ headers }: FastifyRequest): ReadonlyMap<string, string> {
  const all = new Map<string, string>();
  for (const [name, value] of Object.entries(headers))
    if (value !== undefined) all.set(name, Array.isArray(value) ? value.join(', ') : value);
  return all;
}
