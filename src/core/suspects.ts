/**
 * Events that may have ended the process: they run one at a time over all consumers of a daemon, so that what dies
 * again dies over one of them alone, and the others are not blamed.
 */
import type { Run } from './run.ts';

export class Suspects {
  #queue: { readonly run: Run; readonly begin: () => void }[] = [];
  #running: Run | undefined;

  /** Lets a suspect begin when no other one runs. */
  enter(run: Run, begin: () => void): void {
    run.suspect = true;
    this.#queue.push({ run, begin });
    this.#next();
  }

  /** To be called when a suspect has ended, or waits for something that takes long. */
  left(run: Run): void {
    run.suspect = false;
    if (this.#running === run) this.#running = undefined;
    this.#next();
  }

  #next(): void {
    while (this.#running === undefined) {
      const next = this.#queue.shift();
      if (next === undefined) return;
      if (next.run.settled) continue;
      this.#running = next.run;
      next.begin();
    }
  }
}
