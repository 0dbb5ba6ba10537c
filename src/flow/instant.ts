/** The instants that stages count from. */
import { OuzelError } from '../errors.ts';
import { type Evaluate, type Expression, Fault } from '../expression/index.ts';
import { parseTimestamp } from '../expression/time.ts';
import type { Scope } from '../expression/types.ts';
import { Timestamp } from '../expression/values.ts';
import { faultError } from '../pipeline/faults.ts';

/** Milliseconds since the epoch. @throws OuzelError when an event has no such instant */
export type InstantOf = (scope: Scope) => number;

/**
 * The instant that an expression stands for.
 *
 * @param expression With its bound form; undefined for the event's own time.
 * @returns What throws EVENT_MISSING_FIELD or EVENT_EXPRESSION for an event for which it is none.
 */
export function instantOf(expression: { source: Expression; evaluate: Evaluate } | undefined): InstantOf {
  if (expression === undefined) return ({ event }) => textInstant(event.time) ?? Number.NaN;
  const { source, evaluate } = expression;
  return (scope) => {
    const value = evaluate(scope);
    if (value instanceof Fault) throw faultError(value, source);
    const instant = value instanceof Timestamp ? value.millis : textInstant(value);
    if (instant !== undefined) return instant;
    throw new OuzelError('EVENT_EXPRESSION', `\`${source.source}\` is ${JSON.stringify(value)}, not a timestamp`, {
      place: source.place,
    });
  };
}

const textInstant = (value: unknown): number | undefined =>
  typeof value === 'string' ? parseTimestamp(value)?.millis : undefined;
