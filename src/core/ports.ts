/** What the core needs of the outside. `nats/` and `daemon.ts` supply it; tests may too. */
import type { Outcome } from './plan.ts';
import type { Failure, Run } from './run.ts';

/** Answers to the server, by the bytes of a message's ack subject. Only `settle.ts` calls it. */
export interface Acknowledger {
  ack(reply: Uint8Array): void;
  /** Deliver again, after a delay in milliseconds. */
  nak(reply: Uint8Array, delay: number): void;
  /** Still at it: restarts the server's `ack_wait`. */
  working(reply: Uint8Array): void;
}

/** Keeps events that could not be delivered. */
export interface DeadLetterStore {
  /** Calls back once: without an error when the letter is stored for good. */
  store(run: Run, failure: Failure, reason: string, done: (error?: Error) => void): void;
}

/** Hears of what deserves a log line or a span; must not throw and must not keep the run. */
export interface Observer {
  /** The event will be tried again in `delay` milliseconds. */
  retried(run: Run, failure: Failure, delay: number): void;
  deadLettered(run: Run, failure: Failure, reason: string): void;
  /** The dead letter could not be stored; the event is kept and tried again. */
  deadLetterRefused(run: Run, error: Error, delay: number): void;
  settled(run: Run, outcome: Outcome): void;
}
