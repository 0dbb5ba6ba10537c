import { z } from 'zod';
import { FIRST_RUN } from '../../core/handover.ts';
import { OuzelError } from '../../errors.ts';
import { decide } from '../../flow/debounce.ts';
import { countWaiting, decideTimer, findWaiting, listWaiting, type Waiting } from '../../nats/waiting.ts';
import { rememberedFor } from '../../reconcile/due.ts';
import { type ApiRoute, defineRoute, nameParam, wholeNumber } from '../define.ts';
import { theResource } from '../resources.ts';
import type { HttpContext } from '../server.ts';

/** Events that one request shows, at most. */
const MOST = 1000;
const SHOWN = 100;

const timer = z
  .strictObject({
    id: z.string().describe('`timer-17` or `held-3`: where it waits, and the number of the message there.'),
    why: z.string().describe('`retry`, or the stage that holds it back: `delay`, `debounce`, …'),
    until: z.iso.datetime().describe('When it goes on.'),
    key: z.string().nullable().describe('What `debounce` goes by; null for others.'),
    stream: z.string(),
    seq: z.number().int(),
    subject: z.string(),
    run: z.string().describe('`first`, or the id of a re-drive or replay.'),
    attempts: z.number().int().min(0).describe('Attempts that failed.'),
  })
  .meta({ id: 'Timer', description: 'An event that waits for its instant.' });

const EXAMPLE: z.input<typeof timer> = {
  id: 'timer-17',
  why: 'delay',
  until: '2026-01-02T03:34:05.000Z',
  key: null,
  stream: 'EVENTS',
  seq: 42,
  subject: 'events.orders.created',
  run: 'first',
  attempts: 0,
};

const byName = z.strictObject({ name: nameParam('Of the consumer.') });
const byId = z.strictObject({
  name: nameParam('Of the consumer.'),
  id: z
    .string()
    .regex(/^(timer|held)-\d{1,15}$/, 'like timer-17 or held-3')
    .describe('As the list has it.'),
});

const shown = ({ id, why, until, key, attempts, handover }: Waiting): z.input<typeof timer> => ({
  id,
  why,
  until: new Date(until).toISOString(),
  key: key ?? null,
  stream: handover.stream,
  seq: handover.position.sequence,
  subject: handover.subject,
  run: handover.run === '' ? FIRST_RUN : handover.run,
  attempts,
});

const nameOf = ({ params }: { params: unknown }): string => (params as { name: string }).name;

/** `/consumers/{name}/timers`: what waits for a consumer. */
export const timers = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/consumers/{name}/timers',
    tag: 'consumers',
    id: 'listTimers',
    summary: 'List the events of a consumer that wait for an instant',
    description:
      'Retries beyond `ack_wait`, and what `delay` or `debounce` hold back, in the order in which they were stored. They wait on the server, whichever instance is asked.',
    needs: { scope: 'read', consumer: nameOf },
    problems: [404, 422, 503],
    params: byName,
    query: z.strictObject({
      limit: wholeNumber({ min: 1, max: MOST, preset: SHOWN }),
      after: byId.shape.id.optional().describe('The id behind which the list begins.'),
    }),
    answers: {
      200: {
        description: 'Those that wait.',
        schema: z.strictObject({
          waiting: z.number().int().min(0).nullable().describe('Timers in all; null where that is not known.'),
          timers: z.array(timer),
          next: z.string().nullable().describe('`after` of the next page; null on the last one.'),
        }),
        example: { waiting: 1, timers: [EXAMPLE], next: null },
      },
    },
    handler: async ({ params: { name }, query: { limit, after } }) => {
      theResource(context, { section: 'consumers', name });
      const { manager } = context.nats();
      const found = await listWaiting(manager, name, limit, after);
      const { timers: waiting } = await countWaiting(manager, name);
      const next = found.length === limit ? (found.at(-1)?.id ?? null) : null;
      return { status: 200, body: { waiting: waiting ?? null, timers: found.map(shown), next } };
    },
  }),
  ...(['fire', 'cancel'] as const).map((verb) =>
    defineRoute({
      method: 'POST',
      path: `/consumers/{name}/timers/{id}/${verb}`,
      tag: 'consumers',
      id: `${verb}Timer`,
      summary: verb === 'fire' ? 'Let an event that waits go on now' : 'End an event that waits',
      description:
        verb === 'fire'
          ? 'It goes on behind the stage that held it back, on whichever instance. One that goes on by itself within 10 s is left alone (409).'
          : 'Its outcome is `dropped`, reason `cancelled`. One that goes on by itself within 10 s is left alone (409).',
      needs: { scope: 'operate', write: true, what: `timer.${verb}`, consumer: nameOf },
      problems: [404, 409, 422, 503],
      params: byId,
      answers: { 200: { description: 'What it was.', schema: timer, example: EXAMPLE } },
      handler: async ({ params: { name, id }, raw }) => {
        theResource(context, { section: 'consumers', name });
        const { manager, publisher } = context.nats();
        const { waiting, message, place } = await findWaiting(manager, name, id);
        const before = shown(waiting);
        raw.act = { what: `timer.${verb}`, resource: `consumers/${name}`, before };
        const cancelled = verb === 'cancel';
        if (place === undefined) await decideTimer({ manager, publisher }, name, waiting, message, cancelled);
        else await decideHeld(context, name, { place, revision: message.seq }, cancelled);
        return { status: 200, body: before };
      },
    }),
  ),
];

async function decideHeld(
  context: HttpContext,
  name: string,
  where: { readonly place: string; readonly revision: number },
  cancelled: boolean,
): Promise<void> {
  const runtime = context.runtimes().get(name);
  if (runtime === undefined)
    throw new OuzelError('CONFLICT', `${name} does not run here: its configuration is refused`);
  if (await decide(runtime.held, where, cancelled, rememberedFor(runtime.consumer))) return;
  throw new OuzelError('CONFLICT', 'a newer event has its place by now, or it goes on already');
}
