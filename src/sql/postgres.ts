/** PostgreSQL, by a small pool of connections that may only read. */
import type { Pool, PoolClient } from 'pg';
import { parseJson } from '../core/json.ts';
import { type ErrorCode, OuzelError } from '../errors.ts';
import type { Database, DatabaseOptions, Parameter, Row, RowLimit } from './database.ts';

/** Milliseconds after which a connection that nobody uses is closed. */
const IDLE = 30_000;

/** SQLSTATE classes that speak of the values of one question: data exception, constraint. */
const OF_THE_EVENT: ReadonlySet<string> = new Set(['22', '23']);

/** SQLSTATE: query_canceled, which is what `statement_timeout` does. */
const CANCELLED = '57014';

const integer = (text: string): number | bigint => {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
};
const finite = (text: string): number | null => (Number.isFinite(Number(text)) ? Number(text) : null);
const bytes = (text: string): string => Buffer.from(text.replace(/^\\x/, ''), 'hex').toString('base64');
/** `2026-01-31 08:00:00.5+00` → RFC 3339. */
const instant = (text: string): string =>
  text
    .replace(' ', 'T')
    .replace(/([+-]\d\d)$/, '$1:00')
    .replace(/\+00:00$/, 'Z');

/** How the text of a type becomes a JSON value, by the number of the type; any other type is its text. */
const READERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [16, (text) => text === 't'],
  [17, bytes],
  ...[20, 21, 23, 26].map((oid) => [oid, integer] as const),
  ...[700, 701, 1700].map((oid) => [oid, finite] as const),
  ...[114, 3802].map((oid) => [oid, parseJson] as const),
  ...[1114, 1184].map((oid) => [oid, instant] as const),
]);

/** Lists of the types that configurations have to do with, and the type of what is in them. */
const LISTS: ReadonlyMap<number, number> = new Map([
  [1000, 16],
  [1005, 21],
  [1007, 23],
  [1016, 20],
  [1021, 700],
  [1022, 701],
  [1231, 1700],
  [1009, 25],
  [1015, 1043],
  [2951, 2950],
]);

/** `_text`: its parser splits the list and leaves the items as they are. */
const TEXT_LIST = 1009;

/** A connection that is lost tells whoever asked on it, and everybody who listens: nobody else has to hear. */
const ignore = (): void => undefined;

export class PostgresDatabase implements Database {
  readonly shown: string;
  readonly #options: DatabaseOptions;
  #pool: Promise<Pool> | undefined;
  #types: TypeParsers | undefined;

  constructor(options: DatabaseOptions) {
    this.#options = options;
    const { protocol, host, pathname } = new URL(options.url);
    this.shown = `${protocol}//${host}${pathname}`;
  }

  async query(
    text: string,
    parameters: readonly Parameter[],
    limit: RowLimit,
    signal: AbortSignal,
  ): Promise<readonly Row[]> {
    signal.throwIfAborted();
    let client: PoolClient | undefined;
    try {
      client = await this.#connect(signal);
      client.on('error', ignore);
      const rows = await this.#ask(client, text, parameters, limit, signal);
      client.off('error', ignore);
      client.release();
      return rows;
    } catch (error) {
      // What was not answered to its end is not to be waited for by the next one.
      client?.release(true);
      throw this.#failure(error, signal);
    }
  }

  async close(): Promise<void> {
    const pool = await this.#pool?.catch(() => undefined);
    await pool?.end();
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
    const { url, timeout, connections } = this.#options;
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
      options: '-c default_transaction_read_only=on',
      keepAlive: true,
    });
    // A connection that nobody uses was lost: the next question makes another one.
    pool.on('error', ignore);
    return pool;
  }

  async #ask(
    client: PoolClient,
    text: string,
    parameters: readonly Parameter[],
    limit: RowLimit,
    signal: AbortSignal,
  ): Promise<readonly Row[]> {
    const { Query } = await import('pg');
    signal.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<readonly Row[]>();
    const rows: Row[] = [];
    const types = this.#types;
    if (types === undefined) throw new OuzelError('INTERNAL', 'the pool is not open');
    const query = new Query({ text, queryMode: 'extended', values: parameters, types });
    query.on('row', (row) => {
      if (rows.length < limit.most) rows.push({ ...row });
      else if (limit.beyond === 'refuse')
        reject(new OuzelError('TARGET_REJECTED', `${this.shown}: more than ${limit.most} rows`));
    });
    query.on('end', () => resolve(rows));
    query.on('error', reject);
    const end = (): void => reject(signal.reason as Error);
    signal.addEventListener('abort', end, { once: true });
    // The server ends what takes too long; where it cannot even say so, it is not waited for.
    const timer = setTimeout(() => reject(this.#late()), this.#options.timeout + 1_000);
    client.query(query);
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      signal.removeEventListener('abort', end);
    }
  }

  #late(): OuzelError {
    return new OuzelError('TARGET_TIMEOUT', `${this.shown}: no answer within ${this.#options.timeout} ms`);
  }

  #failure(error: unknown, signal: AbortSignal): Error {
    if (error instanceof OuzelError || (signal.aborted && error === signal.reason)) return error as Error;
    // All addresses of a name failed: each says why, and the whole says nothing.
    const { errors } = error as { readonly errors?: readonly unknown[] };
    const { message, code = '' } = (errors?.[0] ?? error) as { readonly message: string; readonly code?: string };
    if (code === CANCELLED) return this.#late();
    const kind: ErrorCode = OF_THE_EVENT.has(code.slice(0, 2)) ? 'TARGET_REJECTED_FOR_GOOD' : 'TARGET_UNAVAILABLE';
    const shown = code === '' || message.includes(code) ? message : `${message} (${code})`;
    return new OuzelError(kind, `${this.shown}: ${shown}`, { cause: error });
  }
}

class TypeParsers {
  readonly #list: (text: string) => unknown;

  constructor(list: (text: string) => unknown) {
    this.#list = list;
  }

  getTypeParser(oid: number): (text: string) => unknown {
    const items = LISTS.get(oid);
    if (items === undefined) return READERS.get(oid) ?? ((text) => text);
    const read = READERS.get(items) ?? ((text) => text);
    return (text) => this.#items(this.#list(text), read);
  }

  #items(value: unknown, read: (text: string) => unknown): unknown {
    if (Array.isArray(value)) return value.map((each: unknown) => this.#items(each, read));
    return typeof value === 'string' ? read(value) : value;
  }
}
