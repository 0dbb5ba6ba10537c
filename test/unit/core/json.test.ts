import { describe, expect, it } from 'vitest';
import { MAX_DEPTH, parseJson, stringifyJson } from '../../../src/core/json.ts';
import { OuzelError } from '../../../src/errors.ts';
import { random } from './helpers.ts';

const again = (text: string): string => stringifyJson(parseJson(text));

describe('large integers', () => {
  it.each([
    '9007199254740991',
    '9007199254740992',
    '9007199254740993',
    '-9007199254740993',
    '1234567890123456789',
    '-1234567890123456789',
    '[1234567890123456789,1,-1234567890123456789]',
    '{"a":{"b":[{"c":98765432109876543210}]}}',
    `{"id":${'9'.repeat(1000)}}`,
    '{"id":"1234567890123456789"}',
    '"1234567890123456789"',
    '{"1234567890123456789":1}',
    '{"text":"1234567890123456789","id":1234567890123456789}',
    '{"price":0.12345678901234568,"id":1234567890123456789}',
  ])('%s comes out as it went in', (text) => expect(again(text)).toBe(text));

  it.each([
    [' {"a" : 1234567890123456789 }', '{"a":1234567890123456789}'],
    ['{"a":\n1234567890123456789}', '{"a":1234567890123456789}'],
    ['{"a":\t1234567890123456789}', '{"a":1234567890123456789}'],
    ['{"a":\r1234567890123456789}', '{"a":1234567890123456789}'],
    ['{"pad":"xxxxxxxxxxxxxxxxx" ,"a":1234567890123456}', '{"pad":"xxxxxxxxxxxxxxxxx","a":1234567890123456}'],
  ])('%j is found behind white space', (text, written) => expect(again(text)).toBe(written));

  it('are bigint beyond 53 bits only', () => {
    expect(parseJson('9007199254740991')).toBe(9007199254740991);
    expect(parseJson('9007199254740992')).toBe(9007199254740992n);
    expect(parseJson('[-9007199254740991,-9007199254740992]')).toEqual([-9007199254740991, -9007199254740992n]);
  });

  it('are found at every place in the text', () => {
    for (let offset = 0; offset < 40; offset++) {
      const text = `{"${'k'.repeat(offset)}":9007199254740993}`;
      expect(again(text)).toBe(text);
    }
  });

  it('leave fractions and exponents numbers', () =>
    expect(parseJson('[1e30,-1.5E+40,0.1234567890123456789,1234567890123456.5,1e-7,1234567890123456789e1]')).toEqual([
      1e30,
      -1.5e40,
      0.12345678901234568,
      1234567890123456.5,
      1e-7,
      Number('1234567890123456789e1'),
    ]));

  it('beyond any use are refused: to convert them takes seconds', () => {
    expect(() => parseJson(`{"id":${'9'.repeat(1_000_000)}}`)).toThrow(/more than 1000 digits/);
    expect(() => parseJson(`[-${'9'.repeat(1001)}]`)).toThrow(OuzelError);
    expect(parseJson(`"${'9'.repeat(1_000_000)}"`)).toHaveLength(1_000_000);
    expect(parseJson(`0.${'9'.repeat(1_000_000)}`)).toBe(1);
  });

  it('survive any neighbourhood', () => {
    const chance = random(7);
    const digit = (): string => String(Math.floor(chance() * 10));
    for (let round = 0; round < 300; round++) {
      const integers = Array.from({ length: 5 }, () => {
        const digits = Array.from({ length: 1 + Math.floor(chance() * 40) }, digit).join('');
        return (chance() < 0.5 ? '-' : '') + digits.replace(/^0+(?=\d)/, '');
      });
      const text = `[${integers.map((each) => (each === '-0' ? '0' : each)).join(',')}]`;
      expect(again(text)).toBe(text);
    }
  });
});

describe('depth', () => {
  const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels);

  it('is allowed up to the limit', () => {
    expect(again(nested(MAX_DEPTH))).toBe(nested(MAX_DEPTH));
    expect(() => parseJson(nested(MAX_DEPTH + 1))).toThrow(`nested deeper than ${MAX_DEPTH} levels`);
  });

  it('is counted for objects and lists together, and falls again', () => {
    const mixed = '{"a":['.repeat(MAX_DEPTH / 2) + ']}'.repeat(MAX_DEPTH / 2);
    expect(again(mixed)).toBe(mixed);
    expect(() => parseJson(`[${mixed}]`)).toThrow(OuzelError);
    const flat = `[${Array.from({ length: 3000 }, () => '[]').join(',')}]`;
    expect(again(flat)).toBe(flat);
  });

  it('does not count brackets in strings, escaped quotes included', () => {
    const text = JSON.stringify({ a: '['.repeat(5000), b: `"\\"${'{'.repeat(5000)}\\\\` });
    expect(again(text)).toBe(text);
  });

  it('of a megabyte of brackets is refused and does not overflow the stack', () =>
    expect(() => parseJson('['.repeat(1024 * 1024))).toThrow(/nested deeper/));
});

describe('keys that are something else in JavaScript', () => {
  const text = '{"__proto__":{"polluted":true},"constructor":{"prototype":{"polluted":true}},"toJSON":1}';

  it.each([
    ['as they are', text],
    ['beside a large integer', `{"n":1234567890123456789,${text.slice(1)}`],
  ])('stay data %s', (_name, each) => {
    const value = parseJson(each) as Record<string, unknown>;
    expect(Object.hasOwn(value, '__proto__')).toBe(true);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(stringifyJson(value)).toBe(each);
  });
});

describe('texts', () => {
  it('of a megabyte go through', () => {
    const text = JSON.stringify({ rows: Array.from({ length: 13_000 }, (_, id) => ({ id, name: 'x'.repeat(60) })) });
    expect(text.length).toBeGreaterThan(1024 * 1024);
    expect(again(text)).toBe(text);
  });

  it.each(['', ' ', '{', '{"a":}', 'hello', "{'a':1}", '[1,]', '01', '1 2', 'NaN', 'undefined', '\ufeff{}'])(
    '%j is refused',
    (text) => {
      let thrown: unknown;
      try {
        parseJson(text);
      } catch (error) {
        thrown = error;
      }
      expect(thrown).toMatchObject({ code: 'EVENT_UNDECODABLE', kind: 'rejected' });
    },
  );

  it.each(['null', 'true', '0', '"a"', '[]', '{}', '"\\u0000\\ud800"'])('%s is one', (text) =>
    expect(again(text)).toBe(text),
  );
});

describe('stringifyJson', () => {
  it('writes null for what JSON has no value for', () => {
    expect(stringifyJson(undefined)).toBe('null');
    expect(stringifyJson([undefined, Number.NaN, Number.POSITIVE_INFINITY])).toBe('[null,null,null]');
  });

  it('says what has no JSON form', () => {
    const circle: Record<string, unknown> = { n: 1n };
    circle['self'] = circle;
    expect(() => stringifyJson(circle)).toThrow(/the data has no JSON form/);
  });
});
