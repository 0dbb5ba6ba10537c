import { z } from 'zod';
import { OuzelError } from '../../errors.ts';
import { ASKED, type ReplayAccess, replayName } from '../../replay/asked.ts';
import { beginReplay, newName, resumeReplay, stopReplay } from '../../replay/begin.ts';
import { type ReplayRecord, replayRecord, ReplayStore } from '../../replay/record.ts';
import { rehearse } from '../../replay/rehearse.ts';
import type { RequestActor, Scope } from '../auth/needs.ts';
import { type ApiRoute, defineRoute } from '../define.ts';
import { HttpError } from '../problem.ts';
import type { HttpContext } from '../server.ts';

const replay = replayRecord.meta({ id: 'Replay', description: 'A replay, and how far it is.' });
const count = z.number().int().min(0);
const rehearsal = z
  .strictObject({
    read: count,
    total: count,
    selected: count,
    by_consumer: z.record(z.string(), count),
    by_type: z.record(z.string(), count),
    first: z.string().optional(),
    last: z.string().optional(),
    more: z.boolean().describe('Whether the limit left some out.'),
    interrupted: z.boolean(),
    warnings: z.array(z.string()),
  })
  .meta({ id: 'ReplayRehearsal', description: 'What a replay would hand over.' });

const body = z.strictObject({
  ...ASKED,
  name: replayName().optional(),
  dry_run: z.boolean().default(false),
});
const named = z.strictObject({ name: replayName() });

/** `/replays`: what `ouzel replay` does, carried out by the daemon that is asked. */
export const replays = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/replays',
    tag: 'replays',
    id: 'listReplays',
    summary: 'List the replays of the last 30 days, wherever they run',
    needs: { scope: 'read', narrows: true },
    problems: [503],
    answers: { 200: { description: 'The newest first.', schema: z.strictObject({ replays: z.array(replay) }) } },
    handler: async ({ actor }) => {
      const all = await new ReplayStore(context.deadLetters()).list();
      return { status: 200, body: { replays: all.filter(({ asked }) => mayAll(actor, 'read', asked.to)) } };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/replays/{name}',
    tag: 'replays',
    id: 'showReplay',
    summary: 'Show a replay',
    needs: { scope: 'read', narrows: true },
    problems: [404, 503],
    params: named,
    answers: { 200: { description: 'How far it is.', schema: replay } },
    handler: async ({ params: { name }, actor }) => ({
      status: 200,
      body: await theReplay(context.deadLetters(), name, actor, 'read'),
    }),
  }),
  defineRoute({
    method: 'POST',
    path: '/replays',
    tag: 'replays',
    id: 'startReplay',
    summary: 'Hand the events of a stream to chosen consumers once more',
    description:
      'Answered when it has begun; a dry run when it has been through. It stops with the daemon, and can be resumed.',
    needs: { scope: 'operate', write: true, what: 'replay.start', narrows: true },
    problems: [404, 409, 422, 503],
    body: {
      description: 'Which events, and to whom.',
      schema: body,
      examples: {
        january: {
          media: 'application/json',
          value: {
            stream: 'EVENTS',
            to: ['billing'],
            since: '2026-01-01T00:00:00Z',
            until: '2026-02-01T00:00:00Z',
            rate: '500/s',
            name: 'january',
          },
        },
      },
    },
    answers: {
      200: { description: 'Of a dry run: what would be handed over.', schema: rehearsal },
      202: { description: 'It runs.', schema: replay },
    },
    handler: async ({ body: { name = newName(), dry_run: dryRun, ...asked }, actor, raw, reply }) => {
      const access = context.deadLetters();
      raw.act = { what: 'replay.start', resource: `replays/${name}`, after: { asked }, dryRun };
      checkMay(actor, asked.to);
      if (dryRun) {
        const gone = new AbortController();
        reply.raw.once('close', () => gone.abort());
        return { status: 200, body: (await rehearse(access, asked, gone.signal)) as z.input<typeof rehearsal> };
      }
      context.replays.check();
      const claim = await beginReplay(access, name, asked, actor.name);
      context.replays.run(access, claim);
      return { status: 202, body: claim.record };
    },
  }),
  defineRoute({
    method: 'POST',
    path: '/replays/{name}/resume',
    tag: 'replays',
    id: 'resumeReplay',
    summary: 'Go on with a replay that was stopped or broke off',
    description: 'One that still runs elsewhere is taken over.',
    needs: { scope: 'operate', write: true, what: 'replay.resume', narrows: true },
    problems: [404, 409, 422, 503],
    params: named,
    answers: { 202: { description: 'It runs.', schema: replay } },
    handler: async ({ params: { name }, actor, raw }) => {
      const access = context.deadLetters();
      raw.act = { what: 'replay.resume', resource: `replays/${name}` };
      await theReplay(access, name, actor, 'operate');
      context.replays.check();
      const claim = await resumeReplay(access, name, actor.name);
      context.replays.run(access, claim);
      return { status: 202, body: claim.record };
    },
  }),
  defineRoute({
    method: 'DELETE',
    path: '/replays/{name}',
    tag: 'replays',
    id: 'stopReplay',
    summary: 'Stop a replay, wherever it runs',
    description: 'What was handed over is handled all the same. It can be resumed.',
    needs: { scope: 'operate', write: true, what: 'replay.stop', narrows: true },
    problems: [404, 409, 503],
    params: named,
    answers: { 200: { description: 'The replay, stopped.', schema: replay } },
    handler: async ({ params: { name }, actor, raw }) => {
      const access = context.deadLetters();
      raw.act = { what: 'replay.stop', resource: `replays/${name}` };
      await theReplay(access, name, actor, 'operate');
      return { status: 200, body: await stopReplay(access, name, actor.name) };
    },
  }),
];

const mayAll = (actor: RequestActor, scope: Scope, consumers: readonly string[]): boolean =>
  consumers.every((consumer) => actor.may(scope, { consumer }));

/** @throws HttpError 403 */
function checkMay(actor: RequestActor, consumers: readonly string[]): void {
  const refused = consumers.find((consumer) => !actor.may('operate', { consumer }));
  if (refused !== undefined) throw new HttpError(403, `may not hand events to consumer "${refused}"`, 'FORBIDDEN');
}

/** One that the caller may see; any other is as if it were not there. @throws OuzelError NOT_FOUND, HttpError 403 */
async function theReplay(
  access: ReplayAccess,
  name: string,
  actor: RequestActor,
  scope: 'read' | 'operate',
): Promise<ReplayRecord> {
  const record = (await new ReplayStore(access).get(name))?.record;
  if (record === undefined || !mayAll(actor, 'read', record.asked.to))
    throw new OuzelError('NOT_FOUND', `there is no replay "${name}"`);
  if (scope === 'operate') checkMay(actor, record.asked.to);
  return record;
}
