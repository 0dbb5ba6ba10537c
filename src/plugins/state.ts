/** What a plugin keeps between events: the words that it uses for it, and the bounds. `nats/plugin-state.ts` stores it. */
import { stringifyJson } from '../core/json.ts';
import { UnavailableError } from './errors.ts';
import { jsonCopy } from './values.ts';

/** An entry as it stands. */
export interface StateEntry<Value = unknown> {
  readonly value: Value;
  /** For `update`: higher after each change. */
  readonly revision: number;
}

export interface StateOptions {
  /** Milliseconds after which the entry goes, in whole seconds. */
  readonly ttl?: number;
}

/** Entries of one plugin, shared by all its uses and all instances. What cannot be reached throws an UnavailableError. */
export interface PluginState {
  get<Value = unknown>(key: string): Promise<StateEntry<Value> | undefined>;
  /** Writes a JSON value, whatever stands there. @returns The entry's revision. */
  put(key: string, value: unknown, options?: StateOptions): Promise<number>;
  /**
   * Writes only where the entry still has this revision; 0: where there is none.
   *
   * @returns The new revision, or undefined when somebody else was first: read again, and decide again.
   */
  update(key: string, value: unknown, revision: number, options?: StateOptions): Promise<number | undefined>;
  delete(key: string): Promise<void>;
}

/** The store behind it, for all plugins. Keys are plain text, values the text of JSON. */
export interface StateStore {
  get(plugin: string, key: string): Promise<StateEntry<string> | undefined>;
  /** @returns Undefined where `expected` is given and the entry has another revision. @param ttl Milliseconds. */
  put(
    plugin: string,
    key: string,
    text: string,
    ttl: number | undefined,
    expected: number | undefined,
  ): Promise<number | undefined>;
  delete(plugin: string, key: string): Promise<void>;
}

/** Bytes of a key, and of a value as JSON. */
const MAX_KEY = 256;
export const MAX_VALUE = 262_144;

function checkedKey(key: unknown): string {
  if (typeof key === 'string' && key !== '' && Buffer.byteLength(key) <= MAX_KEY) return key;
  throw new TypeError(`a key is text of 1 to ${MAX_KEY} bytes`);
}

function textOf(value: unknown): string {
  const text = stringifyJson(jsonCopy(value, 'value'));
  const size = Buffer.byteLength(text);
  if (size <= MAX_VALUE) return text;
  throw new RangeError(`the value has ${size} bytes as JSON, and an entry holds ${MAX_VALUE}`);
}

function ttlOf(options: StateOptions | undefined): number | undefined {
  const ttl = options?.ttl;
  if (ttl === undefined || (Number.isFinite(ttl) && ttl > 0)) return ttl;
  throw new RangeError(`ttl is milliseconds above 0, not ${String(ttl)}`);
}

const AWAY: StateStore = {
  get: () => away(),
  put: () => away(),
  delete: () => away(),
};

const away = (): Promise<never> => Promise.reject(new UnavailableError('there is no state here: it is kept in NATS'));

/**
 * A plugin's own part of the store.
 *
 * @param store Undefined where there is no server, as for `ouzel explain FILE`.
 */
export function stateOf(plugin: string, store: StateStore = AWAY): PluginState {
  return {
    async get<Value>(key: string) {
      const entry = await store.get(plugin, checkedKey(key));
      if (entry === undefined) return undefined;
      return { value: JSON.parse(entry.value) as Value, revision: entry.revision };
    },
    async put(key, value, options) {
      return (await store.put(plugin, checkedKey(key), textOf(value), ttlOf(options), undefined)) ?? 0;
    },
    async update(key, value, revision, options) {
      if (!Number.isSafeInteger(revision) || revision < 0) throw new RangeError('a revision is a whole number, from 0');
      return store.put(plugin, checkedKey(key), textOf(value), ttlOf(options), revision);
    },
    async delete(key) {
      await store.delete(plugin, checkedKey(key));
    },
  };
}
