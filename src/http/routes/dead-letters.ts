import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { stringifyJson } from '../../core/json.ts';
import type { Choice } from '../../deadletter/choose.ts';
import { discard } from '../../deadletter/discard.ts';
import { Groups } from '../../deadletter/groups.ts';
import { parseRate } from '../../deadletter/pace.ts';
import { completeLetter, type DeadLetter, letterAt, type LetterAccess } from '../../deadletter/read.ts';
import { redrive } from '../../deadletter/redrive.ts';
import { isPermitted, letterQuery, type LetterSelectors, selectLetters } from '../../deadletter/select.ts';
import { discardJson, letterSummary, letterWhole, redriveJson } from '../../deadletter/show.ts';
import { OuzelError } from '../../errors.ts';
import type { Act, Needs, RequestActor, Scope } from '../auth/needs.ts';
import { answerProblems, validated } from '../problem.ts';
import type { HttpContext, RouteModule } from '../server.ts';

/** Letters that one request shows, re-drives or discards, at most. */
const MOST = 1000;
const SHOWN = 50;

const text = z.string().min(1).optional();
const SELECTORS = { consumer: text, key: text, type: text, reason: text, where: text, since: text, until: text };
const sequence = z.number().int().positive();

const listQuery = z.strictObject({ ...SELECTORS, limit: z.coerce.number().int().min(1).max(MOST).default(SHOWN) });
const showParams = z.strictObject({ sequence: z.coerce.number().int().positive() });

const CHOICE = {
  ...SELECTORS,
  letters: z.array(sequence).max(MOST).default([]),
  all: z.boolean().default(false),
  limit: z.number().int().min(1).max(MOST).default(MOST),
  dry_run: z.boolean().default(false),
};
const redriveBody = z.strictObject({
  ...CHOICE,
  set: z.record(z.string(), z.json()).optional(),
  rate: z.string().optional(),
});
type DiscardBody = Omit<z.output<typeof discardBody>, 'why' | 'who'>;
const discardBody = z.strictObject({ ...CHOICE, why: z.string().min(1), who: z.string().min(1) });

function choiceOf(body: Omit<z.output<typeof redriveBody>, 'set' | 'rate'>): Choice {
  const { letters: sequences, all, limit, consumer, key, type, reason, where, since, until } = body;
  return { selectors: given({ consumer, key, type, reason, where, since, until }), sequences, all, limit };
}

const given = (selectors: { readonly [Name in keyof LetterSelectors]: string | undefined }): LetterSelectors =>
  Object.fromEntries(Object.entries(selectors).filter(([, value]) => value !== undefined));

/** Aborted when whoever asked is gone before the answer. */
function untilGone(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}

/** Data may hold integers that JSON.stringify refuses. */
const sendJson = (reply: FastifyReply, value: unknown): FastifyReply =>
  reply.type('application/json; charset=utf-8').send(stringifyJson(value));

const consumerOf = ({ query }: FastifyRequest): string | undefined => {
  const { consumer } = query as { readonly consumer?: unknown };
  return typeof consumer === 'string' ? consumer : undefined;
};
const LIST: Needs = { scope: 'read', narrows: true, consumer: consumerOf };
const SHOW: Needs = { scope: 'read', narrows: true };
const REDRIVE: Needs = { scope: 'operate', narrows: true, write: true, what: 'dead-letter.redrive' };
const DISCARD: Needs = { scope: 'operate', narrows: true, write: true, what: 'dead-letter.discard' };

/** The letters that somebody may do this to; the others are as if they were not there. */
function accessOf({ deadLetters: open }: HttpContext, actor: RequestActor, scope: Scope): LetterAccess {
  if (actor.may(scope)) return open();
  return { ...open(), permits: (consumer, type) => actor.may(scope, { consumer, type }) };
}

/** What is to be done, as the audit shows it. */
const actOf = (what: string, { letters, ...rest }: z.output<typeof redriveBody> | DiscardBody): Act => ({
  what,
  resource: letters.length === 1 ? `dead-letters/${letters[0]}` : 'dead-letters',
  after: { asked: { letters, ...rest } },
});

/** Credentials say who it is; who sits at the machine says it themselves. */
const nameOf = ({ name }: RequestActor, said: string): string => (name === 'local' ? said : name);

/**
 * `/api/v1/dead-letters`: what `ouzel dlq` does. A re-drive is answered when all are handed over, and ends when whoever
 * asked goes.
 */
export const deadLetters: RouteModule = (app, context) => {
  app.register((scope: FastifyInstance, _options, done) => {
    answerProblems(scope);
    scope.get('/api/v1/dead-letters', { config: { needs: LIST } }, async (request, reply) => {
      const { limit, ...selectors } = validated(listQuery, request.query);
      const access = accessOf(context, request.actor, 'read');
      const newest: DeadLetter[] = [];
      const groups = new Groups();
      for await (const letter of selectLetters(access, letterQuery(given(selectors), access))) {
        groups.add(letter);
        newest.push(letter);
        if (newest.length > limit) newest.shift();
      }
      return sendJson(reply, { groups: groups.list(), letters: newest.map(letterSummary) });
    });

    scope.get('/api/v1/dead-letters/:sequence', { config: { needs: SHOW } }, async (request, reply) => {
      const { sequence: number } = validated(showParams, request.params);
      const access = accessOf(context, request.actor, 'read');
      const letter = await letterAt(access.manager, number);
      if (letter === undefined || !(await isPermitted(access, letter)))
        throw new OuzelError('NOT_FOUND', `there is no dead letter ${number}`);
      return sendJson(reply, letterWhole(await completeLetter(letter, access.bodies)));
    });

    scope.post('/api/v1/dead-letters/redrive', { config: { needs: REDRIVE } }, async (request, reply) => {
      const body = validated(redriveBody, request.body);
      const rate = body.rate === undefined ? undefined : parseRate(body.rate);
      const wanted = { ...choiceOf(body), set: body.set, rate, dryRun: body.dry_run };
      const access = accessOf(context, request.actor, 'operate');
      request.act = { ...actOf('dead-letter.redrive', body), dryRun: body.dry_run };
      const report = redriveJson(await redrive(access, wanted, { signal: untilGone(reply) }));
      request.act = { ...request.act, after: { asked: body, result: report } };
      return sendJson(reply, report);
    });

    scope.post('/api/v1/dead-letters/discard', { config: { needs: DISCARD } }, async (request, reply) => {
      const { why, who, ...body } = validated(discardBody, request.body);
      const wanted = { ...choiceOf(body), why, who: nameOf(request.actor, who), dryRun: body.dry_run };
      const access = accessOf(context, request.actor, 'operate');
      request.act = { ...actOf('dead-letter.discard', body), dryRun: body.dry_run };
      const report = discardJson(await discard(access, wanted, untilGone(reply)));
      request.act = { ...request.act, after: { asked: { ...body, why }, result: report } };
      return sendJson(reply, report);
    });
    done();
  });
};
