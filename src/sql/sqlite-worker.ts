/** Asks one SQLite file, in a thread of its own: `node:sqlite` answers while nothing else of its thread goes on. */
import { mkdirSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';
import { isOfOneRow, type SqliteFailure } from './sqlite-errors.ts';

export interface SqliteFile {
  readonly path: string;
  /** Whether it may be changed, and is made where there is none. */
  readonly write: boolean;
}

/** A question. Its answers come in the order of the questions. */
export type SqliteQuestion =
  | {
      readonly ask: 'rows';
      readonly text: string;
      readonly parameters: readonly SQLInputValue[];
      readonly most: number;
    }
  | { readonly ask: 'execute'; readonly text: string; readonly parameters: readonly SQLInputValue[] }
  | { readonly ask: 'insert'; readonly text: string; readonly rows: readonly (readonly SQLInputValue[])[] };

/** What the database says when nothing is wrong with the question. */
export interface SqliteResult {
  readonly rows?: Record<string, unknown>[];
  /** There are more rows than were asked for. */
  readonly more?: boolean;
  /** Rows that were changed. */
  readonly changes?: number;
  /** Rows that were refused, by their numbers. */
  readonly refused?: readonly (readonly [index: number, failure: SqliteFailure])[];
}

/** `ready` comes first, once, and no question asked for it. */
export type SqliteAnswer = 'ready' | SqliteResult | { readonly failure: SqliteFailure };

/** Milliseconds that SQLite waits for a writer to end. */
const BUSY = 2_000;
/** Statements that are kept compiled. */
const KEPT = 100;

const { path, write } = workerData as SqliteFile;
let database: DatabaseSync | undefined;
let inode: bigint | undefined;
const statements = new Map<string, StatementSync>();

const inodeOf = (): bigint | undefined => statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;

/** The file that is there now: another one may have been put in the place of the one that was opened. */
function opened(): DatabaseSync {
  const now = inodeOf();
  if (database !== undefined && now !== undefined && now === inode) return database;
  statements.clear();
  database?.close();
  database = undefined;
  const fresh = write ? writable(now === undefined) : new DatabaseSync(path, { readOnly: true, timeout: BUSY });
  database = fresh;
  inode = now ?? inodeOf();
  return fresh;
}

/** What was committed is on the disk. A file that is made here lets others read it while it is written to. */
function writable(isNew: boolean): DatabaseSync {
  if (isNew) mkdirSync(dirname(path), { recursive: true });
  const fresh = new DatabaseSync(path, { timeout: BUSY });
  if (isNew) fresh.exec('PRAGMA journal_mode = WAL');
  fresh.exec('PRAGMA synchronous = FULL');
  return fresh;
}

function statement(text: string): StatementSync {
  const from = opened();
  const known = statements.get(text);
  if (known !== undefined) return known;
  const prepared = from.prepare(text);
  prepared.setReadBigInts(true);
  if (statements.size >= KEPT) statements.clear();
  statements.set(text, prepared);
  return prepared;
}

function rowsOf(text: string, parameters: readonly SQLInputValue[], most: number): SqliteResult {
  const rows: Record<string, unknown>[] = [];
  for (const row of statement(text).iterate(...parameters)) {
    if (rows.length === most) return { rows, more: true };
    rows.push({ ...row });
  }
  return { rows, more: false };
}

function failureOf(error: unknown): SqliteFailure {
  const { message, errcode } = error as Error & { readonly errcode?: number };
  return { message, number: errcode };
}

type Rows = readonly (readonly SQLInputValue[])[];

/** All rows in one transaction; one that is refused leaves the others in it. */
function transaction(text: string, rows: Rows, first = 0): [number, SqliteFailure][] {
  const prepared = statement(text);
  const into = opened();
  const refused: [number, SqliteFailure][] = [];
  into.exec('BEGIN IMMEDIATE');
  try {
    for (const [index, row] of rows.entries()) {
      try {
        prepared.run(...row);
      } catch (error) {
        const failure = failureOf(error);
        if (!isOfOneRow(failure) || !into.isTransaction) throw error;
        refused.push([first + index, failure]);
      }
    }
    into.exec('COMMIT');
    return refused;
  } catch (error) {
    if (into.isTransaction) into.exec('ROLLBACK');
    throw error;
  }
}

function insert(text: string, rows: Rows): SqliteResult {
  try {
    return { refused: transaction(text, rows) };
  } catch (error) {
    // A constraint that is checked with the commit says nothing of the row that violates it: each goes alone then.
    if (!isOfOneRow(failureOf(error))) throw error;
  }
  const refused = rows.flatMap((row, index): [number, SqliteFailure][] => {
    try {
      return transaction(text, [row], index);
    } catch (error) {
      const failure = failureOf(error);
      if (!isOfOneRow(failure)) throw error;
      return [[index, failure]];
    }
  });
  return { refused };
}

function answer(question: SqliteQuestion): Exclude<SqliteAnswer, 'ready'> {
  try {
    if (question.ask === 'rows') return rowsOf(question.text, question.parameters, question.most);
    if (question.ask === 'insert') return insert(question.text, question.rows);
    return { changes: Number(statement(question.text).run(...question.parameters).changes) };
  } catch (error) {
    return { failure: failureOf(error) };
  }
}

parentPort?.on('message', (question: SqliteQuestion) => parentPort?.postMessage(answer(question)));
parentPort?.postMessage('ready' satisfies SqliteAnswer);
