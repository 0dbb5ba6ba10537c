/**
 * Notices when the process did not run for a while: it was stopped (SIGSTOP, a suspended machine) or starved. What it
 * reads then may have lain in the socket all that time, and the server may have given it to somebody else.
 */

/** Milliseconds without a tick that count as a pause; ticks come about twice a second. */
const NOTICED = 1_500;
/** Milliseconds after the end of a pause in which what is read may still be from before. */
const AFTERMATH = 1_000;

export class Pauses {
  #tickedAt = performance.now();
  #length = 0;
  #until = 0;

  /** To be called about twice a second. @param now Milliseconds of the monotonic clock. */
  tick(now: number): void {
    this.age(now);
    this.#tickedAt = now;
  }

  /**
   * For how long what is received now may have lain there, in milliseconds.
   *
   * @param now Milliseconds of the monotonic clock.
   */
  age(now: number): number {
    const gap = now - this.#tickedAt;
    if (gap > NOTICED) {
      this.#length = Math.max(gap, now < this.#until ? this.#length : 0);
      this.#until = now + AFTERMATH;
      return this.#length;
    }
    return now < this.#until ? this.#length : 0;
  }
}
