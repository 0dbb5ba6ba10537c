import { z } from 'zod';
import { shownBody } from '../../deliver/http/answer.ts';
import { type DeliveryRecord, KEPT } from '../../deliver/log.ts';
import { type ApiRoute, defineRoute, nameParam, wholeNumber } from '../define.ts';
import { theResource } from '../resources.ts';
import type { HttpContext } from '../server.ts';

const state = z
  .strictObject({
    name: z.string(),
    disabled: z
      .strictObject({ since: z.iso.datetime(), error: z.string().describe('What it answered.') })
      .nullable()
      .describe('That it said it is gone (410), and nothing is sent there; else null.'),
  })
  .meta({ id: 'TargetState', description: 'Whether a target is delivered to.' });

const delivery = z
  .strictObject({
    at: z.iso.datetime().describe('When it ended.'),
    result: z.enum(['confirmed', 'rejected', 'unavailable']),
    status: z.number().int().nullable().describe('Of the HTTP answer; null where none came.'),
    duration_ms: z.number().min(0),
    answer: z.string().nullable().describe('The beginning of the answer, secrets taken out; null where there is none.'),
    error: z.strictObject({ code: z.string(), message: z.string() }).nullable(),
    webhook_id: z.string().describe('The same for every attempt at one delivery.'),
    attempt: z.number().int(),
    consumer: z.string(),
    route: z.string(),
    stream: z.string(),
    seq: z.number().int(),
    subject: z.string(),
  })
  .meta({ id: 'DeliveryRecord', description: 'One attempt to deliver.' });

/** `/targets/{name}/…`: what becomes of deliveries to one target. */
export const targets = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'POST',
    path: '/targets/{name}/enable',
    tag: 'resources',
    id: 'enableTarget',
    summary: 'Let a target be delivered to again that said it is gone',
    description:
      'A webhook that answers 410 Gone disables its target, on all instances: events for it wait. This sends them again. A change of its configuration does too. One that is not disabled stays as it is.',
    needs: { scope: 'operate', write: true, what: 'target.enable' },
    problems: [404, 409, 422, 503],
    params: z.strictObject({ name: nameParam('Of the target.') }),
    answers: { 200: { description: 'The target, as it is now.', schema: state } },
    handler: async ({ params: { name }, raw, actor }) => {
      theResource(context, { section: 'targets', name });
      const before = { disabled: stateOf(context, name).disabled !== null };
      raw.act = { what: 'target.enable', resource: `targets/${name}`, before, after: { disabled: false } };
      await context.targets.enable(name, actor);
      return { status: 200, body: stateOf(context, name) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/targets/{name}/deliveries',
    tag: 'resources',
    id: 'listDeliveries',
    summary: 'List the latest deliveries to a webhook',
    description: `The last ${KEPT} attempts of this instance, kept in memory, whatever came of them; the newest first.`,
    needs: { scope: 'read', narrows: true },
    problems: [404, 422, 503],
    params: z.strictObject({ name: nameParam('Of the target.') }),
    query: z.strictObject({ limit: wholeNumber({ min: 1, max: KEPT, preset: KEPT }) }),
    answers: {
      200: {
        description: 'Those of the consumers that the caller may see, the newest first.',
        schema: z.strictObject({ ...state.shape, deliveries: z.array(delivery) }),
      },
    },
    handler: async ({ params: { name }, query: { limit }, actor }) => {
      theResource(context, { section: 'targets', name });
      const all = actor.may('read');
      const seen = context.targets.deliveries(name).filter(({ consumer }) => all || actor.may('read', { consumer }));
      const redact = (text: string): string => context.loaded().redact(text);
      const deliveries = seen.slice(0, limit).map((record) => shownDelivery(record, redact));
      return { status: 200, body: { ...stateOf(context, name), deliveries } };
    },
  }),
];

function shownDelivery(record: DeliveryRecord, redact: (text: string) => string): z.input<typeof delivery> {
  const { at, result, duration, error, exchange, attempt, consumer, route, stream, sequence, subject } = record;
  const { id, answer, secrets } = exchange;
  const text = answer === undefined ? '' : redact(shownBody(answer.body, secrets));
  return {
    at: new Date(at).toISOString(),
    result,
    status: answer?.status ?? null,
    duration_ms: Math.round(duration * 10) / 10,
    answer: text === '' ? null : text,
    error: error === undefined ? null : { code: error.code, message: redact(error.message) },
    webhook_id: id,
    attempt,
    consumer,
    route,
    stream,
    seq: sequence,
    subject,
  };
}

function stateOf({ targets: known, loaded }: HttpContext, name: string): z.input<typeof state> {
  const disabling = known.disabled(name);
  if (disabling === undefined) return { name, disabled: null };
  const { error, since } = disabling;
  return { name, disabled: { since: new Date(since).toISOString(), error: loaded().redact(error.message) } };
}
