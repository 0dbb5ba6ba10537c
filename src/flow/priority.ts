/**
 * Priority: a head start in time over what waits for admission. An event stands in line as if it had come so much
 * earlier; it ages like the others, so that nothing starves.
 */
import type { Step } from '../core/plan.ts';
import type { Run } from '../core/run.ts';
import type { Scope } from '../expression/types.ts';

export interface HeadStart {
  /** @throws OuzelError for an event of which it cannot be told */
  readonly when: (scope: Scope) => boolean;
  /** Milliseconds. */
  readonly ahead: number;
}

/** The head start of an event in milliseconds: that of the first entry that holds; 0 where none does. */
export const headStart = (entries: readonly HeadStart[], run: Run): number =>
  entries.find(({ when }) => when(run))?.ahead ?? 0;

/**
 * Where an event stands in line, as an instant: milliseconds since the epoch. It counts from when the event was stored
 * in its stream, so that a retry keeps its place, also when a timer brings it; a re-drive or replay counts from when it
 * was handed over, or it would overtake all that is new.
 */
export function rankOf(entries: readonly HeadStart[]): (run: Run) => number {
  return (run) => {
    const { milliseconds } = run.id === '' || run.handed === undefined ? run.event.position : run.handed.due;
    return milliseconds - headStart(entries, run);
  };
}

/** The stage before admission that says where an event stands in line; the smallest rank is first (`queue.ts`). */
export function priorityStep(entries: readonly HeadStart[]): Step {
  const rank = rankOf(entries);
  return {
    name: 'priority',
    run: (run) => {
      run.rank = rank(run);
      return undefined;
    },
  };
}
