/** An SQLite file: a worker thread that is asked one question after another. */
import { extname } from 'node:path';
import { Worker } from 'node:worker_threads';
import { type ErrorCode, OuzelError } from '../errors.ts';
import type { Database, Parameter, Row, RowLimit } from './database.ts';
import type { SqliteAnswer, SqliteQuestion } from './sqlite-worker.ts';
import { forSqlite } from './statement.ts';

/** As the worker's own file is called: it is run as it is here, and emitted in the package. */
const WORKER = new URL(`./sqlite-worker${extname(import.meta.filename)}`, import.meta.url);

/** SQLite's primary result codes that speak of the parameters: mismatch, constraint, too big, range. */
const OF_THE_EVENT: ReadonlySet<number> = new Set([18, 19, 20, 25]);

interface Waiting {
  readonly question: SqliteQuestion;
  readonly limit: RowLimit;
  readonly resolve: (rows: readonly Row[]) => void;
  readonly reject: (error: Error) => void;
}

export class SqliteDatabase implements Database {
  readonly shown: string;
  readonly #path: string;
  readonly #timeout: number;
  /** The first one is being answered. */
  readonly #queue: Waiting[] = [];
  #worker: Worker | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ready = false;
  #asked = false;

  constructor(path: string, timeout: number) {
    this.#path = path;
    this.#timeout = timeout;
    this.shown = `sqlite:${path}`;
  }

  async query(
    text: string,
    parameters: readonly Parameter[],
    limit: RowLimit,
    signal: AbortSignal,
  ): Promise<readonly Row[]> {
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<readonly Row[]>();
    const question = { text: forSqlite(text), parameters: parameters.map(valueOf), most: limit.most };
    const waiting: Waiting = { question, limit, resolve, reject };
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

  async close(): Promise<void> {
    for (const { reject } of this.#queue.splice(0)) reject(this.#error('TARGET_UNAVAILABLE', 'is closed'));
    await this.#end();
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
    const worker = new Worker(WORKER, { workerData: this.#path });
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
      this.#answered({ message: String(error), number: undefined });
    });
    return worker;
  }

  #answered(answer: Exclude<SqliteAnswer, 'ready'>): void {
    clearTimeout(this.#timer);
    this.#asked = false;
    const waiting = this.#queue.shift();
    this.#next();
    if (waiting === undefined) return;
    if ('rows' in answer) {
      const { most, beyond } = waiting.limit;
      if (!answer.more || beyond === 'leave') return waiting.resolve(answer.rows.map(jsonRow));
      return waiting.reject(this.#error('TARGET_REJECTED', `more than ${most} rows`));
    }
    const { message, number } = answer;
    const rejected = number !== undefined && OF_THE_EVENT.has(number & 0xff);
    waiting.reject(this.#error(rejected ? 'TARGET_REJECTED_FOR_GOOD' : 'TARGET_UNAVAILABLE', message));
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

  #error(code: ErrorCode, problem: string): OuzelError {
    return new OuzelError(code, `${this.shown}: ${problem}`);
  }
}

function valueOf(parameter: Parameter): string | number | bigint | null {
  if (typeof parameter === 'boolean') return Number(parameter);
  if (typeof parameter !== 'object' || parameter === null) return parameter;
  return JSON.stringify(parameter, (_key, each: unknown) =>
    typeof each === 'bigint' ? JSON.rawJSON(each.toString()) : each,
  );
}

const jsonRow = (row: Row): Row =>
  Object.fromEntries(Object.entries(row).map(([column, value]) => [column, jsonValue(value)]));

function jsonValue(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (value instanceof Uint8Array) return Buffer.from(value).toString('base64');
  return typeof value === 'number' && !Number.isFinite(value) ? null : value;
}
