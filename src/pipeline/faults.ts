/** What becomes of an expression that has no value for an event: the one rule, in one place. */
import { OuzelError } from '../errors.ts';
import { type Evaluate, type Expression, Fault, type Template } from '../expression/index.ts';
import type { Scope } from '../expression/types.ts';

type Source = Pick<Expression | Template, 'source' | 'place'>;

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? JSON.stringify(value) : String(value);
  return text.length > 80 ? `${text.slice(0, 77)}…` : text;
};

/** The error of an event whose expression failed: with the expression, the place and the value. */
export function faultError(fault: Fault, source: Source): OuzelError {
  const code = fault.kind === 'missing_field' ? 'EVENT_MISSING_FIELD' : 'EVENT_EXPRESSION';
  const value = fault.value === undefined ? '' : ` (value: ${shown(fault.value)})`;
  return new OuzelError(code, `${fault.message}${value} in \`${source.source}\``, { place: source.place });
}

/**
 * A condition: a missing field is false and counted; any other fault fails the event.
 *
 * @throws OuzelError EVENT_EXPRESSION also when the result is neither true nor false.
 */
export function condition(
  evaluate: Evaluate,
  source: Source,
  missing: (path: string) => void,
): (scope: Scope) => boolean {
  return (scope) => {
    const value = evaluate(scope);
    if (value === true) return true;
    if (value === false) return false;
    if (!(value instanceof Fault))
      throw new OuzelError('EVENT_EXPRESSION', `\`${source.source}\` is ${shown(value)}, not true or false`, {
        place: source.place,
      });
    if (value.kind !== 'missing_field') throw faultError(value, source);
    missing(value.path ?? source.source);
    return false;
  };
}
