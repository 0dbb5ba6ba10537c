/** What a person searches events by: the `key` of their stream. */
import type { Config } from '../config/schema.ts';
import { bindFilters } from './compile.ts';
import { keyBy, type KeyOf } from './key.ts';

export type { KeyOf } from './key.ts';

/** Compiles the keys of all streams. */
export function compileKeys(config: Config): KeyOf {
  const filters = bindFilters(config);
  const keys = new Map<string, KeyOf>();
  for (const [name, { key }] of Object.entries(config.streams))
    if (key !== undefined) keys.set(name, keyBy(key.bind(filters)));
  return (run) => keys.get(run.stream)?.(run);
}
