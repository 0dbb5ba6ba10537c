/** Tables that Ouzel makes itself. */
import { quoted, quotedTable } from './insert.ts';

/** `json` keeps a document as it was written, which `jsonb` does not. */
export type ColumnType = 'text' | 'bigint' | 'numeric' | 'boolean' | 'timestamptz' | 'jsonb' | 'json';

export type Dialect = 'sqlite' | 'postgres';

/** A column, by its name, and what it is. */
export interface Column {
  readonly type: ColumnType;
  readonly required?: boolean;
}

export interface Table {
  /** Its name, with its schema before a dot where it has one. */
  readonly name: string;
  readonly columns: Readonly<Record<string, Column>>;
  /** The columns that make a row unique, as its primary key; none: nothing does. */
  readonly unique: readonly string[];
  /** Further such lists. */
  readonly alsoUnique?: readonly (readonly string[])[];
  /** Columns with an index of their own each. */
  readonly indexes?: readonly string[];
}

/**
 * What SQLite calls the types: text stays text, and a number a number. A numeric column would make numbers of the
 * digits in a JSON document or an instant, so that those are text.
 */
const SQLITE_TYPES: Readonly<Record<ColumnType, string>> = {
  text: 'TEXT',
  bigint: 'INTEGER',
  numeric: 'NUMERIC',
  boolean: 'BOOLEAN',
  timestamptz: 'TEXT',
  jsonb: 'TEXT',
  json: 'TEXT',
};

const namesOf = (columns: readonly string[]): string => columns.map(quoted).join(', ');

/** The statements that make a table where there is none, one after another. */
export function createTable(
  dialect: Dialect,
  { name, columns, unique, alsoUnique = [], indexes = [] }: Table,
): readonly string[] {
  const table = quotedTable(name);
  const lines = Object.entries(columns).map(([column, { type, required = false }]) => {
    const shown = dialect === 'sqlite' ? SQLITE_TYPES[type] : type;
    return `${quoted(column)} ${shown}${required ? ' NOT NULL' : ''}`;
  });
  if (unique.length > 0) lines.push(`PRIMARY KEY (${namesOf(unique)})`);
  for (const each of alsoUnique) lines.push(`UNIQUE (${namesOf(each)})`);
  const own = name.split('.').at(-1) ?? name;
  return [
    `CREATE TABLE IF NOT EXISTS ${table} (${lines.join(', ')})`,
    ...indexes.map((column) => {
      const index = quoted(`${own}_${column}_idx`);
      return `CREATE INDEX IF NOT EXISTS ${index} ON ${table} (${quoted(column)})`;
    }),
  ];
}
