/** A JSON Schema as it stands in a file: what is in it, and what is wrong with it, each with its place. */
import { ajvOf, type Dialect, DIALECTS } from '../contracts/validate.ts';
import { compilePattern, MAX_PATTERN_LENGTH } from '../expression/pattern.ts';
import { clip, type ConfigProblem, problemAt } from './problems.ts';
import { type ConfigPath, nearestNode, type SourceNode, spanOf } from './source.ts';
import { suggestion } from './suggest.ts';

/** One document: a file, or what stands in the configuration. */
export interface SchemaDocument {
  readonly value: unknown;
  readonly root: SourceNode;
  /** Where references in it start: its own `$id`, else where it stands. */
  readonly base: string;
}

/** A reference, and what it refers to in full. */
export interface SchemaReference {
  readonly text: string;
  readonly target: string;
  readonly path: ConfigPath;
}

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Keywords below which there are schemas: one, a list of them, or a mapping of names to them. */
const ONE = [
  'additionalProperties',
  'additionalItems',
  'items',
  'contains',
  'not',
  'if',
  'then',
  'else',
  'propertyNames',
  'unevaluatedItems',
  'unevaluatedProperties',
  'contentSchema',
] as const;
const LIST = ['allOf', 'anyOf', 'oneOf', 'prefixItems', 'items'] as const;
const MAPPING = [
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
] as const;

/** Calls back for every schema in a schema, with its path. */
function eachSchema(value: unknown, path: ConfigPath, visit: (schema: Json, path: ConfigPath) => void): void {
  if (!isObject(value)) return;
  visit(value, path);
  for (const key of ONE) eachSchema(value[key], [...path, key], visit);
  for (const key of LIST) {
    const items = value[key];
    if (Array.isArray(items)) items.forEach((item, index) => eachSchema(item, [...path, key, index], visit));
  }
  for (const key of MAPPING) {
    const entries = value[key];
    if (!isObject(entries)) continue;
    for (const [name, entry] of Object.entries(entries)) eachSchema(entry, [...path, key, name], visit);
  }
}

const URN = /^[a-z][a-z0-9+.-]*:/i;

/** Whether a reference names another place by itself, so that nothing beside the file is meant. */
export const isAbsoluteReference = (text: string): boolean => URN.test(text) || text.startsWith('/');

/** A URI resolved against another, without its fragment; undefined when it is none. */
export function resolvedUri(text: string, base: string): string | undefined {
  const url = URL.parse(text, base);
  if (url === null) return undefined;
  url.hash = '';
  return url.href;
}

/** What a document refers to, and the URIs that schemas in it bear. */
export function referencesOf({ value, base }: SchemaDocument): {
  readonly references: readonly SchemaReference[];
  readonly ids: ReadonlySet<string>;
} {
  const references: SchemaReference[] = [];
  const ids = new Set([base]);
  /** Bases of the schemas that bear an `$id`, by path: what is below one starts there. */
  const bases: { readonly path: string; readonly base: string }[] = [];
  eachSchema(value, [], (schema, path) => {
    const at = JSON.stringify(path).slice(0, -1);
    const inner = bases.findLast((each) => at === each.path || at.startsWith(`${each.path},`));
    let from = inner?.base ?? base;
    const { $id, $ref } = schema;
    if (typeof $id === 'string' && path.length > 0 && !$id.startsWith('#')) {
      from = resolvedUri($id, from) ?? from;
      bases.push({ path: at, base: from });
      ids.add(from);
    }
    if (typeof $ref !== 'string') return;
    const target = resolvedUri($ref, from);
    if (target !== undefined) references.push({ text: $ref, target, path: [...path, '$ref'] });
  });
  return { references, ids };
}

const DEFAULT_DIALECT: Dialect = 'https://json-schema.org/draft/2020-12/schema';

/** The dialect that a schema says it is written in; undefined for one that is not read. Default: 2020-12. */
export function dialectOf(value: unknown): Dialect | undefined {
  const said = isObject(value) ? value['$schema'] : undefined;
  if (said === undefined) return DEFAULT_DIALECT;
  return (Object.keys(DIALECTS) as Dialect[]).find(
    (each) => typeof said === 'string' && said.replace(/#$/, '') === each,
  );
}

/** What looks at schemas, by dialect: made once. */
const checkers = new Map<Dialect, ReturnType<typeof ajvOf>>();

function checkerOf(dialect: Dialect): ReturnType<typeof ajvOf> {
  const known = checkers.get(dialect) ?? ajvOf(dialect, { allErrors: true });
  checkers.set(dialect, known);
  return known;
}

/** Points at a value of a document, or at its key. */
export function problemIn(
  { root }: SchemaDocument,
  path: ConfigPath,
  message: string,
  hint?: string,
  on: 'key' | 'value' = 'value',
): ConfigProblem {
  const node = nearestNode(root, path);
  const span = on === 'key' ? (node.key ?? spanOf(node)) : spanOf(node);
  return problemAt(node.file, span, { code: 'CONFIG_SCHEMA', message, hint, path });
}

/** Everything that is wrong with a document by itself. */
export function checkDocument(document: SchemaDocument, dialect: Dialect): ConfigProblem[] {
  const { value } = document;
  if (!isObject(value)) return [problemIn(document, [], 'a schema is an object', 'for example {type: object}')];
  const ajv = checkerOf(dialect);
  const problems: ConfigProblem[] = [];
  const wrong = new Map<string, string>();
  for (const { instancePath, message = 'is not valid', keyword, params } of schemaProblems(ajv, value, dialect)) {
    // That none of several forms fits follows from what is said of each.
    if (keyword === 'anyOf' || keyword === 'if') continue;
    const { allowedValues } = params as { readonly allowedValues?: readonly unknown[] };
    const said = allowedValues === undefined ? message : `must be one of ${allowedValues.join(', ')}`;
    const before = wrong.get(instancePath);
    wrong.set(instancePath, before === undefined ? said : `${before}, or ${said}`);
  }
  for (const [pointer, message] of wrong) problems.push(problemIn(document, segmentsOf(pointer), `this ${message}`));
  eachSchema(value, [], (schema, path) => problems.push(...checkKeywords(document, schema, path, ajv)));
  return problems;
}

/** What the dialect's own schema says of a schema. */
const schemaProblems = (ajv: ReturnType<typeof ajvOf>, schema: Json, dialect: Dialect) =>
  ajv.validateSchema({ ...schema, $schema: dialect }) === true ? [] : (ajv.errors ?? []);

/** The segments of a JSON pointer. */
const segmentsOf = (pointer: string): string[] =>
  pointer
    .split('/')
    .slice(1)
    .map((segment) => segment.replaceAll('~1', '/').replaceAll('~0', '~'));

function checkKeywords(
  document: SchemaDocument,
  schema: Json,
  path: ConfigPath,
  ajv: ReturnType<typeof ajvOf>,
): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report = (key: string, message: string, hint?: string, on?: 'key'): void =>
    void problems.push(problemIn(document, [...path, key], message, hint, on));
  for (const key of Object.keys(schema)) {
    // ajv's own: a schema that answers later.
    if (key !== '$async' && (Object.hasOwn(ajv.RULES.keywords, key) || key === '$anchor' || key.startsWith('x-')))
      continue;
    const known = Object.keys(ajv.RULES.keywords);
    report(
      key,
      `there is no keyword "${clip(key)}"`,
      suggestion(key, known, 'a keyword of your own begins with x-'),
      'key',
    );
  }
  const { format, pattern, patternProperties } = schema;
  if (typeof format === 'string' && !Object.hasOwn(ajv.formats, format))
    report('format', `there is no format "${clip(format)}"`, suggestion(format, Object.keys(ajv.formats)));
  if (typeof pattern === 'string') {
    const problem = patternProblem(pattern);
    if (problem !== undefined) report('pattern', problem, LINEAR);
  }
  for (const each of isObject(patternProperties) ? Object.keys(patternProperties) : []) {
    const problem = patternProblem(each);
    if (problem !== undefined)
      problems.push(problemIn(document, [...path, 'patternProperties', each], problem, LINEAR, 'key'));
  }
  return problems;
}

const LINEAR = 'patterns are RE2: no look-around and no back-references, so that none takes long';

function patternProblem(pattern: string): string | undefined {
  if (pattern.length > MAX_PATTERN_LENGTH) return `a pattern has at most ${MAX_PATTERN_LENGTH} characters`;
  const compiled = compilePattern(pattern);
  return typeof compiled === 'string' ? compiled : undefined;
}
