/**
 * How plugin files get into Node's module loader: each load of a plugin is a graph of its own, whose URLs bear its
 * number (`?ouzel=7`). So a reload reads anew the plugin and everything that it imports below its folder; what it
 * imports from `node_modules` or elsewhere is loaded once, as ever. `ouzel` is this very program.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { registerHooks } from 'node:module';
import { extname } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

/** One load of one plugin. */
export interface Graph {
  readonly plugin: string;
  /** The files that were read, with what they held. */
  readonly files: Map<string, Uint8Array>;
  /** The import that led nowhere, if one did. */
  unresolved: { readonly specifier: string; readonly file: string } | undefined;
}

interface Registered extends Graph {
  /** URL of the folder, with a slash at its end. */
  readonly below: string;
  /** What the files hold, in place of what is on the disk. */
  readonly sources: ReadonlyMap<string, Uint8Array> | undefined;
  /** Whether it is loaded: what is imported later still is no part of it. */
  sealed: boolean;
}

const graphs = new Map<number, Registered>();
let registered = false;

const MARK = /[?&]ouzel=(\d+)/;
const OUZEL = new URL(`../index${extname(import.meta.url)}`, import.meta.url).href;

const graphOf = (url: string | undefined): Registered | undefined => {
  const number = url === undefined ? undefined : MARK.exec(url)?.[1];
  return number === undefined ? undefined : graphs.get(Number(number));
};

/** Plugins are ES modules, whatever the nearest package.json says. */
const FORMATS: Readonly<Record<string, string>> = {
  '.ts': 'module-typescript',
  '.mts': 'module-typescript',
  '.js': 'module',
  '.mjs': 'module',
  '.json': 'json',
};

export const hashOf = (content: Uint8Array): string => createHash('sha256').update(content).digest('hex');

function register(): void {
  if (registered) return;
  registered = true;
  registerHooks({
    resolve(specifier, context, next) {
      if (graphOf(specifier)?.sources?.has(fileOf(specifier)) === true) return { url: specifier, shortCircuit: true };
      const graph = graphOf(context.parentURL);
      if (graph === undefined) return next(specifier, context);
      if (specifier === 'ouzel') return { url: OUZEL, shortCircuit: true };
      const mark = MARK.exec(context.parentURL ?? '')?.[1];
      const kept = /^\.{0,2}\//.test(specifier) ? new URL(specifier, context.parentURL) : undefined;
      if (kept !== undefined && graph.sources?.has(fileOf(kept.href)) === true) {
        kept.searchParams.set('ouzel', String(mark));
        return { url: kept.href, shortCircuit: true };
      }
      try {
        const found = next(specifier, context);
        if (!found.url.startsWith(graph.below) || found.url.includes('/node_modules/')) return found;
        return { ...found, url: `${found.url}${found.url.includes('?') ? '&' : '?'}ouzel=${mark}` };
      } catch (error) {
        graph.unresolved ??= { specifier, file: fileOf(context.parentURL ?? '') };
        throw error;
      }
    },
    load(url, context, next) {
      const graph = graphOf(url);
      const format = graph === undefined ? undefined : FORMATS[extname(fileOf(url))];
      if (graph === undefined || format === undefined) return next(url, context);
      const source = graph.sources?.get(fileOf(url)) ?? readFileSync(fileOf(url));
      if (!graph.sealed) graph.files.set(fileOf(url), source);
      return { format, source, shortCircuit: true };
    },
  });
}

/** The path of a file by its URL, without what follows it. */
export const fileOf = (url: string): string => fileURLToPath(url.replace(/[?#].*$/s, ''));

let last = 0;

/** How often something was imported anew. Node keeps all of it until the process ends. */
export const importsMade = (): number => last;

/**
 * Imports a file with all that it imports below a folder, anew.
 *
 * @param folder Its real path.
 * @param sources What its files hold; undefined: what is on the disk.
 * @param onGraph Called before the import, which may fail.
 */
export async function importAnew(
  plugin: string,
  file: string,
  folder: string,
  sources: ReadonlyMap<string, Uint8Array> | undefined,
  onGraph: (graph: Graph) => void,
): Promise<Readonly<Record<string, unknown>>> {
  register();
  const number = ++last;
  const below = `${pathToFileURL(folder).href.replace(/\/$/, '')}/`;
  const graph: Registered = { plugin, files: new Map(), unresolved: undefined, below, sources, sealed: false };
  graphs.set(number, graph);
  onGraph(graph);
  try {
    return (await import(`${pathToFileURL(file).href}?ouzel=${number}`)) as Readonly<Record<string, unknown>>;
  } finally {
    graph.sealed = true;
  }
}

/** The plugin whose code a stack goes through; undefined where it goes through none. */
export const pluginInStack = (stack: string): string | undefined => graphOf(stack)?.plugin;
