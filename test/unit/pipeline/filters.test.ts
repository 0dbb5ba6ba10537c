import { describe, expect, it } from 'vitest';
import { parseExpression } from '../../../src/expression/index.ts';
import { condition, faultError } from '../../../src/pipeline/faults.ts';
import { eventOf, Gate, harness, jsonEvent } from '../core/helpers.ts';
import { pass } from './helpers.ts';

describe('filter', () => {
  it.each<[expression: string, data: unknown, reason: string | undefined]>([
    ['event.data.total > 1000', { total: 1500 }, undefined],
    ['event.data.total > 1000', { total: 5 }, 'stage'],
    ['event.data.total > 1000', {}, 'missing_field'],
    ['event.data.a.b.c == 1', { a: {} }, 'missing_field'],
    ['event.type == "orders.created"', {}, undefined],
    ['true', {}, undefined],
    ['false', {}, 'stage'],
  ])('%s of %j: %s', (expression, data, reason) => {
    const { verdict, outcomes, missing, event } = pass('filter', expression, jsonEvent(data));
    expect(verdict).toBe(reason === undefined ? undefined : outcomes.get(reason));
    expect(missing).toHaveLength(reason === 'missing_field' ? 1 : 0);
    expect(event.body()).toBe(event.carrier.body);
  });

  it.each([
    ['event.data.total', { total: 'much' }, /is string, not true or false/],
    ['event.data.total / 0 > 1', { total: 5 }, /EVENT_EXPRESSION|zero/],
    ['event.data.total > "a"', { total: 5 }, /total/],
  ])('%s of %j fails the event', (expression, data, message) =>
    expect(() => pass('filter', expression, jsonEvent(data))).toThrow(message),
  );

  it('fails the event whose data cannot be read', () =>
    expect(() => pass('filter', 'event.data.a == 1', eventOf('hello'))).toThrow(
      expect.objectContaining({ code: 'EVENT_UNDECODABLE' }) as Error,
    ));

  it('does not read data that it does not need', () =>
    expect(pass('filter', 'event.type != ""', eventOf('hello')).verdict).toBeUndefined());
});

describe('condition', () => {
  const holds = (source: string, data: unknown, missing: string[] = []): boolean => {
    const expression = parseExpression(source, 'event');
    const run = harness({ steps: [new Gate()] }).receive(jsonEvent(data));
    return condition(expression.bind(new Map()), expression, (path) => missing.push(path))(run);
  };

  it('is true or false, and false where a field is missing, which is counted', () => {
    const missing: string[] = [];
    expect(holds('event.data.a == 1', { a: 1 }, missing)).toBe(true);
    expect(holds('event.data.a == 1', { a: 2 }, missing)).toBe(false);
    expect(missing).toEqual([]);
    expect(holds('event.data.a == 1', {}, missing)).toBe(false);
    expect(missing).toEqual(['event.data.a']);
  });

  it('is an error otherwise, with the expression and the value', () => {
    expect(() => holds('event.data.a', { a: 'text' })).toThrow('`event.data.a` is "text", not true or false');
    expect(() => holds('event.data.a', { a: 'x'.repeat(200) })).toThrow(/…, not true or false/);
    expect(() => holds('1 / event.data.a == 1', { a: 0 })).toThrow(
      expect.objectContaining({ code: 'EVENT_EXPRESSION' }) as Error,
    );
  });
});

describe('faultError', () => {
  it('has the place, the expression and the value', () => {
    const expression = parseExpression('event.data.a + 1', 'event');
    expression.place = { file: 'ouzel.yaml', line: 3, column: 7 };
    const run = harness({ steps: [new Gate()] }).receive(jsonEvent({ a: 'text' }));
    const error = faultError(expression.bind(new Map())(run) as never, expression);
    expect(error).toMatchObject({ code: 'EVENT_EXPRESSION', place: { file: 'ouzel.yaml', line: 3, column: 7 } });
    expect(error.message).toContain('`event.data.a + 1`');
  });
});
