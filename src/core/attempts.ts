/**
 * What is remembered of events whose handling failed: attempts used, when it first failed, and which routes have
 * already confirmed. Nothing is kept for an event that succeeds at once.
 */
import type { Event, Position } from './event.ts';

export interface AttemptRecord {
  /** Attempts that were used up. */
  readonly used: number;
  /** Deferrals that used none up, because a target was unavailable. */
  readonly deferred: number;
  /** Milliseconds since the epoch. */
  readonly firstFailedAt: number;
  readonly confirmed: readonly string[];
}

/** Records kept at most; the oldest go first. What is forgotten falls back to the server's delivery count. */
const LIMIT = 100_000;

/** The record of one consumer's failing events, in memory and bounded. */
export class Attempts {
  readonly #records = new Map<number, { readonly position: Position; readonly record: AttemptRecord }>();

  get(event: Event): AttemptRecord | undefined {
    if (this.#records.size === 0) return undefined;
    const { sequence, milliseconds, nanoseconds } = event.position;
    const known = this.#records.get(sequence);
    // A stream that was made anew counts from 1 again: another event may bear this number now.
    return known?.position.milliseconds === milliseconds && known.position.nanoseconds === nanoseconds
      ? known.record
      : undefined;
  }

  /**
   * The number of the attempt that runs now, from 1. Without a record (first passage, or a restart) the server's
   * delivery count is all that is known.
   */
  number(event: Event): number {
    const record = this.get(event);
    return record === undefined ? event.position.deliveries : record.used + 1;
  }

  put(event: Event, record: AttemptRecord): void {
    const { position } = event;
    this.#records.delete(position.sequence);
    this.#records.set(position.sequence, { position, record });
    if (this.#records.size <= LIMIT) return;
    const oldest = this.#records.keys().next();
    if (oldest.done !== true) this.#records.delete(oldest.value);
  }

  forget(event: Event): void {
    if (this.#records.size > 0) this.#records.delete(event.position.sequence);
  }

  clear(): void {
    this.#records.clear();
  }

  /** The lowest stream sequence of an event that failed and has no outcome yet, or undefined. */
  lowestSequence(): number | undefined {
    let lowest: number | undefined;
    for (const sequence of this.#records.keys()) if (lowest === undefined || sequence < lowest) lowest = sequence;
    return lowest;
  }
}
