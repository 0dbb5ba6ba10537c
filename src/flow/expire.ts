/** Expiry: events that come too late to be of use are dropped. */
import type { Outcome, Step } from '../core/plan.ts';
import type { InstantOf } from './instant.ts';

/**
 * @param after Milliseconds from the instant after which an event is dropped.
 * @param expired The outcome of those.
 */
export const expireStep = (after: number, from: InstantOf, expired: Outcome): Step => ({
  name: 'expire',
  // Whoever drives an event again, or replays it, knows that it is old.
  run: (run) => (run.id === '' && run.now - from(run) >= after ? expired : undefined),
});
