/** The named filters of a configuration, as expressions refer to them. */
import type { Config } from '../config/schema.ts';
import { type Evaluate, Expression } from '../expression/index.ts';

/**
 * The named filters that are expressions, each bound to those that it refers to. The loader has made sure that there is
 * no circle.
 */
export function bindFilters(config: Config): ReadonlyMap<string, Evaluate> {
  const bound = new Map<string, Evaluate>();
  const bind = (name: string): void => {
    const expression = config.filters[name];
    if (bound.has(name) || !(expression instanceof Expression)) return;
    for (const used of expression.filterNames) bind(used.name);
    bound.set(name, expression.bind(bound));
  };
  for (const name of Object.keys(config.filters)) bind(name);
  return bound;
}

/** The named filters that are expressions, and so can be shown clause by clause. */
export const expressionsOf = ({ filters: named }: Config): Readonly<Record<string, Expression>> =>
  Object.fromEntries(
    Object.entries(named).flatMap(([name, filter]) => (filter instanceof Expression ? [[name, filter] as const] : [])),
  );
