/** Paths of fields that are written, removed or renamed: `data.vat`, `data.items[0].price`, `data["unit price"]`. */

import { ExpressionError } from './error.ts';

export interface Path {
  readonly source: string;
  /** Names, and positions in lists. */
  readonly segments: readonly (string | number)[];
}

const MAX_SEGMENTS = 64;
/** Writing to a position makes the list as long: a bound on what a typo can cost. */
const MAX_INDEX = 9_999;

/** Writing through these reaches the prototypes of all objects. */
const REFUSED: ReadonlySet<string> = new Set(['__proto__', 'constructor', 'prototype']);

const NAME = /[\p{L}_$][\p{L}\p{N}_$-]*/uy;
const INDEX = /\[(\d+)\]/y;
const KEY = /\[("(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')\]/sy;

/**
 * Parses a path: names joined by dots (letters, digits, `_`, `$`, `-`), `[0]` for a position in a list, and
 * `["any key"]` for every other name.
 * @throws ExpressionError for anything else, and for `__proto__`, `constructor` and `prototype`, through which nothing is written.
 */
export function parsePath(source: string): Path {
  const segments: (string | number)[] = [];
  let position = 0;
  const read = (pattern: RegExp): RegExpExecArray | null => {
    pattern.lastIndex = position;
    return pattern.exec(source);
  };
  const add = (segment: string | number, length: number): void => {
    if (typeof segment === 'string' && REFUSED.has(segment)) {
      throw new ExpressionError(
        `"${segment}" cannot be part of a path`,
        position,
        length,
        'Nothing is written through it. Rename the field.',
      );
    }
    if (segments.length >= MAX_SEGMENTS)
      throw new ExpressionError(`a path has at most ${MAX_SEGMENTS} parts`, position, length);
    segments.push(segment);
    position += length;
  };
  const first = read(NAME);
  if (!first) throw unexpected(source, position, 'a path starts with a name, for example data.total');
  add(first[0], first[0].length);
  while (position < source.length) {
    if (source[position] === '.') {
      position++;
      const name = read(NAME);
      if (!name) throw unexpected(source, position, 'a name is expected after "."', 'Write ["…"] for any other key.');
      add(name[0], name[0].length);
      continue;
    }
    const index = read(INDEX);
    const key = index ? null : read(KEY);
    if (index) {
      const number = Number(index[1]);
      if (number > MAX_INDEX)
        throw new ExpressionError(`a position is at most ${MAX_INDEX}`, position, index[0].length);
      add(number, index[0].length);
    } else if (key) {
      add(unquote(key[1] ?? '', position), key[0].length);
    } else {
      throw unexpected(
        source,
        position,
        'a path is names joined by ".", with [0] and ["key"]',
        'Write ["…"] for a key with other characters.',
      );
    }
  }
  return { source, segments };
}

function unexpected(source: string, position: number, message: string, hint?: string): ExpressionError {
  return new ExpressionError(message, position, Math.max(0, Math.min(1, source.length - position)), hint);
}

/** A key in quotes; a backslash takes the next character as it is. */
function unquote(quoted: string, offset: number): string {
  const key = quoted.slice(1, -1).replace(/\\(.)/gs, '$1');
  if (key === '') throw new ExpressionError('a key is empty', offset, quoted.length + 2);
  return key;
}
