/** What a person searches events by: the `key` of their stream. */
import type { Config } from '../config/schema.ts';
import type { Run } from '../core/run.ts';
import { type Evaluate, Fault, type Scope, toText } from '../expression/index.ts';
import { bindFilters } from './compile.ts';

/** Answers the key of a run's event (or of another of which as much is known), undefined where there is none. */
export type KeyOf = (run: Scope & Pick<Run, 'stream'>) => string | undefined;

/** Compiles the keys of all streams. */
export function compileKeys(config: Config): KeyOf {
  const filters = bindFilters(config);
  const keys = new Map<string, Evaluate>();
  for (const [name, { key }] of Object.entries(config.streams))
    if (key !== undefined) keys.set(name, key.bind(filters));
  return (run) => {
    try {
      const value = keys.get(run.stream)?.(run);
      return value === undefined || value instanceof Fault ? undefined : toText(value);
    } catch {
      // The data cannot be decoded. Such an event has a dead letter all the same.
      return undefined;
    }
  };
}
