/** Finds what was parsed out of strings in a configuration. */
import { Expression, Template } from '../expression/index.ts';
import type { ConfigPath } from './source.ts';

/** Calls back for every expression and template of a validated configuration, with its path. */
export function eachExpression(
  value: unknown,
  visit: (expression: Expression | Template, path: ConfigPath) => void,
  path: ConfigPath = [],
): void {
  if (value instanceof Expression || value instanceof Template) visit(value, path);
  else if (Array.isArray(value)) value.forEach((each: unknown, index) => eachExpression(each, visit, [...path, index]));
  else if (typeof value === 'object' && value !== null)
    for (const [key, each] of Object.entries(value)) eachExpression(each, visit, [...path, key]);
}
