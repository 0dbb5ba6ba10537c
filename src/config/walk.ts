/** Finds what was parsed out of strings in a configuration. */
import { Expression, Template } from '../expression/index.ts';
import type { ConfigPath } from './source.ts';

/** Calls back for every expression and template of a validated configuration, with its path. */
export function eachExpression(
  value: unknown,
  visit: (expression: Expression | Template, path: ConfigPath) => void,
): void {
  // One path for the whole walk: most values have no expression, and none of them needs a path of its own.
  const path: (string | number)[] = [];
  const walk = (each: unknown): void => {
    if (typeof each !== 'object' || each === null) return;
    if (each instanceof Expression || each instanceof Template) return visit(each, [...path]);
    if (Array.isArray(each))
      each.forEach((item: unknown, index) => {
        path.push(index);
        walk(item);
        path.pop();
      });
    else
      for (const [key, item] of Object.entries(each)) {
        path.push(key);
        walk(item);
        path.pop();
      }
  };
  walk(value);
}
