/** Which ticks are due, and which of them are made up for. Pure. */
import { createHash } from 'node:crypto';
import type { ScheduleOptions } from '../schedule.ts';
import type { Timing } from './timing.ts';

/** Milliseconds by which a tick may be late that `missed: skip` lets come all the same. */
export const LATE = 60_000;

/** Milliseconds by which a tick comes later than its instant: the same wherever it is asked for. */
export function jitterOf(name: string, instant: number, jitter: number): number {
  if (jitter === 0) return 0;
  const part = createHash('sha256').update(`${name}.${instant}`).digest().readUInt32BE(0);
  return Math.floor((part / 2 ** 32) * jitter);
}

export type MissedOptions = Pick<ScheduleOptions, 'missed' | 'missed_limit' | 'jitter'>;

/** How many ticks are left out; `uncounted`: or more. */
export interface LeftOut {
  readonly left: number;
  readonly uncounted: boolean;
}

export interface Due extends LeftOut {
  /** Instants to publish, the oldest first: those that are left out are before them. */
  readonly instants: readonly number[];
  /** Up to when all is done with then. */
  readonly upto: number | undefined;
}

const NONE: Due = { instants: [], left: 0, uncounted: false, upto: undefined };

/** What is due now of the instants behind `after`. */
export function dueOf(name: string, timing: Timing, options: MissedOptions, after: number, now: number): Due {
  const { missed, missed_limit: limit, jitter } = options;
  const until = lastDue(name, timing, jitter, after, now);
  if (until === undefined) return NONE;
  const { instants, left, uncounted } = timing.between(after, until, missed === 'all' ? limit : 1);
  const isLate = missed === 'skip' && now - until - jitterOf(name, until, jitter) > LATE;
  if (isLate) return { instants: [], left: left + 1, uncounted, upto: until };
  return { instants, left, uncounted, upto: until };
}

/** The newest instant whose time, with its jitter, has come. */
function lastDue(name: string, timing: Timing, jitter: number, after: number, now: number): number | undefined {
  let until = now;
  // Jitter is shorter than what is between two instants: the one before the newest is due in any case.
  for (let looked = 0; looked < 2; looked++) {
    const newest = timing.last(until);
    if (newest === undefined || newest <= after) return undefined;
    if (newest + jitterOf(name, newest, jitter) <= now) return newest;
    until = newest - 1;
  }
  return undefined;
}
