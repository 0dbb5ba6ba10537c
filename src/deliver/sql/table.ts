/** A table that rows go to, which is made where the configuration says so. */
import { OuzelError } from '../../errors.ts';
import type { Database } from '../../sql/database.ts';
import type { Insert } from '../../sql/insert.ts';
import { type ColumnType, createTable, type Dialect, type Table } from '../../sql/table.ts';
import { JsonText, type Value } from '../../sql/values.ts';

/** A date and time as RFC 3339 has it. */
const INSTANT = /^\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

function typeOfValue(value: Value): ColumnType | undefined {
  switch (typeof value) {
    case 'number':
    case 'bigint':
      return 'numeric';
    case 'boolean':
      return 'boolean';
    case 'string':
      return INSTANT.test(value) ? 'timestamptz' : 'text';
    case 'object':
      return value === null ? undefined : value instanceof JsonText ? 'json' : 'jsonb';
    default:
      return undefined;
  }
}

/** The type of a column by the values that it is to hold: text, where they are none or of several types. */
export function typeOfColumn(values: readonly Value[]): ColumnType {
  const types = new Set(values.map(typeOfValue).filter((type) => type !== undefined));
  const [only] = types;
  return types.size === 1 && only !== undefined ? only : 'text';
}

/** What a table is like that is not there yet, by the first rows that go into it. */
export type TableOf = (rows: readonly (readonly Value[])[]) => Table;

export class TargetTable {
  readonly #database: Database;
  readonly #dialect: Dialect;
  readonly #into: Insert;
  /** Undefined: it is not made. */
  readonly #tableOf: TableOf | undefined;

  constructor(database: Database, dialect: Dialect, into: Insert, tableOf: TableOf | undefined) {
    this.#database = database;
    this.#dialect = dialect;
    this.#into = into;
    this.#tableOf = tableOf;
  }

  /** @throws OuzelError TARGET_UNAVAILABLE, TARGET_TIMEOUT, TARGET_NO_TABLE */
  async write(rows: readonly (readonly Value[])[], signal: AbortSignal): Promise<readonly (OuzelError | undefined)[]> {
    try {
      return await this.#database.insert(this.#into, rows, signal);
    } catch (error) {
      if (!(error instanceof OuzelError) || error.code !== 'TARGET_NO_TABLE') throw error;
      if (this.#tableOf === undefined) throw this.#missing(error);
      await this.#make(this.#tableOf(rows), signal);
    }
    try {
      return await this.#database.insert(this.#into, rows, signal);
    } catch (error) {
      throw error instanceof OuzelError && error.code === 'TARGET_NO_TABLE' ? this.#missing(error) : error;
    }
  }

  /** Two instances that make one table at the same time are in each other's way: the other one has made it then. */
  async #make(table: Table, signal: AbortSignal): Promise<void> {
    for (const text of createTable(this.#dialect, table)) {
      try {
        await this.#database.execute(text, [], signal);
      } catch (error) {
        if (!(error instanceof OuzelError) || error.kind !== 'rejected') throw error;
      }
    }
  }

  #missing(error: OuzelError): OuzelError {
    const { table, columns, conflict } = this.#into;
    const unique = conflict === undefined ? '' : `, with a unique index of (${conflict.columns.join(', ')})`;
    const wanted = `${table} must have the columns ${columns.join(', ')}${unique}`;
    const hint = this.#tableOf === undefined ? '. `create: true` makes a table where there is none' : '';
    return new OuzelError('TARGET_NO_TABLE', `${error.message}: ${wanted}${hint}`, { cause: error });
  }
}
