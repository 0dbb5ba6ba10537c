/** A table: a file whose entries are found by a key, whole in memory. */

/** How a file is read as a table. */
export interface TableSpec {
  /** Absolute. */
  readonly path: string;
  readonly format: TableFormat;
  /** The column or field that holds the key; undefined: the first column, or the keys of a mapping. */
  readonly column: string | undefined;
  /** Between the fields of CSV: one character. */
  readonly delimiter: string;
  /** Bytes of the file at most. */
  readonly maxSize: number;
}

export const TABLE_FORMATS = ['csv', 'json', 'ndjson', 'yaml'] as const;
export type TableFormat = (typeof TABLE_FORMATS)[number];

export interface Table {
  readonly entries: ReadonlyMap<string, unknown>;
  /** The same for the same content, on every instance. */
  readonly revision: string;
}

/** Tables by {@link tableId}. */
export type Tables = ReadonlyMap<string, Table>;

/** The same for specifications that make the same table. */
export const tableId = ({ path, format, column, delimiter, maxSize }: TableSpec): string =>
  JSON.stringify([path, format, column, delimiter, maxSize]);
