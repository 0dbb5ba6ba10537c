import { z } from 'zod';
import type { Config } from '../../config/schema.ts';
import { STRUCTURED } from '../../contracts/cloudevents-http.ts';
import { checkSubject, type Destination, post, subjectOfType } from '../../contracts/post.ts';
import { headerBlock, headerLine } from '../../core/headers.ts';
import { stringifyJson } from '../../core/json.ts';
import { covers } from '../../core/subjects.ts';
import { OuzelError } from '../../errors.ts';
import { postedCheckOf } from '../../reconcile/posted.ts';
import { type ApiRoute, checked, defineRoute } from '../define.ts';
import { HttpError } from '../problem.ts';
import type { HttpContext } from '../server.ts';

const plain = z.strictObject({
  subject: z.string().min(1).max(1024).describe('Of the message: a stream must take it.'),
  data: z.unknown().optional().describe('The body: any JSON value. Default: null.'),
  headers: z
    .record(z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/), z.string().max(8192))
    .optional()
    .describe('Of the message. `Nats-` and `Ouzel-` headers are not taken.'),
  id: z.string().min(1).max(256).optional().describe('`Nats-Msg-Id`: the same one again is not stored twice.'),
});

const attribute = z.string().min(1).max(1024);

/** What CloudEvents 1.0 asks of an event; extensions are free. */
const cloudEvent = z.looseObject({
  specversion: z.literal('1.0'),
  id: attribute,
  source: attribute,
  type: attribute,
});

const stored = z
  .strictObject({
    stream: z.string(),
    sequence: z.number().int().min(1),
    duplicate: z.boolean().describe('The stream had an event of this id already, and nothing was stored.'),
    subject: z.string(),
  })
  .meta({ id: 'Stored', description: 'Where an event is stored.' });

/** An event on its way into a stream. */
interface Outgoing {
  readonly subject: string;
  readonly type: string;
  readonly headers: string;
  readonly body: string;
}

/** `/events`: one event into a stream. */
export const events = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'POST',
    path: '/events',
    tag: 'events',
    id: 'postEvent',
    summary: 'Put one event into a stream',
    description:
      'A CloudEvent as one JSON document, stored as it comes, or data with a subject. Answered once the stream has confirmed it.',
    needs: { scope: 'publish', write: true, what: 'event.publish', narrows: true },
    problems: [413, 422, 503, 504],
    query: z.strictObject({
      subject: z
        .string()
        .min(1)
        .max(1024)
        .optional()
        .describe(
          'For a CloudEvent: the subject of the message. Default: the `strip` prefix of `stream` and its type.',
        ),
      stream: z
        .string()
        .min(1)
        .max(255)
        .optional()
        .describe('For a CloudEvent without `subject`: a stream of the configuration.'),
    }),
    body: {
      description: 'The event.',
      schema: z.union([plain, cloudEvent]),
      schemas: { 'application/json': plain, [STRUCTURED]: cloudEvent },
      media: ['application/json', STRUCTURED],
      examples: {
        plain: {
          media: 'application/json',
          value: { subject: 'events.orders.created', data: { id: 'o-1', total: 1500 }, id: 'o-1' },
        },
        cloudevent: {
          media: STRUCTURED,
          value: { specversion: '1.0', id: 'o-1', source: '/shop', type: 'orders.created', data: { total: 1500 } },
        },
      },
    },
    answers: {
      201: { description: 'The stream has it.', schema: stored },
      200: { description: 'The stream had it already.', schema: stored },
    },
    handler: async ({ body, media, text = '', query, actor, raw }) => {
      const { config } = context.loaded();
      const event =
        media === STRUCTURED
          ? ofCloudEvent(config, checked(cloudEvent, body), text, query)
          : ofPlain(config, checked(plain, body), query);
      raw.act = { what: 'event.publish', resource: `events/${event.subject}` };
      if (!actor.may('publish', { type: event.type }))
        throw new HttpError(403, `may not publish events of type ${event.type}`, 'FORBIDDEN');
      // In both forms the data stands under `data`.
      postedCheckOf(context.loaded())(event, '/data');
      const ack = await post(event, context.nats().publisher);
      return { status: ack.duplicate ? 200 : 201, body: { ...ack, subject: event.subject } };
    },
  }),
];

function ofPlain(
  config: Config,
  { subject, data, headers = {}, id }: z.output<typeof plain>,
  query: Destination,
): Outgoing {
  if (query.subject !== undefined || query.stream !== undefined)
    throw new OuzelError(
      'EVENT_INVALID_SUBJECT',
      'the parameters are for CloudEvents: here `subject` stands in the body',
    );
  checkSubject(subject);
  let lines = '';
  let type: string | undefined;
  for (const [name, value] of Object.entries(headers)) {
    if (/^(?:nats|ouzel)-/i.test(name)) throw new OuzelError('USAGE', `headers: ${name} is not taken`);
    if (name.toLowerCase() === 'ce-type') type = value;
    lines += headerLine(name, value);
  }
  if (id !== undefined) lines += headerLine('Nats-Msg-Id', id);
  return { subject, type: type ?? typeOf(config, subject), headers: headerBlock(lines), body: stringifyJson(data) };
}

function ofCloudEvent(
  config: Config,
  { id, source, type }: z.output<typeof cloudEvent>,
  body: string,
  query: Destination,
): Outgoing {
  const subject = subjectOfType(config, type, query);
  // Only the two together name an event.
  const lines = headerLine('Nats-Msg-Id', `${source}#${id}`) + headerLine('Content-Type', STRUCTURED);
  return { subject, type, headers: headerBlock(lines), body };
}

/** The type that a plain message of a subject has: the subject less the prefix of its stream. */
function typeOf({ streams }: Config, subject: string): string {
  const stream = Object.values(streams).find(({ subjects }) => subjects.some((pattern) => covers(pattern, subject)));
  const { strip = '' } = stream ?? {};
  return subject.startsWith(strip) ? subject.slice(strip.length) : subject;
}
