/** Functions of strings. Positions and lengths count characters (code points), as in CEL. */

import { MAX_LIST, MAX_STRING } from '../limits.ts';
import { ExpressionError } from '../error.ts';
import { Fault } from '../fault.ts';
import type { Site } from '../fault.ts';
import { MAX_PATTERN_LENGTH, compilePattern, patternOf } from '../pattern.ts';
import { isMap, sizeOfMap } from '../values.ts';
import { toText } from '../json.ts';
import { wrongType } from './spec.ts';
import type { FunctionSpec } from './spec.ts';

/** Whether a string has characters outside of the basic plane, for which positions differ from JavaScript's. */
const isWide = (text: string): boolean => /[\ud800-\udfff]/.test(text);

function length(text: string): number {
  if (!isWide(text)) return text.length;
  let count = 0;
  for (const _ of text) count++;
  return count;
}

const SPACE = /^\p{White_Space}$/u;

/** By hand: an expression for the end of a text is quadratic for long runs of spaces, and the text is an event's. */
function trim(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && SPACE.test(text.charAt(start))) start++;
  while (end > start && SPACE.test(text.charAt(end - 1))) end--;
  return text.slice(start, end);
}

/** A function of two strings. */
function ofTwo(name: string, form: FunctionSpec['form'], run: (text: string, other: string) => unknown): FunctionSpec {
  return {
    name,
    form,
    args: [2, 2],
    usage: `text.${name}(other)`,
    call: (site, text, other) => {
      if (typeof text === 'string' && typeof other === 'string') return run(text, other);
      return wrongType(site, name, 'strings', typeof text === 'string' ? other : text);
    },
  };
}

function ofOne(name: string, run: (text: string) => unknown): FunctionSpec {
  return {
    name,
    form: 'both',
    args: [1, 1],
    usage: `${name}(text)`,
    call: (site, text) => (typeof text === 'string' ? run(text) : wrongType(site, name, 'a string', text)),
  };
}

const size: FunctionSpec = {
  name: 'size',
  form: 'both',
  args: [1, 1],
  usage: 'size(value)',
  call: (site, value) => {
    if (typeof value === 'string') return length(value);
    if (Array.isArray(value) || value instanceof Uint8Array) return value.length;
    return isMap(value) ? sizeOfMap(value) : wrongType(site, 'size', 'a string, bytes, a list or a map', value);
  },
};

const matches: FunctionSpec = {
  name: 'matches',
  form: 'both',
  args: [2, 2],
  usage: 'text.matches(pattern)',
  call: (site, text, pattern) => {
    if (typeof text !== 'string' || typeof pattern !== 'string') {
      return wrongType(site, 'matches', 'strings', typeof text === 'string' ? pattern : text);
    }
    const compiled = patternOf(pattern);
    if (compiled === undefined)
      return site.fault(`matches(): the pattern is longer than ${MAX_PATTERN_LENGTH} characters`);
    return typeof compiled === 'string' ? site.fault(`matches(): ${compiled}`, pattern) : compiled.test(text);
  },
  prepare: (site, [text, pattern], [, place = site]) => {
    if (!text || text.constant || typeof pattern?.value !== 'string') return undefined;
    const compiled = compilePattern(pattern.value);
    if (typeof compiled === 'string') {
      const hint = 'Patterns are RE2: no lookaround, no backreferences.';
      throw new ExpressionError(compiled, place.offset, place.length, hint);
    }
    const { run } = text;
    return (scope) => {
      const value = run(scope);
      if (typeof value === 'string') return compiled.test(value);
      return value instanceof Fault ? value : wrongType(site, 'matches', 'strings', value);
    };
  },
};

const replace: FunctionSpec = {
  name: 'replace',
  form: 'both',
  args: [3, 4],
  usage: 'text.replace(old, new) or text.replace(old, new, limit)',
  call: (site, text, old, by, limit) => {
    if (typeof text !== 'string' || typeof old !== 'string' || typeof by !== 'string') {
      return wrongType(
        site,
        'replace',
        'strings',
        [text, old, by].find((value) => typeof value !== 'string'),
      );
    }
    if (limit !== undefined && typeof limit !== 'number') return wrongType(site, 'replace', 'a number as limit', limit);
    const most = limit === undefined || limit < 0 ? Infinity : limit;
    // An empty `old` stands between all characters, before the first and behind the last.
    const parts = old === '' ? ['', ...Array.from(text), ''] : text.split(old);
    const count = Math.min(parts.length - 1, most);
    if (text.length + count * by.length > MAX_STRING) return tooLong(site);
    const end = parts.slice(count + 1);
    const replaced = parts.slice(0, count + 1).join(by);
    return end.length === 0 ? replaced : `${replaced}${old}${end.join(old)}`;
  },
};

const tooLong = (site: Site): Fault => site.fault(`the text is longer than ${MAX_STRING} characters`);

const split: FunctionSpec = {
  name: 'split',
  form: 'both',
  args: [2, 3],
  usage: 'text.split(separator) or text.split(separator, limit)',
  call: (site, text, separator, limit) => {
    if (typeof text !== 'string' || typeof separator !== 'string') {
      return wrongType(site, 'split', 'strings', typeof text === 'string' ? separator : text);
    }
    if (limit !== undefined && typeof limit !== 'number') return wrongType(site, 'split', 'a number as limit', limit);
    if (limit === 0) return [];
    const parts = separator === '' ? Array.from(text) : text.split(separator);
    if (parts.length > MAX_LIST) return site.fault(`the list is longer than ${MAX_LIST}`);
    if (limit === undefined || limit < 0 || parts.length <= limit) return parts;
    return [...parts.slice(0, limit - 1), parts.slice(limit - 1).join(separator)];
  },
};

const join: FunctionSpec = {
  name: 'join',
  form: 'both',
  args: [1, 2],
  usage: 'list.join() or list.join(separator)',
  call: (site, list, separator = '') => {
    if (!Array.isArray(list)) return wrongType(site, 'join', 'a list', list);
    if (typeof separator !== 'string') return wrongType(site, 'join', 'a string as separator', separator);
    const items: readonly unknown[] = list;
    const wrong = items.find((item) => !isScalar(item));
    if (wrong !== undefined) return wrongType(site, 'join', 'a list of strings, numbers and bools', wrong);
    const texts = items.map(toText);
    const total = texts.reduce((sum, text) => sum + text.length + separator.length, 0);
    return total > MAX_STRING ? tooLong(site) : texts.join(separator);
  },
};

const isScalar = (value: unknown): boolean => ['string', 'number', 'bigint', 'boolean'].includes(typeof value);

const substring: FunctionSpec = {
  name: 'substring',
  form: 'both',
  args: [2, 3],
  usage: 'text.substring(start) or text.substring(start, end)',
  call: (site, text, start, end) => {
    if (typeof text !== 'string') return wrongType(site, 'substring', 'a string', text);
    const characters = isWide(text) ? Array.from(text) : text;
    const last = end ?? characters.length;
    if (!isPosition(start) || !isPosition(last)) {
      return wrongType(site, 'substring', 'whole numbers from 0', isPosition(start) ? last : start);
    }
    if (start > last || last > characters.length) {
      return site.fault(`substring(): ${start} to ${last} is outside of a text of ${characters.length}`, text);
    }
    return typeof characters === 'string' ? characters.slice(start, last) : characters.slice(start, last).join('');
  },
};

const isPosition = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0;

const indexOf: FunctionSpec = {
  name: 'indexOf',
  form: 'both',
  args: [2, 3],
  usage: 'text.indexOf(part) or text.indexOf(part, start)',
  call: (site, text, part, start = 0) => {
    if (typeof text !== 'string' || typeof part !== 'string') {
      return wrongType(site, 'indexOf', 'strings', typeof text === 'string' ? part : text);
    }
    if (!isPosition(start)) return wrongType(site, 'indexOf', 'a whole number from 0', start);
    if (!isWide(text))
      return start > text.length
        ? site.fault(`indexOf(): ${start} is behind the end`, text)
        : text.indexOf(part, start);
    const characters = Array.from(text);
    if (start > characters.length) return site.fault(`indexOf(): ${start} is behind the end`, text);
    const found = characters.slice(start).join('').indexOf(part);
    return found < 0 ? found : start + length(characters.slice(start).join('').slice(0, found));
  },
};

const mask: FunctionSpec = {
  name: 'mask',
  form: 'both',
  args: [1, 2],
  usage: 'mask(text) or mask(text, keepLast)',
  call: (site, value, keep = 0) => {
    if (!isScalar(value)) return wrongType(site, 'mask', 'a string or a number', value);
    if (!isPosition(keep)) return wrongType(site, 'mask', 'a whole number from 0 as what to keep', keep);
    const characters = Array.from(toText(value));
    // What is no longer than what is kept would be shown whole.
    const hidden = characters.length > keep ? characters.length - keep : characters.length;
    return '*'.repeat(hidden) + characters.slice(hidden).join('');
  },
};

export const STRINGS: readonly FunctionSpec[] = [
  size,
  ofTwo('contains', 'method', (text, part) => text.includes(part)),
  ofTwo('startsWith', 'method', (text, part) => text.startsWith(part)),
  ofTwo('endsWith', 'method', (text, part) => text.endsWith(part)),
  matches,
  ofOne('lower', (text) => text.toLowerCase()),
  ofOne('upper', (text) => text.toUpperCase()),
  ofOne('trim', trim),
  replace,
  split,
  join,
  substring,
  indexOf,
  mask,
];
