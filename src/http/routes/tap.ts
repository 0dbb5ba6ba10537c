import type { ServerResponse } from 'node:http';
import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { TAP_SELECTORS } from '../../telemetry/tap-query.ts';
import type { LeftOut, TapSink } from '../../telemetry/tap.ts';
import { ANSWERED, type ApiRoute, defineRoute } from '../define.ts';
import type { HttpContext } from '../server.ts';

/** Bytes that may wait for a slow reader; beyond it events are left out, and counted. */
const MAX_WAITING = 256 * 1024;
/** Milliseconds between signs of life. */
const HEARTBEAT = 15_000;

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
    this.#response.writeHead(200, {
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      // A proxy between would otherwise keep events back until it has a page of them.
      'x-accel-buffering': 'no',
    });
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

const text = (description: string) => z.string().optional().describe(description);
const SELECTORS = {
  consumer: text('Only of this consumer.'),
  type: text('Only of these types, separated by commas: `orders.*`.'),
  key: text('Only with this key.'),
  outcome: text('Only delivered, filtered, dropped, dead_lettered or retried.'),
  reason: text('Only with this reason.'),
  where: text('Only where this expression is true of the event as it ended up.'),
} satisfies Record<(typeof TAP_SELECTORS)[number], z.ZodType>;

/** `/tap`: single events as they are settled, as server-sent events. */
export const tap = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/tap',
    tag: 'events',
    id: 'tapEvents',
    summary: 'Watch single events as they are settled',
    description: 'Server-sent events: `open`, `event`, `left_out` with counts at a high rate, and `end` with a reason.',
    needs: { scope: 'read', narrows: true, consumer: consumerOf },
    problems: [404, 503],
    query: z.strictObject(SELECTORS),
    answers: {
      200: { description: 'Events for as long as somebody listens.', media: 'text/event-stream', schema: z.string() },
    },
    handler: async ({ query, actor, reply }) => {
      const stream = new EventStream(reply.raw);
      const sees = actor.may('read')
        ? undefined
        : (consumer: string, type: string | undefined): boolean => actor.may('read', { consumer, type });
      const selectors = Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));
      const close = context.tap(selectors, stream, sees);
      reply.hijack();
      reply.raw.on('close', close);
      stream.open();
      return ANSWERED;
    },
  }),
];
