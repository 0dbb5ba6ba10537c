/** Expressions and instants that somebody asks with, rather than the configuration. */
import { parseDuration } from '../config/fields.ts';
import type { Config } from '../config/schema.ts';
import { OuzelError } from '../errors.ts';
import { ExpressionError, parseExpression, type Scope } from '../expression/index.ts';
import { bindFilters } from './filters.ts';

/**
 * Compiles a `--where`. As everywhere, a field that is not there makes it false.
 *
 * @throws OuzelError USAGE with a caret
 */
export function askedCondition(where: string, config: Config): (scope: Scope) => boolean {
  try {
    const evaluate = parseExpression(where, 'event').bind(bindFilters(config));
    return (scope) => evaluate(scope) === true;
  } catch (error) {
    if (!(error instanceof ExpressionError)) throw error;
    throw new OuzelError('USAGE', `--where: ${error.message}${caretUnder(where, error.offset, error.hint)}`);
  }
}

/** The lines that show where in a text something is wrong, and what to do. */
export const caretUnder = (text: string, offset: number, hint: string | undefined): string =>
  `\n${text}\n${' '.repeat(offset)}^${hint === undefined ? '' : `\n${hint}`}`;

const INSTANT = /^\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d)$/;

/**
 * Milliseconds since the epoch of an instant, or of a time before now.
 *
 * @param name Of the option, without its dashes.
 * @param now Milliseconds since the epoch.
 * @throws OuzelError USAGE
 */
export function askedInstant(name: string, text: string, now: number): number {
  const back = parseDuration(text);
  if (back !== undefined) return now - back;
  const instant = INSTANT.test(text) ? Date.parse(text) : Number.NaN;
  if (!Number.isNaN(instant)) return instant;
  throw new OuzelError(
    'USAGE',
    `--${name}: "${text}" is no instant. Write date, time and zone (2026-01-31T08:00:00Z), or how long ago (2h)`,
  );
}
