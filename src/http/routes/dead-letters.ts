import type { FastifyInstance, FastifyReply } from 'fastify';
import { z } from 'zod';
import { stringifyJson } from '../../core/json.ts';
import type { Choice } from '../../deadletter/choose.ts';
import { discard } from '../../deadletter/discard.ts';
import { Groups } from '../../deadletter/groups.ts';
import { parseRate } from '../../deadletter/pace.ts';
import { completeLetter, type DeadLetter, letterAt } from '../../deadletter/read.ts';
import { redrive } from '../../deadletter/redrive.ts';
import { letterQuery, type LetterSelectors, selectLetters } from '../../deadletter/select.ts';
import { discardJson, letterSummary, letterWhole, redriveJson } from '../../deadletter/show.ts';
import { OuzelError } from '../../errors.ts';
import { localProblem } from '../guard.ts';
import { answerProblems, sendProblem, validated } from '../problem.ts';
import type { RouteModule } from '../server.ts';

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

/**
 * `/api/v1/dead-letters`: what `ouzel dlq` does. A re-drive is answered when all are handed over, and ends when whoever
 * asked goes.
 */
export const deadLetters: RouteModule = (app, context) => {
  app.register((scope: FastifyInstance, _options, done) => {
    answerProblems(scope);
    scope.addHook('onRequest', async (request, reply) => {
      const problem = localProblem(request);
      if (problem !== undefined) return sendProblem(reply, 403, 'FORBIDDEN', problem);
      return undefined;
    });

    scope.get('/api/v1/dead-letters', async (request, reply) => {
      const { limit, ...selectors } = validated(listQuery, request.query);
      const access = context.deadLetters();
      const newest: DeadLetter[] = [];
      const groups = new Groups();
      for await (const letter of selectLetters(access, letterQuery(given(selectors), access))) {
        groups.add(letter);
        newest.push(letter);
        if (newest.length > limit) newest.shift();
      }
      return sendJson(reply, { groups: groups.list(), letters: newest.map(letterSummary) });
    });

    scope.get('/api/v1/dead-letters/:sequence', async (request, reply) => {
      const { sequence: number } = validated(showParams, request.params);
      const { manager, bodies } = context.deadLetters();
      const letter = await letterAt(manager, number);
      if (letter === undefined) throw new OuzelError('NOT_FOUND', `there is no dead letter ${number}`);
      return sendJson(reply, letterWhole(await completeLetter(letter, bodies)));
    });

    scope.post('/api/v1/dead-letters/redrive', async (request, reply) => {
      const body = validated(redriveBody, request.body);
      const rate = body.rate === undefined ? undefined : parseRate(body.rate);
      const wanted = { ...choiceOf(body), set: body.set, rate, dryRun: body.dry_run };
      return sendJson(reply, redriveJson(await redrive(context.deadLetters(), wanted, { signal: untilGone(reply) })));
    });

    scope.post('/api/v1/dead-letters/discard', async (request, reply) => {
      const { why, who, ...body } = validated(discardBody, request.body);
      const wanted = { ...choiceOf(body), why, who, dryRun: body.dry_run };
      return sendJson(reply, discardJson(await discard(context.deadLetters(), wanted, untilGone(reply))));
    });
    done();
  });
};
