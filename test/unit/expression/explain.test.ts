import { expect, it } from 'vitest';
import { type Clause, explainExpression } from '../../../src/expression/explain.ts';
import { parseExpression } from '../../../src/expression/index.ts';
import { bindFilters, expressionsOf } from '../../../src/reconcile/filters.ts';
import { parse } from '../config/helpers.ts';
import { scopeOf } from './helpers.ts';

const { config } = parse(`
version: 1
filters:
  big: event.data.total > 1000
  gold: filters.big && event.data.vip == true
`);
const NAMED = { bound: bindFilters(config), sources: expressionsOf(config) };

const explain = (source: string, data: unknown): Clause =>
  explainExpression(parseExpression(source, 'event'), NAMED, scopeOf(data));

/** `✓ text [read=value …] (…clauses)`, with `*` in front of what decides. */
function brief({ text, kind, value, fault, decisive, reads, clauses }: Clause): string {
  const mark =
    fault === undefined ? (value === true ? '✓' : value === false ? '✗' : JSON.stringify(value)) : fault.kind;
  const read = reads.map((each) => `${each.text}=${each.fault?.kind ?? JSON.stringify(each.value)}`);
  const name = kind === 'all' || kind === 'any' ? kind : text;
  return [
    `${decisive ? '*' : ''}${mark} ${name}`,
    ...(read.length > 0 ? [`[${read.join(' ')}]`] : []),
    ...(clauses.length > 0 ? [`(${clauses.map(brief).join(', ')})`] : []),
  ].join(' ');
}

it.each<[source: string, data: unknown, brief: string]>([
  ['event.data.total > 1000', { total: 1500 }, '*✓ event.data.total > 1000 [event.data.total=1500]'],
  ['event.data.total > 1000', {}, '*missing_field event.data.total > 1000 [event.data.total=missing_field]'],
  [
    'event.data.a && event.data.b',
    { a: true, b: false },
    '*✗ all (✓ event.data.a [event.data.a=true], *✗ event.data.b [event.data.b=false])',
  ],
  // A false clause decides, whichever side a missing field is on.
  [
    'event.data.nope > 1 && event.data.b',
    { b: false },
    '*✗ all (missing_field event.data.nope > 1 [event.data.nope=missing_field], *✗ event.data.b [event.data.b=false])',
  ],
  [
    'event.data.a || event.data.nope > 1',
    { a: false },
    '*missing_field any (✗ event.data.a [event.data.a=false], *missing_field event.data.nope > 1 [event.data.nope=missing_field])',
  ],
  [
    'filters.gold',
    { total: 1500, vip: false },
    '*✗ filters.gold (*✗ all (✓ filters.big (*✓ event.data.total > 1000 [event.data.total=1500]), *✗ event.data.vip == true [event.data.vip=false]))',
  ],
  [
    "!filters['big']",
    { total: 1 },
    "*✓ !filters['big'] (*✗ filters['big'] (*✗ event.data.total > 1000 [event.data.total=1]))",
  ],
  ['!has(event.data.a.b)', {}, '*✓ !has(event.data.a.b) [event.data.a.b=missing_field]'],
  [
    'event.data.vip ? event.data.total > 1 : false',
    { vip: true, total: 5 },
    '*✓ event.data.vip ? event.data.total > 1 : false (*✓ event.data.vip [event.data.vip=true], *✓ event.data.total > 1 [event.data.total=5])',
  ],
  // What a loop's variable is part of has no value outside of the loop.
  [
    'event.data.items.exists(i, i.n > event.data.least && event.data.by[i.n] == 1)',
    { items: [{ n: 3 }], least: 2, by: {} },
    '*missing_field event.data.items.exists(i, i.n > event.data.least && event.data.by[i.n] == 1) [event.data.items=[{"n":3}] event.data.least=2]',
  ],
  [
    'event.data.total / event.data.zero > 1',
    { total: 1, zero: 0 },
    '*evaluation event.data.total / event.data.zero > 1 [event.data.total=1 event.data.zero=0]',
  ],
  ['event.data.total', { total: 5 }, '*5 event.data.total [event.data.total=5]'],
  ["msg.headers['X-A'] == 'b'", {}, "*missing_field msg.headers['X-A'] == 'b' [msg.headers['X-A']=missing_field]"],
  ['type(event.data.total) == int', { total: 5 }, '*✓ type(event.data.total) == int [event.data.total=5]'],
])('%s on %j', (source, data, expected) => {
  expect(brief(explain(source, data))).toBe(expected);
});

it('gives a fault its place and the value that did not fit', () => {
  const clause = explain('event.data.name + 1 > 2', { name: 'x' });
  expect(clause.fault).toMatchObject({ kind: 'evaluation', offset: 0, length: 19 });
  expect(clause.fault).toHaveProperty('value');
});

it('answers for data that cannot be read', () => {
  const unreadable = {
    ...scopeOf({}),
    event: {
      ...scopeOf({}).event,
      get data(): unknown {
        throw new Error('not JSON');
      },
    },
  };
  const clause = explainExpression(parseExpression('event.data.x > 1 || event.id == "1"', 'event'), NAMED, unreadable);
  expect(clause.clauses[0]?.fault).toMatchObject({ kind: 'evaluation', message: 'not JSON' });
});
