/** Chains of fields of JSON data, on the shortest way: this is what most filters do for every event. */

import type { Fault } from '../fault.ts';
import type { Evaluate } from './compiler.ts';

/**
 * Names that objects, lists and bytes have by their prototypes, and lists by their nature. JSON data has no others
 * but its own, so that any other name can be read without asking whose it is.
 */
const INHERITED: ReadonlySet<string> = new Set(
  [Object.prototype, Array.prototype, Uint8Array.prototype, Object.getPrototypeOf(Uint8Array.prototype) as object]
    .flatMap((prototype) => Object.getOwnPropertyNames(prototype))
    .concat('length'),
);

/** Whether a field of this name can be read from JSON data without asking whether it is an own one. */
export const isPlainKey = (key: unknown): key is string =>
  typeof key === 'string' && !INHERITED.has(key) && !/^\d/.test(key) && key !== '';

type Json = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null;

/** Reads `event.data.<keys>`. */
export function readEventData(keys: readonly string[], missing: Fault): Evaluate {
  const [a, b, c] = keys;
  if (a === undefined) {
    return (scope) => {
      const { data } = scope.event;
      return data === undefined ? missing : data;
    };
  }
  if (b === undefined) {
    return (scope) => {
      const { data } = scope.event;
      if (!isObject(data)) return missing;
      const value = data[a];
      return value === undefined ? missing : value;
    };
  }
  if (c === undefined) {
    return (scope) => {
      const { data } = scope.event;
      if (!isObject(data)) return missing;
      const inner = data[a];
      if (!isObject(inner)) return missing;
      const value = inner[b];
      return value === undefined ? missing : value;
    };
  }
  return readPlain((scope) => scope.event.data, keys, missing);
}

/** Reads a chain of plain keys from JSON. */
export function readPlain(read: Evaluate, keys: readonly string[], missing: Fault): Evaluate {
  return (scope) => {
    let value = read(scope);
    for (let index = 0; index < keys.length; index++) {
      if (!isObject(value)) return missing;
      value = value[keys[index] ?? ''];
    }
    return value === undefined ? missing : value;
  };
}
