/**
 * Who may go at a rate: by an instance's own memory, or by what all instances share. Both are GCRA (`gcra.ts`), so that
 * a limit means the same wherever it is kept.
 */
import { admissible, type Rate, standing } from './gcra.ts';
import { KeyTable } from './key-table.ts';

/**
 * @param granted How many of those that were asked for may go.
 * @param base Where the key stood, by the clock of the quota: `slotOf` says when each of them may, and when the first
 * of those that may not yet.
 */
export type Answer = (granted: number, base: number) => void;

export interface Quota {
  readonly rate: Rate;
  /** Milliseconds, by the clock that it counts with. */
  now(): number;
  /** Whether one may go now, and takes it; absent where that is not known at once. */
  grants?(key: string): boolean;
  /**
   * Takes as many as may go.
   *
   * @param ahead Milliseconds from now within which they must be able to go.
   * @param answer Called once: at once, or when it is known.
   */
  ask(key: string, wanted: number, ahead: number, answer: Answer): void;
}

/** A quota of this instance alone. */
export class LocalQuota implements Quota {
  readonly rate: Rate;
  readonly #table = new KeyTable(1, (stored) => stored <= performance.now());

  constructor(rate: Rate) {
    this.rate = rate;
  }

  /** Keys that it has in memory. */
  get size(): number {
    return this.#table.size;
  }

  now(): number {
    return performance.now();
  }

  grants(key: string): boolean {
    const now = performance.now();
    const slot = this.#table.claim(key);
    const base = standing(this.#table.get(slot, 0), now, this.rate, 0);
    if (admissible(base, now, 1, this.rate) === 0) return false;
    this.#table.set(slot, 0, base + this.rate.interval);
    return true;
  }

  ask(key: string, wanted: number, ahead: number, answer: Answer): void {
    const now = performance.now();
    const slot = this.#table.claim(key);
    const base = standing(this.#table.get(slot, 0), now, this.rate, ahead);
    const granted = admissible(base, now + ahead, wanted, this.rate);
    if (granted > 0) this.#table.set(slot, 0, base + granted * this.rate.interval);
    answer(granted, base);
  }
}

/** Where all instances keep how far each key has come. Only who knows what is there may change it. */
export interface SharedStandings {
  /**
   * Puts a number in the place of another.
   *
   * @param limit The limit that the key is of.
   * @param expected The sequence of the number that is there; 0: none is.
   * @param keep Milliseconds for which it has to be kept.
   * @param done With the sequence of the new one; undefined where another was there than was expected.
   */
  swap(
    limit: string,
    key: string,
    value: number,
    expected: number,
    keep: number,
    done: (error: Error | undefined, sequence?: number) => void,
  ): void;
  /** @param done With 0 and 0 where there is none. */
  read(limit: string, key: string, done: (error: Error | undefined, value: number, sequence: number) => void): void;
}

/** Milliseconds for which a number outlives the instant that it stands for: until then its sequence is known. */
const OUTLIVES = 30_000;
/** Milliseconds before what could not be asked is asked again. */
const ASK_AGAIN = 500;

/** A quota that all instances share. To be asked for one key once at a time. */
export class FleetQuota implements Quota {
  readonly rate: Rate;
  readonly #limit: string;
  readonly #shared: SharedStandings;
  readonly #onTrouble: (error: Error) => void;
  /** What is known of each key: its number, and the sequence of that. */
  readonly #known = new KeyTable(2, (stored) => stored + OUTLIVES <= Date.now());

  /**
   * @param limit Its name, the same on all instances.
   * @param onTrouble Hears that what is shared could not be reached; it is asked again.
   */
  constructor(limit: string, rate: Rate, shared: SharedStandings, onTrouble: (error: Error) => void) {
    this.#limit = limit;
    this.rate = rate;
    this.#shared = shared;
    this.#onTrouble = onTrouble;
  }

  now(): number {
    return Date.now();
  }

  ask(key: string, wanted: number, ahead: number, answer: Answer): void {
    const slot = this.#known.find(key);
    const value = slot === -1 ? 0 : this.#known.get(slot, 0);
    // What was kept for long enough is gone.
    const sequence = slot === -1 || value + OUTLIVES <= Date.now() ? 0 : this.#known.get(slot, 1);
    this.#try(key, wanted, ahead, value, sequence, answer);
  }

  #try(key: string, wanted: number, ahead: number, value: number, sequence: number, answer: Answer): void {
    const now = Date.now();
    const base = standing(value, now, this.rate, ahead);
    const granted = admissible(base, now + ahead, wanted, this.rate);
    // Others can only have gone further since.
    if (granted === 0) return answer(0, base);
    const next = base + granted * this.rate.interval;
    this.#shared.swap(this.#limit, key, next, sequence, next - now + OUTLIVES, (error, stored) => {
      if (error === undefined && stored !== undefined) {
        this.#note(key, next, stored);
        return answer(granted, base);
      }
      if (error === undefined) return this.#read(key, wanted, ahead, answer);
      this.#later(error, key, wanted, ahead, answer);
    });
  }

  #read(key: string, wanted: number, ahead: number, answer: Answer): void {
    this.#shared.read(this.#limit, key, (error, value, sequence) => {
      if (error !== undefined) return this.#later(error, key, wanted, ahead, answer);
      this.#note(key, value, sequence);
      this.#try(key, wanted, ahead, value, sequence, answer);
    });
  }

  /** Nobody knows whether it was stored: it is read first. What is counted twice is on the safe side. */
  #later(error: Error, key: string, wanted: number, ahead: number, answer: Answer): void {
    this.#onTrouble(error);
    setTimeout(() => this.#read(key, wanted, ahead, answer), ASK_AGAIN).unref();
  }

  #note(key: string, value: number, sequence: number): void {
    const slot = this.#known.claim(key);
    this.#known.set(slot, 0, value);
    this.#known.set(slot, 1, sequence);
  }
}
