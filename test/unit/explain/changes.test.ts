import { expect, it } from 'vitest';
import { changesBetween, type EventState } from '../../../src/explain/changes.ts';

const state = (data: unknown, more: Partial<EventState> = {}): EventState => ({
  type: 'a',
  source: 's',
  subject: undefined,
  datacontenttype: undefined,
  dataschema: undefined,
  ext: {},
  data,
  ...more,
});

const diff = (before: unknown, after: unknown): string[] =>
  changesBetween(state(before), state(after)).map(
    ({ op, path, before: from, after: to }) =>
      `${{ add: '+', remove: '-', change: '~' }[op]} ${path} ${[from, to]
        .filter((each) => each !== undefined)
        .map((each) => JSON.stringify(each))
        .join(' → ')}`,
  );

it.each<[before: unknown, after: unknown, changes: string[]]>([
  [{ a: 1 }, { a: 1 }, []],
  [{ a: 1 }, { a: 1, b: { c: [2] } }, ['+ data.b {"c":[2]}']],
  [{ a: { b: 1, c: 2 } }, { a: { b: 3 } }, ['~ data.a.b 1 → 3', '- data.a.c 2']],
  [{ l: [1, 2, 3] }, { l: [1, 3] }, ['~ data.l[1] 2 → 3', '- data.l[2] 3']],
  [{ a: null }, { a: {} }, ['~ data.a null → {}']],
  [{ a: [1] }, { a: { 0: 1 } }, ['~ data.a [1] → {"0":1}']],
  [{ 'unit price': 1 }, { 'unit price': 2 }, ['~ data["unit price"] 1 → 2']],
  ['text', 'other', ['~ data "text" → "other"']],
  [{ n: Number.NaN }, { n: Number.NaN }, []],
  [JSON.parse('{"__proto__": 1}'), {}, ['- data["__proto__"] 1'.replace('["__proto__"]', '.__proto__')]],
])('%j → %j', (before, after, changes) => {
  expect(diff(before, after)).toEqual(changes);
});

it('sees attributes and extensions', () => {
  const changes = changesBetween(state({}), state({}, { type: 'b', subject: 'x', ext: { tenant: 't' } }));
  expect(changes.map(({ op, path }) => `${op} ${path}`)).toEqual(['change type', 'add subject', 'add ext.tenant']);
});

it('compares bytes by what they are', () => {
  const bytes = (value: number) => new Uint8Array([value]);
  expect(changesBetween(state(bytes(1)), state(bytes(1)))).toEqual([]);
  expect(changesBetween(state(bytes(1)), state(bytes(2)))).toHaveLength(1);
});
