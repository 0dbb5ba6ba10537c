import { z } from 'zod';
import { redactedValue } from '../../config/redacted.ts';
import { OuzelError } from '../../errors.ts';
import { type FleetAccess, RESOURCE_SECTIONS, type ResourceKey } from '../../fleet/ports.ts';
import { applied, applySteps, type Step, stepTo } from '../applied.ts';
import { type ApiRoute, defineRoute, resourceParam } from '../define.ts';
import { findResource, namesOf, resourceShape, revisionSchema, shownRevision } from '../resources.ts';
import type { HttpContext } from '../server.ts';
import { reloadSchema, shownReload } from './status.ts';

const section = z.enum(RESOURCE_SECTIONS);
const { owner, place, revision, etag } = resourceShape;

const effective = z
  .strictObject({
    file: z.string(),
    hash: z.string().describe('The same on every instance that has the same configuration.'),
    generation: z.number().int().describe('Configurations put in force since the start.'),
    last_reload: reloadSchema.nullable(),
    config: z.record(z.string(), z.unknown()).describe('As it is in force, filled in. Secrets are `***`.'),
    owners: z
      .record(z.string(), z.record(z.string(), z.strictObject({ owner, place, revision, etag })))
      .describe('By section and name.'),
  })
  .meta({ id: 'EffectiveConfig', description: 'The configuration in force on this instance.' });

const applyBody = z.strictObject({
  resources: z
    .array(
      z.strictObject({
        section,
        name: resourceParam('One of `types` is a type of events.'),
        text: z.string().nullable().describe('YAML or JSON of the entry itself; null removes it.'),
        revision: z
          .number()
          .int()
          .min(0)
          .optional()
          .describe('That it must have now, as a dry run told it; 0: it must not be there. Default: any.'),
      }),
    )
    .max(1000),
  prune: z.boolean().default(false).describe('Removes all other resources of the fleet.'),
  dry_run: z.boolean().default(false).describe('Only says what would become of them.'),
});

/** Bytes of a whole fleet's configuration, at most. */
const APPLY_LIMIT = 4 * 1024 * 1024;

/** `/config`: the configuration as a whole. */
export const config = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/config',
    tag: 'config',
    id: 'showConfig',
    summary: 'Show the configuration in force',
    needs: { scope: 'read' },
    answers: { 200: { description: 'The configuration, with the owner of each entry.', schema: effective } },
    handler: async () => ({ status: 200, body: effectiveConfig(context) }),
  }),
  defineRoute({
    method: 'POST',
    path: '/config/apply',
    tag: 'config',
    id: 'applyConfig',
    summary: 'Make, change and remove resources of the fleet, all of them or none',
    needs: { scope: 'admin', write: true, what: 'config.apply' },
    problems: [404, 409, 422, 503],
    bodyLimit: APPLY_LIMIT,
    body: {
      description: 'The resources as they are to be.',
      schema: applyBody,
      examples: {
        apply: {
          media: 'application/json',
          value: {
            resources: [{ section: 'filters', name: 'big', text: 'event.data.total > 1000\n' }],
            prune: false,
            dry_run: true,
          },
        },
      },
    },
    answers: { 200: { description: 'What became, or would become, of each.', schema: applied } },
    handler: async ({ body, actor, raw }) => {
      const steps = stepsOf(context.fleet(), body);
      const act = { what: 'config.apply', resource: 'config' };
      return { status: 200, body: await applySteps(context, { steps, dryRun: body.dry_run, actor, raw, act }) };
    },
  }),
  defineRoute({
    method: 'GET',
    path: '/config/{section}/{name}/history',
    tag: 'config',
    id: 'showHistory',
    summary: 'Show the revisions of a resource of the fleet',
    needs: { scope: 'read', consumer: ({ params }) => consumerOf(params as ResourceKey) },
    problems: [404, 503],
    params: z.strictObject({ section, name: resourceParam('Of the resource.') }),
    answers: {
      200: {
        description: 'Those that are kept, newest first; also of a resource that was removed.',
        schema: z.strictObject({ revisions: z.array(revisionSchema) }),
      },
    },
    handler: async ({ params: key }) => {
      const { redact } = context.loaded();
      const revisions = await context.fleet().history(key);
      if (revisions.length === 0)
        throw new OuzelError('NOT_FOUND', `the fleet never had anything named "${key.name}" in ${key.section}`);
      return { status: 200, body: { revisions: revisions.map((each) => shownRevision(each, redact)) } };
    },
  }),
];

const consumerOf = ({ section: of, name }: ResourceKey): string | undefined => (of === 'consumers' ? name : undefined);

function effectiveConfig(context: HttpContext): z.input<typeof effective> {
  const { source, redact } = context.loaded();
  const { file, hash, generation, last_reload: last } = context.status().config;
  const owners = RESOURCE_SECTIONS.map((of) => [
    of,
    Object.fromEntries(
      namesOf(context, of).flatMap((name) => {
        const found = findResource(context, { section: of, name });
        if (found === undefined) return [];
        return [[name, { owner: found.owner, place: found.place, revision: found.revision, etag: found.etag }]];
      }),
    ),
  ]);
  return {
    file,
    hash,
    generation,
    last_reload: shownReload(last),
    config: redactedValue(source, redact) as Record<string, unknown>,
    owners: Object.fromEntries(owners) as Record<string, Record<string, never>>,
  };
}

/** @throws OuzelError CONFIG_DUPLICATE_NAME for a resource that is given twice, NOT_FOUND for one to remove that is not there */
function stepsOf(fleet: FleetAccess, { resources, prune }: z.output<typeof applyBody>): Step[] {
  const wanted = new Map<string, Step>();
  for (const { text, revision, ...key } of resources) {
    const path = `${key.section}/${key.name}`;
    if (wanted.has(path)) throw new OuzelError('CONFIG_DUPLICATE_NAME', `resources: ${path} is given twice`);
    if (text === null && fleet.get(key) === undefined) throw new OuzelError('NOT_FOUND', `the fleet has no ${path}`);
    wanted.set(path, stepTo(fleet, key, text ?? undefined, revision));
  }
  const others = prune ? fleet.list().filter((each) => !wanted.has(`${each.section}/${each.name}`)) : [];
  return [
    ...wanted.values(),
    ...others.map(({ section: of, name }) => stepTo(fleet, { section: of, name }, undefined)),
  ];
}
