/** Conversions between types. */

import type { Site } from '../fault.ts';
import { toText } from '../json.ts';
import { normal } from '../numbers.ts';
import { parseDuration, parseTimestamp, timestamp } from '../time.ts';
import { Duration, Timestamp, isNum, typeOf } from '../values.ts';
import { orOutOfRange, wrongType } from './spec.ts';
import type { FunctionSpec } from './spec.ts';

const TRUE: ReadonlySet<string> = new Set(['true', 'True', 'TRUE', 't', '1']);
const FALSE: ReadonlySet<string> = new Set(['false', 'False', 'FALSE', 'f', '0']);

/** Longer texts are no numbers that anyone means, and would cost time. */
const MAX_NUMBER_LENGTH = 400;

function conversion(name: string, convert: (value: unknown, site: Site) => unknown): FunctionSpec {
  return { name, form: 'function', args: [1, 1], usage: `${name}(value)`, call: (site, value) => convert(value, site) };
}

/** A whole number between two bounds: cut off, not rounded. */
function whole(name: string, least: bigint, most: bigint): FunctionSpec {
  return conversion(name, (value, site) => {
    let number: bigint;
    if (typeof value === 'bigint') number = value;
    else if (typeof value === 'number' && Number.isFinite(value)) number = BigInt(Math.trunc(value));
    else if (typeof value === 'string' && /^[+-]?\d{1,20}$/.test(value)) number = BigInt(value.replace(/^\+/, ''));
    else if (value instanceof Timestamp) number = BigInt(value.seconds);
    else if (typeof value === 'string') return site.fault(`${name}(): "${shorten(value)}" is no whole number`, value);
    else return wrongType(site, name, 'a number, a string or a timestamp', value);
    if (number < least || number > most) return site.fault(`${name}(): the value is out of range`, value);
    // The double at the lower bound stands for its neighbours beyond it too: CEL refuses it.
    if (typeof value === 'number' && least < 0n && number === least) {
      return site.fault(`${name}(): the value is out of range`, value);
    }
    return normal(number);
  });
}

const shorten = (text: string): string => (text.length > 80 ? `${text.slice(0, 79)}…` : text);

const double = conversion('double', (value, site) => {
  if (isNum(value)) return orOutOfRange(site, 'double', finite(Number(value)), value);
  if (typeof value !== 'string') return wrongType(site, 'double', 'a number or a string', value);
  if (value.length > MAX_NUMBER_LENGTH || !/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(value)) {
    return site.fault(`double(): "${shorten(value)}" is no number`, value);
  }
  return orOutOfRange(site, 'double', finite(Number(value)), value);
});

const finite = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined);

const string = conversion('string', (value, site) => {
  if (typeof value === 'string') return value;
  if (value instanceof Uint8Array) {
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(value);
    } catch {
      return site.fault('string(): the bytes are not UTF-8');
    }
  }
  if (isNum(value) || typeof value === 'boolean' || value instanceof Timestamp || value instanceof Duration) {
    return toText(value);
  }
  return wrongType(site, 'string', 'a string, number, bool, bytes, timestamp or duration', value);
});

const bool = conversion('bool', (value, site) => {
  if (typeof value === 'boolean') return value;
  if (typeof value !== 'string') return wrongType(site, 'bool', 'a bool or a string', value);
  if (TRUE.has(value)) return true;
  return FALSE.has(value) ? false : site.fault(`bool(): "${shorten(value)}" is neither true nor false`, value);
});

const bytes = conversion('bytes', (value, site) => {
  if (value instanceof Uint8Array) return value;
  return typeof value === 'string'
    ? new TextEncoder().encode(value)
    : wrongType(site, 'bytes', 'a string or bytes', value);
});

const timestampOf = conversion('timestamp', (value, site) => {
  if (value instanceof Timestamp) return value;
  if (typeof value === 'number') {
    const seconds = Math.floor(value);
    return orOutOfRange(site, 'timestamp', timestamp(seconds, Math.round((value - seconds) * 1e9)), value);
  }
  if (typeof value !== 'string')
    return wrongType(site, 'timestamp', 'a string (RFC 3339) or a number of seconds', value);
  return parseTimestamp(value) ?? site.fault(`timestamp(): "${shorten(value)}" is no RFC 3339 time`, value);
});

const durationOf = conversion('duration', (value, site) => {
  if (value instanceof Duration) return value;
  if (typeof value !== 'string') return wrongType(site, 'duration', 'a string such as "90s" or "1h30m"', value);
  return parseDuration(value) ?? site.fault(`duration(): "${shorten(value)}" is no length of time`, value);
});

const INT64 = 1n << 63n;

export const CONVERSIONS: readonly FunctionSpec[] = [
  whole('int', -INT64, INT64 - 1n),
  whole('uint', 0n, 2n * INT64 - 1n),
  double,
  string,
  bool,
  bytes,
  timestampOf,
  durationOf,
  conversion('dyn', (value) => value),
  conversion('type', (value) => typeOf(value)),
];
