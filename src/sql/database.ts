/**
 * Databases that are asked with SQL. Everybody in this process who asks one shares its connections, over consumers and
 * reloads; they are closed when the last one lets go.
 */
import { OuzelError } from '../errors.ts';
import type { Insert } from './insert.ts';
import { PostgresDatabase } from './postgres.ts';
import { SqliteDatabase } from './sqlite.ts';
import type { Dialect } from './table.ts';
import type { Value } from './values.ts';

/** A value that goes into a statement. */
export type Parameter = string | number | bigint | boolean | null | readonly Parameter[];

/** Columns by name, as JSON has them; integers beyond ±2^53 are `bigint`. */
export type Row = Readonly<Record<string, unknown>>;

/** How many rows are wanted, and what becomes of an answer that has more. */
export interface RowLimit {
  readonly most: number;
  readonly beyond: 'refuse' | 'leave';
}

export interface Database {
  /** Where it is, without credentials. */
  readonly shown: string;
  /**
   * Asks for rows. `$1`, `$2` … in the text stand for the parameters.
   *
   * @param signal Ends the wait; what it was aborted with is thrown.
   * @throws OuzelError TARGET_UNAVAILABLE, TARGET_TIMEOUT, TARGET_REJECTED, TARGET_REJECTED_FOR_GOOD
   */
  query(text: string, parameters: readonly Parameter[], limit: RowLimit, signal: AbortSignal): Promise<readonly Row[]>;
  /**
   * One statement that changes something, as a transaction of its own.
   *
   * @returns How many rows it inserted, changed or removed.
   * @throws OuzelError as `query`, and TARGET_NO_TABLE
   */
  execute(text: string, parameters: readonly Parameter[], signal: AbortSignal): Promise<number>;
  /**
   * Inserts rows, in transactions as few as can be: a row that the database refuses is found, and keeps no other from
   * being written. What is answered is committed. What throws leaves open which rows are written: insert them again,
   * with a `conflict` that makes it harmless.
   *
   * @param into The same object for all batches of one kind: its statement is made once.
   * @param rows A value for each of the columns of `into`.
   * @returns Why a row was refused (TARGET_REJECTED, TARGET_REJECTED_FOR_GOOD), for each row; undefined: it is written.
   * @throws OuzelError TARGET_UNAVAILABLE, TARGET_TIMEOUT, TARGET_NO_TABLE
   */
  insert(
    into: Insert,
    rows: readonly (readonly Value[])[],
    signal: AbortSignal,
  ): Promise<readonly (OuzelError | undefined)[]>;
  close(): Promise<void>;
}

export interface DatabaseOptions {
  /** `sqlite:/absolute/path.db`, `postgres://…`. */
  readonly url: string;
  /** Milliseconds that a statement may take. */
  readonly timeout: number;
  /** Connections at most; of no meaning for SQLite. */
  readonly connections: number;
  /** Whether something may be changed there. The file of an SQLite database is made, with its folder. */
  readonly write?: boolean;
}

/** The path of the file that an SQLite URL names; undefined for another URL. */
export const sqlitePath = (url: string): string | undefined => /^sqlite:(?:\/\/(?=\/))?(.+)$/.exec(url)?.[1];

const isPostgres = (url: string): boolean => /^postgres(?:ql)?:\/\//.test(url);

/** Which SQL a URL asks for, given that {@link databaseUrlProblem} finds nothing wrong with it. */
export const dialectOf = (url: string): Dialect => (sqlitePath(url) === undefined ? 'postgres' : 'sqlite');

/** Why a URL cannot be that of a database, undefined when it can. Shows nothing of it. */
export function databaseUrlProblem(url: string): string | undefined {
  if (sqlitePath(url) !== undefined) return undefined;
  if (!isPostgres(url)) return 'it begins with sqlite: or postgres://';
  return URL.canParse(url) ? undefined : 'it is not a valid URL';
}

interface Shared {
  readonly database: Database;
  users: number;
}

const shared = new Map<string, Shared>();

function open(options: DatabaseOptions): Database {
  const path = sqlitePath(options.url);
  if (path !== undefined) return new SqliteDatabase(path, options.timeout, options.write);
  if (isPostgres(options.url)) return new PostgresDatabase(options);
  throw new OuzelError('INTERNAL', 'no database has such a URL');
}

/**
 * A database, read-only unless `write` is set. Nothing is connected before the first question. Whoever takes it closes it once.
 */
export function openDatabase(options: DatabaseOptions): Database {
  const { url, timeout, connections, write = false } = options;
  const id = JSON.stringify([url, timeout, connections, write]);
  const known = shared.get(id) ?? { database: open(options), users: 0 };
  known.users++;
  shared.set(id, known);
  const { database } = known;
  let closed = false;
  return {
    shown: database.shown,
    query: (...question) => database.query(...question),
    execute: (...statement) => database.execute(...statement),
    insert: (...batch) => database.insert(...batch),
    close: async () => {
      if (closed) return;
      closed = true;
      if (--known.users > 0) return;
      shared.delete(id);
      await database.close();
    },
  };
}
