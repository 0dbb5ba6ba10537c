/**
 * Numbers by key, for a million keys in some 50 MB: keys are told apart by 64 bits of a hash that starts anew with each
 * process, so that nobody can look for two that collide. What is idle goes when room is needed.
 */

const FEWEST = 64;
/** Slots at most; three quarters of them are used. */
const MOST = 2 ** 21;
const FILLED = 0.75;
/** Milliseconds before a full table looks for idle entries again. */
const LOOK_AGAIN = 1_000;

export class KeyTable {
  readonly #columns: number;
  readonly #isIdle: (first: number) => boolean;
  readonly #most: number;
  readonly #seeds = [(Math.random() * 2 ** 32) | 0, (Math.random() * 2 ** 32) | 0] as const;
  /** Two words a slot; both 0: it is free. */
  #hashes = new Uint32Array(FEWEST * 2);
  #values: Float64Array;
  #slots = FEWEST;
  #used = 0;
  #fullUntil = Number.NEGATIVE_INFINITY;
  #high = 0;
  #low = 0;

  /**
   * @param columns Numbers a key.
   * @param isIdle Whether a key may be forgotten, by its first number.
   * @param most Slots, at most: a power of two.
   */
  constructor(columns: number, isIdle: (first: number) => boolean, most = MOST) {
    this.#columns = columns;
    this.#isIdle = isIdle;
    this.#most = most;
    this.#values = new Float64Array(FEWEST * columns);
  }

  /** Keys that it holds, idle ones included. */
  get size(): number {
    return this.#used;
  }

  get(slot: number, column: number): number {
    return this.#values[slot * this.#columns + column] as number;
  }

  set(slot: number, column: number, value: number): void {
    this.#values[slot * this.#columns + column] = value;
  }

  /** The slot of a key, to be used at once; -1 where there is none. */
  find(key: string): number {
    this.#hash(key);
    const slot = this.#probe();
    return this.#isFree(slot) ? -1 : slot;
  }

  /**
   * The slot of a key, made with zeros where there is none. A table that is full of busy keys answers with the slot of
   * another: the two share it.
   */
  claim(key: string): number {
    this.#hash(key);
    let slot = this.#probe();
    if (!this.#isFree(slot)) return slot;
    if (this.#used >= this.#slots * FILLED) {
      if (!this.#makeRoom()) return this.#neighbour();
      slot = this.#probe();
    }
    this.#used++;
    this.#hashes[slot * 2] = this.#high;
    this.#hashes[slot * 2 + 1] = this.#low;
    this.#values.fill(0, slot * this.#columns, (slot + 1) * this.#columns);
    return slot;
  }

  #isFree(slot: number): boolean {
    return this.#hashes[slot * 2] === 0 && this.#hashes[slot * 2 + 1] === 0;
  }

  /** The slot of the hash, or the free one where it would be. */
  #probe(): number {
    const mask = this.#slots - 1;
    for (let slot = this.#high & mask; ; slot = (slot + 1) & mask) {
      const high = this.#hashes[slot * 2];
      const low = this.#hashes[slot * 2 + 1];
      if ((high === this.#high && low === this.#low) || (high === 0 && low === 0)) return slot;
    }
  }

  #neighbour(): number {
    const mask = this.#slots - 1;
    let slot = this.#high & mask;
    while (this.#isFree(slot)) slot = (slot + 1) & mask;
    return slot;
  }

  /** Forgets what is idle, and grows where that is not enough; false when there is no room to be had. */
  #makeRoom(): boolean {
    const now = performance.now();
    if (this.#slots === this.#most && now < this.#fullUntil) return false;
    const high = this.#high;
    const low = this.#low;
    const hashes = this.#hashes;
    const values = this.#values;
    const columns = this.#columns;
    const slots = this.#slots;
    let busy = 0;
    for (let slot = 0; slot < slots; slot++)
      if (!this.#isFree(slot) && !this.#isIdle(values[slot * columns] as number)) busy++;
    while (this.#slots < this.#most && busy >= (this.#slots * FILLED) / 2) this.#slots *= 2;
    this.#hashes = new Uint32Array(this.#slots * 2);
    this.#values = new Float64Array(this.#slots * columns);
    let used = 0;
    for (let slot = 0; slot < slots; slot++) {
      this.#high = hashes[slot * 2] as number;
      this.#low = hashes[slot * 2 + 1] as number;
      if ((this.#high === 0 && this.#low === 0) || this.#isIdle(values[slot * columns] as number)) continue;
      const to = this.#probe();
      used++;
      this.#hashes[to * 2] = this.#high;
      this.#hashes[to * 2 + 1] = this.#low;
      for (let column = 0; column < columns; column++)
        this.#values[to * columns + column] = values[slot * columns + column] as number;
    }
    this.#used = used;
    this.#high = high;
    this.#low = low;
    this.#fullUntil = now + LOOK_AGAIN;
    return used < this.#slots * FILLED;
  }

  /** Two words of 32 bits, never both 0 (a variant of cyrb53). */
  #hash(key: string): void {
    let high = 0xdeadbeef ^ this.#seeds[0];
    let low = 0x41c6ce57 ^ this.#seeds[1];
    for (let index = 0; index < key.length; index++) {
      const code = key.charCodeAt(index);
      high = Math.imul(high ^ code, 2_654_435_761);
      low = Math.imul(low ^ code, 1_597_334_677);
    }
    high = Math.imul(high ^ (high >>> 16), 2_246_822_507) ^ Math.imul(low ^ (low >>> 13), 3_266_489_909);
    low = Math.imul(low ^ (low >>> 16), 2_246_822_507) ^ Math.imul(high ^ (high >>> 13), 3_266_489_909);
    this.#high = high >>> 0;
    this.#low = low >>> 0 || 1;
  }
}
