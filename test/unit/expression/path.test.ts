/** Paths of fields that are written. */

import { describe, expect, it } from 'vitest';
import { ExpressionError, parsePath } from '../../../src/expression/index.ts';

describe('parsePath', () => {
  it.each([
    ['data', ['data']],
    ['data.vat', ['data', 'vat']],
    ['data.items[0].price', ['data', 'items', 0, 'price']],
    ['data["unit price"].x', ['data', 'unit price', 'x']],
    ["data['a.b']['c']", ['data', 'a.b', 'c']],
    ['data["say \\"hi\\""]', ['data', 'say "hi"']],
    ['data.unit-price', ['data', 'unit-price']],
    ['data.größe', ['data', 'größe']],
    ['data._id.$ref', ['data', '_id', '$ref']],
    ['data["0"]', ['data', '0']],
    ['data.list[0][1]', ['data', 'list', 0, 1]],
  ])('%s', (source, segments) => expect(parsePath(source)).toEqual({ source, segments }));

  it.each<[source: string, offset: number, message: RegExp]>([
    ['', 0, /starts with a name/],
    ['.data', 0, /starts with a name/],
    ['0.a', 0, /starts with a name/],
    ['data.', 5, /a name is expected/],
    ['data..a', 5, /a name is expected/],
    ['data.0', 5, /a name is expected/],
    ['data a', 4, /names joined/],
    ['data[', 4, /names joined/],
    ['data[-1]', 4, /names joined/],
    ['data[x]', 4, /names joined/],
    ['data["x]', 4, /names joined/],
    ['data[""]', 4, /empty/],
    ['data[10000]', 4, /at most 9999/],
    ['data.__proto__.x', 5, /__proto__/],
    ['data["__proto__"]', 4, /__proto__/],
    ["data['__pro\\to__']", 4, /__proto__/],
    ['data.constructor', 5, /constructor/],
    ['constructor.prototype', 0, /constructor/],
    ['data.prototype', 5, /prototype/],
    [`data${'.a'.repeat(64)}`, 131, /at most 64/],
  ])('%s is refused', (source, offset, message) => {
    try {
      parsePath(source);
    } catch (error) {
      if (!(error instanceof ExpressionError)) throw error;
      expect(error.message).toMatch(message);
      expect(error.offset).toBe(offset);
      return;
    }
    throw new Error('not refused');
  });
});
