/**
 * The ids that a source took lately. The stream's own duplicate window goes before it; this one covers what is sent again
 * after that, as long as this process lives.
 */
import { createHash } from 'node:crypto';
import type { Stored } from '../contracts/post.ts';

export class Memory {
  readonly #ids = new Map<string, Pick<Stored, 'stream' | 'sequence'>>();
  readonly #most: number;

  /** @param most Ids that are kept; the oldest is forgotten for another. */
  constructor(most: number) {
    this.#most = most;
  }

  /** Where the event of an id is, if it is known. */
  get(id: string): Stored | undefined {
    const found = this.#ids.get(keyOf(id));
    return found && { ...found, duplicate: true };
  }

  add(id: string, { stream, sequence }: Stored): void {
    const key = keyOf(id);
    this.#ids.delete(key);
    this.#ids.set(key, { stream, sequence });
    if (this.#ids.size <= this.#most) return;
    const [oldest] = this.#ids.keys();
    if (oldest !== undefined) this.#ids.delete(oldest);
  }
}

/** Ids may be long; what is kept of one is not. */
const keyOf = (id: string): string => (id.length <= 64 ? id : createHash('sha256').update(id).digest('base64'));
