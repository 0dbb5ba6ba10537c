/** Text with `{{ }}` in it. */

import { describe, expect, it } from 'vitest';
import { ExpressionError, isFault, parseTemplate } from '../../../src/expression/index.ts';
import { scopeOf } from './helpers.ts';

const DATA = {
  id: 'o-1',
  total: 1500.5,
  big: 9007199254740993n,
  items: [1, { a: null }],
  subject: 'a.b',
  flag: true,
  nothing: null,
};
const scope = scopeOf(DATA);
const bind = (source: string) => parseTemplate(source, 'event').bind(new Map([['not-test', () => true]]));

describe('text', () => {
  it.each([
    ['plain', 'plain'],
    ['', ''],
    ['orders.{{ event.data.id }}', 'orders.o-1'],
    ['{{event.data.id}}-{{ event.type }}', 'o-1-orders.created'],
    ['total {{ event.data.total }}', 'total 1500.5'],
    ['big {{ event.data.big }}', 'big 9007199254740993'],
    ['items {{ event.data.items }}', 'items [1,{"a":null}]'],
    ['at {{ event.time }} for {{ duration("90m") }}', 'at 2026-03-29T00:30:15.250Z for 5400s'],
    ['flag {{ event.data.flag }} {{ event.data.nothing }}', 'flag true null'],
    ['{{ {"a": {"b": 1}}.a.b }}!', '1!'],
    ['{{ {"a": {"b": 1}}}}!', '{"a":{"b":1}}!'],
    ['{{ "}}" }}!', '}}!'],
    ["{{ '}}' + \"'\" }}!", "}}'!"],
    ['{{ "\\"}}" }}!', '"}}!'],
    ['{{ """a "}}" b""" }}!', 'a "}}" b!'],
    ['{{ r"\\d}}" }}!', '\\d}}!'],
    ['{{ "{{" }}name}}', '{{name}}'],
    ['single { brace } and }} close', 'single { brace } and }} close'],
    ['a\n{{ event.data.id // the id }}\n }} b', 'a\no-1 b'],
    ['x{{ event.data.?phone }}y', 'xy'],
    ["{{ filters['not-test'] ? 'y' : 'n' }}!", 'y!'],
  ])('%s is %s', (source, expected) => expect(bind(source).text(scope)).toBe(expected));

  it('has a constant when nothing is in it', () => {
    expect(parseTemplate('alerts.all', 'event').constant).toBe('alerts.all');
    expect(parseTemplate('', 'event').constant).toBe('');
    expect(parseTemplate('{{ "x" }}', 'event').constant).toBeUndefined();
  });

  it('is a fault when a field is missing', () => {
    expect(bind('a {{ event.data.phone }}').text(scope)).toMatchObject({
      kind: 'missing_field',
      path: 'event.data.phone',
      offset: 5,
      length: 16,
    });
    expect(bind('a {{ event.data.phone }}').value(scope)).toMatchObject({ kind: 'missing_field' });
  });

  it('asks about every part', () => {
    const token = (value: string): boolean => /^[^.*> ]+$/.test(value);
    expect(bind('orders.{{ event.data.id }}').text(scope, token)).toBe('orders.o-1');
    const refused = bind('orders.{{ event.data.subject }}').text(scope, token);
    expect(refused).toMatchObject({
      kind: 'evaluation',
      value: 'a.b',
      message: '"a.b" is not allowed here',
      offset: 10,
    });
    expect(isFault(bind('{{ event.data.?phone }}').text(scope, token))).toBe(true);
    expect(bind('a.b.c').text(scope, token)).toBe('a.b.c');
  });
});

describe('value', () => {
  it.each([
    ['{{ event.data.total }}', 1500.5],
    ['{{event.data.items}}', [1, { a: null }]],
    ['{{ event.data.big }}', 9007199254740993n],
    ['{{ event.data.nothing }}', null],
    ['{{ event.data.?phone }}', undefined],
    ['{{ event.time }}', '2026-03-29T00:30:15.250Z'],
    ['{{ {"a": 1} }}', { a: 1 }],
    [' {{ event.data.total }}', ' 1500.5'],
    ['{{ event.data.total }}{{ event.data.id }}', '1500.5o-1'],
    ['plain', 'plain'],
  ])('%s is %s', (source, expected) => expect(bind(source).value(scope)).toEqual(expected));
});

describe('errors', () => {
  it.each<[source: string, marked: string, message: RegExp]>([
    ['a {{ event.foo }}', 'foo', /no attribute/],
    ['a {{ event.data.x > }} b', ' ', /ends/],
    ['a {{ }} b', ' ', /empty/],
    ['a {{ event.id', '{{ event.id', /not closed/],
    ['a {{ "x }} b', '{{ "x }} b', /not closed/],
    ['{{ event.id }} {{ lowr(event.id) }}', 'lowr', /unknown function/],
    ['x {{ filters.nope }}', 'filters.nope', /no filter/],
    ['x {{ filters.not-test }}', 'filters.not-test', /subtracts/],
    ['x {{ 1 +* 2 }}', '*', /found "\*"/],
  ])('%j', (source, marked, message) => {
    let error: unknown;
    try {
      bind(source);
    } catch (thrown) {
      error = thrown;
    }
    if (!(error instanceof ExpressionError)) throw new Error('not refused');
    expect(error.message).toMatch(message);
    expect(source.slice(error.offset, error.offset + error.length).trim()).toBe(marked.trim());
  });

  it('names filters with their places in the text', () => {
    expect(parseTemplate('x {{ filters.a }} {{ filters.b }}', 'event').filterNames).toEqual([
      { name: 'a', offset: 5, length: 9 },
      { name: 'b', offset: 21, length: 9 },
    ]);
  });
});
