/** What is used of `pg`, which brings no types of its own. */
declare module 'pg' {
  import type { EventEmitter } from 'node:events';

  export interface PoolConfig {
    readonly connectionString: string;
    readonly max: number;
    readonly connectionTimeoutMillis: number;
    readonly idleTimeoutMillis: number;
    readonly allowExitOnIdle: boolean;
    readonly application_name: string;
    readonly statement_timeout: number;
    readonly options?: string;
    readonly keepAlive: boolean;
  }

  export interface QueryConfig {
    readonly text: string;
    /** `extended`: one statement, whose parameters go apart from its text. */
    readonly queryMode: 'extended';
    readonly values: readonly unknown[];
    readonly types: { getTypeParser(oid: number, format: 'text' | 'binary'): (value: string) => unknown };
  }

  export interface QueryResult {
    /** Rows that the statement inserted, changed or removed; null where it does none of that. */
    readonly rowCount: number | null;
  }

  /** Without a callback, rows are told one after another and not kept. */
  export class Query extends EventEmitter<{ row: [Record<string, unknown>]; end: [QueryResult]; error: [Error] }> {
    constructor(config: QueryConfig);
  }

  export interface PoolClient extends EventEmitter<{ error: [Error] }> {
    query(query: Query): void;
    /** @param destroy Closes the connection in place of keeping it. */
    release(destroy?: boolean): void;
  }

  export class Pool extends EventEmitter<{ error: [Error] }> {
    constructor(config: PoolConfig);
    connect(): Promise<PoolClient>;
    end(): Promise<void>;
  }

  /** A connection alone, with which tests fill a database. */
  export class Client {
    constructor(config: { readonly connectionString: string });
    connect(): Promise<void>;
    query(text: string): Promise<unknown>;
    end(): Promise<void>;
  }

  export const types: { getTypeParser(oid: number, format: 'text'): (value: string) => unknown };
}
