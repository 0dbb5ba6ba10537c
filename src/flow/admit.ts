/** Admission: how many runs of a consumer are at work at once. The rest wait in hand (`queue.ts`). */
import type { Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import { createQueue, type Discipline, IN_TURN } from './queue.ts';

export class Admission {
  #max: number;
  #running = 0;
  #queue = createQueue(IN_TURN);
  #discipline = IN_TURN;
  #draining = false;

  constructor(max: number) {
    this.#max = max;
  }

  get running(): number {
    return this.#running;
  }

  get queued(): number {
    return this.#queue.size;
  }

  /** Changes how many runs are at work at most, from now on. */
  resize(max: number): void {
    this.#max = max;
    this.#startQueued();
  }

  /** Changes who of those that wait is next, from now on. */
  order(discipline: Discipline): void {
    const { ranked, rest } = this.#discipline;
    if (ranked === discipline.ranked && rest === discipline.rest) return;
    this.#discipline = discipline;
    const waiting = this.#queue;
    this.#queue = createQueue(discipline);
    for (let run = waiting.take(); run !== undefined; run = waiting.take()) this.#queue.push(run);
  }

  /** The stage of a plan that lets runs in. */
  readonly step: Step = { name: 'admit', run: (run) => this.#enter(run) };

  #enter(run: Run): Verdict {
    // It has its place, and comes by once more because it was noted as begun again (`Consumer.goOn`).
    if (run.admitted) return undefined;
    if (this.#running < this.#max && this.queued === 0) {
      this.#admit(run);
      return undefined;
    }
    run.consumer.waits(run);
    this.#queue.push(run);
    return PENDING;
  }

  /** To be called for every run that ended: its place goes to the next one. */
  readonly onSettled = (run: Run): void => {
    if (run.admitted) this.#running--;
    this.#startQueued();
  };

  /** To be called for a run that waits behind this stage for others: its place goes to the next one. */
  readonly leave = (run: Run): void => {
    if (!run.admitted) return;
    run.admitted = false;
    this.#running--;
    this.#startQueued();
  };

  #admit(run: Run): void {
    run.admitted = true;
    run.startedAt = performance.now();
    this.#running++;
  }

  #startQueued(): void {
    // A run that ends at once comes back here; the loop below takes care of the next one, so the stack stays flat.
    if (this.#draining) return;
    this.#draining = true;
    try {
      while (this.#running < this.#max) {
        const run = this.#queue.take();
        if (run === undefined) break;
        if (!run.consumer.mayStart(run, performance.now())) continue;
        this.#admit(run);
        if (run.recorded) run.consumer.goOn(run);
        else run.resume();
      }
    } finally {
      this.#draining = false;
    }
  }
}
