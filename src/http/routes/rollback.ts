import { z } from 'zod';
import { OuzelError } from '../../errors.ts';
import { type FleetResource, RESOURCE_SECTIONS } from '../../fleet/ports.ts';
import { applied, applySteps, stepTo } from '../applied.ts';
import { type ApiRoute, defineRoute, resourceParam } from '../define.ts';
import type { HttpContext } from '../server.ts';

const body = z.strictObject({
  to: z.number().int().min(1).optional().describe('The revision. Default: the one before the newest.'),
  revision: z
    .number()
    .int()
    .min(0)
    .optional()
    .describe('That it must have now, as a dry run told it; 0: it must not be there. Default: any.'),
  dry_run: z.boolean().default(false).describe('Only says what would become of it.'),
});

/** `/config/{section}/{name}/rollback`: here, since nobody outside is shown the secrets of a text. */
export const rollback = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'POST',
    path: '/config/{section}/{name}/rollback',
    tag: 'config',
    id: 'rollBackConfig',
    summary: 'Let a resource of the fleet say what it said before',
    description: 'That is a new revision. One that was removed comes back; one that was not there before goes.',
    needs: {
      scope: 'admin',
      write: true,
      what: 'config.rollback',
      consumer: ({ params }) => {
        const { section, name } = params as { readonly section: string; readonly name: string };
        return section === 'consumers' ? name : undefined;
      },
    },
    problems: [404, 409, 422, 503],
    params: z.strictObject({ section: z.enum(RESOURCE_SECTIONS), name: resourceParam('Of the resource.') }),
    body: {
      description: 'To which revision.',
      required: false,
      schema: body,
      examples: { dryRun: { media: 'application/json', value: { dry_run: true } } },
    },
    answers: { 200: { description: 'What became, or would become, of it.', schema: applied } },
    handler: async ({ params: key, body: { to, revision, dry_run: dryRun }, actor, raw }) => {
      const fleet = context.fleet();
      const wanted = revisionOf(await fleet.history(key), `${key.section}/${key.name}`, to);
      const steps = [stepTo(fleet, key, wanted.text, revision)];
      const act = { what: 'config.rollback', resource: `${key.section}/${key.name}` };
      return { status: 200, body: await applySteps(context, { steps, dryRun, actor, raw, act }) };
    },
  }),
];

/** @throws OuzelError NOT_FOUND */
function revisionOf(revisions: readonly FleetResource[], path: string, to: number | undefined): FleetResource {
  if (revisions.length === 0) throw new OuzelError('NOT_FOUND', `the fleet never had ${path}`);
  const found = to === undefined ? revisions[1] : revisions.find(({ revision }) => revision === to);
  if (found !== undefined) return found;
  const kept = revisions.map(({ revision }) => revision).join(', ');
  const which = to === undefined ? 'a revision before it' : `revision ${to}`;
  throw new OuzelError('NOT_FOUND', `${path} has not ${which}; kept are: ${kept}`);
}
