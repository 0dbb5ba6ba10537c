/** What is made up for of ticks that were missed, and how jitter spreads them. */
import { describe, expect, it } from 'vitest';
import { dueOf, jitterOf, LATE, type MissedOptions } from '../../../src/sources/schedules/plan.ts';
import { timingOf } from '../../../src/sources/schedules/timing.ts';

const MINUTE = 60_000;
const BEGIN = Date.UTC(2026, 0, 1);
const WAYS = {
  every: timingOf({ every: MINUTE, timezone: 'UTC' }),
  cron: timingOf({ cron: '* * * * *', timezone: 'UTC' }),
};
const at = (minutes: number): number => BEGIN + minutes * MINUTE;
const options = (missed: MissedOptions['missed'], more: Partial<MissedOptions> = {}): MissedOptions => ({
  missed,
  missed_limit: 100,
  jitter: 0,
  ...more,
});

describe.each(['every', 'cron'] as const)('%s', (way) => {
  const due = (of: MissedOptions, after: number, now: number) => dueOf('nightly', WAYS[way], of, after, now);

  it.each(['skip', 'last', 'all'] as const)('%s: nothing is due between two instants, one is at the next', (missed) => {
    expect(due(options(missed), BEGIN, at(1) - 1)).toMatchObject({ instants: [], left: 0, upto: undefined });
    expect(due(options(missed), BEGIN, at(1))).toMatchObject({ instants: [at(1)], left: 0, upto: at(1) });
  });

  it('last: the newest of those that were missed, the others counted', () => {
    expect(due(options('last'), BEGIN, at(10) + 59_999)).toMatchObject({ instants: [at(10)], left: 9 });
  });

  it('skip: none that is late by more than a minute, one that is less late', () => {
    expect(due(options('skip'), BEGIN, at(10) + 59_999)).toMatchObject({ instants: [at(10)], left: 9 });
    const hourly = timingOf({ cron: '0 * * * *', timezone: 'UTC' });
    expect(dueOf('h', hourly, options('skip'), BEGIN, at(60) + LATE)).toMatchObject({ instants: [at(60)], left: 0 });
    expect(dueOf('h', hourly, options('skip'), BEGIN, at(60) + LATE + 1)).toMatchObject({
      instants: [],
      left: 1,
      upto: at(60),
    });
    expect(dueOf('h', hourly, options('skip'), BEGIN, at(200))).toMatchObject({ instants: [], left: 3, upto: at(180) });
  });

  it('all: each up to the limit, the newest of them, in order', () => {
    expect(due(options('all'), BEGIN, at(3))).toMatchObject({ instants: [at(1), at(2), at(3)], left: 0 });
    expect(due(options('all', { missed_limit: 2 }), BEGIN, at(10))).toMatchObject({
      instants: [at(9), at(10)],
      left: 8,
      uncounted: false,
    });
  });

  it('a clock that went back makes nothing due again', () => {
    expect(due(options('all'), at(10), at(5))).toMatchObject({ instants: [], upto: undefined });
  });
});

it('of very many that were missed, no more are counted than it is worth', () => {
  const { instants, left, uncounted } = dueOf('n', WAYS.cron, options('last'), BEGIN, at(10_000));
  expect(instants).toEqual([at(10_000)]);
  expect({ left, uncounted }).toEqual({ left: 500, uncounted: true });
  // An interval needs no counting.
  expect(dueOf('n', WAYS.every, options('last'), BEGIN, at(10_000))).toMatchObject({ left: 9_999, uncounted: false });
});

it('jitter is below its bound, the same for the same tick, and another for others', () => {
  const all = Array.from({ length: 1000 }, (_, index) => jitterOf('nightly', at(index), 10_000));
  expect(all.every((each) => each >= 0 && each < 10_000)).toBe(true);
  expect(new Set(all).size).toBeGreaterThan(900);
  expect(jitterOf('nightly', at(7), 10_000)).toBe(all[7]);
  expect(jitterOf('other', at(7), 10_000)).not.toBe(all[7]);
  const average = all.reduce((sum, each) => sum + each, 0) / all.length;
  expect(average).toBeGreaterThan(4_000);
  expect(average).toBeLessThan(6_000);
});

it('with jitter a tick is due at its own time, and the one before it is not held back', () => {
  const of = options('last', { jitter: 30_000 });
  for (let index = 1; index < 200; index++) {
    const late = jitterOf('nightly', at(index), 30_000);
    expect(dueOf('nightly', WAYS.cron, of, at(index - 1), at(index) + late - 1).instants).toEqual([]);
    expect(dueOf('nightly', WAYS.cron, of, at(index - 1), at(index) + late).instants).toEqual([at(index)]);
    // Two are behind: what is not due yet does not keep the other.
    if (late > 0)
      expect(dueOf('nightly', WAYS.cron, of, at(index - 2), at(index) + late - 1).instants).toEqual([at(index - 1)]);
  }
});
