/** The OpenAPI 3.1 document, made of the routes as they are defined and of the configuration's own schema. */
import { STATUS_CODES } from 'node:http';
import { z } from 'zod';
import { jsonSchema } from '../config/generate.ts';
import { RESOURCE_SECTIONS, type ResourceSection } from '../fleet/ports.ts';
import { VERSION } from '../version.ts';
import { API, type AnswerSpec, type ApiRoute, type BodySpec } from './define.ts';
import { problemSchema } from './problem.ts';

type Json = Record<string, unknown>;

/** The schema of one entry of a section, in the document. */
const ENTRY_SCHEMA: Readonly<Record<ResourceSection, string>> = {
  filters: 'Filter',
  types: 'EventType',
  transformers: 'Transformer',
  targets: 'Target',
  consumers: 'Consumer',
  sources: 'Source',
};

const REF = '#/components/schemas/';

/** Anything at all here, shown as the configuration's own schema. */
export const entryOf = (section: ResourceSection) => z.unknown().meta({ json: { $ref: REF + ENTRY_SCHEMA[section] } });

const TAGS: Readonly<Record<string, string>> = {
  consumers: 'What takes events, live state and all.',
  resources: 'Filters, types of events, transformers, targets and sources.',
  config: 'The configuration in force: the file’s and the fleet’s.',
  'dead letters': 'Events that could not be delivered.',
  audit: 'What became of events.',
  events: 'Single events: posted, or looked at.',
  schedules: 'Sources that tick.',
  daemon: 'The daemon itself.',
};

/** Answers that any operation may have. */
const ALWAYS = [400, 401, 403, 429, 500];

const PROBLEMS: Readonly<Record<number, string>> = {
  400: 'The request is not valid: a parameter, or a body that is not JSON.',
  401: 'Credentials are missing, or wrong.',
  403: 'The credentials do not allow this.',
  404: 'There is no such thing.',
  409: 'It is owned by the configuration file, or somebody else changes it in the same moment.',
  412: 'The condition of `If-Match` or `If-None-Match` does not hold.',
  413: 'The body is too large.',
  414: 'A part of the path is longer than any name: 256 characters at most.',
  415: 'The body is of a type that this does not read.',
  422: 'The request was understood, and cannot be: `problems` has the places.',
  429: 'Too many attempts with wrong credentials.',
  500: 'An error inside Ouzel.',
  503: 'NATS is away, or refuses.',
  504: 'Whoever was asked did not answer in time.',
};

/** Makes the document. @param routes All that there are. */
export function openApiDocument(routes: readonly ApiRoute[]): Json {
  const components = new Components();
  const paths: Record<string, Json> = {};
  for (const route of routes) {
    const path = (paths[API + route.path] ??= {});
    path[route.method.toLowerCase()] = operation(route, components);
  }
  const used = new Set(routes.map(({ tag }) => tag));
  return {
    openapi: '3.1.1',
    info: {
      title: 'Ouzel',
      version: VERSION,
      summary: 'Consumers, filters, transformers and targets of an Ouzel daemon and its fleet.',
      description:
        'Everything that is refused is answered with problem details (RFC 9457). A change holds for all instances of a fleet. See docs/reference/api.md.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    tags: Object.entries(TAGS)
      .filter(([name]) => used.has(name))
      .map(([name, description]) => ({ name, description })),
    security: [{ bearer: [] }, { mutualTLS: [] }, {}],
    paths,
    components: {
      schemas: components.schemas,
      responses: Object.fromEntries(
        Object.entries(PROBLEMS).map(([status, description]) => [problemName(Number(status)), problem(description)]),
      ),
      securitySchemes: {
        bearer: { type: 'http', scheme: 'bearer', description: 'A token of `access`, or a JWT of `http.oidc`.' },
        mutualTLS: { type: 'mutualTLS', description: 'A client certificate that `access` names.' },
      },
    },
  };
}

const problem = (description: string): Json => ({
  description,
  content: { 'application/problem+json': { schema: { $ref: `${REF}Problem` } } },
});

/** `NotFound` */
const problemName = (status: number): string =>
  (STATUS_CODES[status] ?? `Status${status}`).replaceAll(/[^A-Za-z]/g, '');

function operation(route: ApiRoute, components: Components): Json {
  const { tag, summary, id, description, needs, body, answers, conditional } = route;
  const scope = `Needs the scope \`${needs.scope}\`.`;
  return {
    tags: [tag],
    operationId: id,
    summary,
    description: description === undefined ? scope : `${description}\n\n${scope}`,
    parameters: [
      ...parameters(route.params, 'path', components),
      ...parameters(route.query, 'query', components),
      ...(conditional === true ? CONDITIONS : []),
    ],
    ...(body === undefined ? {} : { requestBody: requestBody(body, components) }),
    responses: {
      ...Object.fromEntries(Object.entries(answers).map(([status, answer]) => [status, response(answer, components)])),
      ...Object.fromEntries(
        problemsOf(route).map((status) => [status, { $ref: `#/components/responses/${problemName(status)}` }]),
      ),
    },
  };
}

function problemsOf({ method, params, problems = [], conditional }: ApiRoute): number[] {
  const all = new Set<number>([...ALWAYS, ...problems]);
  if (method !== 'GET') for (const status of [413, 415]) all.add(status);
  if (params !== undefined) all.add(414);
  if (conditional === true) all.add(412);
  return [...all].toSorted((a, b) => a - b);
}

const CONDITIONS: readonly Json[] = [
  {
    name: 'If-Match',
    in: 'header',
    description: 'The `ETag` that it must have now, one of several, or `*`: it must be there.',
    schema: { type: 'string' },
    example: '"42"',
  },
  {
    name: 'If-None-Match',
    in: 'header',
    description: '`*`: it must not be there.',
    schema: { type: 'string', const: '*' },
  },
];

function parameters(schema: z.ZodObject, where: 'path' | 'query', components: Components): Json[] {
  const { properties = {}, required = [] } = components.schemaOf(schema) as {
    properties?: Record<string, Json>;
    required?: readonly string[];
  };
  return Object.entries(properties).map(([name, { description, ...each }]) => ({
    name,
    in: where,
    ...(description === undefined ? {} : { description }),
    required: where === 'path' || required.includes(name),
    schema: each,
  }));
}

function requestBody(
  { description, schema, schemas, media, required, examples }: BodySpec,
  components: Components,
): Json {
  const content = Object.fromEntries(
    (media ?? ['application/json']).map((type) => {
      const own = Object.entries(examples ?? {}).filter(([, example]) => example.media === type);
      const shown = Object.fromEntries(own.map(([name, { value }]) => [name, { value }]));
      return [
        type,
        { schema: components.schemaOf(schemas?.[type] ?? schema), ...(own.length === 0 ? {} : { examples: shown }) },
      ];
    }),
  );
  return { description, required: required ?? true, content };
}

function response({ description, schema, media, headers, example }: AnswerSpec, components: Components): Json {
  return {
    description,
    ...(headers === undefined
      ? {}
      : {
          headers: Object.fromEntries(
            Object.entries(headers).map(([name, text]) => [
              name,
              { description: text, required: true, schema: { type: 'string' } },
            ]),
          ),
        }),
    ...(schema === undefined
      ? {}
      : {
          content: {
            [media ?? 'application/json']: {
              schema: components.schemaOf(schema),
              ...(example === undefined ? {} : { example }),
            },
          },
        }),
  };
}

/** The schemas that the document has in one place. */
class Components {
  readonly schemas: Record<string, Json> = {};

  constructor() {
    this.#addEntries();
    this.schemaOf(problemSchema);
  }

  /** The schema as JSON, with all that has a name of its own moved to the components. */
  schemaOf(schema: z.ZodType): Json {
    const { $schema: _, ...json } = z.toJSONSchema(schema, {
      target: 'draft-2020-12',
      io: 'input',
      override: ({ zodSchema, jsonSchema: each }) => {
        const own = (zodSchema as unknown as z.ZodType).meta()?.['json'];
        delete each['json'];
        if (own === undefined) return;
        const { description } = each;
        for (const key of Object.keys(each)) Reflect.deleteProperty(each, key);
        Object.assign(each, own, description === undefined ? {} : { description });
      },
    }) as Json;
    const { id } = json as { id?: string };
    if (id === undefined) return this.#hoist(json);
    this.schemas[id] ??= this.#hoist(json);
    return { $ref: REF + id };
  }

  /** Entries of the configuration, as editors have them. */
  #addEntries(): void {
    const { properties = {}, $defs = {} } = jsonSchema('draft-2020-12') as {
      properties?: Record<string, { additionalProperties?: Json }>;
      $defs?: Record<string, Json>;
    };
    for (const section of RESOURCE_SECTIONS) {
      const entry = properties[section]?.additionalProperties ?? {};
      this.schemas[ENTRY_SCHEMA[section]] = moved(entry, ofConfig) as Json;
    }
    for (const [name, each] of Object.entries($defs)) this.schemas[ofConfig(name)] = moved(each, ofConfig) as Json;
  }

  #hoist({ $defs = {}, id: _id, ...json }: Json): Json {
    for (const [name, each] of Object.entries($defs as Record<string, Json>)) {
      const { id: _own, ...rest } = each;
      this.schemas[name] ??= moved(rest) as Json;
    }
    return moved(json) as Json;
  }
}

/** What has no name in the configuration's schema is any value, to which zod gives a number. */
const ofConfig = (name: string): string => name.replace(/^__schema/, 'Value');

/** The same with its references into the components. */
function moved(value: unknown, rename = (name: string): string => name): unknown {
  if (Array.isArray(value)) return value.map((each) => moved(each, rename));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => {
      if (key === '$ref' && typeof each === 'string' && each.startsWith('#/$defs/'))
        return [key, REF + rename(each.slice('#/$defs/'.length))];
      return [key, moved(each, rename)];
    }),
  );
}
