import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { asOuzelError, type ErrorCode } from '../../errors.ts';
import { TAP_SELECTORS } from '../../telemetry/tap-query.ts';
import type { LeftOut, TapSink } from '../../telemetry/tap.ts';
import type { Needs } from '../auth/needs.ts';
import { sendProblem } from '../problem.ts';
import type { RouteModule } from '../server.ts';

/** Bytes that may wait for a slow reader; beyond it events are left out, and counted. */
const MAX_WAITING = 256 * 1024;
/** Milliseconds between signs of life. */
const HEARTBEAT = 15_000;

const STATUS: Partial<Record<ErrorCode, number>> = { USAGE: 400, NOT_FOUND: 404, TAP_LIMIT: 503 };

/** Writes what a tap shows as server-sent events. */
class EventStream implements TapSink {
  readonly #response: ServerResponse;
  readonly #heartbeat: NodeJS.Timeout;

  constructor(response: ServerResponse) {
    this.#response = response;
    this.#heartbeat = setInterval(() => response.write(': \n\n'), HEARTBEAT).unref();
    response.on('close', () => clearInterval(this.#heartbeat));
  }

  get full(): boolean {
    return this.#response.writableLength > MAX_WAITING;
  }

  open(): void {
    this.#response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
    this.#write('open', '{}');
  }

  event(json: string): void {
    this.#write('event', json);
  }

  leftOut(counts: LeftOut): void {
    this.#write('left_out', JSON.stringify(counts));
  }

  end(reason: string): void {
    this.#write('end', JSON.stringify({ reason }));
    this.#response.end();
  }

  #write(name: string, data: string): void {
    this.#response.write(`event: ${name}\ndata: ${data}\n\n`);
  }
}

function consumerOf({ query }: FastifyRequest): string | undefined {
  const { consumer } = query as { readonly consumer?: unknown };
  return typeof consumer === 'string' ? consumer : undefined;
}

/** `/api/v1/tap`: single events as they are settled, as server-sent events (`open`, `event`, `left_out`, `end`). */
export const tap: RouteModule = (app, context) => {
  const needs: Needs = { scope: 'read', narrows: true, consumer: consumerOf };
  app.get<{ Querystring: Record<string, unknown> }>('/api/v1/tap', { config: { needs } }, (request, reply) => {
    const { query, actor } = request;
    const unknown = Object.keys(query).find((name) => !(TAP_SELECTORS as readonly string[]).includes(name));
    const repeated = Object.keys(query).find((name) => typeof query[name] !== 'string');
    if (unknown !== undefined || repeated !== undefined) {
      const message =
        unknown === undefined
          ? `"${repeated}" is given twice`
          : `no selector "${unknown}"; there are: ${TAP_SELECTORS.join(', ')}`;
      return sendProblem(reply, 400, 'USAGE', message);
    }
    const stream = new EventStream(reply.raw);
    let close: () => void;
    try {
      close = context.tap(
        query,
        stream,
        actor.may('read') ? undefined : (consumer, type) => actor.may('read', { consumer, type }),
      );
    } catch (error) {
      const { code, message } = asOuzelError(error);
      return sendProblem(reply, STATUS[code] ?? 500, code, message);
    }
    reply.hijack();
    reply.raw.on('close', close);
    stream.open();
    return reply;
  });
};
