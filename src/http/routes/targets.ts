import { z } from 'zod';
import { type ApiRoute, defineRoute, nameParam } from '../define.ts';
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
];

function stateOf({ targets: known, loaded }: HttpContext, name: string): z.input<typeof state> {
  const disabling = known.disabled(name);
  if (disabling === undefined) return { name, disabled: null };
  const { error, since } = disabling;
  return { name, disabled: { since: new Date(since).toISOString(), error: loaded().redact(error.message) } };
}
