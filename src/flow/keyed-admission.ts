/**
 * Admission by key: how many runs of one key are at work at once. The rest wait in hand, first come, first served; what
 * would take too much of the room is put back, so that the other keys go on.
 */
import type { Step } from '../core/plan.ts';
import { PENDING, type Run } from '../core/run.ts';
import { createQueue, type Queue } from './queue.ts';

/** Share of a consumer's events in hand that may wait for one key. */
const WAITING_SHARE = 0.25;

/** The runs of a key that are at work, and those that wait. It is there as long as there are any. */
interface Key {
  running: number;
  waiting: Queue;
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
        if (key === undefined) this.#keys.set(name, (key = { running: 0, waiting: queueOf(run) }));
        if (key.running < this.#max && key.waiting.size === 0) {
          this.#admit(run, name, key);
          return undefined;
        }
        const { prefetch, ackWait } = run.consumer.limits;
        // Where events keep an order, none is overtaken.
        if (run.plan.ordered !== true && key.waiting.size >= Math.max(1, prefetch * WAITING_SHARE)) {
          key.waiting = stillWaiting(key.waiting, queueOf(run));
          if (key.waiting.size >= Math.max(1, prefetch * WAITING_SHARE)) {
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
      const run = key.waiting.take();
      if (run === undefined) break;
      if (!run.consumer.mayStart(run, performance.now())) continue;
      this.#admit(run, name, key);
      // In its turn on the event loop, so that runs which end at once do not pile up on the stack.
      run.consumer.goOn(run);
    }
    if (key.running === 0 && key.waiting.size === 0) this.#keys.delete(name);
  }
}

/** All events of a key go by one durable, so that lanes do not matter here. */
const queueOf = ({ consumer }: Run): Queue => createQueue({ ranked: consumer.discipline.ranked, rest: undefined });

/** Those that were not settled meanwhile, in another queue. */
function stillWaiting(queue: Queue, into: Queue): Queue {
  for (let run = queue.take(); run !== undefined; run = queue.take()) if (!run.settled && !run.decided) into.push(run);
  return into;
}
