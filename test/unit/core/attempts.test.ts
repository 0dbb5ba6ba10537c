import { describe, expect, it } from 'vitest';
import { type AttemptRecord, Attempts } from '../../../src/core/attempts.ts';
import { jsonEvent } from './helpers.ts';

const record = (used: number): AttemptRecord => ({ used, deferred: 0, firstFailedAt: 0, confirmed: [] });

describe('Attempts', () => {
  it('counts on from what was used, and by the server where nothing is known', () => {
    const attempts = new Attempts();
    const event = jsonEvent({}, { deliveries: 4 });
    expect(attempts.number(event)).toBe(4);
    attempts.put(event, record(1));
    expect(attempts.number(event)).toBe(2);
    attempts.forget(event);
    expect(attempts.number(event)).toBe(4);
  });

  it('knows an event by its place in the stream, not by the delivery', () => {
    const attempts = new Attempts();
    attempts.put(jsonEvent({}, { sequence: 7 }), record(1));
    expect(attempts.get(jsonEvent({}, { sequence: 7, deliveries: 2 }))).toEqual(record(1));
    expect(attempts.get(jsonEvent({}, { sequence: 8 }))).toBeUndefined();
  });

  it.each([
    ['millisecond', { milliseconds: 2 }],
    ['nanosecond', { nanoseconds: 1 }],
  ])('does not take another event of that number for the same (other %s): the stream was made anew', (_name, other) => {
    const attempts = new Attempts();
    const place = { sequence: 7, milliseconds: 1, nanoseconds: 0 };
    attempts.put(jsonEvent({}, place), record(1));
    expect(attempts.get(jsonEvent({}, place))).toBeDefined();
    expect(attempts.get(jsonEvent({}, { ...place, ...other }))).toBeUndefined();
  });

  it('knows the lowest sequence', () => {
    const attempts = new Attempts();
    expect(attempts.lowestSequence()).toBeUndefined();
    for (const sequence of [5, 3, 9]) attempts.put(jsonEvent({}, { sequence }), record(1));
    expect(attempts.lowestSequence()).toBe(3);
    attempts.forget(jsonEvent({}, { sequence: 3 }));
    expect(attempts.lowestSequence()).toBe(5);
  });

  it('forgets the one that was left alone longest when there are too many', () => {
    const attempts = new Attempts();
    const [first, second] = [jsonEvent({}, { sequence: 1 }), jsonEvent({}, { sequence: 2 })];
    attempts.put(first, record(1));
    attempts.put(second, record(1));
    attempts.put(first, record(2));
    const other = jsonEvent({});
    for (let sequence = 3; sequence <= 100_001; sequence++)
      attempts.put(
        Object.create(other, { position: { value: { ...other.position, sequence } } }) as typeof other,
        record(1),
      );
    expect(attempts.get(first)).toEqual(record(2));
    expect(attempts.get(second)).toBeUndefined();
  });
});
