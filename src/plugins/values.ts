/** Values that pass between Ouzel and a plugin: neither side can change what the other one has. */
import { MAX_DEPTH } from '../core/json.ts';

/** The value itself, frozen at every depth; of bytes, which cannot be frozen, a copy. */
export function readOnly(value: unknown): unknown {
  if (value instanceof Uint8Array) return value.slice();
  freeze(value);
  return value;
}

function freeze(value: unknown): void {
  // What is frozen was frozen here, with all that is in it.
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return;
  Object.freeze(value);
  for (const each of Object.values(value)) freeze(each);
}

/**
 * A copy of what a plugin wrote, as JSON would have it: `toJSON` is asked (dates become text), fields that are
 * undefined are left out.
 *
 * @throws TypeError for what has no JSON form
 */
export function jsonCopy(value: unknown, path: string, depth = 0): unknown {
  if (depth > MAX_DEPTH) throw new TypeError(`the value of ${path} is nested too deep, or contains itself`);
  switch (typeof value) {
    case 'string':
    case 'boolean':
    case 'bigint':
      return value;
    case 'number':
      if (Number.isFinite(value)) return value;
      throw new TypeError(`${value} at ${path} has no JSON form`);
    case 'object':
      if (value === null) return null;
      if (value instanceof Uint8Array && path === 'data') return value.slice();
      if ('toJSON' in value && typeof value.toJSON === 'function')
        return jsonCopy((value.toJSON as () => unknown)(), path, depth + 1);
      if (Array.isArray(value))
        return value.map((each: unknown, index) =>
          each === undefined ? null : jsonCopy(each, `${path}[${index}]`, depth + 1),
        );
      if (isPlain(value))
        return Object.fromEntries(
          Object.entries(value)
            .filter(([, each]) => each !== undefined)
            .map(([key, each]) => [key, jsonCopy(each, `${path}.${key}`, depth + 1)]),
        );
      throw new TypeError(`a ${value.constructor?.name ?? 'value'} at ${path} has no JSON form`);
    case 'undefined':
      throw new TypeError(`${path} is set to undefined: use remove to take a field away`);
    default:
      throw new TypeError(`a ${typeof value} at ${path} has no JSON form`);
  }
}

const isPlain = (value: object): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === null || prototype === Object.prototype;
};
