/** Statements that insert rows, for either database: names are quoted, values never stand in them. */

/** Where rows go. */
export interface Insert {
  /** The table, with its schema before a dot where it has one. */
  readonly table: string;
  /** The columns that are written; a row has a value for each, in this order. */
  readonly columns: readonly string[];
  /** What becomes of a row whose values of these columns are there already. Undefined: the database refuses it. */
  readonly conflict: Conflict | undefined;
}

export interface Conflict {
  /** There is a unique index of exactly these. */
  readonly columns: readonly string[];
  /** ignore: what is there stays; update: all columns get the values of the row. */
  readonly action: 'ignore' | 'update';
}

/** Characters of a name at most, as PostgreSQL cuts longer ones off. */
const LONGEST_NAME = 63;

/** Why a text cannot name a column (or a part of the name of a table); undefined where it can. */
export function nameProblem(name: string): string | undefined {
  if (name === '') return 'it is empty';
  // oxlint-disable-next-line no-control-regex -- control characters are what must not be in it
  if (/[\u0000-\u001f\u007f]/.test(name)) return 'it holds a control character';
  return Buffer.byteLength(name) > LONGEST_NAME ? `it is longer than ${LONGEST_NAME} bytes` : undefined;
}

/** Why a text cannot name a table, undefined where it can. */
export function tableProblem(table: string): string | undefined {
  const parts = table.split('.');
  if (parts.length > 2) return 'it has more than a schema and a name';
  return parts.map(nameProblem).find((problem) => problem !== undefined);
}

/** A name as it stands in a statement, whatever it is made of. */
export const quoted = (name: string): string => `"${name.replaceAll('"', '""')}"`;

/** `shop.orders` → `"shop"."orders"`. */
export const quotedTable = (table: string): string => table.split('.').map(quoted).join('.');

const list = (names: readonly string[]): string => names.map(quoted).join(', ');

function onConflict({ columns, conflict }: Insert): string {
  if (conflict === undefined) return '';
  const others = columns.filter((column) => !conflict.columns.includes(column));
  const target = ` ON CONFLICT (${list(conflict.columns)}) DO `;
  if (conflict.action === 'ignore' || others.length === 0) return `${target}NOTHING`;
  return `${target}UPDATE SET ${others.map((column) => `${quoted(column)} = excluded.${quoted(column)}`).join(', ')}`;
}

/** One row a statement; its values are the parameters. */
export function sqliteInsert(into: Insert): string {
  const values = into.columns.map((_column, index) => `?${index + 1}`).join(', ');
  return `INSERT INTO ${quotedTable(into.table)} (${list(into.columns)}) VALUES (${values})${onConflict(into)}`;
}

/**
 * Any number of rows a statement: its parameter is a JSON list of them, and the table itself says what type each value
 * is to be. Unlike a list of rows of parameters, it is one statement for any number of rows, and needs no types.
 */
export function postgresInsert(into: Insert): string {
  const table = quotedTable(into.table);
  const columns = list(into.columns);
  return `INSERT INTO ${table} (${columns}) SELECT ${columns} FROM json_populate_recordset(NULL::${table}, $1::json)${onConflict(into)}`;
}
