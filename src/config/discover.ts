/** Finds the configuration file: the places are few, in a fixed order, and never searched for up the tree. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { cosmiconfig } from 'cosmiconfig';
import type { ErrorCode } from '../errors.ts';
import { ConfigError, problemAt } from './problems.ts';
import { SourceFile } from './source.ts';
import { reasonOf } from './substitute.ts';

export interface FindOptions {
  /** From the command line. */
  readonly file?: string | undefined;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
}

const PLACES = ['config/ouzel.yaml', 'ouzel.yaml', '/etc/ouzel/ouzel.yaml'];

/** A file larger than this is no configuration. */
const MAX_SIZE = 8 * 1024 * 1024;

/** The name of a file as it is shown: relative to the working directory where it lies below it. */
export function displayName(path: string, cwd: string): string {
  const short = relative(cwd, path);
  return short === '' || short.startsWith('..') || isAbsolute(short) ? path : short;
}

const fail = (code: ErrorCode, message: string, hint?: string): never => {
  throw new ConfigError([{ code, place: undefined, message, hint, path: '', excerpt: undefined }]);
};

/**
 * The first of `--config`, `$OUZEL_CONFIG`, `config/ouzel.yaml`, `ouzel.yaml` and `/etc/ouzel/ouzel.yaml`, with its
 * text. A file that was named must be there.
 *
 * @throws ConfigError CONFIG_NOT_FOUND, CONFIG_UNREADABLE
 */
export async function findConfig({ file, env, cwd }: FindOptions): Promise<ConfigText> {
  const variable = env['OUZEL_CONFIG'];
  const named = file ?? (variable === undefined || variable === '' ? undefined : variable);
  if (named !== undefined) {
    const path = resolve(cwd, named);
    const by = file === undefined ? ' ($OUZEL_CONFIG)' : '';
    return (await read(path, cwd)) ?? fail('CONFIG_NOT_FOUND', `there is no file ${displayName(path, cwd)}${by}`);
  }
  for (const place of PLACES) {
    const found = await read(resolve(cwd, place), cwd);
    if (found !== undefined) return found;
  }
  return fail(
    'CONFIG_NOT_FOUND',
    `no configuration was found; looked for ${PLACES.map((place) => join(place)).join(', ')}`,
    'name one with --config FILE or $OUZEL_CONFIG',
  );
}

/** The folder beside the main file whose files belong to the configuration. */
export const fragmentFolder = (path: string): string => join(dirname(path), 'conf.d');

/**
 * The files of `conf.d` beside the main file, in the order of their names. Hidden ones are none: a Kubernetes ConfigMap
 * keeps its own things under names with a dot in front.
 *
 * @throws ConfigError CONFIG_UNREADABLE
 */
export async function findFragments(path: string, cwd: string): Promise<ConfigText[]> {
  const folder = fragmentFolder(path);
  const names = await readdir(folder).catch(() => []);
  const found = names.filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
  const texts = await Promise.all(found.map((name) => read(join(folder, name), cwd)));
  return texts.filter((text) => text !== undefined);
}

/** A file of the configuration with what stands in it. */
export interface ConfigText {
  /** Absolute path. */
  readonly path: string;
  readonly text: string;
}

/** The text of a file; undefined when there is none. */
async function read(path: string, cwd: string): Promise<ConfigText | undefined> {
  const name = displayName(path, cwd);
  const unreadable = (reason: string): never => fail('CONFIG_UNREADABLE', `${name} cannot be read: ${reason}`);
  try {
    const entry = await stat(path);
    if (entry.isDirectory()) return unreadable('it is a directory');
    if (!entry.isFile() && !entry.isFIFO()) return unreadable('it is not a file');
    if (entry.size > MAX_SIZE) return unreadable(`it is larger than ${MAX_SIZE} bytes`);
    const result = await explorer().load(path);
    const loaded: unknown = result?.config;
    const text = typeof loaded === 'string' ? loaded : '';
    if (text.length > MAX_SIZE) return unreadable(`it is larger than ${MAX_SIZE} bytes`);
    // What is no UTF-8 was replaced; the same character may also stand in the file.
    if (text.includes('\ufffd') && entry.isFile()) return { path, text: await decode(path, name) };
    return { path, text };
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    return code === 'ENOENT' || code === 'ENOTDIR' ? undefined : unreadable(reasonOf(error));
  }
}

async function decode(path: string, name: string): Promise<string> {
  const bytes = await readFile(path);
  const utf16 = bytes[0] === 0xff || bytes[0] === 0xfe;
  try {
    return new TextDecoder(utf16 ? (bytes[0] === 0xff ? 'utf-16le' : 'utf-16be') : 'utf-8', { fatal: true }).decode(
      bytes,
    );
  } catch {
    const text = bytes.toString('utf8');
    const file = new SourceFile(name, text);
    const at = text.indexOf('\ufffd');
    const message = 'the file is not UTF-8';
    throw new ConfigError([
      problemAt(file, { start: at, end: at + 1 }, { code: 'CONFIG_UNREADABLE', message, hint: 'save it as UTF-8' }),
    ]);
  }
}

let instance: ReturnType<typeof cosmiconfig> | undefined;

/**
 * cosmiconfig with one loader, which hands over the text as it is: nothing is ever run.
 *
 * When it is made, cosmiconfig looks for settings of its own in the working directory, and runs `.config/config.js` if
 * there is one. So it is made, once, while the working directory is this folder, which holds nothing of the kind.
 */
function explorer(): ReturnType<typeof cosmiconfig> {
  if (instance !== undefined) return instance;
  const cwd = process.cwd();
  process.chdir(import.meta.dirname);
  try {
    const text = (_path: string, content: string): string => content;
    const loaders = Object.fromEntries(
      ['default', 'noExt', '.yaml', '.yml', '.json', '.js', '.cjs', '.mjs', '.ts'].map((extension) => [
        extension,
        text,
      ]),
    );
    instance = cosmiconfig('ouzel', { searchPlaces: [], cache: false, loaders });
  } finally {
    process.chdir(cwd);
  }
  return instance;
}
