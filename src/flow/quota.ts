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
  /** Whether `grants` knows what it says no to; else it says no where somebody has to be asked. */
  readonly decides: boolean;
  /** Whether one may go now, and takes it. */
  grants(key: string): boolean;
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
  readonly decides = true;
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
/** From how many that are wanted together some are taken ahead, how many at most, and of how many that there are one. */
const BUSY = 8;
const MOST_AHEAD = 10_000;
const SPARE = 10;
const SPARE_WAITING = 4;
/** Milliseconds after which what was taken ahead and is not used is put back. */
const HELD = 50;

/** What is asked. */
interface Question {
  readonly key: string;
  readonly wanted: number;
  readonly ahead: number;
  readonly answer: Answer;
}

/** What was taken ahead for one key. */
class Advance {
  left = 0;
  refilling = false;
  /** Taken since it was added to last, and since it was looked at last. */
  used = 0;
  usedSinceLook = 0;
  /** Whether something was added since it was looked at last. */
  isFresh = false;
  #size = 0;

  add(count: number): void {
    this.left += count;
    this.#size = this.left;
    this.used = 0;
    this.isFresh = true;
  }

  take(): boolean {
    if (this.left === 0) return false;
    this.left--;
    this.used++;
    this.usedSinceLook++;
    return true;
  }

  /** Whether it is time for more. */
  get isLow(): boolean {
    return !this.refilling && this.left * 2 < this.#size;
  }

  /** Takes out what is more than twice of what was used since this was asked last. */
  surplus(): number {
    const surplus = this.isFresh ? 0 : Math.max(0, this.left - 2 * this.usedSinceLook);
    if (surplus > 0) {
      // What is kept is enough: it is no sign that more is wanted.
      this.left -= surplus;
      this.#size = this.left;
      this.used = this.usedSinceLook;
    }
    this.isFresh = false;
    this.usedSinceLook = 0;
    return surplus;
  }
}

/** A quota that all instances share. To be asked for one key once at a time. */
export class FleetQuota implements Quota {
  readonly decides = false;
  readonly rate: Rate;
  readonly #limit: string;
  readonly #shared: SharedStandings;
  readonly #drops: boolean;
  readonly #onTrouble: (error: Error) => void;
  /** What was taken ahead for keys that are asked for all the time. */
  readonly #advances = new Map<string, Advance>();
  /** What is known of each key: its number, and the sequence of that. */
  readonly #known = new KeyTable(2, (stored) => stored + OUTLIVES <= Date.now());

  /**
   * @param limit Its name, the same on all instances.
   * @param drops Whether events are dropped that may not go; else they wait.
   * @param onTrouble Hears that what is shared could not be reached; it is asked again.
   */
  constructor(limit: string, rate: Rate, drops: boolean, shared: SharedStandings, onTrouble: (error: Error) => void) {
    this.#limit = limit;
    this.rate = rate;
    this.#drops = drops;
    this.#shared = shared;
    this.#onTrouble = onTrouble;
  }

  now(): number {
    return Date.now();
  }

  grants(key: string): boolean {
    const advance = this.#advances.get(key);
    if (advance === undefined || !advance.take()) return false;
    if (advance.isLow) this.#refill(key, advance);
    return true;
  }

  ask(key: string, wanted: number, ahead: number, answer: Answer): void {
    const { value, sequence } = this.#lookUp(key);
    this.#try({ key, wanted, ahead, answer }, value, sequence);
  }

  #lookUp(key: string): { value: number; sequence: number } {
    const slot = this.#known.find(key);
    if (slot === -1) return { value: 0, sequence: 0 };
    const value = this.#known.get(slot, 0);
    // What was kept for long enough is gone.
    return { value, sequence: value + OUTLIVES <= Date.now() ? 0 : this.#known.get(slot, 1) };
  }

  #try(question: Question, value: number, sequence: number): void {
    const { key, wanted, ahead, answer } = question;
    const now = Date.now();
    const base = standing(value, now, this.rate, ahead);
    const granted = admissible(base, now + ahead, wanted, this.rate);
    // Others can only have gone further since.
    if (granted === 0) return answer(0, base);
    const more = this.#ahead(wanted, base, now);
    const next = base + (granted + more) * this.rate.interval;
    this.#shared.swap(this.#limit, key, next, sequence, next - now + OUTLIVES, (error, stored) => {
      if (error !== undefined) return this.#later(error, question);
      if (stored === undefined) return this.#read(question);
      this.#note(key, next, stored);
      if (more > 0) this.#advance(key, more);
      answer(granted, base);
    });
  }

  #read(question: Question): void {
    this.#shared.read(this.#limit, question.key, (error, value, sequence) => {
      if (error !== undefined) return this.#later(error, question);
      this.#note(question.key, value, sequence);
      this.#try(question, value, sequence);
    });
  }

  /** Nobody knows whether it was stored: it is read first. What is counted twice is on the safe side. */
  #later(error: Error, question: Question): void {
    this.#onTrouble(error);
    setTimeout(() => this.#read(question), ASK_AGAIN).unref();
  }

  /** How many to take ahead where many are wanted: a part of what there is, so that nobody misses them. */
  #ahead(wanted: number, base: number, now: number): number {
    if (wanted < BUSY) return 0;
    const there = admissible(base, now, Number.POSITIVE_INFINITY, this.rate);
    // Where events are dropped for want of a few, a few must not lie about unused when little is left.
    const spare = this.#drops ? there / SPARE - wanted : (there - wanted) / SPARE_WAITING;
    return Math.max(0, Math.min(wanted * 2, MOST_AHEAD, Math.floor(spare)));
  }

  #advance(key: string, count: number): void {
    let advance = this.#advances.get(key);
    if (advance === undefined) {
      advance = new Advance();
      this.#advances.set(key, advance);
      this.#watch(key, advance);
    }
    advance.add(count);
  }

  /** Puts back what is not used up in time. */
  #watch(key: string, advance: Advance): void {
    setTimeout(() => {
      const unused = advance.surplus();
      if (unused > 0) this.#putBack(key, unused);
      if (advance.left > 0 || advance.refilling) this.#watch(key, advance);
      else this.#advances.delete(key);
    }, HELD).unref();
  }

  #refill(key: string, advance: Advance): void {
    advance.refilling = true;
    // What is granted is in the advance by then, but for these.
    this.ask(key, Math.max(BUSY, advance.used), 0, (granted) => {
      advance.refilling = false;
      if (this.#advances.get(key) === advance) advance.add(granted);
      else if (granted > 0) this.#putBack(key, granted);
    });
  }

  #putBack(key: string, count: number): void {
    const { value, sequence } = this.#lookUp(key);
    const put = (known: number, expected: number, tries: number): void => {
      const next = known - count * this.rate.interval;
      this.#shared.swap(this.#limit, key, next, expected, known - Date.now() + OUTLIVES, (error, stored) => {
        if (stored !== undefined) return this.#note(key, next, stored);
        // What cannot be put back is lost, which is on the safe side.
        if (error !== undefined || tries === 0) return;
        this.#shared.read(this.#limit, key, (failed, there, its) => {
          if (failed === undefined && its !== 0) put(there, its, tries - 1);
        });
      });
    };
    put(value, sequence, 3);
  }

  #note(key: string, value: number, sequence: number): void {
    const slot = this.#known.claim(key);
    this.#known.set(slot, 0, value);
    this.#known.set(slot, 1, sequence);
  }
}
