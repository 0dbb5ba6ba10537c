/** JSON Schema: the data of events against the schema of their type, by ajv. */
import { Ajv, type AnySchemaObject, type ErrorObject, type Options } from 'ajv';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import type { Step } from '../core/plan.ts';
import { OuzelError } from '../errors.ts';
import { compilePattern } from '../expression/pattern.ts';

/** One thing that is wrong with an event. */
export interface SchemaProblem {
  /** JSON pointer (RFC 6901); empty for the data itself. */
  readonly pointer: string;
  /** What was expected; never what was found. */
  readonly message: string;
}

/** The schema of one type, compiled. */
export interface EventSchema {
  /** The same for the same schema, on every instance. */
  readonly revision: string;
  /** The file, as it is shown; undefined for one that stands in the configuration. */
  readonly file: string | undefined;
  /**
   * What is wrong with the data, the first few; undefined when it fits.
   *
   * @param size Bytes of the body: one that is large is not looked through to its end once something is wrong.
   */
  problemsOf(data: unknown, size: number): readonly SchemaProblem[] | undefined;
}

/** By type. */
export type Schemas = ReadonlyMap<string, EventSchema>;

/** The dialects that are read, by their `$schema`. */
export const DIALECTS = {
  'https://json-schema.org/draft/2020-12/schema': Ajv2020,
  'http://json-schema.org/draft-07/schema': Ajv,
} as const;
export type Dialect = keyof typeof DIALECTS;

/** A schema and what it refers to, each under the URI that it is referred to by. */
export interface SchemaSet {
  readonly dialect: Dialect;
  readonly root: { readonly uri: string; readonly schema: AnySchemaObject };
  readonly others: ReadonlyMap<string, AnySchemaObject>;
}

const SHOWN = 5;
/** Bytes of a body up to which all that is wrong is looked for; then the first few are told. */
const THOROUGH = 65_536;
/** Characters of a pointer at most. */
const LONGEST_POINTER = 120;
/** Characters of a text that a format is looked for in: not all of their patterns are linear-time. */
const LONGEST_FORMATTED = 4096;
/** Of any length: these are checked in linear time. */
const UNBOUNDED: ReadonlySet<string> = new Set(['byte', 'binary', 'password']);

/** A pattern that is refused says so by what it throws. */
const linearTime = Object.assign(
  (pattern: string) => {
    const compiled = compilePattern(pattern);
    if (typeof compiled === 'string') throw new SyntaxError(compiled);
    return { test: (text: string) => compiled.test(text) };
  },
  { code: '' },
);

/** An ajv that reads a dialect. It is not strict by itself: what is looked at beforehand has places. */
export function ajvOf(dialect: Dialect, options: Options = {}): Ajv {
  const ajv = new DIALECTS[dialect]({
    strict: false,
    strictNumbers: true,
    ownProperties: true,
    validateSchema: false,
    logger: false,
    code: { regExp: linearTime },
    ...options,
  });
  formats.default(ajv, { mode: 'full', keywords: false });
  for (const [name, format] of Object.entries(ajv.formats)) bound(ajv, name, format);
  // Its own compares each item with each: a long list would hold the event loop.
  ajv.removeKeyword('uniqueItems');
  ajv.addKeyword({
    keyword: 'uniqueItems',
    type: 'array',
    schemaType: 'boolean',
    errors: false,
    validate: (wanted: boolean, items: readonly unknown[]) =>
      !wanted || new Set(items.map((item) => JSON.stringify(sorted(item)))).size === items.length,
    error: { message: 'must not have the same item twice' },
  });
  return ajv;
}

function bound(ajv: Ajv, name: string, format: Ajv['formats'][string]): void {
  if (UNBOUNDED.has(name) || format === undefined || typeof format === 'boolean') return;
  const inner = typeof format === 'object' && !(format instanceof RegExp) ? format.validate : format;
  if (typeof inner === 'boolean' || typeof inner === 'string') return;
  if (typeof format === 'object' && !(format instanceof RegExp) && format.type === 'number') return;
  const holds = inner instanceof RegExp ? (text: string) => inner.test(text) : (inner as (text: string) => boolean);
  ajv.addFormat(name, { type: 'string', validate: (text: string) => text.length <= LONGEST_FORMATTED && holds(text) });
}

/** With the keys of all objects in order, so that equal values have equal JSON. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([left], [right]) => (left < right ? -1 : 1))
      .map(([key, item]) => [key, sorted(item)]),
  );
}

/**
 * Compiles a schema.
 *
 * @throws Error of ajv, for a reference that leads nowhere
 */
export function compileSchema(set: SchemaSet): EventSchema['problemsOf'] {
  const [quick, thorough] = [false, true].map((allErrors) => {
    const ajv = ajvOf(set.dialect, { allErrors });
    for (const [uri, schema] of set.others) ajv.addSchema(schema, uri);
    return ajv.compile({ ...set.root.schema, $id: set.root.uri });
  });
  if (quick === undefined || thorough === undefined) throw new OuzelError('INTERNAL', 'a schema was not compiled');
  return (data, size) => {
    const value = withoutBigInts(data);
    if (quick(value) === true) return undefined;
    const { errors } = size <= THOROUGH && thorough(value) !== true ? thorough : quick;
    return shownProblems(errors ?? []);
  };
}

const isBigInt = (value: unknown): boolean => typeof value === 'bigint';

/** Integers beyond a number are `bigint` in the data; to a schema they are numbers like others. */
function withoutBigInts(value: unknown): unknown {
  if (isBigInt(value)) return Number(value);
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || !holdsBigInt(value)) return value;
  if (Array.isArray(value)) return value.map(withoutBigInts);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, withoutBigInts(item)]));
}

function holdsBigInt(value: object): boolean {
  for (const key in value) {
    const item = (value as Record<string, unknown>)[key];
    if (isBigInt(item) || (typeof item === 'object' && item !== null && holdsBigInt(item))) return true;
  }
  return false;
}

function shownProblems(errors: readonly ErrorObject[]): SchemaProblem[] {
  // That a branch does not fit follows from what stands in it.
  const told = errors.filter(({ keyword }) => keyword !== 'if' && keyword !== 'propertyNames');
  const problems = new Map<string, SchemaProblem>();
  for (const error of told.length > 0 ? told : errors) {
    const problem = problemOf(error);
    problems.set(`${problem.pointer} ${problem.message}`, problem);
    if (problems.size === SHOWN) break;
  }
  return [...problems.values()];
}

function problemOf({ keyword, instancePath, params, message }: ErrorObject): SchemaProblem {
  const given = params as Readonly<Record<string, unknown>>;
  const name =
    keyword === 'required' || keyword === 'dependentRequired' || keyword === 'dependencies'
      ? given['missingProperty']
      : keyword === 'additionalProperties'
        ? given['additionalProperty']
        : given['unevaluatedProperty'];
  const pointer = clipped(typeof name === 'string' ? `${instancePath}/${escaped(name)}` : instancePath);
  if (keyword === 'required') return { pointer, message: 'is missing' };
  if (keyword === 'additionalProperties' || keyword === 'unevaluatedProperties')
    return { pointer, message: 'is not known' };
  return { pointer, message: message ?? `does not hold for ${keyword}` };
}

const escaped = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

/** A pointer holds the producer's own names. */
// oxlint-disable-next-line no-control-regex -- control characters are what must not get into a header or a log
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g;

const clipped = (pointer: string): string => {
  const text = pointer.replace(CONTROL, '·');
  return text.length > LONGEST_POINTER ? `${text.slice(0, LONGEST_POINTER - 1)}…` : text;
};

/** The error of an event that does not fit. */
const invalid = (type: string, problems: readonly SchemaProblem[]): OuzelError =>
  new OuzelError(
    'EVENT_INVALID',
    `the data does not fit the schema of ${type}: ${problems
      .map(({ pointer, message }) => `${pointer === '' ? 'the data' : pointer} ${message}`)
      .join('; ')}`,
  );

/**
 * Checks every event of a type that has a schema.
 *
 * @param error Makes the error of an event that does not fit.
 * @throws (in a run) OuzelError EVENT_INVALID, EVENT_UNDECODABLE
 */
export function schemaStep(schemas: Schemas, error = invalid): Step {
  return {
    name: 'schema',
    run({ event }) {
      const problems = schemas.get(event.type)?.problemsOf(event.data, event.carrier.body.length);
      if (problems !== undefined) throw error(event.type, problems);
      return undefined;
    },
  };
}
