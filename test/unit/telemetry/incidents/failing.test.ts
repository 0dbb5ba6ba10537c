import { describe, expect, it } from 'vitest';
import { FailingConsumer } from '../../../../src/telemetry/incidents/failing.ts';
import { random } from '../../core/helpers.ts';

const SETTINGS = { errors: 3, within: 1000 };

describe('a consumer', () => {
  it('is failing with the last of so many failures within the time, once', () => {
    const consumer = new FailingConsumer(SETTINGS);
    expect(consumer.failed(100, false, true)).toBeUndefined();
    expect(consumer.failed(600, true, true)).toBeUndefined();
    expect(consumer.failed(1100, false, true)).toEqual({ since: 100, errors: 3, deadLettered: 1 });
    expect(consumer.failing).toBe(true);
    for (let now = 1101; now < 1200; now++) expect(consumer.failed(now, true, true)).toBeUndefined();
  });

  it('is not failing when they lie further apart', () => {
    const consumer = new FailingConsumer(SETTINGS);
    for (let now = 0; now < 100_000; now += 501) expect(consumer.failed(now, true, true)).toBeUndefined();
    expect(consumer.failing).toBe(false);
  });

  it('recovers when fewer are within the time and events are handled again, once, with what came of it', () => {
    const consumer = new FailingConsumer(SETTINGS);
    for (const now of [0, 10, 20, 30, 40]) consumer.failed(now, now === 40, true);
    expect(consumer.handled(50, true)).toBeUndefined();
    expect(consumer.look(1020)).toBeUndefined();
    expect(consumer.look(1021)).toEqual({ since: 0, errors: 5, deadLettered: 1 });
    expect(consumer.failing).toBe(false);
    expect(consumer.look(5000)).toBeUndefined();
    expect(consumer.handled(5000, true)).toBeUndefined();
  });

  it('does not recover by silence, nor by a success before the last failure', () => {
    const consumer = new FailingConsumer(SETTINGS);
    for (const now of [0, 10, 20]) consumer.failed(now, false, true);
    expect(consumer.look(100_000)).toBeUndefined();
    expect(consumer.handled(1015, true)).toEqual({ since: 0, errors: 3, deadLettered: 0 });
    for (const now of [2000, 2010, 2020]) consumer.failed(now, false, true);
    consumer.handled(2030, true);
    consumer.failed(2040, false, true);
    expect(consumer.look(100_000)).toBeUndefined();
    expect(consumer.failing).toBe(true);
  });

  it('does not recover by events that need no delivery while deliveries fail', () => {
    const consumer = new FailingConsumer(SETTINGS);
    for (const now of [0, 1, 2]) consumer.failed(now, false, true);
    expect(consumer.handled(5000, false)).toBeUndefined();
    expect(consumer.handled(5001, true)).toMatchObject({ errors: 3 });
    for (const now of [6000, 6001, 6002]) consumer.failed(now, false, false);
    expect(consumer.handled(9000, false)).toMatchObject({ errors: 3 });
  });

  it('keeps what happened lately when its settings change', () => {
    const consumer = new FailingConsumer(SETTINGS);
    consumer.failed(0, false, true);
    consumer.failed(10, true, true);
    consumer.adjust({ errors: 4, within: 1000 });
    expect(consumer.failed(20, false, true)).toBeUndefined();
    expect(consumer.failed(30, false, true)).toEqual({ since: 0, errors: 4, deadLettered: 1 });
    const other = new FailingConsumer({ errors: 5, within: 1000 });
    for (const now of [0, 10, 20, 30]) other.failed(now, now >= 20, true);
    other.adjust({ errors: 2, within: 1000 });
    expect(other.failed(40, false, true)).toEqual({ since: 30, errors: 2, deadLettered: 1 });
  });

  it('is what a plain list of failures says, whatever happens', () => {
    const next = random(5);
    const { errors, within } = SETTINGS;
    const consumer = new FailingConsumer(SETTINGS);
    let times: number[] = [];
    let failing = false;
    let handled = false;
    let said = 0;
    for (let now = 0; now < 400_000; now += Math.ceil(next() * 400)) {
      if (next() < 0.5) {
        times = [...times.filter((time) => now - time <= within), now];
        handled = false;
        const crossed: boolean = !failing && times.length >= errors;
        if (crossed) said++;
        failing ||= crossed;
        expect(consumer.failed(now, false, true) !== undefined).toBe(crossed);
      } else {
        handled = true;
        const over: boolean = failing && handled && times.filter((time) => now - time <= within).length < errors;
        if (over) failing = false;
        expect(consumer.handled(now, true) !== undefined).toBe(over);
      }
      expect(consumer.failing).toBe(failing);
    }
    expect(said).toBeGreaterThan(50);
  });
});
