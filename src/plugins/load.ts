/**
 * Loads the plugins that a configuration names. A plugin is a file: `plugins/geo.ts` is the plugin `geo`, and what it
 * exports is one definition. Only what is named is loaded; other files are left alone.
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { extname, join } from 'node:path';
import type { z } from 'zod';
import { isPlugin, kindOfPlugin, type Plugin, type PluginKind } from './define.ts';
import { type Graph, hashOf, importAnew, importsMade } from './hooks.ts';
import { type IsolatedCode, lookAt } from './isolated/look.ts';
import { locate, type Spot } from './locate.ts';
import { runPlugin } from './stray.ts';

export interface LoadedPlugin {
  readonly name: string;
  readonly kind: PluginKind;
  /** Undefined where all uses are isolated: then it is not loaded here. */
  readonly definition: Plugin | undefined;
  /** What its threads are started with; undefined where no use is isolated. */
  readonly isolated: IsolatedCode | undefined;
  /** Of its options; of an isolated one, as far as JSON Schema can say it. */
  readonly options: z.ZodType;
  /** Its file. */
  readonly file: string;
  /** Every file below the folder that it was made from. */
  readonly files: readonly string[];
  /** The same for the same content of these files, on every instance. */
  readonly revision: string;
}

/** A plugin that is to be loaded. */
export interface PluginWish {
  readonly plugin: string;
  readonly isolated: boolean;
  /** Which it will be asked about. */
  readonly options: unknown;
}

/** Why a plugin could not be loaded, and where. */
export interface PluginFailure {
  readonly name: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly spot: Spot;
}

export interface PluginLoad {
  readonly plugins: ReadonlyMap<string, LoadedPlugin>;
  readonly failures: readonly PluginFailure[];
  /** The names of all plugins that there are; undefined when the folder is not there. */
  readonly available: readonly string[] | undefined;
  /** Every file that was read or tried, those of failed plugins included, and the folder: what to watch. */
  readonly files: readonly string[];
}

/** Milliseconds that the import of a plugin may take. */
const IMPORT_TIMEOUT = 10_000;
/** Characters of an error that are shown. */
const LONGEST = 200;
const EXTENSIONS: ReadonlySet<string> = new Set(['.ts', '.mts', '.js', '.mjs']);

/** Versions of plugins that this process loads, at most: Node keeps each of them until it ends (decision 0010). */
export const MAX_LOADS = 500;

interface Cached {
  readonly loaded: LoadedPlugin;
  /** The plugin's file itself, where it is named through a symbolic link. */
  readonly target: string;
  readonly hashes: ReadonlyMap<string, string>;
}

/** By the path of the plugin's file and where it runs: as long as none of its files changes, it stays as it was loaded. */
const cache = new Map<string, Cached>();

/** Loads the plugins of these names, or wishes. It never throws. */
export async function loadPlugins(folder: string, wishes: Iterable<string | PluginWish>): Promise<PluginLoad> {
  const plugins = new Map<string, LoadedPlugin>();
  const failures: PluginFailure[] = [];
  const wanted = byName(wishes);
  const files = new Set<string>(wanted.size === 0 ? [] : [folder]);
  const found = pluginFiles(folder);
  for (const [name, ways] of wanted) {
    const [file, second] = found?.get(name) ?? [];
    if (file === undefined) continue;
    files.add(file);
    if (second !== undefined) {
      files.add(second);
      failures.push({
        name,
        message: `two plugins bear the name "${name}"`,
        hint: `the other is ${second}`,
        spot: { file, line: 1, column: 1, width: 1 },
      });
      continue;
    }
    const loaded = await loadWays(name, file, folder, ways, files);
    if ('kind' in loaded) plugins.set(name, loaded);
    else failures.push(loaded);
  }
  return {
    plugins,
    failures,
    available: found === undefined ? undefined : [...found.keys()].toSorted(),
    files: [...files],
  };
}

/** In which ways a plugin is wanted. */
interface Ways {
  here: boolean;
  /** The options of the uses that are isolated; undefined where there are none. */
  isolated: unknown[] | undefined;
}

function byName(wishes: Iterable<string | PluginWish>): ReadonlyMap<string, Ways> {
  const wanted = new Map<string, Ways>();
  for (const wish of wishes) {
    const { plugin, isolated, options } = typeof wish === 'string' ? { ...HERE, plugin: wish } : wish;
    const ways = wanted.get(plugin) ?? { here: false, isolated: undefined };
    wanted.set(plugin, ways);
    if (isolated) (ways.isolated ??= []).push(options);
    else ways.here = true;
  }
  return wanted;
}

const HERE = { isolated: false, options: undefined } as const;

/** One that runs both here and in threads is loaded in both ways. */
async function loadWays(
  name: string,
  file: string,
  folder: string,
  ways: Ways,
  files: Set<string>,
): Promise<LoadedPlugin | PluginFailure> {
  const isolated = ways.isolated && (await cachedLoad(name, file, folder, files, ways.isolated));
  if (!ways.here || (isolated !== undefined && !('kind' in isolated))) return isolated as LoadedPlugin | PluginFailure;
  const here = await cachedLoad(name, file, folder, files, undefined);
  return 'kind' in here && isolated !== undefined ? { ...here, isolated: isolated.isolated } : here;
}

/** Files by plugin name; undefined where there is no such folder. */
function pluginFiles(folder: string): ReadonlyMap<string, readonly string[]> | undefined {
  let entries: readonly string[];
  try {
    entries = readdirSync(folder).toSorted();
  } catch {
    return undefined;
  }
  const found = new Map<string, string[]>();
  for (const entry of entries) {
    const extension = extname(entry);
    if (!EXTENSIONS.has(extension) || /\.d\.m?ts$|^\./.test(entry)) continue;
    const name = entry.slice(0, -extension.length);
    found.set(name, [...(found.get(name) ?? []), join(folder, entry)]);
  }
  return found;
}

const isUnchanged = ({ hashes }: Cached): boolean =>
  [...hashes].every(([file, hash]) => {
    try {
      return hashOf(readFileSync(file)) === hash;
    } catch {
      return false;
    }
  });

/** @param options Of the uses in threads; undefined to load it here. */
async function cachedLoad(
  name: string,
  file: string,
  folder: string,
  files: Set<string>,
  options: readonly unknown[] | undefined,
): Promise<LoadedPlugin | PluginFailure> {
  const start: Spot = { file, line: 1, column: 1, width: 1 };
  const key = `${options === undefined ? 'here' : 'isolated'} ${file}`;
  try {
    // Node remembers where a symbolic link leads: it must not be asked.
    const [real, target] = [realpathSync(folder), realpathSync(file)];
    const known = cache.get(key);
    if (known !== undefined && known.target === target && isUnchanged(known)) {
      for (const each of known.loaded.files) files.add(each);
      return known.loaded;
    }
    if (options === undefined && importsMade() >= MAX_LOADS) return tooManyLoads(name, start);
    const made =
      options === undefined
        ? await importPlugin(name, target, real, undefined)
        : await lookAt({ plugin: name, file: target, folder: real }, options);
    for (const each of 'failure' in made ? made.files : made.sources.keys()) files.add(each);
    if ('failure' in made) {
      const { spot } = made.failure;
      // It is named as the folder names it, not as a link leads.
      return { ...made.failure, spot: spot.file === target ? { ...spot, file } : spot };
    }
    const hashes = new Map([...made.sources].map(([path, content]) => [path, hashOf(content)]));
    const loaded: LoadedPlugin = {
      name,
      kind: made.kind,
      definition: 'definition' in made ? made.definition : undefined,
      isolated: 'code' in made ? made.code : undefined,
      options: 'definition' in made ? made.definition.options : made.options,
      file,
      files: [...hashes.keys()],
      revision: hashOf(Buffer.from(JSON.stringify([...hashes.values()].toSorted()))).slice(0, 16),
    };
    cache.set(key, { loaded, target, hashes });
    return loaded;
  } catch (error) {
    return { name, ...unloadable(name, error), spot: start };
  }
}

const unloadable = (name: string, error: unknown, better?: string): Pick<PluginFailure, 'message' | 'hint'> => {
  const message = better ?? (error instanceof Error ? error.message : String(error));
  return { message: `plugin ${name} cannot be loaded: ${message.slice(0, LONGEST)}`, hint: undefined };
};

const tooManyLoads = (name: string, spot: Spot): PluginFailure => ({
  name,
  message: `plugin ${name} has changed, and this process has loaded ${MAX_LOADS} versions of plugins, none of which it can let go`,
  hint: 'restart Ouzel, or write `isolate: true` where the plugin is named: a thread is let go with all that it loaded',
  spot,
});

/** A plugin as it was imported in this thread. */
interface Imported {
  readonly definition: Plugin;
  readonly kind: PluginKind;
  readonly sources: ReadonlyMap<string, Uint8Array>;
}

/** Why it could not be, and the files that were read. */
export interface Unloadable {
  readonly failure: PluginFailure;
  readonly files: readonly string[];
}

/**
 * Imports a plugin in this thread. It never throws.
 *
 * @param file Its real path, as that of the folder.
 * @param sources What its files hold; undefined: what is on the disk.
 */
export async function importPlugin(
  name: string,
  file: string,
  folder: string,
  sources: ReadonlyMap<string, Uint8Array> | undefined,
): Promise<Imported | Unloadable> {
  let graph: Graph | undefined;
  const start: Spot = { file, line: 1, column: 1, width: 1 };
  try {
    const module = await inTime(
      runPlugin(name, () => importAnew(name, file, folder, sources, (made) => (graph = made))),
    );
    const problem = exportProblem(module);
    if (problem !== undefined)
      return { failure: { name, ...problem, spot: start }, files: [...(graph?.files.keys() ?? [])] };
    const definition = Object.values(module).find(isPlugin) as Plugin;
    return { definition, kind: kindOfPlugin(definition) as PluginKind, sources: new Map(graph?.files) };
  } catch (error) {
    const spot = graph === undefined ? undefined : locate(error, graph);
    const failure = { name, ...unloadable(name, error, spot?.message), spot: spot ?? start };
    return { failure, files: [...(graph?.files.keys() ?? [])] };
  } finally {
    graph?.files.clear();
  }
}

/** A module that waits for what never comes would hold up the reload for good. */
async function inTime<T>(work: Promise<T>): Promise<T> {
  const { promise, reject } = Promise.withResolvers<never>();
  const late = new Error(`its import took longer than ${IMPORT_TIMEOUT / 1000} s`);
  const timer = setTimeout(() => reject(late), IMPORT_TIMEOUT);
  try {
    return await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}

function exportProblem(module: Readonly<Record<string, unknown>>): { message: string; hint: string } | undefined {
  const names = Object.keys(module).filter((key) => isPlugin(module[key]));
  const hint = 'a plugin is a file with one export: what defineFilter, defineTransformer or defineTarget returns';
  if (names.length === 0) return { message: 'this file exports no plugin', hint };
  // The same one, by name and as the default, is one.
  if (new Set(names.map((key) => module[key])).size === 1) return undefined;
  return { message: `this file exports several plugins: ${names.join(', ')}`, hint };
}
