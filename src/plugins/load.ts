/**
 * Loads the plugins that a configuration names. A plugin is a file: `plugins/geo.ts` is the plugin `geo`, and what it
 * exports is one definition. Only what is named is loaded; other files are left alone.
 */
import { readdirSync, readFileSync, realpathSync } from 'node:fs';
import { extname, join } from 'node:path';
import { isPlugin, kindOfPlugin, type Plugin, type PluginKind } from './define.ts';
import { type Graph, hashOf, importAnew } from './hooks.ts';
import { runPlugin } from './isolate.ts';
import { locate, type Spot } from './locate.ts';

export interface LoadedPlugin {
  readonly name: string;
  readonly kind: PluginKind;
  readonly definition: Plugin;
  /** Every file below the folder that it was made from. */
  readonly files: readonly string[];
  /** The same for the same content of these files, on every instance. */
  readonly revision: string;
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

interface Cached extends LoadedPlugin {
  /** The plugin's file itself, where it is named through a symbolic link. */
  readonly target: string;
  readonly hashes: ReadonlyMap<string, string>;
}

/** By the path of the plugin's file: as long as none of its files changes, it stays as it was loaded. */
const cache = new Map<string, Cached>();

/** Loads the plugins of these names. It never throws. */
export async function loadPlugins(folder: string, names: Iterable<string>): Promise<PluginLoad> {
  const plugins = new Map<string, LoadedPlugin>();
  const failures: PluginFailure[] = [];
  const wanted = new Set(names);
  const files = new Set<string>(wanted.size === 0 ? [] : [folder]);
  const found = pluginFiles(folder);
  for (const name of wanted) {
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
    const loaded = await loadPlugin(name, file, folder, files);
    if ('definition' in loaded) plugins.set(name, loaded);
    else failures.push(loaded);
  }
  return {
    plugins,
    failures,
    available: found === undefined ? undefined : [...found.keys()].toSorted(),
    files: [...files],
  };
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

async function loadPlugin(
  name: string,
  file: string,
  folder: string,
  files: Set<string>,
): Promise<LoadedPlugin | PluginFailure> {
  let graph: Graph | undefined;
  const start: Spot = { file, line: 1, column: 1, width: 1 };
  try {
    // Node remembers where a symbolic link leads: it must not be asked.
    const [real, target] = [realpathSync(folder), realpathSync(file)];
    const known = cache.get(file);
    if (known !== undefined && known.target === target && isUnchanged(known)) {
      for (const each of known.files) files.add(each);
      return known;
    }
    const module = await inTime(runPlugin(name, () => importAnew(name, target, real, (made) => (graph = made))));
    const problem = exportProblem(module);
    if (problem !== undefined) return { name, ...problem, spot: start };
    const definition = Object.values(module).find(isPlugin) as Plugin;
    const hashes = new Map(graph?.files);
    const cached: Cached = {
      name,
      kind: kindOfPlugin(definition) as PluginKind,
      definition,
      files: [...hashes.keys()],
      target,
      hashes,
      revision: hashOf(Buffer.from(JSON.stringify([...hashes.values()].toSorted()))).slice(0, 16),
    };
    cache.set(file, cached);
    return cached;
  } catch (error) {
    const spot = graph === undefined ? undefined : locate(error, graph);
    const message = spot?.message ?? (error instanceof Error ? error.message : String(error));
    return {
      name,
      message: `plugin ${name} cannot be loaded: ${message.slice(0, LONGEST)}`,
      hint: undefined,
      spot: spot ?? start,
    };
  } finally {
    for (const each of graph?.files.keys() ?? []) files.add(each);
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
