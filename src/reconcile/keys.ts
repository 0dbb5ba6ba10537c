/** What a person searches events by: the `key` of their stream. */
import type { Config } from '../config/schema.ts';
import { Event } from '../core/event.ts';
import { bindFilters } from './filters.ts';
import { keyBy, type KeyOf } from './key.ts';

export type { KeyOf } from './key.ts';

/**
 * Compiles the keys of all streams. A key is that of the event as it came, whatever a transformer made of it since; one
 * that only an upcast gave it counts too.
 */
export function compileKeys(config: Config): KeyOf {
  const filters = bindFilters(config);
  const keys = new Map<string, KeyOf>();
  for (const [name, { key }] of Object.entries(config.streams))
    if (key !== undefined) keys.set(name, keyBy(key.bind(filters)));
  return (run) => {
    const key = keys.get(run.stream);
    if (key === undefined) return undefined;
    const { event, msg, now, stream } = run;
    const original = event instanceof Event ? event.original : event;
    return original === event ? key(run) : (key({ event: original, msg, now, stream }) ?? key(run));
  };
}
