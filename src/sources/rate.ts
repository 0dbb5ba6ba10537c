/** How much a source takes in a time. */
export class Rate {
  readonly #limit: number;
  readonly #per: number;
  #left: number;
  #at: number;

  /** @param per Milliseconds. @param now Of a clock that never goes back, as below. */
  constructor({ limit, per }: { readonly limit: number; readonly per: number }, now: number) {
    this.#limit = limit;
    this.#per = per;
    this.#left = limit;
    this.#at = now;
  }

  /** Counts one. @returns Milliseconds until it would be taken; 0 when it is. */
  take(now: number): number {
    this.#left = Math.min(this.#limit, this.#left + ((now - this.#at) * this.#limit) / this.#per);
    this.#at = now;
    if (this.#left < 1) return Math.ceil(((1 - this.#left) * this.#per) / this.#limit);
    this.#left--;
    return 0;
  }
}
