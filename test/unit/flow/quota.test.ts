import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Rate } from '../../../src/flow/gcra.ts';
import { FleetQuota, LocalQuota, type SharedStandings } from '../../../src/flow/quota.ts';
import { random } from '../core/helpers.ts';

/** A bucket by its rules: compare-and-set, ages, answers that take their time, and some that never come. */
class Bucket implements SharedStandings {
  readonly #entries = new Map<string, { value: number; sequence: number; until: number }>();
  readonly #chance: () => number;
  #sequence = 0;
  /** How many of all are lost, before or after they are carried out. */
  lost = 0;
  swaps = 0;

  constructor(chance: () => number) {
    this.#chance = chance;
  }

  swap(
    limit: string,
    key: string,
    value: number,
    expected: number,
    keep: number,
    done: Parameters<SharedStandings['swap']>[5],
  ): void {
    this.swaps++;
    this.#later(() => {
      if (this.#chance() < this.lost / 2) return done(new Error('lost on the way'));
      const there = this.#find(limit + key);
      if ((there?.sequence ?? 0) !== expected) return this.#later(() => done(undefined));
      const sequence = ++this.#sequence;
      this.#entries.set(limit + key, { value, sequence, until: Date.now() + keep });
      if (this.#chance() < this.lost / 2) return done(new Error('lost on the way back'));
      this.#later(() => done(undefined, sequence));
    });
  }

  read(limit: string, key: string, done: Parameters<SharedStandings['read']>[2]): void {
    this.#later(() => {
      const there = this.#find(limit + key);
      this.#later(() => done(undefined, there?.value ?? 0, there?.sequence ?? 0));
    });
  }

  #find(key: string) {
    const there = this.#entries.get(key);
    return there !== undefined && there.until > Date.now() ? there : undefined;
  }

  #later(what: () => void): void {
    setTimeout(what, 1 + Math.floor(this.#chance() * 4));
  }
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] }));
afterEach(() => void vi.useRealTimers());

const RATE: Rate = { interval: 20, burst: 5 };

/** Instances that ask for one key again and again; when each that was granted might go. */
function fleet(bucket: Bucket, instances: number, seed: number, milliseconds: number) {
  const next = random(seed);
  const gone: number[] = [];
  const begin = Date.now();
  let asked = 0;
  for (let instance = 0; instance < instances; instance++) {
    const quota = new FleetQuota('test', RATE, bucket, () => undefined);
    const ask = (): void => {
      const wanted = 1 + Math.floor(next() * 10);
      asked += wanted;
      quota.ask('key', wanted, 0, (granted) => {
        for (let count = 0; count < granted; count++) gone.push(Date.now());
        setTimeout(ask, 1 + Math.floor(next() < 0.01 ? 500 : next() * 30));
      });
    };
    ask();
  }
  vi.advanceTimersByTime(milliseconds);
  return { gone, asked, elapsed: Date.now() - begin };
}

describe('a quota of the fleet', () => {
  it.each([1, 2, 3, 4, 5])('is exact over four instances (seed %i)', (seed) => {
    const { gone, elapsed } = fleet(new Bucket(random(seed)), 4, seed, 20_000);
    // Granted at one instant and answered up to 8 ms later.
    const late = 10;
    let excess = Number.NEGATIVE_INFINITY;
    for (let from = 0; from < gone.length; from++)
      for (let to = from; to < gone.length; to++) {
        const stretch = (gone[to] as number) - (gone[from] as number) + late;
        excess = Math.max(excess, to - from + 1 - RATE.burst - stretch / RATE.interval);
      }
    expect(excess).toBeLessThanOrEqual(1e-3);
    // They ask so often that hardly anything is left.
    expect(gone.length).toBeGreaterThan((elapsed / RATE.interval) * 0.85);
  });

  it.each([1, 2, 3])('is never exceeded when answers are lost, and goes on (seed %i)', (seed) => {
    const bucket = new Bucket(random(seed));
    bucket.lost = 0.2;
    const { gone, elapsed } = fleet(bucket, 3, seed, 60_000);
    expect(gone.length).toBeLessThanOrEqual(RATE.burst + elapsed / RATE.interval);
    expect(gone.length).toBeGreaterThan(100);
  });

  it('gives out exactly a burst to as many as want it, and asks nobody when it knows that there is nothing', () => {
    const bucket = new Bucket(random(1));
    const day: Rate = { interval: 86_400_000 / 40, burst: 40 };
    const quotas = [1, 2, 3].map(() => new FleetQuota('daily', day, bucket, () => undefined));
    let granted = 0;
    const ask = (): void => {
      for (const quota of quotas) quota.ask('', 25, 0, (count) => (granted += count));
      vi.advanceTimersByTime(100);
    };
    for (let round = 0; round < 4; round++) ask();
    expect(granted).toBe(40);
    const { swaps } = bucket;
    ask();
    expect([granted, bucket.swaps]).toEqual([40, swaps]);
  });

  it('takes up a key again that it knew, after the entry went by its age', () => {
    const bucket = new Bucket(random(1));
    const quota = new FleetQuota('test', RATE, bucket, () => undefined);
    const counts: number[] = [];
    const ask = (): void => {
      quota.ask('key', 9, 0, (count) => void counts.push(count));
      vi.advanceTimersByTime(50);
    };
    ask();
    for (const pause of [1_000, 29_900, 30_100, 3_600_000]) {
      vi.advanceTimersByTime(pause);
      ask();
    }
    expect(counts).toEqual([5, 5, 5, 5, 5]);
  });
});

describe('a quota of an instance', () => {
  it('keeps keys apart, and forgets what is idle', () => {
    const quota = new LocalQuota(RATE);
    for (let key = 0; key < 5_000; key++) {
      expect(quota.grants(`key-${key}`)).toBe(true);
      vi.advanceTimersByTime(1);
    }
    expect(quota.size).toBeLessThan(200);
    const taken = Array.from({ length: 7 }, () => quota.grants('one'));
    expect(taken).toEqual([true, true, true, true, true, false, false]);
  });
});
