/** Expressions that somebody asks with, rather than the configuration. */
import type { Config } from '../config/schema.ts';
import { OuzelError } from '../errors.ts';
import { ExpressionError, parseExpression, type Scope } from '../expression/index.ts';
import { bindFilters } from './compile.ts';

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
