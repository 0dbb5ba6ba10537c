/**
 * The generic cell rate algorithm: one number a key says how far ahead of the clock those have come who went. It lets
 * `burst` go at once after a time without any, and in every stretch of time no more than `burst` and what the rate
 * makes of that stretch.
 *
 * The number is the instant at which all `burst` could go again: forgetting it once it has passed changes nothing.
 */

/** Milliseconds between two that go at a steady pace, and how many may go at once. */
export interface Rate {
  readonly interval: number;
  readonly burst: number;
}

/** What adding intervals to a large number of milliseconds may be off by, in intervals. */
const ROUNDING = 1e-6;

/** Where a key stands now: what has passed counts no more, and what no clock could have written counts as the most. */
export const standing = (stored: number, now: number, { interval, burst }: Rate, ahead: number): number =>
  Math.max(now, Math.min(stored, now + ahead + interval * burst));

/**
 * How many of those that want to may go, by an instant.
 *
 * @param base Where the key stands, from `standing`.
 * @param by Milliseconds, by the clock that `base` is of.
 */
export function admissible(base: number, by: number, wanted: number, { interval, burst }: Rate): number {
  const most = Math.floor((by - base) / interval + burst + ROUNDING);
  return Math.max(0, Math.min(wanted, most));
}

/** When the one with this number may go, counted from 0. */
export const slotOf = (base: number, number: number, { interval, burst }: Rate): number =>
  base + (number + 1 - burst) * interval;
