/**
 * Events that may have ended the process: they begin one at a time over all consumers of a daemon, so that what dies
 * again dies over one of them alone, and the others are not blamed. One that has run for a while is loosened: it goes on
 * beside the next. Should the process die over a loosened one after all, it runs all alone the next time.
 */
import type { Run } from './run.ts';

export class Suspects {
  readonly #queue: { readonly run: Run; readonly begin: () => void }[] = [];
  #running: Run | undefined;
  readonly #loose = new Set<Run>();

  /** Lets a suspect begin when it is its turn. */
  enter(run: Run, begin: () => void): void {
    run.suspect = true;
    this.#queue.push({ run, begin });
    this.#next();
  }

  /** The run has been at work for a while, and that is noted: the next one may begin. */
  loosen(run: Run): void {
    if (this.#running !== run) return;
    this.#running = undefined;
    this.#loose.add(run);
    this.#next();
  }

  /** To be called when a suspect has ended, or waits for something that takes long. */
  left(run: Run): void {
    run.suspect = false;
    this.#loose.delete(run);
    if (this.#running === run) this.#running = undefined;
    this.#next();
  }

  #next(): void {
    while (this.#running === undefined) {
      const [next] = this.#queue;
      if (next === undefined) return;
      const waits = next.run.record?.grave === true && this.#loose.size > 0;
      if (waits && !next.run.settled) return;
      this.#queue.shift();
      if (next.run.settled) continue;
      this.#running = next.run;
      next.begin();
    }
  }
}
