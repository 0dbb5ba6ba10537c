/** What the errors of PostgreSQL mean, by their SQLSTATE. */
import { type ErrorCode, OuzelError } from '../errors.ts';

/**
 * Classes that speak of the values of a row: data exception, constraint, program limit (a value too large for its
 * index), what a trigger raises, `with check option`.
 */
const OF_A_ROW: ReadonlySet<string> = new Set(['22', '23', '54', 'P0', '44']);

/** cardinality_violation: a row is twice in one statement, in a form that only the database sees as the same. */
const TWICE = '21000';

/** What another attempt may mend: the row that is referred to may come, and a trigger may think otherwise then. */
const MENDABLE: ReadonlySet<string> = new Set(['23503', 'P0001']);

/** undefined_table, undefined_object (its type), undefined_column, invalid_schema_name, no such unique index. */
const NO_TABLE: ReadonlySet<string> = new Set(['42P01', '42704', '42703', '3F000', '42P10']);

/** serialization_failure, deadlock_detected. */
const IN_THE_WAY: ReadonlySet<string> = new Set(['40001', '40P01']);

/** query_canceled, which is what `statement_timeout` does. */
const CANCELLED = '57014';

const stateOf = (error: unknown): string => (error as { readonly code?: string }).code ?? '';

/** Whether a statement of several rows failed over one of them. */
export const isOfOneRow = (error: unknown): boolean =>
  OF_A_ROW.has(stateOf(error).slice(0, 2)) || stateOf(error) === TWICE;

/** Whether the same statement may well succeed now. */
export const isWorthRepeating = (error: unknown): boolean => IN_THE_WAY.has(stateOf(error));

function codeOf(state: string): ErrorCode {
  if (state === CANCELLED) return 'TARGET_TIMEOUT';
  if (NO_TABLE.has(state)) return 'TARGET_NO_TABLE';
  if (!OF_A_ROW.has(state.slice(0, 2))) return 'TARGET_UNAVAILABLE';
  return MENDABLE.has(state) ? 'TARGET_REJECTED' : 'TARGET_REJECTED_FOR_GOOD';
}

/**
 * The error of Ouzel for one of `pg`.
 *
 * @param shown The database, without credentials.
 * @param timeout Milliseconds that a statement may take.
 */
export function failureOf(error: unknown, shown: string, timeout?: number): OuzelError {
  // All addresses of a name failed: each says why, and the whole says nothing.
  const { errors } = error as { readonly errors?: readonly unknown[] };
  const first = errors?.[0] ?? error;
  const { message } = first as { readonly message: string };
  const state = stateOf(first);
  const code = codeOf(state);
  if (code === 'TARGET_TIMEOUT') return new OuzelError(code, `${shown}: no answer within ${timeout ?? '?'} ms`);
  const text = state === '' || message.includes(state) ? message : `${message} (${state})`;
  return new OuzelError(code, `${shown}: ${text}`, { cause: error });
}
