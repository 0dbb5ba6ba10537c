/** How fast something is done to many. */
import { OuzelError } from '../errors.ts';

const RATE = /^(\d+(?:\.\d+)?)\/(s|m|h)$/;
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Longer pauses than a day are nobody's wish, and longer than 24 of them no timer's. */
const SLOWEST = 1 / 86_400;

/** A second's share of `50/s`, `3000/m`, `100/h`. @throws OuzelError USAGE */
export function parseRate(text: string): number {
  const [, amount = '', unit = ''] = RATE.exec(text) ?? [];
  const rate = Number(amount) / (SECONDS[unit] ?? 1);
  if (amount !== '' && rate > 0 && rate < SLOWEST)
    throw new OuzelError('USAGE', `--rate: "${text}" is less than one a day. Choose fewer with --limit instead`);
  if (amount !== '' && rate > 0) return rate;
  throw new OuzelError('USAGE', `--rate: "${text}" is no rate. Write how many a second, minute or hour: 50/s, 3000/m`);
}

/** Milliseconds that may be made up for after a delay, so that a slow answer does not lower the rate. */
const CATCH_UP = 100;

/**
 * Makes who waits for its turn, at most `rate` times a second; undefined: as fast as may be.
 *
 * @returns A turn: `pause` is called with the milliseconds until then, if there are any.
 */
export function pacer(rate: number | undefined): (pause: (ms: number) => Promise<void>) => Promise<void> {
  if (rate === undefined) return () => Promise.resolve();
  const interval = 1000 / rate;
  let at = -Infinity;
  return async (pause) => {
    const now = performance.now();
    at = Math.max(at + interval, now - Math.min(CATCH_UP, interval));
    // Timers have milliseconds; what is due within one is due now.
    if (at - now >= 1) await pause(at - now);
  };
}
