/** What a zod schema says of itself, for error messages and for the reference page. */
import { z } from 'zod';
import type { ConfigPath } from './source.ts';

/** What each kind of string is called (`meta({ strings })` in `fields.ts`). */
export const STRING_KINDS: Readonly<Record<string, string>> = {
  expression: 'an expression',
  template: 'text with {{ expression }}',
  path: 'a path such as data.total',
  duration: 'a duration such as 30s',
  size: 'a size such as 10MiB',
  address: 'an address such as 127.0.0.1:9464',
  subject: 'a subject',
  file: 'the path of a file',
  name: 'a name',
  server: 'the URL of a NATS server',
  instant: 'an instant such as 2026-01-31T08:00:00Z',
};

/** One layer off: optional, default, pipe. Undefined when there is none. */
function inner(schema: z.ZodType): z.ZodType | undefined {
  if (
    schema instanceof z.ZodOptional ||
    schema instanceof z.ZodNullable ||
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault
  )
    return schema.unwrap() as z.ZodType;
  if (schema instanceof z.ZodPipe) return schema.in as z.ZodType;
  return undefined;
}

/** The schema under all its layers. */
export function bareSchema(schema: z.ZodType): z.ZodType {
  let each = schema;
  for (let next = inner(each); next !== undefined; next = inner(each)) each = next;
  return each;
}

/** The kind of string that a field takes, if it says so on any of its layers. */
export function stringKind(schema: z.ZodType): string | undefined {
  for (let each: z.ZodType | undefined = schema; each !== undefined; each = inner(each)) {
    const strings = each.meta()?.['strings'];
    if (typeof strings === 'string') return strings;
  }
  return undefined;
}

/** The alternatives of a union, or the schema alone. */
const alternatives = (schema: z.ZodType): readonly z.ZodType[] => {
  const bare = bareSchema(schema);
  return bare instanceof z.ZodUnion ? bare.options.flatMap((each) => alternatives(each as z.ZodType)) : [bare];
};

/** The keys that a mapping may have, as schemas; undefined where any key may stand or it is no mapping. */
export function shapeOf(schema: z.ZodType): Readonly<Record<string, z.ZodType>> | undefined {
  for (const each of alternatives(schema)) if (each instanceof z.ZodObject) return each.shape;
  return undefined;
}

/** The schema of what stands at a path; undefined where the schema knows no such path. */
export function schemaAt(root: z.ZodType, path: ConfigPath): z.ZodType | undefined {
  let schema: z.ZodType | undefined = root;
  for (const segment of path) {
    if (schema === undefined) return undefined;
    schema = stepInto(schema, segment);
  }
  return schema;
}

function stepInto(schema: z.ZodType, segment: string | number): z.ZodType | undefined {
  for (const each of alternatives(schema)) {
    if (typeof segment === 'number' && each instanceof z.ZodArray) return each.element as z.ZodType;
    if (each instanceof z.ZodObject && Object.hasOwn(each.shape, segment))
      return (each.shape as Record<string, z.ZodType>)[segment];
    if (each instanceof z.ZodRecord) return each.valueType as z.ZodType;
  }
  return undefined;
}

/** The words that a field allows, where it is a choice of words or may be one. */
export const choicesOf = (schema: z.ZodType): string[] =>
  alternatives(schema).flatMap((each) => (each instanceof z.ZodEnum ? each.options.map(String) : []));

/** What a field expects, in words. */
export function expectation(schema: z.ZodType): string {
  const kind = stringKind(schema);
  if (kind !== undefined) return STRING_KINDS[kind] ?? kind;
  const bare = bareSchema(schema);
  if (bare instanceof z.ZodEnum) return `one of ${bare.options.join(', ')}`;
  if (bare instanceof z.ZodLiteral) return [...bare.values].map(String).join(' or ');
  if (bare instanceof z.ZodUnion)
    return [...new Set(bare.options.map((each) => expectation(each as z.ZodType)))].join(' or ');
  if (bare instanceof z.ZodString) return 'text';
  if (bare instanceof z.ZodNumber) return bare.isInt ? 'a whole number' : 'a number';
  if (bare instanceof z.ZodBoolean) return 'true or false';
  if (bare instanceof z.ZodArray) return 'a list';
  if (bare instanceof z.ZodObject || bare instanceof z.ZodRecord) return 'a mapping';
  return 'a value';
}
