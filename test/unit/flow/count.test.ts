/** Counting, against a model that keeps all events. */
import { describe, expect, it } from 'vitest';
import { countOne } from '../../../src/flow/count.ts';
import type { Counted } from '../../../src/flow/seen.ts';

const WITHIN = 60_000;

const eventAt = (sequence: number, seconds: number) => ({ sequence, milliseconds: seconds * 1000, nanoseconds: 0 });

/** Counts events that come at these seconds, and answers with those that pass, by their place. */
function passing(seconds: readonly number[], at: number): number[] {
  let counted: readonly Counted[] = [];
  const passed: number[] = [];
  for (const [index, second] of seconds.entries()) {
    const next = countOne(counted, eventAt(index + 1, second), WITHIN, at);
    counted = next.counted;
    if (next.passes) passed.push(index);
  }
  return passed;
}

/** The model: all events since the last that passed, looked at anew each time. */
function expected(seconds: readonly number[], at: number): number[] {
  const passed: number[] = [];
  for (const [index, now] of seconds.entries()) {
    const since = seconds.slice((passed.at(-1) ?? -1) + 1, index + 1);
    if (since.filter((each) => each * 1000 > now * 1000 - WITHIN).length >= at) passed.push(index);
  }
  return passed;
}

describe('counting', () => {
  it('lets the nth within the window go on, and begins anew', () => {
    expect(passing([0, 10, 20, 30, 40, 50, 55], 3)).toEqual([2, 5]);
    expect(passing([0, 30, 61, 92, 100], 3)).toEqual([4]);
    expect(passing([0, 60], 2)).toEqual([]);
  });

  it('agrees with the model over random times', () => {
    let passes = 0;
    for (let round = 0; round < 300; round++) {
      const at = 2 + (round % 6);
      let now = 0;
      const seconds = Array.from({ length: 120 }, (_, index) => (now += ((round * 7919 + index * 104_729) % 37) / 2));
      const found = passing(seconds, at);
      expect(found).toEqual(expected(seconds, at));
      passes += found.length;
    }
    expect(passes).toBeGreaterThan(1000);
  });

  it('counts an event that comes again once, and answers the same', () => {
    let counted: readonly Counted[] = [];
    const answers = [1, 2, 3, 4].map((sequence) => {
      const next = countOne(counted, eventAt(sequence, sequence), WITHIN, 3);
      counted = next.counted;
      return next.passes;
    });
    expect(answers).toEqual([false, false, true, false]);
    for (const [index, answer] of answers.entries()) {
      const again = countOne(counted, eventAt(index + 1, index + 1), WITHIN, 3);
      expect(again).toEqual({ passes: answer, counted });
    }
  });

  it('remembers a bounded number', () => {
    let counted: readonly Counted[] = [];
    for (let sequence = 1; sequence < 1000; sequence++)
      counted = countOne(counted, eventAt(sequence, sequence / 100), WITHIN, 5).counted;
    expect(counted.length).toBeLessThanOrEqual(5 + 64);
  });
});
