/** `hash`, `uuid` and the optional's functions. */

import { guardDepth } from '../fault.ts';
import { toJson, toJsonText } from '../json.ts';
import { equals } from '../equality.ts';
import { Optional, isMap, sizeOfMap } from '../values.ts';
import { wrongType } from './spec.ts';
import type { FunctionSpec } from './spec.ts';

type Hash = (text: string) => string;

let sha256: Hash | undefined;

/**
 * Supplies `hash()`: the SHA-256 of a text's UTF-8 in hexadecimal. Called once by the composition root, since
 * expressions do not import `node:*`. Until then `hash()` is an evaluation fault; there is no other algorithm.
 */
export function configureHash(hash: Hash): void {
  sha256 = hash;
}

const hash: FunctionSpec = {
  name: 'hash',
  form: 'both',
  args: [1, 1],
  usage: 'hash(value)',
  impure: true,
  call: (site, value) => {
    const digest = sha256;
    if (digest === undefined) return site.fault('hash() has not been supplied (configureHash)');
    if (typeof value === 'string') return digest(value);
    // Keys sorted, so that equal values have equal hashes.
    return guardDepth(site, () => digest(toJsonText(toJson(value) ?? null, true)));
  },
};

const uuid: FunctionSpec = {
  name: 'uuid',
  form: 'function',
  args: [0, 0],
  usage: 'uuid()',
  impure: true,
  call: () => crypto.randomUUID(),
};

/** The values that an optional of a non-zero value takes for none. */
function isZero(value: unknown): boolean {
  if (Array.isArray(value) || value instanceof Uint8Array) return value.length === 0;
  if (isMap(value)) return sizeOfMap(value) === 0;
  return [null, false, 0, ''].some((zero) => equals(zero, value));
}

const hasValue: FunctionSpec = {
  name: 'hasValue',
  form: 'method',
  args: [1, 1],
  usage: 'optional.hasValue()',
  call: (site, value) =>
    value instanceof Optional ? value.present : wrongType(site, 'hasValue', 'an optional', value),
};

const value: FunctionSpec = {
  name: 'value',
  form: 'method',
  args: [1, 1],
  usage: 'optional.value()',
  call: (site, optional) => {
    if (!(optional instanceof Optional)) return wrongType(site, 'value', 'an optional', optional);
    return optional.present ? optional.value : site.fault('value(): the optional is empty');
  },
};

export const MISCELLANEOUS: readonly FunctionSpec[] = [
  hash,
  uuid,
  { name: 'optional.none', form: 'function', args: [0, 0], usage: 'optional.none()', call: () => Optional.none },
  {
    name: 'optional.of',
    form: 'function',
    args: [1, 1],
    usage: 'optional.of(value)',
    call: (_site, inner) => Optional.of(inner),
  },
  {
    name: 'optional.ofNonZeroValue',
    form: 'function',
    args: [1, 1],
    usage: 'optional.ofNonZeroValue(value)',
    call: (_site, inner) => (isZero(inner) ? Optional.none : Optional.of(inner)),
  },
  hasValue,
  value,
];
