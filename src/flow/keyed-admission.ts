/**
 * Admission by key: how many runs of one key are at work at once. The rest wait in hand, first come, first served; what
 * would take too much of the room is put back, so that the other keys go on.
 */
import type { Step } from '../core/plan.ts';
import { PENDING, type Run } from '../core/run.ts';

/** Share of a consumer's events in hand that may wait for one key. */
const WAITING_SHARE = 0.25;

/** The runs of a key that are at work, and those that wait. It is there as long as there are any. */
interface Key {
  running: number;
  waiting: Run[];
}

export class KeyedAdmission {
  #max: number;
  readonly #keys = new Map<string, Key>();
  /** The keys of the runs that are at work. */
  readonly #placed = new Map<Run, string>();

  constructor(max: number) {
    this.#max = max;
  }

  get running(): number {
    return this.#placed.size;
  }

  /** Changes how many runs of a key are at work at most, from now on. */
  resize(max: number): void {
    this.#max = max;
    for (const name of this.#keys.keys()) this.#startWaiting(name);
  }

  /** The stage of a plan that lets runs in. @param keyOf What it tells them apart by. */
  step(keyOf: (run: Run) => string): Step {
    return {
      name: 'admit',
      run: (run) => {
        // It has its place, and comes by once more because it was noted as begun again (`Consumer.goOn`).
        if (this.#placed.has(run)) return undefined;
        const name = keyOf(run);
        let key = this.#keys.get(name);
        if (key === undefined) this.#keys.set(name, (key = { running: 0, waiting: [] }));
        if (key.running < this.#max && key.waiting.length === 0) {
          this.#admit(run, name, key);
          return undefined;
        }
        const { prefetch, ackWait } = run.consumer.limits;
        // Where events keep an order, none is overtaken.
        if (run.plan.ordered !== true && key.waiting.length >= Math.max(1, prefetch * WAITING_SHARE)) {
          key.waiting = key.waiting.filter(isWaiting);
          if (key.waiting.length >= Math.max(1, prefetch * WAITING_SHARE)) {
            run.putBack(Date.now() + ackWait);
            return PENDING;
          }
        }
        run.consumer.waits(run);
        key.waiting.push(run);
        return PENDING;
      },
    };
  }

  /** To be called for every run that ended: its place goes to the next one of its key. */
  readonly onSettled = (run: Run): void => {
    const name = this.#placed.get(run);
    if (name === undefined) return;
    this.#placed.delete(run);
    const key = this.#keys.get(name);
    if (key === undefined) return;
    key.running--;
    this.#startWaiting(name);
  };

  #admit(run: Run, name: string, key: Key): void {
    key.running++;
    this.#placed.set(run, name);
    run.startedAt = performance.now();
  }

  #startWaiting(name: string): void {
    const key = this.#keys.get(name);
    if (key === undefined) return;
    while (key.running < this.#max) {
      const run = key.waiting.shift();
      if (run === undefined) break;
      if (!run.consumer.mayStart(run, performance.now())) continue;
      this.#admit(run, name, key);
      // In its turn on the event loop, so that runs which end at once do not pile up on the stack.
      run.consumer.goOn(run);
    }
    if (key.running === 0 && key.waiting.length === 0) this.#keys.delete(name);
  }
}

const isWaiting = (run: Run): boolean => !run.settled && !run.decided;
