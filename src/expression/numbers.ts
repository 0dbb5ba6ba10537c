/**
 * Arithmetic over numbers as a JSON user expects them: int and double are one. Whole numbers stay exact beyond 2^53
 * (as `bigint`); everything else is a double. An answer of undefined means out of range.
 */

import type { Num } from './values.ts';

const MAX = Number.MAX_SAFE_INTEGER;
/** The range of a double. Larger integers are refused: they would have no JSON number, and grow without a bound. */
const LIMIT = 1n << 1024n;

/** A bigint that fits is a number again, so that one value has one representation. */
export const normal = (value: bigint): Num => (value >= -MAX && value <= MAX ? Number(value) : value);

const inRange = (value: bigint): Num | undefined => (value < LIMIT && value > -LIMIT ? normal(value) : undefined);

const finite = (value: number): number | undefined => (Number.isFinite(value) ? value : undefined);

/** Both as bigint where both are whole and exact, else undefined: then the doubles count. */
function exact(a: Num, b: Num): readonly [bigint, bigint] | undefined {
  if (typeof a === 'number' && !Number.isSafeInteger(a)) return undefined;
  if (typeof b === 'number' && !Number.isSafeInteger(b)) return undefined;
  const pair = [BigInt(a), BigInt(b)] as const;
  return pair[0] < LIMIT && pair[0] > -LIMIT && pair[1] < LIMIT && pair[1] > -LIMIT ? pair : undefined;
}

export function add(a: Num, b: Num): Num | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const sum = a + b;
    if (sum <= MAX && sum >= -MAX) return sum;
  }
  const pair = exact(a, b);
  return pair ? inRange(pair[0] + pair[1]) : finite(Number(a) + Number(b));
}

export function subtract(a: Num, b: Num): Num | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const difference = a - b;
    if (difference <= MAX && difference >= -MAX) return difference;
  }
  const pair = exact(a, b);
  return pair ? inRange(pair[0] - pair[1]) : finite(Number(a) - Number(b));
}

export function multiply(a: Num, b: Num): Num | undefined {
  if (typeof a === 'number' && typeof b === 'number') {
    const product = a * b;
    if (product <= MAX && product >= -MAX) return product;
  }
  const pair = exact(a, b);
  return pair ? inRange(pair[0] * pair[1]) : finite(Number(a) * Number(b));
}

/** The divisor must not be zero. */
export function divide(a: Num, b: Num): Num | undefined {
  if (typeof a === 'bigint' || typeof b === 'bigint') {
    const pair = exact(a, b);
    if (pair && pair[0] % pair[1] === 0n) return inRange(pair[0] / pair[1]);
  }
  return finite(Number(a) / Number(b));
}

/** The divisor must not be zero. The sign is the dividend's. */
export function modulo(a: Num, b: Num): Num | undefined {
  if (typeof a === 'number' && typeof b === 'number') return finite(a % b);
  const pair = exact(a, b);
  return pair ? normal(pair[0] % pair[1]) : finite(Number(a) % Number(b));
}

export const negate = (value: Num): Num => (typeof value === 'bigint' ? normal(-value) : value === 0 ? 0 : -value);

/** Rounds half away from zero, in decimal: `round(1.005, 2)` is 1.01. */
export function roundTo(value: number, digits: number): number {
  const [mantissa = '0', exponent = '0'] = Math.abs(value).toExponential().split('e');
  const scaled = Math.round(Number(`${mantissa}e${Number(exponent) + digits}`));
  if (!Number.isFinite(scaled)) return value;
  const [scaledMantissa = '0', scaledExponent = '0'] = scaled.toExponential().split('e');
  const rounded = Number(`${scaledMantissa}e${Number(scaledExponent) - digits}`);
  return value < 0 && rounded !== 0 ? -rounded : rounded;
}
