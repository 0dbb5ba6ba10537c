/**
 * How many events may be due for a consumer. A replay hands over no more than the consumer takes, so that OUZEL_TIMERS
 * stays small, and whatever else is due for it (retries, re-drives) does not have to wait behind all of the past.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { JetStreamManager } from '@nats-io/jetstream';
import { dueCounts } from '../nats/timers.ts';

/** Events that are due for one consumer, at most. */
const MOST_DUE = 10_000;
/** Milliseconds between looks at what is due. */
const LOOK_AGAIN = 250;

export class Room {
  readonly #manager: JetStreamManager;
  /** What was due at the last look, and was handed over since. */
  #due: Map<string, number> | undefined;

  constructor(manager: JetStreamManager) {
    this.#manager = manager;
  }

  /** The consumer that has no room; nobody has, before the first look. */
  full(consumers: readonly string[]): string | undefined {
    const due = this.#due;
    if (due === undefined) return consumers[0];
    return consumers.find((name) => (due.get(name) ?? 0) >= MOST_DUE);
  }

  take(consumer: string): void {
    this.#due?.set(consumer, (this.#due.get(consumer) ?? 0) + 1);
  }

  /** Looks once, and if there is no room waits for a moment. @throws AbortError, and what the server says */
  async look(consumers: readonly string[], signal: AbortSignal): Promise<void> {
    this.#due = new Map(await dueCounts(this.#manager));
    if (this.full(consumers) !== undefined) await sleep(LOOK_AGAIN, undefined, { signal });
  }
}
