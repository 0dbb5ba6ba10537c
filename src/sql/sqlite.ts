/** An SQLite file: a worker thread that is asked one question after another. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, OuzelError } from '../errors.ts';
import type { Database, Parameter, Row, RowLimit } from './database.ts';
import { type Insert, sqliteInsert } from './insert.ts';
import { codeOf, type SqliteFailure } from './sqlite-errors.ts';
import type { SqliteAnswer, SqliteFile, SqliteQuestion, SqliteResult } from './sqlite-worker.ts';
import { forSqlite } from './statement.ts';
import { sqliteValueOf, type Value } from './values.ts';

/** As the worker's own file is called: it is run as it is here, and emitted in the package. */
const WORKER = new URL(`./sqlite-worker${extname(import.meta.filename)}`, import.meta.url);

interface Waiting {
  readonly question: SqliteQuestion;
  readonly resolve: (result: SqliteResult) => void;
  readonly reject: (error: Error) => void;
}

export class SqliteDatabase implements Database {
  readonly shown: string;
  readonly #file: SqliteFile;
  readonly #timeout: number;
  readonly #statements = new WeakMap<Insert, string>();
  /** The first one is being answered. */
  readonly #queue: Waiting[] = [];
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ready = false;
  #asked = false;

  constructor(path: string, timeout: number, write = false) {
    this.#file = { path, write };
    this.#timeout = timeout;
    this.shown = `sqlite:${path}`;
  }

  async query(
    text: string,
    parameters: readonly Parameter[],
    limit: RowLimit,
    signal: AbortSignal,
  ): Promise<readonly Row[]> {
    const { most, beyond } = limit;
    const question = { ask: 'rows', text: forSqlite(text), parameters: parameters.map(valueOf), most } as const;
    const { rows = [], more = false } = await this.#ask(question, signal);
    if (more && beyond === 'refuse') throw this.#error('TARGET_REJECTED', `more than ${most} rows`);
    return rows.map(jsonRow);
  }

  async execute(text: string, parameters: readonly Parameter[], signal: AbortSignal): Promise<number> {
    const question = { ask: 'execute', text: forSqlite(text), parameters: parameters.map(valueOf) } as const;
    return (await this.#ask(question, signal)).changes ?? 0;
  }

  async insert(
    into: Insert,
    rows: readonly (readonly Value[])[],
    signal: AbortSignal,
  ): Promise<readonly (OuzelError | undefined)[]> {
    const text = this.#statements.get(into) ?? sqliteInsert(into);
    this.#statements.set(into, text);
    const values = rows.map((row) => row.map(sqliteValueOf));
    const { refused = [] } = await this.#ask({ ask: 'insert', text, rows: values }, signal);
    const failures: (OuzelError | undefined)[] = rows.map(() => undefined);
    for (const [index, failure] of refused) failures[index] = this.#failure(failure);
    return failures;
  }

  async close(): Promise<void> {
    for (const { reject } of this.#queue.splice(0)) reject(this.#error('TARGET_UNAVAILABLE', 'is closed'));
    await this.#end();
  }

  async #ask(question: SqliteQuestion, signal: AbortSignal): Promise<SqliteResult> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<SqliteResult>();
    const waiting: Waiting = { question, resolve, reject };
    const ended = (): void => this.#giveUp(waiting, signal.reason as Error);
    signal.addEventListener('abort', ended, { once: true });
    this.#queue.push(waiting);
    this.#next();
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', ended);
    }
  }

  #next(): void {
    const [first] = this.#queue;
    if (first === undefined || this.#asked) return;
    this.#worker ??= this.#start();
    // The time that a thread takes to begin is not the database's.
    if (!this.#ready) return;
    this.#asked = true;
    this.#timer = setTimeout(() => {
      this.#giveUp(first, this.#error('TARGET_TIMEOUT', `no answer within ${this.#timeout} ms`));
    }, this.#timeout);
    this.#worker.postMessage(first.question);
  }

  #start(): Worker {
    const worker = new Worker(WORKER, { workerData: this.#file });
    worker.unref();
    worker.on('message', (answer: SqliteAnswer) => {
      if (worker !== this.#worker) return;
      if (answer !== 'ready') return this.#answered(answer);
      this.#ready = true;
      this.#next();
    });
    worker.on('error', (error: unknown) => {
      if (worker !== this.#worker) return;
      this.#worker = undefined;
      this.#ready = false;
      this.#answered({ failure: { message: String(error), number: undefined } });
    });
    return worker;
  }

  #answered(answer: Exclude<SqliteAnswer, 'ready'>): void {
    clearTimeout(this.#timer);
    this.#asked = false;
    const waiting = this.#queue.shift();
    this.#next();
    if (waiting === undefined) return;
    if ('failure' in answer) waiting.reject(this.#failure(answer.failure));
    else waiting.resolve(answer);
  }

  /** Nobody waits any more. What runs cannot be interrupted but with its thread. */
  #giveUp(waiting: Waiting, error: Error): void {
    const index = this.#queue.indexOf(waiting);
    if (index < 0) return;
    this.#queue.splice(index, 1);
    waiting.reject(error);
    if (index > 0 || !this.#asked) return;
    this.#end().catch(() => undefined);
    this.#next();
  }

  async #end(): Promise<void> {
    const worker = this.#worker;
    clearTimeout(this.#timer);
    this.#worker = undefined;
    this.#ready = false;
    this.#asked = false;
    await worker?.terminate();
  }

  #failure(failure: SqliteFailure): OuzelError {
    return this.#error(codeOf(failure), failure.message);
  }

  #error(code: ErrorCode, problem: string): OuzelError {
    return new OuzelError(code, `${this.shown}: ${problem}`);
  }
}

/** Parameters compare with what is there: a number stays one. */
const valueOf = (parameter: Parameter): string | number | bigint | null =>
  typeof parameter === 'number' ? parameter : sqliteValueOf(parameter);

const jsonRow = (row: Row): Row =>
  Object.fromEntries(Object.entries(row).map(([column, value]) => [column, jsonValue(value)]));

function jsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}
