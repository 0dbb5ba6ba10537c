/** Finds what was parsed out of strings in a configuration. */
import { Expression, Template } from '../expression/index.ts';
import type { ConfigPath } from './source.ts';

/** An expression or template, and where it stands below what was walked. */
interface Found {
  readonly expression: Expression | Template;
  readonly path: ConfigPath;
}

/**
 * By entry of a section. Entries that a change does not touch are the same objects from one load to the next, so that
 * they are walked once. Expressions are made where a configuration is validated, and stay where they are.
 */
const found = new WeakMap<object, readonly Found[]>();

/** Every expression and template in one entry of a validated configuration. */
export function expressionsIn(entry: unknown): readonly Found[] {
  if (typeof entry !== 'object' || entry === null) return [];
  const known = found.get(entry);
  if (known !== undefined) return known;
  const all: Found[] = [];
  // One path for the whole walk: most values have no expression, and none of them needs a path of its own.
  const path: (string | number)[] = [];
  const walk = (each: unknown): void => {
    if (typeof each !== 'object' || each === null) return;
    if (each instanceof Expression || each instanceof Template) {
      all.push({ expression: each, path: [...path] });
      return;
    }
    const list = Array.isArray(each);
    for (const [key, item] of Object.entries(each)) {
      path.push(list ? Number(key) : key);
      walk(item);
      path.pop();
    }
  };
  walk(entry);
  found.set(entry, all);
  return all;
}

/** Calls back for every expression and template of a validated configuration, with its path. */
export function eachExpression(
  config: object,
  visit: (expression: Expression | Template, path: ConfigPath) => void,
): void {
  for (const [section, entries] of Object.entries(config) as [string, unknown][]) {
    if (typeof entries !== 'object' || entries === null) continue;
    const list = Array.isArray(entries);
    for (const [name, entry] of Object.entries(entries) as [string, unknown][])
      for (const { expression, path } of expressionsIn(entry))
        visit(expression, [section, list ? Number(name) : name, ...path]);
  }
}
