/** What the errors of SQLite mean, by their extended result codes. */
import type { ErrorCode } from '../errors.ts';

export interface SqliteFailure {
  readonly message: string;
  /** Undefined where the error is none of SQLite's. */
  readonly number: number | undefined;
}

/** Primary codes that speak of the values of a row: too big, constraint, mismatch, range. */
const OF_A_ROW: ReadonlySet<number> = new Set([18, 19, 20, 25]);

/**
 * What another attempt may mend: the row that is referred to may come (SQLITE_CONSTRAINT_FOREIGNKEY), and a trigger may
 * think otherwise then (SQLITE_CONSTRAINT_TRIGGER).
 */
const MENDABLE: ReadonlySet<number> = new Set([787, 1811]);

const SCHEMA = /^no such table|has no column named|^no such column|^ON CONFLICT clause does not match/;

/** Whether it is the fault of the values of one row. */
export const isOfOneRow = ({ number }: SqliteFailure): boolean => number !== undefined && OF_A_ROW.has(number & 0xff);

export function codeOf(failure: SqliteFailure): ErrorCode {
  if (!isOfOneRow(failure)) return SCHEMA.test(failure.message) ? 'TARGET_NO_TABLE' : 'TARGET_UNAVAILABLE';
  return MENDABLE.has(failure.number ?? 0) ? 'TARGET_REJECTED' : 'TARGET_REJECTED_FOR_GOOD';
}
