/** Dedupe: the first event of a key goes on, and its repeats are dropped for a while. */
import type { Outcome, Step } from '../core/plan.ts';
import { PENDING } from '../core/run.ts';
import type { KeyOf } from './by.ts';
import type { SeenKeys } from './seen.ts';

/** @param within Milliseconds for which the first is remembered. */
export const dedupeStep = (seen: SeenKeys, keyOf: KeyOf, within: number, duplicate: Outcome): Step => ({
  name: 'dedupe',
  once: 'dedupe',
  run: (run) => {
    // Whoever drives an event again, or replays it, knows that it was there before.
    if (run.id !== '') return undefined;
    const key = keyOf(run);
    // Of an event without the field nobody can say that it is a repeat.
    if (key === undefined) return undefined;
    seen.first(run, key, within, (error, repeated) => {
      if (error !== undefined) run.fail(error);
      else run.resume(repeated === true ? duplicate : undefined);
    });
    return PENDING;
  },
});
