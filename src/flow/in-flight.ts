/**
 * How many events are at work at once in the whole process. Those that wait for a place go on in turns of their
 * consumers, so that one with many keeps none from its own. Who waits for something else gives the place up meanwhile.
 */
import type { Consumer } from '../core/consumer.ts';
import type { Step } from '../core/plan.ts';
import { PENDING, type Run } from '../core/run.ts';
import { createQueue, type Queue } from './queue.ts';

export class InFlight {
  #max = Number.POSITIVE_INFINITY;
  #running = 0;
  /** Those that wait, by consumer; the one whose turn it is comes first. */
  readonly #waiting = new Map<Consumer, Queue>();
  #starting = false;

  get running(): number {
    return this.#running;
  }

  /** Changes how many are at work at most, from now on. @param max Undefined: any number. */
  resize(max: number | undefined): void {
    this.#max = max ?? Number.POSITIVE_INFINITY;
    this.#start();
  }

  /** The stage of a plan that gives a run its place. */
  readonly step: Step = {
    name: 'in_flight',
    run: (run) => {
      if (run.atWork === 'taken') return undefined;
      if (this.#running < this.#max && this.#waiting.size === 0) {
        this.#take(run);
        return undefined;
      }
      run.consumer.waits(run);
      this.#wait(run);
      return PENDING;
    },
  };

  /** A run waits for something, or has ended: its place goes to the next one. */
  leave(run: Run): void {
    if (run.atWork !== 'taken') return;
    run.atWork = 'left';
    this.#running--;
    this.#start();
  }

  /** A run that gave up its place is to go on: it does when it has one again. False: it may go on now. */
  comesBack(run: Run): boolean {
    if (run.atWork !== 'left') return false;
    this.#wait(run);
    this.#start();
    return true;
  }

  #take(run: Run): void {
    run.atWork = 'taken';
    this.#running++;
  }

  #wait(run: Run): void {
    const { consumer } = run;
    let queue = this.#waiting.get(consumer);
    if (queue === undefined) this.#waiting.set(consumer, (queue = createQueue(consumer.discipline)));
    queue.push(run);
  }

  #start(): void {
    // A run that ends at once comes back here; the loop below takes care of the next one, so the stack stays flat.
    if (this.#starting) return;
    this.#starting = true;
    try {
      while (this.#running < this.#max) {
        const [turn] = this.#waiting;
        if (turn === undefined) return;
        const [consumer, queue] = turn;
        const run = queue.take();
        this.#waiting.delete(consumer);
        // Its next one waits for the turn behind all others.
        if (queue.size > 0) this.#waiting.set(consumer, queue);
        if (run === undefined || !consumer.mayStart(run, performance.now())) continue;
        this.#take(run);
        // One that was throttled, or waited for its target, is noted as begun already.
        if (run.opened) consumer.start(run);
        else consumer.goOn(run);
      }
    } finally {
      this.#starting = false;
    }
  }
}
