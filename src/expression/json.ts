/** From the values of expressions to JSON values and to text. */

import { formatDuration, formatTimestamp } from './time.ts';
import { CelType, Duration, Optional, Timestamp } from './values.ts';

/**
 * The JSON value of an expression's value: timestamps are RFC 3339 strings, durations `3.5s`, bytes base64, an empty
 * optional undefined (and left out of lists and maps), keys of maps strings. Integers beyond ±2^53 stay `bigint`;
 * what JSON has no number for (1e999 in an event) is null. JSON values are answered as they are, not copied.
 */
export function toJson(value: unknown): unknown {
  switch (typeof value) {
    case 'number':
      return Number.isFinite(value) ? value : null;
    case 'object':
      if (value === null) return null;
      if (Array.isArray(value)) return listToJson(value);
      if (value instanceof Timestamp) return formatTimestamp(value);
      if (value instanceof Duration) return formatDuration(value);
      if (value instanceof Uint8Array) return toBase64(value);
      if (value instanceof Optional) return value.present ? toJson(value.value) : undefined;
      if (value instanceof CelType) return value.name;
      if (value instanceof Map) return mapToJson(value);
      return objectToJson(value);
    default:
      return value;
  }
}

function listToJson(list: readonly unknown[]): readonly unknown[] {
  let copy: unknown[] | undefined;
  for (let index = 0; index < list.length; index++) {
    const item = list[index];
    const json = toJson(item);
    if (copy === undefined && json !== item) copy = list.slice(0, index);
    if (copy !== undefined && json !== undefined) copy.push(json);
  }
  return copy ?? list;
}

function mapToJson(map: ReadonlyMap<unknown, unknown>): Record<string, unknown> {
  const entries: [string, unknown][] = [];
  for (const [key, value] of map) {
    const json = toJson(value);
    if (json !== undefined) entries.push([String(key), json]);
  }
  // fromEntries defines own properties, so that a key named __proto__ is data.
  return Object.fromEntries(entries);
}

function objectToJson(object: object): object {
  const entries = Object.entries(object) as [string, unknown][];
  let changed = false;
  for (const entry of entries) {
    const json = toJson(entry[1]);
    if (json !== entry[1]) {
      entry[1] = json;
      changed = true;
    }
  }
  return changed ? Object.fromEntries(entries.filter((entry) => entry[1] !== undefined)) : object;
}

/** The text of a value in a template: strings as they are, everything else as JSON text. An empty optional is ''. */
export function toText(value: unknown): string {
  if (typeof value === 'string') return value;
  const json = toJson(value);
  if (typeof json === 'string') return json;
  return json === undefined ? '' : toJsonText(json);
}

/** JSON text of a JSON value in which integers can be `bigint`. With `sorted`, equal values have equal text. */
export function toJsonText(json: unknown, sorted = false): string {
  if (typeof json === 'bigint') return json.toString();
  if (typeof json !== 'object' || json === null) return JSON.stringify(json) ?? 'null';
  if (Array.isArray(json)) return `[${json.map((item: unknown) => toJsonText(item, sorted)).join(',')}]`;
  const entries = Object.entries(json) as [string, unknown][];
  if (sorted) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return `{${entries.map(([key, item]) => `${JSON.stringify(key)}:${toJsonText(item, sorted)}`).join(',')}}`;
}

function toBase64(bytes: Uint8Array): string {
  let binary = '';
  // In slices: an argument list has a limit.
  for (let start = 0; start < bytes.length; start += 8192) {
    binary += String.fromCharCode(...bytes.subarray(start, start + 8192));
  }
  return btoa(binary);
}
