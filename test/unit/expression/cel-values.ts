/** The values of the published conformance cases (protobuf JSON) as values of expressions, and back to be compared. */

import { normal } from '../../../src/expression/numbers.ts';
import { parseDuration, parseTimestamp } from '../../../src/expression/time.ts';
import { CelType, typeNamed } from '../../../src/expression/values.ts';

export type Json = Readonly<Record<string, unknown>>;
export const isRecord = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Thrown for a value that Ouzel does not have: protobuf messages and enumerations. */
export class NoSuchValue extends Error {}

/** A `cel.expr.Value` as a value of an expression. */
export function fromCel(value: unknown): unknown {
  if (!isRecord(value)) throw new NoSuchValue(JSON.stringify(value));
  const [kind] = Object.keys(value);
  const inner = kind === undefined ? undefined : value[kind];
  switch (kind) {
    case 'nullValue':
      return null;
    case 'boolValue':
    case 'stringValue':
      return inner;
    case 'int64Value':
    case 'uint64Value':
      return normal(BigInt(String(inner)));
    case 'doubleValue':
      return Number(inner);
    case 'bytesValue':
      return Uint8Array.from(atob(String(inner)), (character) => character.charCodeAt(0));
    case 'listValue':
      return itemsOf(inner, 'values').map(fromCel);
    case 'mapValue':
      return new Map(itemsOf(inner, 'entries').map(entryOf));
    case 'typeValue':
      return typeNamed(String(inner)) ?? new CelType(String(inner));
    case 'objectValue':
      return fromAny(inner);
    default:
      throw new NoSuchValue(JSON.stringify(value));
  }
}

const entryOf = (entry: unknown): readonly [unknown, unknown] =>
  isRecord(entry) ? [fromCel(entry['key']), fromCel(entry['value'])] : [undefined, undefined];

const itemsOf = (value: unknown, key: string): readonly unknown[] => {
  const items = isRecord(value) ? value[key] : undefined;
  return Array.isArray(items) ? items : [];
};

function fromAny(value: unknown): unknown {
  if (!isRecord(value)) throw new NoSuchValue(JSON.stringify(value));
  const text = String(value['value']);
  if (value['@type'] === 'type.googleapis.com/google.protobuf.Timestamp') return parseTimestamp(text);
  if (value['@type'] === 'type.googleapis.com/google.protobuf.Duration') return parseDuration(text);
  throw new NoSuchValue(JSON.stringify(value));
}
