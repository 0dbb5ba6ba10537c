/**
 * JSON that keeps large integers: a JavaScript number holds 53 bits, and an order number with 19 digits must come out
 * as it went in. Integers beyond that are `bigint` in the data.
 */
import { OuzelError } from '../errors.ts';

/** Containers inside containers, at most. What is nested deeper is refused. */
export const MAX_DEPTH = 1000;

/** Digits in a row from which on an integer may be too large for a number. */
const LONG = 16;

/** Digits of an integer at most: what converts a longer one takes far more than linear time. */
const MAX_DIGITS = 1000;

/** What stands before an integer in JSON; nothing when it is the whole text. */
const BEFORE_INTEGER: ReadonlySet<string> = new Set(['', ':', ',', '[', '-', ' ', '\t', '\n', '\r']);

/**
 * Whether a text may hold an integer of that many digits. Every row of as many covers a multiple of 16, so few
 * characters are read. One behind a quote, a point or an exponent is none: most fractions are that long, and they must
 * not cost the slow way of parsing.
 */
function hasLongInteger(text: string): boolean {
  for (let probe = LONG - 1; probe < text.length; probe += LONG) {
    if (!isDigit(text.charCodeAt(probe))) continue;
    let first = probe;
    let last = probe;
    while (isDigit(text.charCodeAt(first - 1))) first--;
    while (isDigit(text.charCodeAt(last + 1))) last++;
    if (last - first + 1 >= LONG && BEFORE_INTEGER.has(text.charAt(first - 1))) return true;
    // A row is read once, however long it is.
    probe = last;
  }
  return false;
}

const isDigit = (code: number): boolean => code >= 48 && code <= 57;

interface ReviverContext {
  /** The text of a primitive value, as it stood in the JSON. */
  readonly source?: string;
}

// ECMAScript "JSON.parse source text access": in Node since 22, not yet in TypeScript's library.
declare global {
  interface JSON {
    parse(text: string, reviver: (key: string, value: unknown, context: ReviverContext) => unknown): unknown;
    rawJSON(text: string): unknown;
  }
}

const keepLargeIntegers = (_key: string, value: unknown, { source = '' }: ReviverContext): unknown =>
  typeof value === 'number' && !Number.isSafeInteger(value) && /^-?\d+$/.test(source) ? largeInteger(source) : value;

function largeInteger(digits: string): bigint {
  if (digits.length > MAX_DIGITS) throw new SyntaxError(`an integer of more than ${MAX_DIGITS} digits`);
  return BigInt(digits);
}

function depthOf(text: string): number {
  let depth = 0;
  let deepest = 0;
  let inString = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (inString) {
      if (code === 92) index++;
      else if (code === 34) inString = false;
    } else if (code === 34) inString = true;
    else if (code === 91 || code === 123) deepest = Math.max(deepest, ++depth);
    else if (code === 93 || code === 125) depth--;
  }
  return deepest;
}

/** @throws OuzelError EVENT_UNDECODABLE when the text is not JSON or nested too deep. */
export function parseJson(text: string): unknown {
  // Depth costs two bytes a level, so a short text cannot be too deep.
  if (text.length > MAX_DEPTH && depthOf(text) > MAX_DEPTH)
    throw new OuzelError('EVENT_UNDECODABLE', `JSON nested deeper than ${MAX_DEPTH} levels`);
  try {
    return hasLongInteger(text) ? JSON.parse(text, keepLargeIntegers) : JSON.parse(text);
  } catch (error) {
    throw new OuzelError('EVENT_UNDECODABLE', `not JSON: ${(error as Error).message}`, { cause: error });
  }
}

const writeLargeIntegers = (_key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? JSON.rawJSON(value.toString()) : value;

/**
 * @param indent Spaces a level, for people.
 * @throws OuzelError EVENT_EXPRESSION for a value that has no JSON form.
 */
export function stringifyJson(value: unknown, indent?: number): string {
  try {
    return JSON.stringify(value, undefined, indent) ?? 'null';
  } catch {
    // JSON.stringify refuses bigint; asking for it first would cost every event what only a few need.
  }
  try {
    return JSON.stringify(value, writeLargeIntegers, indent) ?? 'null';
  } catch (error) {
    throw new OuzelError('EVENT_EXPRESSION', `the data has no JSON form: ${(error as Error).message}`, {
      cause: error,
    });
  }
}
