/** So many at a time; the others wait for a place, first come, first served. */
export class Places {
  #free: number;
  readonly #waiting = new Set<() => void>();

  /** @param count How many there are. */
  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves when there is a place. @param signal Ends the wait; what it was aborted with is thrown. */
  async take(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#free > 0) {
      this.#free--;
      return;
    }
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const ended = (): void => {
      this.#waiting.delete(next);
      reject(signal.reason as Error);
    };
    const next = (): void => {
      signal.removeEventListener('abort', ended);
      resolve();
    };
    signal.addEventListener('abort', ended, { once: true });
    this.#waiting.add(next);
    await promise;
  }

  /** Gives a place back. */
  give(): void {
    for (const next of this.#waiting) {
      this.#waiting.delete(next);
      return next();
    }
    this.#free++;
  }
}
