/**
 * Shares the event loop: runs begin only as long as the loop's present turn is young. What arrives beyond that waits,
 * first come, first served over all consumers, so that timers, metrics and answers get their turn under full load.
 */
import type { Run } from './run.ts';

/** Milliseconds of one turn of the loop in which runs may begin. */
const SLICE = 4;
/**
 * How many begin at the least. A turn has a price of its own (polling, one read, one write), and
 * on a machine that is busy with other things the clock runs out after a few events.
 */
const LEAST = 256;

export class Turns {
  #queue: Run[] = [];
  #head = 0;
  /** When the present turn is over, by the monotonic clock; 0 while none is open. */
  #until = 0;
  #begun = 0;
  readonly #least: number;

  /** @param least Runs that begin in a turn whatever the clock says. */
  constructor(least = LEAST) {
    this.#least = least;
  }

  /** Begins a run now, or when it is its turn. */
  begin(run: Run): void {
    if (this.#until === 0) this.#open(run.receivedAt);
    if (this.#head < this.#queue.length || this.#isOver(run.receivedAt)) {
      run.startedAt = 0;
      this.#queue.push(run);
      return;
    }
    this.#begun++;
    run.advance();
  }

  /** Begins, or goes on with, a run that has waited for something: it stands in line behind what is there. */
  again(run: Run): void {
    run.startedAt = 0;
    this.#queue.push(run);
    if (this.#until === 0) this.#open(performance.now());
  }

  #open(now: number): void {
    this.#until = now + SLICE;
    this.#begun = 0;
    setImmediate(this.#next);
  }

  #isOver(now: number): boolean {
    return this.#begun >= this.#least && now >= this.#until;
  }

  readonly #next = (): void => {
    this.#until = 0;
    if (this.#head === this.#queue.length) return;
    let now = performance.now();
    this.#open(now);
    while (this.#head < this.#queue.length && !this.#isOver(now)) {
      const run = this.#queue[this.#head++] as Run;
      if (!run.consumer.mayStart(run, now)) continue;
      run.startedAt = now;
      this.#begun++;
      run.advance();
      now = performance.now();
    }
    // The tail is moved to the front only when it is short, so that each run is moved once at most.
    if (this.#head * 2 >= this.#queue.length) {
      this.#queue = this.#queue.slice(this.#head);
      this.#head = 0;
    }
  };
}
