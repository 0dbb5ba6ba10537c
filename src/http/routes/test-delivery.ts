import { randomUUID } from 'node:crypto';
import { z } from 'zod';
import { ERRORS } from '../../errors.ts';
import { testDelivery } from '../../reconcile/test-delivery.ts';
import { type ApiRoute, defineRoute, nameParam } from '../define.ts';
import { theResource } from '../resources.ts';
import type { HttpContext } from '../server.ts';

const text = z.string().min(1).max(1024);

const event = z.strictObject({
  type: text.default('ouzel.test'),
  source: text.default('ouzel:test'),
  id: text.optional().describe('Default: a new one.'),
  data: z.unknown().optional().describe('Default: `{"test": true}`.'),
  extensions: z
    .record(z.string().regex(/^[a-z0-9]{1,20}$/), z.union([z.string(), z.number(), z.boolean()]))
    .default({}),
  stream: text.optional().describe('The stream that it is said to be in. Default: the first of the configuration.'),
  subject: text.optional().describe('The subject that it is said to have. Default: its type.'),
});

const result = z
  .strictObject({
    confirmed: z.boolean(),
    duration_ms: z.number().min(0),
    error: z
      .strictObject({
        code: z.string(),
        kind: z.enum(['rejected', 'unavailable', 'internal']),
        message: z.string().describe('What the target said.'),
        status: z.number().int().nullable().describe('Its HTTP status, where it has one.'),
      })
      .nullable(),
  })
  .meta({ id: 'TestDelivery', description: 'What a target said to one event.' });

/** `/targets/{name}/test`: one event to that target alone. */
export const testDeliveries = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'POST',
    path: '/targets/{name}/test',
    tag: 'resources',
    id: 'testTarget',
    summary: 'Deliver one event to a target alone',
    description:
      'A real delivery, whatever the breaker says, tried once. It is counted nowhere, and no consumer takes part. That the target refused is an answer, not an error.',
    needs: { scope: 'operate', write: true, what: 'target.test' },
    problems: [404, 422, 503],
    params: z.strictObject({ name: nameParam('Of the target.') }),
    body: {
      description: 'The event. Default: a sample.',
      required: false,
      schema: z.strictObject({ event: event.optional() }),
      examples: {
        sample: { media: 'application/json', value: {} },
        own: {
          media: 'application/json',
          value: { event: { type: 'orders.created', data: { id: 'o-1', total: 1500 } } },
        },
      },
    },
    answers: { 200: { description: 'What the target said.', schema: result } },
    handler: async ({ params: { name }, body, raw }) => {
      theResource(context, { section: 'targets', name });
      const given = event.parse(body.event ?? {});
      const { type, source, extensions, stream, subject, id, data = { test: true } } = given;
      raw.act = { what: 'target.test', resource: `targets/${name}`, after: { id, type, source } };
      const loaded = context.loaded();
      const { error, duration } = await testDelivery(
        loaded,
        name,
        {
          id: id ?? randomUUID(),
          type,
          source,
          data,
          extensions,
          stream: stream ?? Object.keys(loaded.config.streams)[0] ?? 'TEST',
          subject: subject ?? type,
        },
        context.nats(),
      );
      return {
        status: 200,
        body: {
          confirmed: error === undefined,
          duration_ms: Math.round(duration * 10) / 10,
          error:
            error === undefined
              ? null
              : {
                  code: error.code,
                  kind: ERRORS[error.code].kind,
                  message: loaded.redact(error.message),
                  status: error.status ?? null,
                },
        },
      };
    },
  }),
];
