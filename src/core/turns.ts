/**
 * Shares the event loop: runs begin only as long as the loop's present turn is young. What arrives beyond that waits,
 * first come, first served over all consumers, so that timers, metrics and answers get their turn under full load.
 */
import type { Run } from './run.ts';

/** Milliseconds of one turn of the loop in which runs may begin. */
const SLICE = 4;

export class Turns {
  #queue: Run[] = [];
  #head = 0;
  /** When the present turn is over, by the monotonic clock; 0 while none is open. */
  #until = 0;

  /** Begins a run now, or when it is its turn. */
  begin(run: Run): void {
    if (this.#until === 0) this.#open(run.receivedAt);
    if (this.#head < this.#queue.length || run.receivedAt >= this.#until) {
      run.startedAt = 0;
      this.#queue.push(run);
    } else run.advance();
  }

  #open(now: number): void {
    this.#until = now + SLICE;
    setImmediate(this.#next);
  }

  readonly #next = (): void => {
    this.#until = 0;
    if (this.#head === this.#queue.length) return;
    let now = performance.now();
    this.#open(now);
    while (this.#head < this.#queue.length && now < this.#until) {
      const run = this.#queue[this.#head++] as Run;
      if (run.settled || run.consumer.draining) continue;
      run.startedAt = now;
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
