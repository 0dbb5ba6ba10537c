/** PostgreSQL, by a small pool of connections. */
import type { Pool, PoolClient, QueryResult } from 'pg';
import { OuzelError } from '../errors.ts';
import type { Database, DatabaseOptions, Parameter, Row, RowLimit } from './database.ts';
import { type Insert, postgresInsert } from './insert.ts';
import { failureOf, isOfOneRow, isWorthRepeating } from './postgres-errors.ts';
import { TEXT_LIST, TypeParsers } from './postgres-types.ts';
import { roundsOf } from './rounds.ts';
import { jsonOf, type Value } from './values.ts';

/** Milliseconds after which a connection that nobody uses is closed. */
const IDLE = 30_000;

/** How often a statement is made anew that was in the way of another one. */
const REPEATS = 5;

/** A connection that is lost tells whoever asked on it, and everybody who listens: nobody else has to hear. */
const ignore = (): void => undefined;

/** What is sent, and what becomes of the rows that come. */
interface Question {
  readonly text: string;
  readonly parameters: readonly Parameter[];
  readonly signal: AbortSignal;
  readonly row?: (row: Record<string, unknown>) => OuzelError | undefined;
}

export class PostgresDatabase implements Database {
  readonly shown: string;
  readonly #options: DatabaseOptions;
  readonly #statements = new WeakMap<Insert, string>();
  #pool: Promise<Pool> | undefined;
  #types: TypeParsers | undefined;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    const { protocol, host, pathname } = new URL(options.url);
    this.shown = `${protocol}//${host}${pathname}`;
  }

  query(text: string, parameters: readonly Parameter[], limit: RowLimit, signal: AbortSignal): Promise<readonly Row[]> {
    return this.#with(signal, async (client) => {
      const rows: Row[] = [];
      const row = (each: Record<string, unknown>): OuzelError | undefined => {
        if (rows.length < limit.most) rows.push({ ...each });
        else if (limit.beyond === 'refuse')
          return new OuzelError('TARGET_REJECTED', `${this.shown}: more than ${limit.most} rows`);
        return undefined;
      };
      await this.#ask(client, { text, parameters, signal, row });
      return rows;
    });
  }

  execute(text: string, parameters: readonly Parameter[], signal: AbortSignal): Promise<number> {
    return this.#with(signal, async (client) => (await this.#ask(client, { text, parameters, signal })).rowCount ?? 0);
  }

  async insert(
    into: Insert,
    rows: readonly (readonly Value[])[],
    signal: AbortSignal,
  ): Promise<readonly (OuzelError | undefined)[]> {
    const text = this.#statements.get(into) ?? postgresInsert(into);
    this.#statements.set(into, text);
    const names = into.columns.map((column) => `${JSON.stringify(column)}:`);
    const documents = rows.map((row) => `{${names.map((name, index) => `${name}${jsonOf(row[index])}`).join(',')}}`);
    const failures: (OuzelError | undefined)[] = rows.map(() => undefined);

    /** A statement that fails over one row is made again for each half of them, until that row is alone. */
    const write = async (client: PoolClient, indexes: readonly number[]): Promise<void> => {
      const list = `[${indexes.map((index) => documents[index]).join(',')}]`;
      try {
        await this.#persist(client, { text, parameters: [list], signal });
      } catch (error) {
        const [first] = indexes;
        if (first === undefined || !isOfOneRow(error)) throw error;
        if (indexes.length === 1) {
          failures[first] = failureOf(error, this.shown);
          return;
        }
        const half = Math.ceil(indexes.length / 2);
        await write(client, indexes.slice(0, half));
        await write(client, indexes.slice(half));
      }
    };
    await this.#with(signal, async (client) => {
      for (const round of roundsOf(into, rows)) await write(client, round);
    });
    return failures;
  }

  async close(): Promise<void> {
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.end();
  }

  /** Works on a connection of the pool, which is closed after a failure: nobody knows what it is still busy with. */
  async #with<Result>(signal: AbortSignal, work: (client: PoolClient) => Promise<Result>): Promise<Result> {
    signal.throwIfAborted();
    let client: PoolClient | undefined;
    try {
      client = await this.#connect(signal);
      client.on('error', ignore);
      const result = await work(client);
      client.off('error', ignore);
      client.release();
      return result;
    } catch (error) {
      // What was not answered to its end is not to be waited for by the next one.
      client?.release(true);
      if (error instanceof OuzelError || (signal.aborted && error === signal.reason)) throw error;
      throw failureOf(error, this.shown, this.#options.timeout);
    }
  }

  /** A connection of the pool; one that comes when nobody waits any more goes back. */
  async #connect(signal: AbortSignal): Promise<PoolClient> {
    const pool = await (this.#pool ??= this.#open());
    signal.throwIfAborted();
    const { promise: ended, reject } = Promise.withResolvers<never>();
    const end = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', end, { once: true });
    const connecting = pool.connect();
    try {
      return await Promise.race([connecting, ended]);
    } catch (error) {
      connecting.then((client) => client.release()).catch(() => undefined);
      throw error;
    } finally {
      signal.removeEventListener('abort', end);
    }
  }

  /** Loaded by the first question: a configuration without PostgreSQL does not pay for it. */
  async #open(): Promise<Pool> {
    const { url, timeout, connections, write } = this.#options;
    const pg = await import('pg');
    this.#types = new TypeParsers(pg.types.getTypeParser(TEXT_LIST, 'text'));
    const pool = new pg.Pool({
      connectionString: url,
      max: connections,
      connectionTimeoutMillis: timeout,
      idleTimeoutMillis: IDLE,
      allowExitOnIdle: true,
      application_name: 'ouzel',
      statement_timeout: timeout,
      ...(write ? {} : { options: '-c default_transaction_read_only=on' }),
      keepAlive: true,
    });
    // A connection that nobody uses was lost: the next question makes another one.
    pool.on('error', ignore);
    return pool;
  }

  /** Two transactions were in each other's way, and PostgreSQL took this one back: it is simply made again. */
  async #persist(client: PoolClient, question: Question): Promise<void> {
    for (let repeats = 0; ; repeats++) {
      try {
        await this.#ask(client, question);
        return;
      } catch (error) {
        if (repeats >= REPEATS || !isWorthRepeating(error)) throw error;
      }
    }
  }

  /**
   * One statement, which is a transaction of its own. It is prepared without a name: a named one would not survive a
   * pooler between here and the server, and costs one parse a batch less.
   */
  async #ask(client: PoolClient, { text, parameters, signal, row }: Question): Promise<QueryResult> {
    const { Query } = await import('pg');
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<QueryResult>();
    const types = this.#types;
    if (types === undefined) throw new OuzelError('INTERNAL', 'the pool is not open');
    const query = new Query({ text, queryMode: 'extended', values: parameters, types });
    query.on('row', (each) => {
      const refusal = row?.(each);
      if (refusal !== undefined) reject(refusal);
    });
    query.on('end', resolve);
    query.on('error', reject);
    const end = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', end, { once: true });
    const { timeout } = this.#options;
    // The server ends what takes too long; where it cannot even say so, it is not waited for.
    const late = (): void => reject(new OuzelError('TARGET_TIMEOUT', `${this.shown}: no answer within ${timeout} ms`));
    const timer = setTimeout(late, timeout + 1_000);
    client.query(query);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  }
}
