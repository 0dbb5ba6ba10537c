import { parse } from 'yaml';
import { expect, test } from 'vitest';
import { mergePatch } from '../../../src/http/merge-patch.ts';

/** RFC 7396, appendix A, as far as a resource can be such a value. */
const CASES: readonly (readonly [before: unknown, patch: unknown, after: unknown])[] = [
  [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
  [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
  [{ a: 'b' }, { a: null }, {}],
  [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
  [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
  [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
  [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
  [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
  [
    ['a', 'b'],
    ['c', 'd'],
    ['c', 'd'],
  ],
  [{ a: 'b' }, ['c'], ['c']],
  [{ a: 'foo' }, null, null],
  [{ a: 'foo' }, 'bar', 'bar'],
  [{ e: null }, { a: 1 }, { e: null, a: 1 }],
  [[1, 2], { a: 'b', c: null }, { a: 'b' }],
  [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
];

test.each(CASES)('%j with %j is %j', (before, patch, after) => {
  expect(parse(mergePatch(JSON.stringify(before), patch))).toEqual(after);
});

test('what a patch does not name stays as it is written', () => {
  const text = '# whose it is\nset:\n  data.a: "1" # one\n  data.b: |\n    2\nremove: [data.c]\n';
  const patched = mergePatch(text, { set: { 'data.d': '4', 'data.b': null } });
  expect(patched).toBe('# whose it is\nset:\n  data.a: "1" # one\n  data.d: "4"\nremove: [ data.c ]\n');
});

test('what an alias stands for does not change elsewhere', () => {
  const text = 'a: &x { n: 1 }\nb: *x\n';
  expect(parse(mergePatch(text, { b: { n: 2 } }))).toEqual({ a: { n: 1 }, b: { n: 2 } });
});

test('integers that no number holds come out as they went in', () => {
  expect(mergePatch('{}', [4069409330545756160n])).toBe('[4069409330545756160]');
  expect(mergePatch('a: 1\n', { b: 4069409330545756160n })).toBe('a: 1\nb: 4069409330545756160\n');
});
