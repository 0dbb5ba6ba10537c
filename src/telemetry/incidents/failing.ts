/** Whether a consumer is failing: the last failures in a ring of fixed size, and what has come of it so far. */

export interface FailingSettings {
  /** Failed attempts that make a consumer a failing one. */
  readonly errors: number;
  /** Milliseconds within which they happen. */
  readonly within: number;
}

/** A trouble that began, or that is over. */
export interface Trouble {
  /** When it began, by the clock that the failures were given with. */
  readonly since: number;
  readonly errors: number;
  readonly deadLettered: number;
}

/** The failures of one consumer. Times are milliseconds of a clock that never goes back. */
export class FailingConsumer {
  #settings: FailingSettings;
  #times: Float64Array;
  /** 1 where the failure became a dead letter. */
  #letters: Uint8Array;
  #next = 0;
  #used = 0;
  #trouble: { since: number; errors: number; deadLettered: number } | undefined;
  /** Whether events were handled after the last failure. */
  #handled = false;
  /** Whether the last failure was that of a delivery: then an event that needed none says nothing. */
  #delivering = false;

  constructor(settings: FailingSettings) {
    this.#settings = settings;
    this.#times = new Float64Array(settings.errors);
    this.#letters = new Uint8Array(settings.errors);
  }

  /** Whether its failing was said and its recovery was not. */
  get failing(): boolean {
    return this.#trouble !== undefined;
  }

  /** Whether nothing is left that it need remember. */
  idle(now: number): boolean {
    return !this.failing && (this.#used === 0 || now - this.#newest > this.#settings.within);
  }

  /** Puts other settings in force: what happened lately still counts, as far as it is remembered. */
  adjust(settings: FailingSettings): void {
    if (settings.errors === this.#settings.errors && settings.within === this.#settings.within) return;
    const kept = Math.min(this.#used, settings.errors);
    const [times, letters] = [this.#times, this.#letters];
    const from = this.#next - kept + times.length;
    this.#times = new Float64Array(settings.errors);
    this.#letters = new Uint8Array(settings.errors);
    for (let index = 0; index < kept; index++) {
      this.#times[index] = times[(from + index) % times.length] as number;
      this.#letters[index] = letters[(from + index) % times.length] as number;
    }
    this.#used = kept;
    this.#next = kept % settings.errors;
    this.#settings = settings;
  }

  /**
   * An attempt failed.
   *
   * @param delivering Whether a delivery failed, rather than a stage before it.
   * @returns What to say when it is this one that makes the consumer a failing one.
   */
  failed(now: number, deadLettered: boolean, delivering: boolean): Trouble | undefined {
    this.#delivering = delivering;
    this.#times[this.#next] = now;
    this.#letters[this.#next] = deadLettered ? 1 : 0;
    this.#next = (this.#next + 1) % this.#times.length;
    if (this.#used < this.#times.length) this.#used++;
    this.#handled = false;
    if (this.#trouble !== undefined) {
      this.#trouble.errors++;
      if (deadLettered) this.#trouble.deadLettered++;
      return undefined;
    }
    if (!this.#full(now)) return undefined;
    const lettersOf = this.#letters.reduce((sum, each) => sum + each, 0);
    this.#trouble = { since: this.#oldest, errors: this.#used, deadLettered: lettersOf };
    return { ...this.#trouble };
  }

  /**
   * An event was handled.
   *
   * @param delivered Whether it was delivered, rather than filtered or dropped.
   * @returns What to say when the trouble is over with it.
   */
  handled(now: number, delivered: boolean): Trouble | undefined {
    if (delivered || !this.#delivering) this.#handled = true;
    return this.look(now);
  }

  /** Time went by. Answers what to say when the trouble is over with that. */
  look(now: number): Trouble | undefined {
    const trouble = this.#trouble;
    if (trouble === undefined || !this.#handled || this.#full(now)) return undefined;
    this.#trouble = undefined;
    return trouble;
  }

  #full(now: number): boolean {
    return this.#used === this.#times.length && now - this.#oldest <= this.#settings.within;
  }

  get #oldest(): number {
    return this.#times[this.#used < this.#times.length ? 0 : this.#next] as number;
  }

  get #newest(): number {
    return this.#times[(this.#next - 1 + this.#times.length) % this.#times.length] as number;
  }
}
