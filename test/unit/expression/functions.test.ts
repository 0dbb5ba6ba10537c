/** The functions, and their bounds. */

import { createHash } from 'node:crypto';
import { afterEach, describe, expect, it } from 'vitest';
import { ExpressionError, configureHash } from '../../../src/expression/index.ts';
import { evaluate, fault, json } from './helpers.ts';

const answers = (cases: readonly (readonly [string, unknown])[]): void => {
  it.each(cases)('%s', (source, expected) => expect(json(source)).toEqual(expected));
};

describe('strings', () => {
  answers([
    ['"Ab".lower() + upper("Ab")', 'abAB'],
    ['" x ".trim()', 'x'],
    ['"a-b-c".replace("-", "+")', 'a+b+c'],
    ['"a-b-c".replace("-", "+", 1)', 'a+b-c'],
    ['"abc".replace("", "_")', '_a_b_c_'],
    ['replace("a$1", "a", "$&")', '$&$1'],
    ['"a,b".split(",")', ['a', 'b']],
    ['"a,b,c".split(",", 2)', ['a', 'b,c']],
    ['"abc".split("")', ['a', 'b', 'c']],
    ['["a", "b"].join("-")', 'a-b'],
    ['join([1, true, "x"])', '1truex'],
    ['"tacocat".substring(4)', 'cat'],
    ['"tacocat".substring(0, 4)', 'taco'],
    ['"x😀y".substring(1, 2)', '😀'],
    ['"x😀y".size()', 3],
    ['"x😀y".indexOf("y")', 2],
    ['"tacocat".indexOf("a", 2)', 5],
    ['"abc".indexOf("z")', -1],
    ['"abc".contains("b") && "abc".startsWith("a") && "abc".endsWith("c")', true],
    ['mask("4111111111111111", 4)', '************1111'],
    ['"secret".mask()', '******'],
    ['mask("ab", 4)', '**'],
    ['mask(12345, 2)', '***45'],
    ['"order-17".matches("^order-[0-9]+$")', true],
    ['matches("abc", "b")', true],
  ]);

  it('refuses patterns that are not RE2 at load', () => {
    expect(() => json('"aa".matches(r"(a)\\1")')).toThrow('regular expression');
    expect(() => json('event.id.matches("(?=a)")')).toThrow(/regular expression/);
    expect(() => json('event.id.matches("(")')).toThrow(expect.objectContaining({ offset: 17, length: 3 }));
  });

  it('is linear in what an event brings', () => {
    const start = performance.now();
    expect(json('event.data.s.matches("^(a+)+$")', { data: { s: `${'a'.repeat(100_000)}b` } })).toBe(false);
    expect(json('event.data.s.matches(event.data.p)', { data: { s: 'aaa', p: '^a+$' } })).toBe(true);
    expect(fault('event.data.s.matches(event.data.p)', { data: { s: 'aaa', p: '(' } }).message).toContain(
      'regular expression',
    );
    expect(fault('event.data.s.matches(event.data.p)', { data: { s: 'aaa', p: 'a'.repeat(1001) } }).message).toContain(
      'longer',
    );
    const spaces = { s: `a${' '.repeat(1_000_000)}b` };
    expect(json('event.data.s.trim().size()', { data: spaces })).toBe(1_000_002);
    const digits = { s: `${'1'.repeat(1_000_000)}x` };
    expect(fault('double(event.data.s)', { data: digits }).message).toContain('no number');
    expect(fault('int(event.data.s)', { data: digits }).message).toContain('no whole number');
    expect(fault('timestamp(event.data.s)', { data: digits }).message).toContain('RFC 3339');
    expect(fault('duration(event.data.s)', { data: digits }).message).toContain('length of time');
    expect(performance.now() - start).toBeLessThan(2000);
  });

  it('does not grow without a bound', () => {
    const data = { s: 'x'.repeat(1_000_000) };
    expect(fault('event.data.s.replace("x", "0123456789012345678901234567890123456789")', { data }).message).toContain(
      'longer',
    );
    expect(
      fault('event.data.s.split("").join("0123456789012345678901234567890123456789")', { data }).message,
    ).toContain('longer');
    const doubled = Array.from({ length: 30 }, () => 'cel.bind(s, s + s, ').join('') + 's.size()' + ')'.repeat(30);
    expect(fault(`cel.bind(s, event.data.s, ${doubled})`, { data }).message).toContain('longer');
  });
});

describe('numbers and lists', () => {
  answers([
    ['abs(-2) + (-3).abs()', 5],
    ['round(2.5)', 3],
    ['round(-2.5)', -3],
    ['round(1.005, 2)', 1.01],
    ['round(1234.5678, 1)', 1234.6],
    ['round(1e-10, 2)', 0],
    ['round(1e300, 2)', 1e300],
    ['min(3, 1, 2)', 1],
    ['max([3, 1.5])', 3],
    ['min("b", "a")', 'a'],
    ['[3, 1].min()', 1],
    ['max(timestamp("2026-01-01T00:00:00Z"), event.time)', '2026-03-29T00:30:15.250Z'],
    ['sum([1, 2.5])', 3.5],
    ['[].sum()', 0],
    ['[duration("1s"), duration("2m")].sum()', '121s'],
    ['size([1, 2]) + size({"a": 1}) + size(b"abc")', 6],
    ['[1] + [2]', [1, 2]],
  ]);

  it('refuses what does not fit', () => {
    expect(fault('min(event.data.l)', { data: { l: [] } }).message).toContain('empty');
    expect(fault('max(1, event.id)').message).toContain('cannot compare');
    expect(fault('sum([1, event.id])')).toMatchObject({ kind: 'evaluation', value: 'e-1' });
    expect(fault('round(event.id)').message).toBe('round() takes a number, not a string');
    expect(fault('round(1.5, event.data.d)', { data: { d: 99 } }).message).toContain('digits');
  });
});

describe('conversions', () => {
  answers([
    ['int(3.99)', 3],
    ['int(-3.99)', -3],
    ['int("42")', 42],
    ['int("9007199254740993")', 9007199254740993n],
    ['int(event.time)', 1774744215],
    ['double("1.5")', 1.5],
    ['double("-1e3")', -1000],
    ['string(1.0)', '1'],
    ['string(1.5)', '1.5'],
    ['string(true)', 'true'],
    ['string(event.time)', '2026-03-29T00:30:15.250Z'],
    ['string(duration("90m"))', '5400s'],
    ['string(b"caf\\303\\251")', 'café'],
    ['bytes("é")', 'w6k='],
    ['bool("true") && !bool("0")', true],
    ['timestamp(1774744215)', '2026-03-29T00:30:15Z'],
    ['timestamp("2026-03-29T02:30:15.25+02:00")', '2026-03-29T00:30:15.250Z'],
    ['duration("1h30m")', '5400s'],
    ['duration("-1.5s")', '-1.5s'],
    ['duration("250ms")', '0.25s'],
    ['duration("7d")', '604800s'],
    ['type(1.5)', 'double'],
    ['dyn(1)', 1],
  ]);

  it.each([
    'int("1.5")',
    'int("x")',
    'int(1e30)',
    'uint(-1)',
    'double("NaN")',
    'double("1e999")',
    'bool("yes")',
    'string(b"\\xff")',
    'timestamp("2026-02-30T00:00:00Z")',
    'timestamp("yesterday")',
    'duration("1 hour")',
    'duration("")',
  ])('%s is refused', (source) => expect(() => evaluate(source)).toThrow(ExpressionError));
});

describe('times', () => {
  answers([
    ['event.time.getFullYear()', 2026],
    ['event.time.getMonth()', 2],
    ['event.time.getDate()', 29],
    ['event.time.getDayOfMonth()', 28],
    ['event.time.getDayOfWeek()', 0],
    ['event.time.getDayOfYear()', 87],
    ['event.time.getHours()', 0],
    ['event.time.getHours("Europe/Berlin")', 1],
    ['(event.time + duration("1h")).getHours("Europe/Berlin")', 3],
    ['event.time.getHours("-05:30")', 19],
    ['event.time.getMilliseconds()', 250],
    ['duration("90m").getHours()', 1],
    ['duration("90m").getMinutes()', 90],
    ['event.time + duration("1d")', '2026-03-30T00:30:15.250Z'],
    ['event.time - timestamp("2026-03-29T00:00:00Z")', '1815.25s'],
    ['event.time.format("%F %T.%L")', '2026-03-29 00:30:15.250'],
    ['format(event.time, "%d.%m.%Y %H:%M %z", "Europe/Berlin")', '29.03.2026 01:30 +0100'],
    ['format(event.time, "%a %e %b %y, %I:%M %p")', 'Sun 29 Mar 26, 12:30 AM'],
    ['format(event.time, "%G-W%V-%u %j %s %%")', '2026-W13-7 088 1774744215 %'],
    ['format(event.time, "%:z", "+05:30")', '+05:30'],
    ['format(timestamp("2027-01-01T00:00:00Z"), "%G-W%V")', '2026-W53'],
  ]);

  it('refuses what does not fit', () => {
    expect(() => evaluate('event.time.format("%Q")')).toThrow('%Q');
    expect(fault('event.time.getHours(event.id)').message).toContain('no time zone');
    expect(fault('event.id.getHours()').message).toContain('takes a timestamp');
    expect(fault('event.time + duration("1s") * 2').message).toContain('does not take');
  });

  it('takes a time that is none for a string', () => {
    expect(json('event.time', { event: { time: 'noon' } })).toBe('noon');
    expect(fault('event.time > now', { event: { time: 'noon' } }).message).toContain('cannot compare');
  });
});

describe('hash and uuid', () => {
  afterEach(() => configureHash((text) => createHash('sha256').update(text).digest('hex')));

  it('hashes what equals to the same', () => {
    configureHash((text) => createHash('sha256').update(text).digest('hex'));
    expect(json('hash("abc")')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
    expect(json('hash({"a": 1, "b": [2]}) == hash({"b": [2.0], "a": 1.0})')).toBe(true);
    expect(json('event.data.x.hash() == hash({"b": 1, "a": 2})', { data: { x: { a: 2, b: 1 } } })).toBe(true);
  });

  it('makes another uuid each time', () => {
    expect(json('uuid()')).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4/);
    expect(json('uuid() == uuid()')).toBe(false);
  });
});
