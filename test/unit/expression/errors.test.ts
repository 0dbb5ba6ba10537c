/** What is refused at load: where it stands, and what to do. */

import { describe, expect, it } from 'vitest';
import { ExpressionError, parseExpression } from '../../../src/expression/index.ts';

function refused(source: string, filters: readonly string[] = []): ExpressionError {
  try {
    parseExpression(source, 'event').bind(new Map(filters.map((name) => [name, () => true])));
  } catch (error) {
    if (error instanceof ExpressionError) return error;
    throw error;
  }
  throw new Error(`${source} is not refused`);
}

describe('an expression that cannot be used', () => {
  it.each<[source: string, marked: string, message: RegExp, hint?: RegExp]>([
    ['', '', /empty/],
    ['   ', '   ', /empty/],
    ['event.data.total >', '', /ends where a value is expected/],
    ['event.data.total > > 5', '>', /expected a value, found ">"/],
    ['(event.data.total', '', /expected "\)", but the expression ends here/],
    ['event.data.total)', ')', /unexpected "\)"/],
    ['event.data.total = 5', '=', /unexpected "="/, /`==`/],
    ['event.data.total === 5', '=', /unexpected "="/, /`==`/],
    ['a and b', 'and', /unexpected "and"/, /&&/],
    ['event.data.a & event.data.b', '&', /unexpected "&"/, /&&/],
    ['event.data.a | event.data.b', '|', /unexpected "\|"/, /\|\|/],
    ['"abc', '"abc', /unterminated string/],
    ['event.id == “x”', '“', /unexpected/, /'…'/],
    ['"\\q"', '\\q', /invalid escape/, /\\\\/],
    ['[1, 2', '', /expected "\]"/],
    ['{"a" 1}', '1', /expected ":"/],
    ['event.data.in', 'in', /expected a name, found "in"/, /\["in"\]/],
    ['event.data.true', 'true', /expected a name/, /\["true"\]/],
    ['{{ event.id }}', '}', /expected ":"/, /only text fields/i],
    ['${HOME}', '$', /unexpected "\$"/],
    ['1 +', '', /ends/],
    ['event.data.total > 1e', 'e', /unexpected "e"/],
    ['if', 'if', /reserved/],
    ['x ? 1', '', /expected ":"/],
    ['[1].map(a.b, a)', 'b', /variable/],
    ['[1].map(1, 2)', '1', /variable/],
    ['event.foo', 'foo', /no attribute "foo"/, /event\.data\.foo/],
    ['event.tpye == "x"', 'tpye', /no attribute/, /event\.type/],
    ['event["foo"]', '"foo"', /no attribute/],
    ['event.?foo', 'foo', /no attribute/],
    ['msg.sequence', 'sequence', /no attribute/, /seq/],
    ['evnt.id', 'evnt', /unknown variable/, /"event"/],
    ['total > 5', 'total', /unknown variable "total"/, /event\.data\.total/],
    ['paid == event.id', 'paid', /unknown variable/, /in quotes/],
    ['state.x', 'state', /unknown variable/],
    ['error.status', 'error', /there is no "error" here/],
    ['lowr("x")', 'lowr', /unknown function/, /"lower"/],
    ['event.id.startWith("x")', 'startWith', /unknown function/, /"startsWith"/],
    ['event.id.foo()', 'foo', /unknown function "foo"/],
    ['size()', 'size', /takes 1 argument, not 0/],
    ['"a".lower(1)', 'lower', /takes no arguments, not 1/],
    ['startsWith("a", "b")', 'startsWith', /called on a value/],
    ['event.id.int()', 'int', /not called on a value/, /int\(…\)/],
    ['has(1)', '1', /takes a field/],
    ['has(event)', 'event', /takes a field/],
    ['has()', 'has', /used differently/, /has\(/],
    ['[1].all(x)', 'all', /used differently/],
    ['event.id.matches("(")', '"("', /regular expression/],
    ['filters', 'filters', /filters\.<name>/],
    ['filters[event.id]', 'filters[event.id]', /written out/],
    ['filters.not-test', 'filters.not-test', /subtracts/, /filters\['not-test'\]/],
    ['event.id == "x" && !filters.not-test', 'filters.not-test', /subtracts/, /filters\['not-test'\]/],
    ['filters.not-in-eu', 'in', /found "in"/, /filters\['not-in-eu'\]/],
    ['filters.a-b-c && true', 'filters.a-b-c', /subtracts/, /filters\['a-b-c'\]/],
    ['filters.bg', 'filters.bg', /there is no filter "bg"/, /filters\.big/],
    ["filters['is-tset']", "filters['is-tset']", /there is no filter/, /filters\['is-test'\]/],
    ['1 / 0', '1 / 0', /division by zero/],
    ['"a" + 1', '"a" + 1', /does not take a string and a number/],
    ['timestamp("noon")', 'timestamp("noon")', /RFC 3339/],
  ])('%s', (source, marked, message, hint) => {
    const error = refused(source, ['big', 'is-test']);
    expect(error.message).toMatch(message);
    expect(source.slice(error.offset, error.offset + error.length)).toBe(marked);
    if (hint) expect(error.hint).toMatch(hint);
  });

  it('is not deep or long without a bound', () => {
    expect(refused('('.repeat(2000) + '1' + ')'.repeat(2000)).message).toContain('nested');
    expect(refused('!'.repeat(9000) + 'true').message).toContain('nested');
    expect(refused('-'.repeat(9000) + '1').message).toMatch(/nested|large/);
    expect(refused('['.repeat(3000)).message).toContain('nested');
    expect(refused(`event.data${'.a'.repeat(2000)}`).message).toContain('nested');
    expect(refused(Array.from({ length: 1000 }, () => '1').join('+')).message).toContain('nested');
    expect(refused(`"${'x'.repeat(10_000)}"`).message).toContain('longer than 10000');
    expect(refused(`[${Array.from({ length: 1500 }, () => '1').join(',')}]`).message).toContain('too large');
  });

  it('may have many clauses', () => {
    const source = Array.from({ length: 300 }, (_, index) => `event.id != "${index}"`).join(' && ');
    const { ast } = parseExpression(source, 'event');
    expect(ast.kind === 'and' && ast.clauses.length).toBe(300);
  });
});

describe('filter names', () => {
  it('are those referred to, with their places', () => {
    const { filterNames } = parseExpression("filters.big && !filters['not-test']", 'event');
    expect(filterNames).toEqual([
      { name: 'big', offset: 0, length: 11 },
      { name: 'not-test', offset: 16, length: 19 },
    ]);
  });
});
