/** Asks one SQLite file, in a thread of its own: `node:sqlite` answers while nothing else of its thread goes on. */
import { statSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { parentPort, workerData } from 'node:worker_threads';

/** A question. Its answers come in the order of the questions. */
export interface SqliteQuestion {
  readonly text: string;
  readonly parameters: readonly SQLInputValue[];
  readonly most: number;
}

/** `ready` comes first, once, and no question asked for it. */
export type SqliteAnswer =
  | 'ready'
  | { readonly rows: Record<string, unknown>[]; readonly more: boolean }
  /** `number` is the error number of SQLite; undefined where the error is none of SQLite's. */
  | { readonly message: string; readonly number: number | undefined };

/** Milliseconds that SQLite waits for a writer to end. */
const BUSY = 2_000;
/** Statements that are kept compiled. */
const KEPT = 100;

const path = workerData as string;
let database: DatabaseSync | undefined;
let inode: bigint | undefined;
const statements = new Map<string, StatementSync>();

/** The file that is there now: another one may have been put in the place of the one that was opened. */
function opened(): DatabaseSync {
  const now = statSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
  if (database !== undefined && now === inode) return database;
  statements.clear();
  database?.close();
  database = undefined;
  const fresh = new DatabaseSync(path, { readOnly: true, timeout: BUSY });
  database = fresh;
  inode = now;
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

function answer({ text, parameters, most }: SqliteQuestion): Exclude<SqliteAnswer, 'ready'> {
  const rows: Record<string, unknown>[] = [];
  try {
    for (const row of statement(text).iterate(...parameters)) {
      if (rows.length === most) return { rows, more: true };
      rows.push({ ...row });
    }
    return { rows, more: false };
  } catch (error) {
    const { message, errcode } = error as Error & { readonly errcode?: number };
    return { message, number: errcode };
  }
}

parentPort?.on('message', (question: SqliteQuestion) => parentPort?.postMessage(answer(question)));
parentPort?.postMessage('ready' satisfies SqliteAnswer);
