import type { FastifyReply } from 'fastify';
import { z } from 'zod';
import type { Choice } from '../../deadletter/choose.ts';
import { discard } from '../../deadletter/discard.ts';
import { Groups } from '../../deadletter/groups.ts';
import { parseRate } from '../../deadletter/pace.ts';
import { completeLetter, type DeadLetter, letterAt, type LetterAccess } from '../../deadletter/read.ts';
import { redrive } from '../../deadletter/redrive.ts';
import { isPermitted, letterQuery, type LetterSelectors, selectLetters } from '../../deadletter/select.ts';
import { discardJson, letterSummary, letterWhole, redriveJson } from '../../deadletter/show.ts';
import { OuzelError } from '../../errors.ts';
import type { Act, RequestActor, Scope } from '../auth/needs.ts';
import { type ApiRoute, defineRoute, wholeNumber } from '../define.ts';
import type { HttpContext } from '../server.ts';

/** Letters that one request shows, re-drives or discards, at most. */
const MOST = 1000;
const SHOWN = 50;
const MAX_SEQUENCE = Number.MAX_SAFE_INTEGER;

const text = (description: string) => z.string().min(1).optional().describe(description);
const SELECTORS = {
  consumer: text('Only of this consumer.'),
  key: text('Only with this key.'),
  type: text('Only of these types, separated by commas: `orders.*`.'),
  reason: text('Only with this reason.'),
  where: text('Only where this expression is true.'),
  since: text('Only those that failed after this instant, or so long ago: `2h`.'),
  until: text('Only those that failed before it.'),
};
const sequence = z.number().int().min(1).max(MAX_SEQUENCE);

const CHOICE = {
  ...SELECTORS,
  letters: z.array(sequence).max(MOST).default([]).describe('By their numbers, in place of selectors.'),
  all: z.boolean().default(false).describe('Every letter that there is.'),
  limit: z.number().int().min(1).max(MOST).default(MOST),
  dry_run: z.boolean().default(false),
};
const redriveBody = z.strictObject({
  ...CHOICE,
  set: z.record(z.string(), z.unknown()).optional().describe('Mends the events: path → expression.'),
  rate: z.string().optional().describe('Letters in a time: `50/s`.'),
});
const discardBody = z.strictObject({
  ...CHOICE,
  why: z.string().min(1).describe('For the record that is kept of it.'),
  who: z.string().min(1).optional().describe('For who has no credentials; those that have are known by them.'),
});

const count = z.number().int().min(0);
const group = z.strictObject({
  consumer: z.string(),
  reason: z.string(),
  count,
  oldest: z.string(),
  newest: z.string(),
  error: z.string(),
});

const facts = {
  sequence: z.number().int(),
  consumer: z.string(),
  routes: z.array(z.string()).describe('Those that were not confirmed; empty: all.'),
  reason: z.string(),
  error: z.string(),
  attempts: z.number(),
  stream: z.string(),
  subject: z.string(),
  event_sequence: z.number(),
  time: z.string(),
  first_failed: z.string(),
  failed: z.string(),
  key: z.string().optional(),
  run: z.string(),
  trace_id: z.string().optional(),
};
const summary = z
  .strictObject({ ...facts, size: count.optional(), body_apart: z.literal(true).optional() })
  .meta({ id: 'DeadLetterSummary', description: 'A dead letter without its event.' });
const whole = z
  .strictObject({
    ...facts,
    message_id: z.string().optional(),
    headers: z.array(z.array(z.string())).describe('Of the event: name and value.'),
    body: z.string().optional(),
    body_base64: z.string().optional().describe('Where the body is no UTF-8.'),
  })
  .meta({ id: 'DeadLetter', description: 'A dead letter with its event.' });

const stopped = z.strictObject({ code: z.string(), message: z.string().optional() }).optional();
const REPORT = { selected: count, more: z.boolean(), groups: z.array(group), underway: count, gone: count, stopped };
const redriven = z
  .strictObject({
    ...REPORT,
    handed_over: count,
    failed: count,
    failures: z.array(z.strictObject({ letter: count, consumer: z.string(), code: z.string(), message: z.string() })),
    mended: z.array(z.unknown()).describe('In a dry run: how the first would be mended.'),
  })
  .meta({ id: 'Redriven', description: 'What became of the letters that were meant.' });
const discarded = z
  .strictObject({ ...REPORT, discarded: count })
  .meta({ id: 'Discarded', description: 'What became of the letters that were meant.' });

/**
 * `/dead-letters`: what `ouzel dlq` does. A re-drive is answered when all are handed over, and ends when whoever asked
 * goes.
 */
export const deadLetters = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/dead-letters',
    tag: 'dead letters',
    id: 'listDeadLetters',
    summary: 'List dead letters, in groups and the newest one by one',
    needs: {
      scope: 'read',
      narrows: true,
      consumer: ({ query }) => {
        const { consumer } = query as { readonly consumer?: unknown };
        return typeof consumer === 'string' ? consumer : undefined;
      },
    },
    problems: [404, 503],
    query: z.strictObject({ ...SELECTORS, limit: wholeNumber({ min: 1, max: MOST, preset: SHOWN }) }),
    answers: {
      200: {
        description: 'Those that the caller may see.',
        schema: z.strictObject({ groups: z.array(group), letters: z.array(summary) }),
      },
    },
    handler: async ({ query: { limit, ...selectors }, actor }) => {
      const access = accessOf(context, actor, 'read');
      const newest: DeadLetter[] = [];
      const groups = new Groups();
      for await (const letter of selectLetters(access, letterQuery(given(selectors), access))) {
        groups.add(letter);
        newest.push(letter);
        if (newest.length > limit) newest.shift();
      }
      const letters = newest.map((letter) => letterSummary(letter) as z.input<typeof summary>);
      return { status: 200, body: { groups: groups.list(), letters } };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/dead-letters/{sequence}',
    router: '/dead-letters/:sequence(^\\d{1,16}$)',
    tag: 'dead letters',
    id: 'showDeadLetter',
    summary: 'Show a dead letter with its event',
    needs: { scope: 'read', narrows: true },
    problems: [404, 503],
    params: z.strictObject({ sequence: wholeNumber({ min: 1, max: MAX_SEQUENCE }) }),
    answers: { 200: { description: 'The letter.', schema: whole } },
    handler: async ({ params: { sequence: number }, actor }) => {
      const access = accessOf(context, actor, 'read');
      const letter = await letterAt(access.manager, number);
      if (letter === undefined || !(await isPermitted(access, letter)))
        throw new OuzelError('NOT_FOUND', `there is no dead letter ${number}`);
      const complete = await completeLetter(letter, access.bodies);
      return { status: 200, body: letterWhole(complete) as z.input<typeof whole> };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/dead-letters/redrive',
    tag: 'dead letters',
    id: 'redriveDeadLetters',
    summary: 'Hand dead letters back to their consumers',
    description: 'Answered when all are handed over; it ends when whoever asked goes away.',
    needs: { scope: 'operate', write: true, what: 'dead-letter.redrive', narrows: true },
    problems: [404, 422, 503],
    body: {
      description: 'Which letters: numbers, selectors, or all.',
      schema: redriveBody,
      examples: {
        dryRun: {
          media: 'application/json',
          value: { consumer: 'billing', set: { 'data.currency': '"EUR"' }, rate: '50/s', dry_run: true },
        },
      },
    },
    answers: { 200: { description: 'What became of them.', schema: redriven } },
    handler: async ({ body, actor, reply, raw }) => {
      const access = accessOf(context, actor, 'operate');
      const rate = body.rate === undefined ? undefined : parseRate(body.rate);
      const { set, dry_run: dryRun } = body;
      raw.act = actOf('dead-letter.redrive', body);
      const wanted = { ...choiceOf(body), set, rate, dryRun };
      const report = redriveJson(await redrive(access, wanted, { signal: untilGone(reply) }));
      raw.act = { ...raw.act, after: { asked: body, result: report } };
      return { status: 200, body: report as z.input<typeof redriven> };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/dead-letters/discard',
    tag: 'dead letters',
    id: 'discardDeadLetters',
    summary: 'Throw dead letters away, with a record of why',
    needs: { scope: 'operate', write: true, what: 'dead-letter.discard', narrows: true },
    problems: [404, 422, 503],
    body: {
      description: 'Which letters: numbers, selectors, or all; and why.',
      schema: discardBody,
      examples: {
        dryRun: { media: 'application/json', value: { consumer: 'billing', why: 'test data', dry_run: true } },
      },
    },
    answers: { 200: { description: 'What became of them.', schema: discarded } },
    handler: async ({ body, actor, reply, raw }) => {
      const access = accessOf(context, actor, 'operate');
      const { why, who = actor.name, dry_run: dryRun } = body;
      raw.act = actOf('dead-letter.discard', body);
      const wanted = { ...choiceOf(body), why, who: nameOf(actor, who), dryRun };
      const report = discardJson(await discard(access, wanted, untilGone(reply)));
      raw.act = { ...raw.act, after: { asked: body, result: report } };
      return { status: 200, body: report as z.input<typeof discarded> };
    },
  }),
];

type Chosen = Omit<z.output<typeof redriveBody>, 'set' | 'rate'>;

function choiceOf(body: Chosen): Choice {
  const { letters: sequences, all, limit, consumer, key, type, reason, where, since, until } = body;
  return { selectors: given({ consumer, key, type, reason, where, since, until }), sequences, all, limit };
}

const given = (selectors: { readonly [Name in keyof LetterSelectors]: string | undefined }): LetterSelectors =>
  Object.fromEntries(Object.entries(selectors).filter(([, value]) => value !== undefined));

/** The letters that somebody may do this to; the others are as if they were not there. */
function accessOf({ deadLetters: open }: HttpContext, actor: RequestActor, scope: Scope): LetterAccess {
  if (actor.may(scope)) return open();
  return { ...open(), permits: (consumer, type) => actor.may(scope, { consumer, type }) };
}

/** What is to be done, as the audit shows it. */
const actOf = (what: string, { letters, ...rest }: Chosen): Act => ({
  what,
  resource: letters.length === 1 ? `dead-letters/${letters[0]}` : 'dead-letters',
  after: { asked: { letters, ...rest } },
  dryRun: rest.dry_run,
});

/** Credentials say who it is; who sits at the machine says it themselves. */
const nameOf = ({ name }: RequestActor, said: string): string => (name === 'local' ? said : name);

/** Aborted when whoever asked is gone before the answer. */
function untilGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
