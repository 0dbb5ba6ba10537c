/** The schemas of `types`: read, looked at and compiled when the configuration is loaded. */
import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { AnySchemaObject } from 'ajv';
import { compileSchema, type Dialect, type EventSchema, type Schemas } from '../contracts/validate.ts';
import {
  checkDocument,
  dialectOf,
  isAbsoluteReference,
  problemIn,
  referencesOf,
  resolvedUri,
  type SchemaDocument,
} from './json-schema.ts';
import { clip, type ConfigProblem, problemAt } from './problems.ts';
import type { Config } from './schema.ts';
import { type ConfigPath, nearestNode, nodeAt, SourceFile, type SourceNode, spanOf } from './source.ts';
import { readYaml } from './yaml.ts';

export interface SchemaLoad {
  /** By type. */
  readonly schemas: Schemas;
  readonly problems: readonly ConfigProblem[];
  /** Every file that was read, or that was not there. */
  readonly files: readonly string[];
}

export const NO_SCHEMAS: SchemaLoad = { schemas: new Map(), problems: [], files: [] };

interface Context {
  readonly config: Config;
  readonly root: SourceNode;
  /** Where relative paths start that stand at a path of the configuration. */
  readonly folderOf: (path: ConfigPath) => string;
  /** How a file is shown. */
  readonly show: (path: string) => string;
}

/** Bytes of a schema's file, and files that one schema may refer to. */
const MAX_SIZE = 1_048_576;
const MAX_FILES = 100;

/** Schemas of the last configuration, by revision and file: one that did not change is not compiled again. */
let known: ReadonlyMap<string, EventSchema> = new Map();

/** Reads and compiles all schemas of a configuration. */
export async function loadSchemas(context: Context): Promise<SchemaLoad> {
  const schemas = new Map<string, EventSchema>();
  const problems: ConfigProblem[] = [];
  const files = new Set<string>();
  const compiled = new Map<string, EventSchema>();
  for (const [type, { schema }] of Object.entries(context.config.types)) {
    if (schema === undefined) continue;
    const reader = new Reader(context, ['types', type, 'schema'], files);
    const made = await reader.read(schema);
    problems.push(...reader.problems);
    if (made === undefined) continue;
    schemas.set(type, made);
    compiled.set(keyOf(made), made);
  }
  // The configuration in force goes on with what it has, while one that has problems is refused.
  known = problems.length === 0 ? compiled : new Map([...known, ...compiled]);
  return { schemas, problems, files: [...files] };
}

const keyOf = ({ revision, file }: Pick<EventSchema, 'revision' | 'file'>): string => `${revision} ${file ?? ''}`;

interface Loaded extends SchemaDocument {
  /** Where relative references in it start; undefined where it may have none. */
  readonly folder: string | undefined;
}

/** Reads one schema with all that it refers to. */
class Reader {
  readonly problems: ConfigProblem[] = [];
  readonly #context: Context;
  readonly #at: ConfigPath;
  readonly #files: Set<string>;
  /** By the URI under which each is referred to; the schema itself is the first. */
  readonly #documents = new Map<string, Loaded>();
  readonly #read = new Map<string, Loaded | undefined>();

  constructor(context: Context, at: ConfigPath, files: Set<string>) {
    this.#context = context;
    this.#at = at;
    this.#files = files;
  }

  async read(schema: string | object): Promise<EventSchema | undefined> {
    const { root: config, folderOf, show } = this.#context;
    const node = nodeAt(config, this.#at) ?? nearestNode(config, this.#at);
    const isFleets = node.file.layer === 'fleet';
    if (typeof schema === 'string' && isFleets)
      return this.#fail(
        node,
        'in the fleet a schema cannot be the path of a file, which would be another on each instance',
        'write the schema itself here',
      );
    const folder = folderOf(this.#at);
    const path = typeof schema === 'string' ? resolve(folder, schema) : undefined;
    const first =
      path === undefined
        ? documentOf(schema, node, pathToFileURL(resolve(folder, 'schema')).href, isFleets ? undefined : folder)
        : await this.#file(path, node);
    if (first === undefined) return undefined;
    const dialect = dialectOf(first.value);
    if (dialect === undefined) return this.#refuseDialect(first);
    await this.#follow(first, dialect);
    if (this.problems.length > 0) return undefined;
    return this.#compile(first, dialect, path === undefined ? undefined : show(path));
  }

  #fail(node: SourceNode, message: string, hint?: string): undefined {
    const details = { code: 'CONFIG_SCHEMA', message, hint, path: this.#at } as const;
    this.problems.push(problemAt(node.file, spanOf(node), details));
  }

  #refuseDialect(document: Loaded): undefined {
    const hint = 'one of https://json-schema.org/draft/2020-12/schema and http://json-schema.org/draft-07/schema#';
    this.problems.push(problemIn(document, ['$schema'], 'a schema of this dialect is not read', hint));
  }

  /** Reads a file. @param from What names it. */
  async #file(path: string, from: SourceNode): Promise<Loaded | undefined> {
    if (this.#read.has(path)) return this.#read.get(path);
    this.#read.set(path, undefined);
    this.#files.add(path);
    if (this.#read.size > MAX_FILES) return this.#fail(from, `a schema refers to at most ${MAX_FILES} files`);
    const name = this.#context.show(path);
    let text: string;
    try {
      text = await textOf(path);
    } catch (error) {
      return this.#fail(from, `the schema ${name}: ${readingProblem(error)}`);
    }
    const yaml = readYaml(new SourceFile(name, text.replace(/^\ufeff/, '')));
    if (yaml.problems.length > 0) {
      this.problems.push(...yaml.problems);
      return undefined;
    }
    const document = documentOf(yaml.value, yaml.root, pathToFileURL(path).href, dirname(path));
    this.#read.set(path, document);
    return document;
  }

  /** Looks at a document and at all that it refers to. */
  async #follow(first: Loaded, dialect: Dialect): Promise<void> {
    this.#documents.set(first.base, first);
    const ids = new Set<string>(METASCHEMAS);
    const open = new Set<() => void>();
    const looked = new Set<Loaded>();
    // A map that grows while it is walked visits what was added. A file that two names lead to is looked at once.
    for (const document of this.#documents.values()) {
      if (looked.has(document)) continue;
      looked.add(document);
      if (document !== first && dialectOf(document.value) !== dialect && hasDialect(document.value)) {
        const hint = 'a schema and what it refers to are of one dialect';
        this.problems.push(problemIn(document, ['$schema'], 'another dialect than that of the schema before', hint));
        continue;
      }
      this.problems.push(...checkDocument(document, dialect));
      const found = referencesOf(document);
      for (const id of found.ids) ids.add(id);
      for (const { text, target, path } of found.references) {
        if (ids.has(target) || this.#documents.has(target)) continue;
        const node = nearestNode(document.root, path);
        const beside = isAbsoluteReference(text) ? undefined : document.folder;
        if (beside === undefined) {
          open.add(() => {
            if (!ids.has(target)) this.problems.push(problemIn(document, path, unknownReference(text), FILES_ONLY));
          });
          continue;
        }
        const file = resolve(beside, decodeURIComponent(text.replace(/[?#].*$/s, '')));
        const other = await this.#file(file, node);
        if (other !== undefined) this.#documents.set(target, other);
      }
    }
    for (const check of open) check();
  }

  #compile(first: Loaded, dialect: Dialect, file: string | undefined): EventSchema | undefined {
    const others = new Map(
      [...this.#documents].filter(([, document]) => document !== first).map(([uri, { value }]) => [uri, object(value)]),
    );
    const hash = createHash('sha256').update(dialect);
    // Not the URIs: the same files in another folder, on another instance, are the same schema.
    for (const document of new Set(this.#documents.values())) hash.update(JSON.stringify(document.value));
    const revision = hash.digest('hex').slice(0, 16);
    const before = known.get(keyOf({ revision, file }));
    if (before !== undefined) return before;
    try {
      const root = { uri: first.base, schema: object(first.value) };
      return { revision, file, problemsOf: compileSchema({ dialect, root, others }) };
    } catch (error) {
      this.problems.push(this.#compileProblem(first, error));
      return undefined;
    }
  }

  /** What ajv says of a schema that looked right: as a rule, a reference that leads nowhere. */
  #compileProblem(first: Loaded, error: unknown): ConfigProblem {
    const { missingRef, message } = error as { readonly missingRef?: string; readonly message: string };
    for (const document of this.#documents.values())
      for (const { text, target, path } of referencesOf(document).references) {
        const fragment = text.includes('#') ? text.slice(text.indexOf('#')) : '';
        if (missingRef !== undefined && (missingRef === target + fragment || missingRef === text))
          return problemIn(document, path, unknownReference(text), 'it leads to nothing: look at the names on its way');
      }
    return problemIn(first, [], `the schema cannot be used: ${clip(message, 200)}`);
  }
}

const FILES_ONLY = 'a schema refers to its own parts and to files beside it; nothing is fetched';
const METASCHEMAS = ['https://json-schema.org/draft/2020-12/schema', 'http://json-schema.org/draft-07/schema'];

const unknownReference = (text: string): string => `there is no schema "${clip(text)}"`;

/** A document has been looked at: what is compiled is an object. */
const object = (value: unknown): AnySchemaObject => value as AnySchemaObject;

const hasDialect = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && Object.hasOwn(value, '$schema');

function documentOf(value: unknown, root: SourceNode, uri: string, folder: string | undefined): Loaded {
  const id = typeof value === 'object' && value !== null ? (value as { $id?: unknown }).$id : undefined;
  const base = typeof id === 'string' ? resolvedUri(id, uri) : undefined;
  return { value, root, base: base ?? uri, folder };
}

async function textOf(path: string): Promise<string> {
  const found = await stat(path);
  if (!found.isFile()) throw new Error('it is no regular file');
  if (found.size > MAX_SIZE) throw new Error(`it has ${found.size} bytes, and at most ${MAX_SIZE} are read`);
  const bytes = await readFile(path);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new Error('it is not UTF-8');
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read',
};

function readingProblem(error: unknown): string {
  const { code = '', message } = error as { readonly code?: string; readonly message: string };
  return WORDS[code] ?? message;
}

/** What the schemas of these types hold, as revisions. */
export const schemaRevisions = (
  schemas: Schemas,
  types: readonly string[],
): (readonly [string, string | undefined])[] =>
  types.filter((type) => schemas.has(type)).map((type) => [type, schemas.get(type)?.revision] as const);
