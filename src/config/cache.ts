/**
 * What the last loading of a configuration leaves for the next, so that a change costs what it changes. It holds what
 * the last configuration that could be loaded is made of, and nothing older.
 */
import { isDeepStrictEqual } from 'node:util';
import type { z } from 'zod';
import { YamlCache } from './chunks.ts';
import { type Config, configSchema, NAMED_SECTIONS } from './schema.ts';

interface Entry {
  readonly value: unknown;
  readonly parsed: unknown;
}

type Mapping = Readonly<Record<string, unknown>>;

const isMapping = (value: unknown): value is Mapping =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Whether a plugin is named in a value. */
function namesPlugin(value: unknown): boolean {
  if (Array.isArray(value)) return value.some(namesPlugin);
  return isMapping(value) && (Object.hasOwn(value, 'plugin') || Object.values(value).some(namesPlugin));
}

export class ConfigCache {
  /** What the files say. */
  readonly yaml = new YamlCache();
  /** Entries of the named sections as they were found to be valid. */
  #entries = new Map<string, Entry>();

  /**
   * The same as `configSchema.safeParse`. Entries that are what they were are not looked at again: they stand in the
   * result as they stood in the last one.
   */
  parse(value: unknown): z.ZodSafeParseResult<Config> {
    if (!isMapping(value)) return configSchema.safeParse(value);
    const known = new Map<string, Entry>();
    const parsed = configSchema.safeParse(this.#unknown(value, known));
    // The issues are those of the whole.
    if (!parsed.success) return known.size === 0 ? parsed : configSchema.safeParse(value);
    const data: Config = { ...parsed.data };
    const entries = new Map<string, Entry>();
    for (const section of NAMED_SECTIONS) {
      const given = value[section];
      if (!isMapping(given)) continue;
      const result: Record<string, unknown> = {};
      for (const [name, each] of Object.entries(given)) {
        const id = `${section}/${name}`;
        const entry = known.get(id) ?? { value: each, parsed: (data[section] as Mapping)[name] };
        result[name] = entry.parsed;
        // Plugins may do with their options what they like.
        if (!namesPlugin(each)) entries.set(id, entry);
      }
      Object.assign(data, { [section]: result });
    }
    this.#entries = entries;
    return { success: true, data };
  }

  /** The configuration without the entries that are known, which are put aside. */
  #unknown(value: Mapping, known: Map<string, Entry>): Mapping {
    const rest: Record<string, unknown> = { ...value };
    for (const section of NAMED_SECTIONS) {
      const given = value[section];
      if (!isMapping(given)) continue;
      const others: Record<string, unknown> = {};
      for (const [name, each] of Object.entries(given)) {
        const id = `${section}/${name}`;
        const entry = this.#entries.get(id);
        if (entry !== undefined && isDeepStrictEqual(entry.value, each)) known.set(id, entry);
        else Object.defineProperty(others, name, { value: each, enumerable: true, writable: true, configurable: true });
      }
      rest[section] = others;
    }
    return rest;
  }
}
