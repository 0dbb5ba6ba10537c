/** Reads tables from their files. One that did not change since the last time is not read again. */
import { readFile, stat } from 'node:fs/promises';
import { TableError } from './csv.ts';
import { parseTable } from './parse.ts';
import { type Table, tableId, type TableSpec } from './table.ts';

interface Known {
  readonly table: Table;
  readonly fingerprint: string;
}

/** Tables that the last configuration had. */
let known: ReadonlyMap<string, Known> = new Map();

export interface TableLoad {
  /** By `tableId`. */
  readonly tables: ReadonlyMap<string, Table>;
  /** Why the others could not be read, by `tableId`. */
  readonly failures: ReadonlyMap<string, TableError>;
}

export const NO_TABLES: TableLoad = { tables: new Map(), failures: new Map() };

/** Reads all tables of a configuration. Those of the one before that are not among them are forgotten. */
export async function loadTables(specs: readonly TableSpec[]): Promise<TableLoad> {
  const read = new Map<string, Known>();
  const failures = new Map<string, TableError>();
  for (const spec of specs) {
    const id = tableId(spec);
    if (read.has(id) || failures.has(id)) continue;
    try {
      read.set(id, await readTable(spec, known.get(id)));
    } catch (error) {
      failures.set(id, error instanceof TableError ? error : new TableError(readingProblem(error)));
    }
  }
  // The configuration in force goes on with what it has, while one that has failures is refused.
  known = failures.size === 0 ? read : new Map([...known, ...read]);
  return { tables: new Map([...read].map(([id, { table }]) => [id, table])), failures };
}

async function readTable(spec: TableSpec, before: Known | undefined): Promise<Known> {
  const { path, maxSize } = spec;
  const found = await stat(path, { bigint: true });
  const fingerprint = `${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
  if (before?.fingerprint === fingerprint) return before;
  if (!found.isFile()) throw new TableError('it is no regular file');
  const bytes = found.size > maxSize ? undefined : await readFile(path);
  if (bytes === undefined || bytes.length > maxSize)
    throw new TableError(`it has ${bytes?.length ?? found.size} bytes, and \`max_size\` is ${maxSize}`);
  const digest = await crypto.subtle.digest('SHA-256', bytes);
  const entries = await parseTable(textOf(bytes), spec);
  return { table: { entries, revision: Buffer.from(digest).toString('hex').slice(0, 16) }, fingerprint };
}

function textOf(bytes: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new TableError('it is not UTF-8');
  }
}

const WORDS: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EACCES: 'it may not be read',
  EISDIR: 'it is a directory',
};

function readingProblem(error: unknown): string {
  const { code = '', message } = error as { readonly code?: string; readonly message?: string };
  return WORDS[code] ?? message ?? String(error);
}
