import { describe, expect, it } from 'vitest';
import { compileSchema, type Dialect } from '../../../src/contracts/validate.ts';

const NEWEST: Dialect = 'https://json-schema.org/draft/2020-12/schema';
const SEVEN: Dialect = 'http://json-schema.org/draft-07/schema';

const compile = (schema: object, dialect: Dialect = NEWEST) =>
  compileSchema({ dialect, root: { uri: 'file:///schema', schema }, others: new Map() });

const problems = (schema: object, data: unknown, size = 10): string[] =>
  (compile(schema)(data, size) ?? []).map(({ pointer, message }) => `${pointer} ${message}`);

describe('a schema', () => {
  it('names what is wrong by JSON pointers, and no value', () => {
    const schema = {
      type: 'object',
      required: ['id'],
      properties: { n: { type: 'number', maximum: 3 }, kind: { const: 'a' }, list: { items: { pattern: '^x' } } },
      additionalProperties: false,
    };
    const all = problems(schema, { n: 123_456, kind: 'secret', list: ['x', 'secret'], 'a/b~c\n': 'secret' });
    expect(all.toSorted()).toEqual([
      '/a~1b~0c· is not known',
      '/id is missing',
      '/kind must be equal to constant',
      '/list/1 must match pattern "^x"',
      '/n must be <= 3',
    ]);
  });

  it('tells the first few, and of a large event the first', () => {
    const schema = { items: { type: 'number' } };
    const data = Array.from({ length: 10_000 }, () => 'x');
    expect(problems(schema, data)).toHaveLength(5);
    expect(problems(schema, data, 1_000_000)).toEqual(['/0 must be number']);
    expect(problems({ additionalProperties: false }, { ['k'.repeat(10_000)]: 1 })[0]?.length).toBeLessThan(200);
  });

  it('takes integers beyond a number for what they are', () => {
    const schema = { properties: { id: { type: 'integer', minimum: 1 } } };
    expect(problems(schema, { id: 9_223_372_036_854_775_807n })).toEqual([]);
    expect(problems(schema, { id: -9_223_372_036_854_775_807n })).toEqual(['/id must be >= 1']);
    expect(problems({ maximum: 10 }, 9_223_372_036_854_775_807n)).toEqual([' must be <= 10']);
  });

  it('is not led astray by names that every object has', () => {
    expect(problems({ required: ['constructor'] }, {})).toEqual(['/constructor is missing']);
    const data = JSON.parse('{"__proto__": 1}') as unknown;
    expect(problems({ additionalProperties: false }, data)).toEqual(['/__proto__ is not known']);
  });

  it('refuses patterns that are not linear-time, and is done at once with those that would not be', () => {
    expect(() => compile({ pattern: '(?=a)b' })).toThrow('no regular expression');
    expect(problems({ pattern: '^(a+)+$' }, `${'a'.repeat(100_000)}!`)).toHaveLength(1);
    expect(problems({ format: 'email' }, `${'a'.repeat(100_000)}@`)).toHaveLength(1);
    expect(problems({ format: 'byte' }, 'QUJD'.repeat(10_000))).toEqual([]);
  });

  it('finds an item that stands twice in a long list', () => {
    const items = Array.from({ length: 50_000 }, (_, n) => ({ n, a: [n] }));
    const schema = { uniqueItems: true };
    expect(problems(schema, items)).toEqual([]);
    expect(problems(schema, [...items, { a: [7], n: 7 }])).toEqual([' must not have the same item twice']);
    expect(problems(schema, [1, '1', [1], null, { 0: 1 }])).toEqual([]);
  });

  it('reads both dialects', () => {
    const tuple = { items: [{ type: 'number' }], additionalItems: false };
    expect(compile(tuple, SEVEN)([1, 2], 1)).toHaveLength(1);
    expect(compile({ prefixItems: [{ type: 'number' }], items: false })([1, 2], 1)).toHaveLength(1);
    expect(compile({ prefixItems: [{ type: 'number' }] }, SEVEN)(['x'], 1)).toBeUndefined();
  });
});
