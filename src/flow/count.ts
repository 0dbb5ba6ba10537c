/** Count: the nth event of a key within a sliding window goes on, and counting begins anew. */
import type { Outcome, Step } from '../core/plan.ts';
import { PENDING, type Run } from '../core/run.ts';
import type { KeyOf } from './by.ts';
import type { Identity } from './held.ts';
import type { Counted, CountedEvents } from './seen.ts';

/** Events that are remembered beyond the count, so that one that comes again is not counted twice. */
const REMEMBERED = 64;

export interface CountOptions {
  readonly events: CountedEvents;
  readonly keyOf: KeyOf;
  /** Milliseconds. */
  readonly within: number;
  readonly at: number;
  readonly counted: Outcome;
}

export class Count {
  readonly #options: CountOptions;
  /** Keys that are worked on, with the runs that came meanwhile: these are in hand anyway. */
  readonly #busy = new Map<string, Run[]>();

  constructor(options: CountOptions) {
    this.#options = options;
  }

  readonly step: Step = {
    name: 'count',
    once: 'count',
    run: (run) => {
      if (run.handed?.letter !== undefined) return undefined;
      const key = this.#options.keyOf(run);
      const place = JSON.stringify([run.id, key]);
      const busy = this.#busy.get(place);
      if (busy !== undefined) busy.push(run);
      else {
        const queue = [run];
        this.#busy.set(place, queue);
        // It tells each run what fails, and fails in nothing else.
        this.#work(place, key, queue).catch(() => undefined);
      }
      return PENDING;
    },
  };

  async #work(place: string, key: string | undefined, queue: Run[]): Promise<void> {
    while (queue.length > 0) {
      const batch = queue.splice(0).toSorted((one, other) => one.sequence - other.sequence);
      try {
        const passed = await this.#count(batch, key);
        for (const run of batch) run.resume(passed.has(run) ? undefined : this.#options.counted);
      } catch (error) {
        for (const run of batch) run.fail(error);
      }
    }
    this.#busy.delete(place);
  }

  /** @returns Those that go on. @throws OuzelError */
  async #count(batch: readonly Run[], key: string | undefined): Promise<ReadonlySet<Run>> {
    const { events, within, at } = this.#options;
    const [first] = batch;
    if (first === undefined) return new Set();
    for (;;) {
      const { counted: before, revision } = await events.get(first, key);
      const passed = new Set<Run>();
      let counted = before;
      for (const run of batch) {
        const next = countOne(counted, run.event.position, within, at);
        counted = next.counted;
        if (next.passes) passed.add(run);
      }
      if (counted === before || (await events.put(first, key, counted, revision, within))) return passed;
    }
  }
}

/**
 * Counts one event.
 *
 * @param counted Those before it, the last first.
 * @returns The same list for one that was counted before.
 */
export function countOne(
  counted: readonly Counted[],
  { sequence, milliseconds, nanoseconds }: Identity,
  within: number,
  at: number,
): { readonly passes: boolean; readonly counted: readonly Counted[] } {
  const known = counted.find(
    (each) => each.sequence === sequence && each.milliseconds === milliseconds && each.nanoseconds === nanoseconds,
  );
  if (known !== undefined) return { passes: known.passed, counted };
  // Another instance may have been ahead of it.
  const now = counted.reduce((latest, each) => Math.max(latest, each.milliseconds), milliseconds);
  const begun = counted.findIndex(({ passed }) => passed);
  const since = (begun === -1 ? counted : counted.slice(0, begun)).filter((each) => each.milliseconds > now - within);
  const passes = milliseconds > now - within && since.length + 1 >= at;
  const one = { sequence, milliseconds, nanoseconds, passed: passes };
  return { passes, counted: [one, ...counted].slice(0, at + REMEMBERED) };
}
