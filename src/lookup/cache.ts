/** What was found, for a while: bounded in entries and in bytes, and the least recently used goes first. */
import type { Answer } from './source.ts';
import { MISSING } from './source.ts';

export interface CacheOptions {
  /** Milliseconds for which a value is taken for what it was. */
  readonly ttl: number;
  /** The same for a value that was not there. 0: it is not kept. */
  readonly negative: number;
  /** Entries at most. */
  readonly max: number;
  /** Bytes at most, of keys and values together. */
  readonly size: number;
}

interface Entry {
  readonly answer: Answer;
  readonly until: number;
  readonly bytes: number;
}

/** Bytes that an entry takes beside its key and value, about. */
const OVERHEAD = 128;

export class LookupCache {
  readonly #options: CacheOptions;
  readonly #now: () => number;
  /** The least recently used one first. */
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  /** @param now Milliseconds of a monotonic clock. */
  constructor(options: CacheOptions, now: () => number = () => performance.now()) {
    this.#options = options;
    this.#now = now;
  }

  get entries(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** The answer to a question, where it is known and not too old. */
  get(id: string): Answer | undefined {
    const entry = this.#entries.get(id);
    if (entry === undefined) return undefined;
    this.#entries.delete(id);
    if (entry.until <= this.#now()) {
      this.#bytes -= entry.bytes;
      return undefined;
    }
    this.#entries.set(id, entry);
    return entry.answer;
  }

  put(id: string, answer: Answer): void {
    const { ttl, negative, max, size } = this.#options;
    const lasts = answer === MISSING ? negative : ttl;
    this.#remove(id);
    const bytes = OVERHEAD + 2 * id.length + (answer === MISSING ? 0 : answer.size);
    if (lasts === 0 || bytes > size) return;
    this.#entries.set(id, { answer, until: this.#now() + lasts, bytes });
    this.#bytes += bytes;
    for (const oldest of this.#entries.keys()) {
      if (this.#entries.size <= max && this.#bytes <= size) return;
      this.#remove(oldest);
    }
  }

  #remove(id: string): void {
    const entry = this.#entries.get(id);
    if (entry === undefined) return;
    this.#entries.delete(id);
    this.#bytes -= entry.bytes;
  }
}
