/** Milliseconds between the monotonic clock and the epoch. Looked up again now and then, should the wall clock be set. */
export class Clock {
  #offset = 0;
  #until = 0;

  now(): number {
    const monotonic = performance.now();
    if (monotonic >= this.#until) {
      this.#offset = Date.now() - monotonic;
      this.#until = monotonic + 1000;
    }
    return this.#offset + monotonic;
  }

  /** @param monotonic Milliseconds of the monotonic clock. */
  at(monotonic: number): number {
    if (this.#until === 0) this.now();
    return this.#offset + monotonic;
  }
}
