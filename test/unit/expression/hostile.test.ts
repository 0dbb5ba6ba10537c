/** What a producer may send to do harm. */

import { describe, expect, it } from 'vitest';
import {
  configureHash,
  isFault,
  parseExpression,
  parseTemplate,
  toJson,
  toText,
} from '../../../src/expression/index.ts';
import { evaluate, fault, json, scopeOf } from './helpers.ts';

const HOSTILE: unknown = JSON.parse(
  '{"__proto__": {"polluted": 1}, "constructor": "c", "toString": 7, "hasOwnProperty": false, "length": 3, "0": "zero", "valueOf": null}',
);

describe('names of JavaScript', () => {
  it.each([
    'constructor',
    '__proto__',
    'toString',
    'hasOwnProperty',
    'valueOf',
    'prototype',
    '__defineGetter__',
    'isPrototypeOf',
  ])('%s is no field of an object that has not got it', (name) => {
    expect(fault(`event.data.${name}`, { data: {} }).path).toBe(`event.data.${name}`);
    expect(fault(`event.data.x.${name}`, { data: { x: [] } }).kind).toBe('missing_field');
    expect(fault(`event.data["${name}"].x`, { data: {} }).kind).toBe('missing_field');
    expect(evaluate(`has(event.data.${name})`, { data: {} })).toBe(false);
    expect(evaluate(`"${name}" in event.data`, { data: {} })).toBe(false);
    expect(evaluate(`event.data.?${name}.hasValue()`, { data: {} })).toBe(false);
    expect(evaluate(`{"a": 1}[?"${name}"].hasValue()`)).toBe(false);
  });

  it.each(['length', 'map', 'push', 'size', 'byteLength', 'buffer', 'at', '0'])(
    '%s is no field of a list, a string, bytes or a map',
    (name) => {
      for (const data of [[1, 2], 'text', new Uint8Array(3), {}]) {
        expect(fault(`event.data["${name}"]`, { data }).kind).toBe('missing_field');
      }
      expect(fault(`event.data.x.y["${name}"]`, { data: { x: { y: [1] } } }).kind).toBe('missing_field');
      expect(fault(`event.time["${name}"]`).kind).toBe('missing_field');
      expect(fault(`cel.bind(m, {"a": event.id}, m["${name}"])`).kind).toBe('missing_field');
    },
  );

  it.each(['seconds', 'nanos', 'celType', 'millis'])("%s of a timestamp is nobody's business", (name) => {
    expect(fault(`event.time.${name}`).kind).toBe('missing_field');
  });

  it('are data when they are data', () => {
    expect(json('event.data.constructor', { data: HOSTILE })).toBe('c');
    expect(json('event.data.toString', { data: HOSTILE })).toBe(7);
    expect(json('event.data.length', { data: HOSTILE })).toBe(3);
    expect(json('event.data["0"]', { data: HOSTILE })).toBe('zero');
    expect(json('event.data["__proto__"].polluted', { data: HOSTILE })).toBe(1);
    expect(json('event.data.hasOwnProperty == false', { data: HOSTILE })).toBe(true);
    expect(json('event.data == event.data', { data: HOSTILE })).toBe(true);
    expect(json('event.data.map(k, k).size()', { data: HOSTILE })).toBe(7);
  });

  it('are never written through', () => {
    const made = json('{"__proto__": {"polluted": true}, "constructor": 1, "t": event.time}');
    expect(Object.getPrototypeOf(made)).toBe(Object.prototype);
    expect(Object.keys(made as object)).toContain('__proto__');
    expect(JSON.stringify(made)).toContain('"__proto__":{"polluted":true}');
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    const copied = toJson([new Map([['__proto__', 1]]), HOSTILE]);
    expect(JSON.stringify(copied)).toContain('"__proto__":1');
  });
});

describe('sizes', () => {
  let deep: unknown = 1;
  for (let index = 0; index < 900; index++) deep = index % 2 ? [deep] : { a: deep };

  it('are those of the decoder, and evaluated', () => {
    expect(json('event.data.x == event.data.y', { data: { x: deep, y: structuredClone(deep) } })).toBe(true);
    expect(toText(deep)).toHaveLength(JSON.stringify(deep).length);
    expect(parseTemplate('x {{ event.data }}', 'event').bind(new Map()).text(scopeOf(deep))).toContain('x [{');
  });

  it('beyond that are a fault, not a crash', () => {
    let deeper: unknown = 1;
    for (let index = 0; index < 20_000; index++) deeper = [deeper];
    let other: unknown = 2;
    for (let index = 0; index < 20_000; index++) other = [other];
    expect(fault('event.data.x == event.data.y', { data: { x: deeper, y: other } }).message).toContain(
      'nested too deep',
    );
    expect(fault('event.data.x in [event.data.y]', { data: { x: deeper, y: other } }).message).toContain(
      'nested too deep',
    );
    configureHash((hashed) => hashed);
    expect(fault('hash(event.data.x)', { data: { x: deeper } }).message).toContain('nested too deep');
    const text = parseTemplate('x {{ event.data.x }}', 'event')
      .bind(new Map())
      .text(scopeOf({ x: deeper }));
    expect(isFault(text)).toBe(true);
  });

  it('of strings are no matter', () => {
    const data = { s: 'é'.repeat(1_000_000) };
    expect(json('event.data.s.size()', { data })).toBe(1_000_000);
    expect(json('event.data.s == event.data.s + ""', { data })).toBe(true);
    expect(json('mask(event.data.s, 2).endsWith("*éé")', { data })).toBe(true);
  });
});

it('evaluates everything without throwing, whatever the data', () => {
  const values: readonly unknown[] = [
    null,
    true,
    0,
    -0,
    1e308,
    Infinity,
    5,
    -1.5,
    1n << 70n,
    -(1n << 2000n),
    '',
    'x',
    '\ud800',
    '__proto__',
    [],
    [1, 'a', null],
    {},
    HOSTILE,
    new Uint8Array([255, 0]),
    [[[]]],
    { a: { b: [] } },
  ];
  const sources = [
    ...['+', '-', '*', '/', '%', '<', '<=', '>', '>=', '==', '!=', 'in', '&&', '||'].map(
      (operator) => `event.data.a ${operator} event.data.b`,
    ),
    ...[
      'int',
      'uint',
      'double',
      'string',
      'bool',
      'bytes',
      'timestamp',
      'duration',
      'type',
      'dyn',
      'size',
      'lower',
      'trim',
      'abs',
      'round',
      'sum',
      'min',
      'max',
      'mask',
      'join',
    ].map((name) => `${name}(event.data.a)`),
    ...[
      'contains',
      'startsWith',
      'matches',
      'split',
      'indexOf',
      'substring',
      'mask',
      'join',
      'round',
      'getHours',
      'format',
      'min',
      'orValue',
      'or',
    ].map((name) => `event.data.a.${name}(event.data.b)`),
    'event.data.a[event.data.b]',
    'event.data.a[?event.data.b]',
    '{event.data.a: event.data.b}',
    '[event.data.a, event.data.b]',
    'event.data.a ? event.data.b : 1',
    '-event.data.a',
    '!event.data.a',
    'event.data.a.x.y',
    'event.data.a.?x.y',
    'has(event.data.a.x)',
    'event.data.a.map(x, event.data.b)',
    'event.data.a.all(x, x)',
    'event.data.a.filter(x, x == event.data.b)',
    'timestamp(event.data.a) + duration(event.data.b)',
    'event.data.a.replace(event.data.b, event.data.b)',
    'event.data.a.transformMap(k, v, event.data.b)',
    'optional.ofNonZeroValue(event.data.a)',
  ];
  for (const source of sources) {
    const run = parseExpression(source, 'event').bind(new Map());
    for (const a of values) {
      for (const b of values) {
        const answer = run(scopeOf({ a, b }));
        expect(answer).not.toBeUndefined();
        if (isFault(answer)) continue;
        toText(answer);
        const jsonValue = toJson(answer);
        if (typeof jsonValue === 'number') expect(Number.isFinite(jsonValue)).toBe(true);
      }
    }
  }
});
