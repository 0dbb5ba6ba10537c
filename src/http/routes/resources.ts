import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import type { ResourceSection } from '../../fleet/ports.ts';
import type { Needs } from '../auth/needs.ts';
import { API, type ApiRoute, defineRoute, nameParam, type ProblemStatus, resourceParam } from '../define.ts';
import { entryOf } from '../openapi.ts';
import {
  deleteResource,
  namesOf,
  patchResource,
  putResource,
  type Resource,
  resourceShape,
  theResource,
} from '../resources.ts';
import type { HttpContext } from '../server.ts';

/** How an entry of the configuration may be given. */
const ENTRY_MEDIA = ['application/json', 'application/yaml'] as const;
const PATCH_MEDIA = ['application/merge-patch+json'] as const;
/** Bytes of an entry, at most. */
const ENTRY_LIMIT = 256 * 1024;

/** What may keep a change of the configuration from being made. */
const CHANGE_PROBLEMS: readonly ProblemStatus[] = [404, 409, 412, 413, 422, 503];

const ETAG_HEADER = { etag: 'For `If-Match`.' } as const;

/** The resources of one section, in words and examples. */
export interface Kind<Shown extends Resource = Resource> {
  readonly section: ResourceSection;
  readonly one: string;
  readonly tag: string;
  /** What is shown of one. */
  readonly schema: z.ZodType<unknown, Shown>;
  readonly show: (context: HttpContext, name: string) => Promise<Shown>;
  readonly entry: unknown;
  readonly yaml: string;
  readonly patch: unknown;
}

const resource = (section: Exclude<ResourceSection, 'consumers'>, id: string) => ({
  section,
  tag: 'resources',
  schema: z.strictObject(resourceShape).meta({ id, description: `One of ${section}.` }),
  show: (context: HttpContext, name: string): Promise<Resource> =>
    Promise.resolve(theResource(context, { section, name })),
});

const KINDS: readonly Kind[] = [
  {
    ...resource('filters', 'FilterResource'),
    one: 'filter',
    entry: 'event.data.total > 1000',
    yaml: 'event.data.total > 1000\n',
    patch: 'event.data.total > 5000',
  },
  {
    ...resource('types', 'TypeResource'),
    one: 'type',
    entry: { version: 2, upcast: { 1: { set: { 'data.currency': "'EUR'" } } }, schema: { required: ['total'] } },
    yaml: 'version: 2\nupcast: { 1: { set: { data.currency: "\'EUR\'" } } }\nschema: { required: [total] }\n',
    patch: { newer: 'accept' },
  },
  {
    ...resource('transformers', 'TransformerResource'),
    one: 'transformer',
    entry: { set: { 'data.vat': 'event.data.total * 0.2' } },
    yaml: 'set:\n  data.vat: event.data.total * 0.2\n',
    patch: { remove: ['data.card'] },
  },
  {
    ...resource('targets', 'TargetResource'),
    one: 'target',
    entry: { publish: { subject: 'out.orders' } },
    yaml: 'webhook:\n  url: https://partner.example/in\n',
    patch: { timeout: '5s' },
  },
  {
    ...resource('sources', 'SourceResource'),
    one: 'source',
    entry: { webhook: { path: '/hooks/orders', verify: 'none' }, publish: { subject: 'events.hook' } },
    yaml: 'webhook:\n  path: /hooks/github\n  verify: { github: { secret: "${file:/run/secrets/github}" } }\npublish:\n  subject: events.github\n',
    patch: { webhook: { max_body: '64KiB' } },
  },
];

/** `/filters`, `/types`, `/transformers`, `/targets`, `/sources`: the same of each. */
export const resources = (context: HttpContext): ApiRoute[] =>
  KINDS.flatMap((kind) => [listRoute(kind, context), ...entryRoutes(kind, context)]);

const titleOf = (one: string): string => one.charAt(0).toUpperCase() + one.slice(1);

const listRoute = ({ section, one, tag, schema, show }: Kind, context: HttpContext): ApiRoute =>
  defineRoute({
    method: 'GET',
    path: `/${section}`,
    tag,
    id: `list${titleOf(one)}s`,
    summary: `List ${section}`,
    needs: { scope: 'read' },
    problems: [503],
    answers: {
      200: { description: 'All that there are, by name.', schema: z.strictObject({ [section]: z.array(schema) }) },
    },
    handler: async () => ({
      status: 200,
      body: { [section]: await Promise.all(namesOf(context, section).map((name) => show(context, name))) },
    }),
  });

/** To show, make, change and remove one entry of a section. */
export function entryRoutes<Shown extends Resource>(kind: Kind<Shown>, context: HttpContext): ApiRoute[] {
  const { section, one, tag, schema } = kind;
  const title = titleOf(one);
  const params = z.strictObject({
    name: section === 'types' ? resourceParam('The type of the events.') : nameParam(`Of the ${one}.`),
  });
  const common = { path: `/${section}/{name}`, tag, params } as const;
  const consumer =
    section === 'consumers'
      ? { consumer: ({ params: given }: FastifyRequest) => (given as { name: string }).name }
      : {};
  const write = (verb: string): Needs => ({ scope: 'admin', write: true, what: `${one}.${verb}`, ...consumer });
  const shown = async (name: string) => {
    const body = await kind.show(context, name);
    return { body, headers: { etag: body.etag } };
  };
  return [
    defineRoute({
      ...common,
      method: 'GET',
      id: `show${title}`,
      summary: `Show a ${one}`,
      needs: { scope: 'read', ...consumer },
      problems: [404, 503],
      answers: { 200: { description: `The ${one}.`, schema, headers: ETAG_HEADER } },
      handler: async ({ params: { name } }) => ({ status: 200, ...(await shown(name)) }),
    }),
    defineRoute({
      ...common,
      method: 'PUT',
      id: `put${title}`,
      summary: `Make or replace a ${one}`,
      description:
        'Checked as if it stood in the configuration file, stored for the whole fleet, and in force here when this answers.',
      needs: write('put'),
      conditional: true,
      problems: CHANGE_PROBLEMS,
      bodyLimit: ENTRY_LIMIT,
      body: {
        description: `The ${one}, as it would stand in a file. It is kept as it is given.`,
        schema: entryOf(section),
        media: ENTRY_MEDIA,
        examples: {
          json: { media: 'application/json', value: kind.entry },
          yaml: { media: 'application/yaml', value: kind.yaml },
        },
      },
      answers: {
        200: { description: 'It was replaced.', schema, headers: ETAG_HEADER },
        201: { description: 'It was made.', schema, headers: { ...ETAG_HEADER, location: 'Its path.' } },
      },
      handler: async ({ params: { name }, text = '', raw, actor }) => {
        const made = await putResource({ context, key: { section, name }, request: raw, actor }, text);
        const { body, headers } = await shown(name);
        if (!made) return { status: 200, body, headers };
        return { status: 201, body, headers: { ...headers, location: `${API}/${section}/${name}` } };
      },
    }),
    defineRoute({
      ...common,
      method: 'PATCH',
      id: `patch${title}`,
      summary: `Change a part of a ${one}`,
      description: 'What the patch does not name stays as it is written.',
      needs: write('patch'),
      conditional: true,
      problems: CHANGE_PROBLEMS,
      bodyLimit: ENTRY_LIMIT,
      body: {
        description: 'A merge patch (RFC 7396): null removes a key.',
        schema: z.unknown(),
        media: PATCH_MEDIA,
        examples: { patch: { media: PATCH_MEDIA[0], value: kind.patch } },
      },
      answers: { 200: { description: 'It was changed.', schema, headers: ETAG_HEADER } },
      handler: async ({ params: { name }, body, raw, actor }) => {
        await patchResource({ context, key: { section, name }, request: raw, actor }, body);
        return { status: 200, ...(await shown(name)) };
      },
    }),
    defineRoute({
      ...common,
      method: 'DELETE',
      id: `delete${title}`,
      summary: `Remove a ${one}`,
      needs: write('delete'),
      conditional: true,
      problems: CHANGE_PROBLEMS,
      answers: { 204: { description: 'It is gone, from all instances.' } },
      handler: async ({ params: { name }, raw, actor }) => {
        await deleteResource({ context, key: { section, name }, request: raw, actor });
        return { status: 204 };
      },
    }),
  ];
}
