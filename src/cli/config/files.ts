/** Files of resources: those that the command line names, those of folders, and standard input. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { displayName } from '../../config/discover.ts';
import { type FileEntry, entriesOf, inFiles } from '../../config/entries.ts';
import { ConfigError } from '../../config/problems.ts';
import { redactedText } from '../../config/redacted.ts';
import { SourceFile } from '../../config/source.ts';
import { formatPlace, OuzelError } from '../../errors.ts';

/** The text of a file, or of standard input for `-`. @throws OuzelError CONFIG_NOT_FOUND, CONFIG_UNREADABLE */
export async function readSource(path: string, cwd = process.cwd()): Promise<SourceFile> {
  if (path === '-') return new SourceFile('<stdin>', (await readText(process.stdin)).replace(/^\ufeff/, ''));
  const name = displayName(resolve(cwd, path), cwd);
  try {
    const bytes = await readFile(resolve(cwd, path));
    return new SourceFile(name, new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw unreadable(name, error);
  }
}

function unreadable(name: string, error: unknown): OuzelError {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code === 'ENOENT') return new OuzelError('CONFIG_NOT_FOUND', `there is no file ${name}`);
  const reason = code === 'ERR_ENCODING_INVALID_ENCODED_DATA' ? 'it is not UTF-8' : message;
  return new OuzelError('CONFIG_UNREADABLE', `${name} cannot be read: ${reason}`, { cause: error });
}

/** The files that a folder stands for: its own, by name; not those of folders in it, nor hidden ones. */
async function filesOf(path: string, cwd: string): Promise<string[]> {
  if (path === '-') return [path];
  const name = displayName(resolve(cwd, path), cwd);
  try {
    if (!(await stat(resolve(cwd, path))).isDirectory()) return [path];
    const names = (await readdir(resolve(cwd, path))).filter((each) => /^[^.].*\.(?:ya?ml|json)$/.test(each));
    if (names.length > 0) return names.toSorted().map((each) => join(path, each));
  } catch (error) {
    throw unreadable(name, error);
  }
  throw new OuzelError('CONFIG_NOT_FOUND', `${name} has no *.yaml, *.yml or *.json`);
}

/**
 * The entries of files, of the files of folders, and of standard input (`-`).
 *
 * @throws ConfigError, OuzelError CONFIG_NOT_FOUND, CONFIG_UNREADABLE
 */
export async function readEntries(paths: readonly string[], cwd = process.cwd()): Promise<FileEntry[]> {
  const files = (await Promise.all(paths.map((path) => filesOf(path, cwd)))).flat();
  return entriesOf(await Promise.all([...new Set(files)].map((path) => readSource(path, cwd))));
}

/** Says of each secret that stands in a file that many will be able to read it. */
export function warnOfSecrets(entries: readonly FileEntry[]): void {
  for (const { section, name, text, file, key } of entries) {
    if (redactedText(text, (each) => each) === text) continue;
    const place = formatPlace(file.place(key.start));
    process.stderr.write(
      `${place}  warning: ${section}/${name} has a secret in it, which the bucket OUZEL_CONFIG keeps in clear, with its history. Write \${VAR} or \${file:…} instead: each instance fills in its own\n`,
    );
  }
}

/** Does something with entries; what a daemon finds wrong in them is shown where it stands in their files. */
export async function placed<T>(entries: readonly FileEntry[], work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    throw new ConfigError(inFiles(error.problems, entries));
  }
}
