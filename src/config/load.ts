/**
 * Text → configuration: YAML, substitution, schema, references. Everything that is wrong is collected and thrown at
 * once as one {@link ConfigError}; nothing else is thrown.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { formatPlace, type Place } from '../errors.ts';
import type { Schemas } from '../contracts/validate.ts';
import { loadTables, NO_TABLES, type TableLoad } from '../lookup/tables/load.ts';
import type { Tables } from '../lookup/tables/table.ts';
import { type LoadedPlugin, loadPlugins, type PluginLoad } from '../plugins/load.ts';
import type { ConfigCache } from './cache.ts';
import { checkInsertions, checkReferences, type DefinedNames } from './check.ts';
import { type ConfigText, displayName, findConfig, findFragments } from './discover.ts';
import { loadSchemas, NO_SCHEMAS, type SchemaLoad, schemaRevisions } from './event-schemas.ts';
import { fitScalars } from './fit.ts';
import {
  checkLayers,
  type FleetLayer,
  fleetName,
  fleetPart,
  type FleetText,
  withPauses,
  wrapResource,
} from './fleet.ts';
import { problemsOfAll, valueAt } from './issues.ts';
import { checkTables, tableRevisions, tableSpecs } from './lookups.ts';
import { mergeParts, type Part } from './merge.ts';
import { resolvePaths } from './paths.ts';
import { checkPlugins, pluginUses } from './plugin-uses.ts';
import { ConfigError, type ConfigProblem, problemAt } from './problems.ts';
import { type Config, configSchema, NAMED_SECTIONS } from './schema.ts';
import { hideSecretFields, isPathField, Secrets } from './secrets.ts';
import { type ConfigPath, nearestNode, nodeAt, SourceFile, type SourceNode, spanOf } from './source.ts';
import { type ReadFile, substitute, type Substituted } from './substitute.ts';
import { eachExpression } from './walk.ts';
import { readYaml, type YamlDocument } from './yaml.ts';

export { ConfigError, renderProblems } from './problems.ts';
export type { ConfigProblem } from './problems.ts';
export type { ConfigPath } from './source.ts';

/** A configuration that holds, and what is to be known of where it comes from. */
export interface LoadedConfig {
  readonly config: Config;
  /**
   * The plain values after substitution, for comparing two configurations. In place of each secret stands a mark that
   * is the same for the same secret.
   */
  readonly source: Readonly<Record<string, unknown>>;
  /** Absolute path. */
  readonly file: string;
  /** Every file that it depends on, `${file:…}`, tables, schemas and what plugins are made of included. */
  readonly files: readonly string[];
  /** What lives in KV of it; undefined where nothing was asked for. */
  readonly fleet: FleetLayer | undefined;
  /** The plugins that it names. */
  readonly plugins: ReadonlyMap<string, LoadedPlugin>;
  /** The tables that it looks something up in. */
  readonly tables: Tables;
  /** The schemas of its types. */
  readonly schemas: Schemas;
  /** The same for the same values, on every instance. */
  readonly hash: string;
  /** Takes the secrets of this configuration out of a text. */
  readonly redact: (text: string) => string;
  /** Where a value stands, or what is nearest above it. */
  readonly placeOf: (path: ConfigPath) => Place;
  /** The folder of the file that a place is in: where relative paths that stand there start. */
  readonly folderOf: (place: Place | undefined) => string;
}

export interface LoadOptions {
  /** From the command line. Else the usual places are looked at. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  /** Leaves plugins alone: they are neither loaded nor checked. */
  readonly withoutPlugins?: boolean;
  /** Of who loads it again and again. */
  readonly cache?: ConfigCache;
}

/**
 * Finds and reads the configuration, and `conf.d/*.yaml` beside it.
 *
 * @param fleet What lives in KV, on top of it.
 * @throws ConfigError
 */
export async function loadConfig(
  { file, env, cwd, cache, withoutPlugins = false }: LoadOptions,
  fleet?: FleetLayer,
): Promise<LoadedConfig> {
  const found = await findConfig({ file, env, cwd });
  const fragments = await findFragments(found.path, cwd);
  const draft = draftConfig(found.text, found.path, { env, cwd, fragments, fleet, cache });
  const { config } = draft;
  if (config === undefined || withoutPlugins) return draft.finish();
  const uses = pluginUses(config);
  const show = (path: string): string => displayName(path, cwd);
  const { root, folderOf } = draft;
  const [load, tables, schemas] = await Promise.all([
    loadPlugins(config.plugins.dir, uses),
    loadTables(tableSpecs(config)),
    loadSchemas({ config, root, folderOf, show }),
  ]);
  const problems = [
    ...(await checkPlugins(uses, { root, load, show, folder: config.plugins.dir })),
    ...checkTables(config, root, tables, show),
    ...schemas.problems,
  ];
  return draft.finish(load, problems, tables, schemas);
}

export interface ParseOptions {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** File names are shown relative to it. */
  readonly cwd?: string;
  readonly readFile?: ReadFile;
  /** Further files that are part of the configuration. */
  readonly fragments?: readonly ConfigText[];
  /** What lives in KV. */
  readonly fleet?: FleetLayer | undefined;
  readonly cache?: ConfigCache | undefined;
}

/** One file, read and filled in. */
interface ParsedFile extends Part {
  readonly path: string;
  readonly file: SourceFile;
  readonly yaml: YamlDocument;
  readonly substituted: Substituted;
}

function parseFile({ path, text }: ConfigText, options: ParseOptions, secrets: Secrets): ParsedFile {
  const file = new SourceFile(displayName(path, options.cwd ?? process.cwd()), text.replace(/^\ufeff/, ''));
  return fillIn(path, file, read(file, options), options, secrets);
}

/** @param fileName Absolute path of the main file: relative paths of the fleet's entries start at its folder. */
function parseResource(resource: FleetText, fileName: string, options: ParseOptions, secrets: Secrets): ParsedFile {
  const file = new SourceFile(fleetName(resource), resource.text, 'fleet');
  return fillIn(fileName, file, wrapResource(read(file, options), resource), options, secrets);
}

const read = (file: SourceFile, { cache }: ParseOptions): YamlDocument => cache?.yaml.read(file) ?? readYaml(file);

function fillIn(
  path: string,
  file: SourceFile,
  yaml: YamlDocument,
  options: ParseOptions,
  secrets: Secrets,
): ParsedFile {
  const { env, readFile = readFileSync } = options;
  const substituted = substitute(yaml.value, yaml.root, {
    env,
    readFile,
    fileName: path,
    secrets,
    isPath: isPathField,
  });
  return { path, file, yaml, substituted, root: yaml.root, value: substituted.value, source: substituted.source };
}

/** A configuration that was read, but whose plugins were not looked at. */
interface Draft {
  /** What could be understood of it; undefined where nothing could. */
  readonly config: Config | undefined;
  readonly root: SourceNode;
  /** Where relative paths start that stand at a path of it. */
  readonly folderOf: (path: ConfigPath) => string;
  /** @throws ConfigError for what is wrong with it, and for these further problems. */
  finish(
    plugins?: PluginLoad,
    problems?: readonly ConfigProblem[],
    tables?: TableLoad,
    schemas?: SchemaLoad,
  ): LoadedConfig;
}

/**
 * Reads the text of a configuration, without its plugins.
 *
 * @param fileName Absolute path: relative paths in it start at its folder.
 * @throws ConfigError
 */
export const parseConfig = (text: string, fileName: string, options: ParseOptions): LoadedConfig =>
  draftConfig(text, fileName, options).finish();

function draftConfig(text: string, fileName: string, options: ParseOptions): Draft {
  const secrets = new Secrets();
  const fail = (problems: readonly ConfigProblem[], loaded?: readonly string[]): never => {
    throw new ConfigError(tidy(problems, secrets), loaded);
  };
  const main = parseFile({ path: fileName, text }, options, secrets);
  const files = [main, ...(options.fragments ?? []).map((fragment) => parseFile(fragment, options, secrets))] as const;
  const { resources = [], paused = new Set<string>() } = options.fleet ?? {};
  const ofFleet = resources.map((resource) => parseResource(resource, fileName, options, secrets));
  const parts = [...files, ...ofFleet] as const;
  options.cache?.yaml.keepOnly(new Set(parts.map(({ file }) => file.name)));
  if (files.every(({ yaml }) => yaml.value === null || yaml.value === undefined)) {
    const message = 'the file holds no configuration';
    const empty = problemAt(
      main.file,
      { start: 0, end: 0 },
      { code: 'CONFIG_EMPTY', message, hint: 'the least is: version: 1' },
    );
    const found = parts.flatMap(({ yaml }) => yaml.problems);
    fail(found.length > 0 ? found : [empty]);
  }

  const fleet = fleetPart(ofFleet);
  const merged = mergeParts(fleet === undefined ? files : [...files, fleet]);
  const { root } = merged;
  const complete = (given: unknown): unknown =>
    withPauses(fitScalars(withoutEmptySections(given), root, configSchema), paused);
  const source = hideSecretFields(complete(merged.source), secrets);
  hideSecretFields(merged.value, secrets);
  const value = complete(merged.value);
  const substitution = parts.flatMap(({ substituted }) => substituted.problems);
  const failed = new Set(substitution.map(({ path }) => path));
  const parsed = options.cache?.parse(value) ?? configSchema.safeParse(value);
  const invalid = problemsOfAll(parsed.error?.issues ?? [], { schema: configSchema, value, root });
  const understood = parsed.data ?? salvage(value, parsed.error?.issues ?? []);
  const folderOf = (path: ConfigPath): string => dirname(pathOf(parts, nearestNode(root, path)));
  const config = understood && resolvePaths(understood, folderOf);
  const problems = [
    ...parts.flatMap(({ yaml }) => yaml.problems),
    ...substitution,
    ...merged.problems,
    ...consequent(
      [
        // What could not be filled in is empty: that it does not fit is no news.
        ...invalid.filter(({ path }) => !failed.has(path)),
        ...(config === undefined ? [] : checkReferences(config, root, definedNames(value))),
        ...(config === undefined ? [] : checkInsertions(config, root)),
        ...(config === undefined ? [] : checkLayers(config, root)),
      ],
      parts,
    ),
  ];
  const finish: Draft['finish'] = (
    load,
    further = [],
    { tables } = NO_TABLES,
    { schemas, files: schemaFiles } = NO_SCHEMAS,
  ) => {
    const all = [...problems, ...consequent(further, parts)];
    // A configuration that is refused may be mended there.
    const loadedFiles = [
      ...(load?.files ?? []),
      ...(config === undefined ? [] : tableSpecs(config).map(({ path }) => path)),
      ...schemaFiles,
    ];
    if (all.length > 0 || config === undefined) return fail(all, loadedFiles);
    eachExpression(config, (expression, path) => {
      const node = nodeAt(root, path);
      if (node !== undefined) expression.place = node.file.place(spanOf(node).start);
    });
    const plugins = load?.plugins ?? new Map<string, LoadedPlugin>();
    return {
      config,
      source: source as Readonly<Record<string, unknown>>,
      file: fileName,
      files: [...parts.flatMap(({ path, substituted }) => [path, ...substituted.files]), ...loadedFiles],
      fleet: options.fleet,
      plugins,
      tables,
      schemas,
      hash: hashOf(source, plugins, [
        ...tableRevisions(config, tables),
        ...schemaRevisions(schemas, Object.keys(config.types)),
      ]),
      redact: (each) => secrets.redact(each),
      placeOf: (path) => {
        const node = nearestNode(root, path);
        return node.file.place((node.key ?? spanOf(node)).start);
      },
      folderOf: (place) => dirname((parts.find(({ file }) => file.name === place?.file) ?? main).path),
    };
  };
  return { config, root, folderOf, finish };
}

/** Of the values and, where there are plugins, tables and schemas, of what these are made of. */
function hashOf(source: unknown, plugins: ReadonlyMap<string, LoadedPlugin>, files: readonly unknown[]): string {
  const revisions = [...plugins].map(([name, { revision }]) => `${name} ${revision}`).toSorted();
  const hash = createHash('sha256').update(JSON.stringify(source));
  if (revisions.length > 0) hash.update(JSON.stringify(revisions));
  if (files.length > 0) hash.update(JSON.stringify(files));
  return hash.digest('hex').slice(0, 16);
}

/** The path of the file that a node stands in. */
const pathOf = (parts: readonly [ParsedFile, ...ParsedFile[]], node: SourceNode | undefined): string =>
  (parts.find(({ file }) => file === node?.file) ?? parts[0]).path;

/** Problems that do not merely follow from YAML having misread a file. */
function consequent(problems: readonly ConfigProblem[], parts: readonly ParsedFile[]): ConfigProblem[] {
  if (parts.every(({ yaml }) => yaml.damaged.size === 0 && yaml.brokenAt === Infinity)) return [...problems];
  const broken = parts.some(({ yaml }) => yaml.brokenAt !== Infinity);
  return problems.filter(({ place, code }) => {
    const part = parts.find(({ file }) => file.name === place?.file);
    if (place === undefined || part === undefined || part.yaml.damaged.has(place.line)) return false;
    const { brokenAt } = part.yaml;
    const last = brokenAt === Infinity ? Infinity : part.file.lineAt(Math.min(brokenAt, part.file.text.length));
    // What is missing, or refers to nothing, may stand in the part that was not understood.
    const absent = code === 'CONFIG_MISSING_KEY' || code === 'CONFIG_UNKNOWN_NAME' || code === 'CONFIG_DUPLICATE_NAME';
    return place.line < last && !(absent && broken);
  });
}

/** In the order of the files, each once, without secrets. */
function tidy(problems: readonly ConfigProblem[], secrets: Secrets): ConfigProblem[] {
  const files = [...new Set(problems.map(({ place }) => place?.file ?? ''))];
  const order = ({ place }: ConfigProblem): string => String(files.indexOf(place?.file ?? '')).padStart(6, '0');
  const seen = new Set<string>();
  return [...problems]
    .sort(
      (a, b) =>
        order(a).localeCompare(order(b)) ||
        (a.place?.line ?? 0) - (b.place?.line ?? 0) ||
        (a.place?.column ?? 0) - (b.place?.column ?? 0),
    )
    .filter(({ code, place, message }) => {
      const key = `${code} ${place === undefined ? '' : formatPlace(place)} ${message}`;
      return !seen.has(key) && seen.add(key);
    })
    .map((problem) => ({
      ...problem,
      message: secrets.redact(problem.message),
      hint: problem.hint === undefined ? undefined : secrets.redact(problem.hint),
      excerpt: problem.excerpt && { ...problem.excerpt, text: secrets.mask(problem.excerpt.text) },
    }));
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** `filters:` with all its entries commented out is a section without entries. */
function withoutEmptySections(value: unknown): unknown {
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([key, each]) => each !== null || key === 'version'));
}

type Issues = readonly {
  readonly path: readonly PropertyKey[];
  readonly code: string;
  readonly keys?: readonly string[];
}[];

/**
 * What is left of a configuration that has issues, so that the rest can be checked all the same: first only what is
 * wrong is taken out, then the entries and sections that need it.
 */
function salvage(value: unknown, issues: Issues): Config | undefined {
  const repaired = structuredClone(isMapping(value) ? { ...value, version: 1 } : { version: 1 });
  for (const { code, keys, path } of issues) {
    if (code === 'unrecognized_keys') for (const key of keys ?? []) remove(repaired, [...path, key]);
    else remove(repaired, path);
  }
  const parsed = configSchema.safeParse(repaired);
  return parsed.data ?? configSchema.safeParse(pruned(repaired, parsed.error?.issues ?? [])).data;
}

/** Takes a key of a mapping away. Entries of lists stay: the others' positions must not change. */
function remove(value: unknown, path: readonly PropertyKey[]): void {
  const key = path.at(-1);
  const parent = valueAt(value, path.slice(0, -1).map(String));
  if (key !== undefined && isMapping(parent)) Reflect.deleteProperty(parent, key);
}

/** Without the named entries, or the sections, that have issues. */
function pruned(value: Readonly<Record<string, unknown>>, issues: Issues): unknown {
  const named: readonly string[] = NAMED_SECTIONS;
  for (const { path } of issues) {
    const [section = '', entry] = path.map(String);
    remove(value, named.includes(section) && entry !== undefined ? [section, entry] : [section]);
  }
  return { ...value, version: 1 };
}

function definedNames(value: unknown): DefinedNames {
  const keys = (section: string): string[] => {
    const entries = valueAt(value, [section]);
    return isMapping(entries) ? Object.keys(entries) : [];
  };
  return {
    streams: keys('streams'),
    filters: keys('filters'),
    transformers: keys('transformers'),
    targets: keys('targets'),
  };
}
