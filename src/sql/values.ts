/** Values of rows that are written: JSON values, as each database takes them. */
import { stringifyJson } from '../core/json.ts';

/**
 * A JSON value, in which integers may be `bigint`; undefined is NULL, {@link JsonText} a JSON document as it stands.
 * Each database makes of it what the type of the column wants.
 */
export type Value = unknown;

/** The text of a JSON document that is written as it is, not parsed and made anew. */
export class JsonText {
  readonly text: string;

  /** @param text It is valid JSON: whoever makes one has seen to that. */
  constructor(text: string) {
    this.text = text;
  }
}

/** JSON text of a value. */
export function jsonOf(value: Value): string {
  if (typeof value === 'string') return JSON.stringify(value);
  if (typeof value === 'number') return Number.isFinite(value) ? String(value) : 'null';
  if (typeof value === 'boolean' || typeof value === 'bigint') return String(value);
  if (value === undefined || value === null) return 'null';
  return value instanceof JsonText ? value.text : stringifyJson(value);
}

const LARGEST = 2n ** 63n - 1n;
const SMALLEST = -(2n ** 63n);

/**
 * What SQLite can store of a value. An integer goes as one, not as the floating-point number that JavaScript has of it:
 * in a column of text, 42 would become `42.0`. SQLite has no boolean, no JSON, and no integer of more than 64 bits: 0
 * and 1, and text.
 */
export function sqliteValueOf(value: Value): string | number | bigint | null {
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
      return Number.isSafeInteger(value) ? BigInt(value) : Number.isFinite(value) ? value : null;
    case 'boolean':
      return value ? 1n : 0n;
    case 'bigint':
      return value >= SMALLEST && value <= LARGEST ? value : String(value);
    case 'object':
      return value === null ? null : jsonOf(value);
    default:
      return null;
  }
}
