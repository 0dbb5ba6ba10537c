/** Delay: an event waits for its instant with a timer, and goes on behind this stage when it comes again. */
import type { Step } from '../core/plan.ts';
import { PENDING } from '../core/run.ts';
import type { InstantOf } from './instant.ts';

/** @param due The instant until which an event waits. */
export const delayStep = (due: InstantOf): Step => ({
  name: 'delay',
  once: 'delay',
  run: (run) => {
    const at = due(run);
    if (at <= run.now) return undefined;
    run.park(at, 'delay');
    return PENDING;
  },
});
