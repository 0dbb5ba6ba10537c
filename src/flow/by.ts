/** What stages tell events apart by: the value of an expression. */
import { type Evaluate, type Expression, Fault, toText } from '../expression/index.ts';
import type { Scope } from '../expression/types.ts';
import { faultError } from '../pipeline/faults.ts';

/** The key of an event; undefined for all that do not have the field. @throws OuzelError EVENT_EXPRESSION */
export type KeyOf = (scope: Scope) => string | undefined;

/**
 * @param by With its bound form; undefined: all events share one key.
 * @param missing Counts a field that was not there.
 */
export function keyBy(
  by: { source: Expression; evaluate: Evaluate } | undefined,
  missing: (path: string) => void,
): KeyOf {
  if (by === undefined) return () => '';
  const { source, evaluate } = by;
  return (scope) => {
    const value = evaluate(scope);
    if (!(value instanceof Fault)) return typeof value === 'string' ? value : toText(value);
    if (value.kind !== 'missing_field') throw faultError(value, source);
    missing(value.path ?? source.source);
    return undefined;
  };
}
