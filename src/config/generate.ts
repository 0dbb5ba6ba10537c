/** Files that are made from the schema and the registry of errors, and checked in: the editor's schema and the reference. */
import { z } from 'zod';
import { formatDuration } from './fields.ts';
import { stringKind } from './introspect.ts';
import { configReference, errorReference, incidentReference } from './reference.ts';
import { configSchema } from './schema.ts';

export interface GeneratedFile {
  /** Relative to the root of the checkout. */
  readonly path: string;
  readonly content: string;
}

/** Every generated file as it ought to be. */
export const generatedFiles = (): GeneratedFile[] => [
  { path: 'config/ouzel.schema.json', content: `${JSON.stringify(jsonSchema(), null, 2)}\n` },
  { path: 'docs/reference/config.md', content: configReference() },
  { path: 'docs/reference/errors.md', content: errorReference() },
  { path: 'docs/reference/incidents.md', content: incidentReference() },
];

/** How kinds of string look to an editor. What `${…}` is put into is only known when it is loaded. */
const PATTERNS: Readonly<Record<string, string>> = {
  duration: String.raw`^(\d+(\.\d+)?(ms|s|m|h|d))+$|\$\{`,
  size: String.raw`^\d+(\.\d+)?(B|KB|MB|GB|TB|KiB|MiB|GiB|TiB)$|\$\{`,
  address: String.raw`:\d{1,5}$|\$\{`,
};

const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  duration: ['250ms', '30s', '5m', '2h', '7d'],
  size: ['64KiB', '10MiB'],
  expression: ['event.data.total > 1000'],
  template: ['orders.{{ event.data.id }}'],
};

const PLACEHOLDER = {
  type: 'string',
  pattern: String.raw`\$\{`,
  description: '`${VAR}`, filled in when it is loaded.',
} as const;

type JsonSchema = z.core.JSONSchema.BaseSchema;

/** JSON Schema of the configuration: draft-07 for editors, 2020-12 for OpenAPI. */
export function jsonSchema(target: 'draft-7' | 'draft-2020-12' = 'draft-7'): JsonSchema {
  const schema = z.toJSONSchema(configSchema, {
    target,
    io: 'input',
    override: ({ zodSchema, jsonSchema: json, path }) => {
      if (zodSchema instanceof z.ZodType) forEditors(json, zodSchema);
      if (path.at(-2) === 'properties') json.title = String(path.at(-1));
    },
  });
  schema.title = 'Ouzel configuration';
  return schema;
}

function forEditors(json: JsonSchema, schema: z.ZodType): void {
  const kind = stringKind(schema);
  delete json['strings'];
  if (kind !== undefined) {
    if (json.type === 'string' && PATTERNS[kind] !== undefined) json.pattern = PATTERNS[kind];
    for (const each of json.anyOf ?? [])
      if (each.type === 'string' && PATTERNS[kind] !== undefined) each.pattern = PATTERNS[kind];
    if (EXAMPLES[kind] !== undefined && json.examples === undefined) json.examples = [...EXAMPLES[kind]];
    if (kind === 'duration' && schema instanceof z.ZodDefault)
      json.default = formatDuration(Number(schema.def.defaultValue));
  }
  // A section that may be left out is not the empty mapping.
  if (typeof json.default === 'object' && json.default !== null && Object.keys(json.default).length === 0)
    delete json.default;
  const isScalar =
    json.type === 'number' || json.type === 'integer' || json.type === 'boolean' || json.enum !== undefined;
  if (!isScalar || kind !== undefined || json.const !== undefined) return;
  const { description, title, default: preset, ...rest } = json;
  for (const key of Object.keys(json)) Reflect.deleteProperty(json, key);
  Object.assign(json, { title, description, default: preset, anyOf: [rest, PLACEHOLDER] });
  for (const key of ['title', 'description', 'default'] as const)
    if (json[key] === undefined) Reflect.deleteProperty(json, key);
}
