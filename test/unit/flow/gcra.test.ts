import { describe, expect, it } from 'vitest';
import { admissible, type Rate, slotOf, standing } from '../../../src/flow/gcra.ts';
import { random } from '../core/helpers.ts';

/** A bucket of `burst` tokens that fills at the rate: the same limit, by another rule. */
class Bucket {
  readonly #rate: Rate;
  #tokens: number;
  #at = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
    this.#tokens = rate.burst;
  }

  take(now: number, wanted: number): number {
    this.#tokens = Math.min(this.#rate.burst, this.#tokens + (now - this.#at) / this.#rate.interval);
    this.#at = now;
    const taken = Math.min(wanted, Math.floor(this.#tokens + 1e-6));
    this.#tokens -= taken;
    return taken;
  }
}

/** GCRA as the limits use it. */
class Cells {
  readonly #rate: Rate;
  #stored = 0;

  constructor(rate: Rate) {
    this.#rate = rate;
  }

  take(now: number, wanted: number): number {
    const base = standing(this.#stored, now, this.#rate, 0);
    const granted = admissible(base, now, wanted, this.#rate);
    this.#stored = base + granted * this.#rate.interval;
    return granted;
  }
}

const RATES: readonly Rate[] = [
  { interval: 10, burst: 1 },
  { interval: 10, burst: 20 },
  { interval: 0.125, burst: 3 },
  { interval: 3_600_000 / 1000, burst: 1000 },
];

describe('GCRA', () => {
  it.each(RATES)('lets through what a bucket of tokens does: %o', (rate) => {
    const next = random(rate.burst);
    const differences: number[][] = [];
    for (let round = 0; round < 50; round++) {
      const bucket = new Bucket(rate);
      const cells = new Cells(rate);
      let now = 1_800_000_000_000;
      bucket.take(now, 0);
      for (let step = 0; step < 200; step++) {
        // Whole quarters of intervals: no rounding decides between the two.
        now += Math.floor(next() ** 4 * 200) * (rate.interval / 4);
        const wanted = 1 + Math.floor(next() * 5);
        const [byCells, byBucket] = [cells.take(now, wanted), bucket.take(now, wanted)];
        if (byCells !== byBucket) differences.push([now, byCells, byBucket]);
      }
    }
    expect(differences).toEqual([]);
  });

  it.each(RATES)('never lets through more than the burst and the rate in any stretch of time: %o', (rate) => {
    const next = random(7);
    const cells = new Cells(rate);
    const gone: number[] = [];
    let now = 1_800_000_000_000;
    for (let step = 0; step < 1000; step++) {
      now += next() < 0.02 ? rate.interval * rate.burst * 3 : rate.interval * next() * 2;
      for (let count = cells.take(now, Math.floor(next() * 8)); count > 0; count--) gone.push(now);
    }
    let excess = Number.NEGATIVE_INFINITY;
    for (let from = 0; from < gone.length; from += 7)
      for (let to = from; to < gone.length; to += 11) {
        const stretch = (gone[to] as number) - (gone[from] as number);
        excess = Math.max(excess, to - from + 1 - rate.burst - stretch / rate.interval);
      }
    expect(excess).toBeLessThanOrEqual(1e-3);
  });

  it('says when each of those may go, and those that may go ahead of their time are the ones that could by then', () => {
    const rate = { interval: 100, burst: 2 };
    const now = 5_000;
    expect([0, 1, 2, 3].map((number) => slotOf(standing(0, now, rate, 0), number, rate))).toEqual([
      4_900, 5_000, 5_100, 5_200,
    ]);
    expect(admissible(now, now, 9, rate)).toBe(2);
    expect(admissible(now, now + 250, 9, rate)).toBe(4);
    expect(admissible(now + 1_000, now, 9, rate)).toBe(0);
  });

  it('takes for a slip what no clock could have written', () => {
    const rate = { interval: 100, burst: 2 };
    const hourAhead = standing(3_600_000 + 5_000, 5_000, rate, 50);
    expect(hourAhead).toBe(5_250);
  });
});
