/**
 * The only place that answers the server. Whoever calls it is done with the run: every event in hand ends here in
 * exactly one of an outcome, a retry, or being given back unstarted.
 */
import { asOuzelError } from '../errors.ts';
import type { Cell, HistogramCell } from '../telemetry/cells.ts';
import type { Consumer } from './consumer.ts';
import type { Outcome } from './plan.ts';
import type { Acknowledger, DeadLetterStore, Observer } from './ports.ts';
import { decide } from '../deliver/retry.ts';
import type { Failure, Run } from './run.ts';

export interface SettleCells {
  readonly inFlight: Cell;
  readonly returned: Cell;
  readonly retries: (reason: string) => Cell;
  readonly deadLettered: (reason: string) => Outcome;
  readonly duration: HistogramCell;
  readonly age: HistogramCell;
}

/** Milliseconds before a dead letter that could not be stored is tried again. */
const REFUSED_LETTER_DELAY = 5_000;

export class Settle {
  readonly #consumer: Consumer;
  readonly #acks: Acknowledger;
  readonly #letters: DeadLetterStore;
  readonly #observer: Observer;
  readonly #cells: SettleCells;

  constructor(
    consumer: Consumer,
    acks: Acknowledger,
    letters: DeadLetterStore,
    observer: Observer,
    cells: SettleCells,
  ) {
    this.#consumer = consumer;
    this.#acks = acks;
    this.#letters = letters;
    this.#observer = observer;
    this.#cells = cells;
  }

  /** The event reached an outcome: every delivery is confirmed, or a rule ended it. */
  outcome(run: Run, outcome: Outcome): void {
    if (!run.decided) this.#end(run, outcome);
  }

  #end(run: Run, outcome: Outcome): void {
    run.settled = true;
    run.decided = true;
    this.#acks.ack(run.event.carrier.reply);
    outcome.counter.increment();
    const now = performance.now();
    this.#cells.duration.observe((now - run.receivedAt) / 1000);
    this.#cells.age.observe(Math.max(0, performance.timeOrigin + now - run.event.position.milliseconds) / 1000);
    try {
      this.#observer.settled(run, outcome);
    } catch {
      // Whoever looks on cannot break the work.
    }
    this.#consumer.attempts.forget(run.event);
    this.#release(run);
  }

  /** The attempt failed: it is tried again later, or goes into the dead letters and is acked once it is stored there. */
  failure(run: Run, failure: Failure): void {
    if (run.decided) return;
    run.decided = true;
    const decision = decide(run, failure, Date.now(), Math.random());
    if (decision.retry) {
      this.#cells.retries(decision.reason).increment();
      this.#tell((observer) => observer.retried(run, failure, decision.delay));
      this.#consumer.attempts.put(run.event, decision.record);
      return this.#nak(run, decision.delay);
    }
    const stored = (error?: Error): void => {
      if (run.settled) return;
      if (error === undefined) {
        this.#tell((observer) => observer.deadLettered(run, failure, decision.reason));
        return this.#end(run, this.#cells.deadLettered(decision.reason));
      }
      this.#cells.retries('dead_letter_refused').increment();
      this.#tell((observer) => observer.deadLetterRefused(run, error, REFUSED_LETTER_DELAY));
      this.#consumer.attempts.put(run.event, decision.record);
      this.#nak(run, REFUSED_LETTER_DELAY);
    };
    try {
      this.#letters.store(run, failure, decision.reason, stored);
    } catch (error) {
      stored(asOuzelError(error));
    }
  }

  /** The event's handling has not started and will not here: the server hands it out again at once. */
  giveBack(run: Run): void {
    if (run.decided) return;
    this.#cells.returned.increment();
    this.#nak(run, 0);
  }

  /** Tells the server of a run that is queued or running that it is still in hand. */
  working(run: Run, now: number): void {
    run.heardOfAt = now;
    this.#acks.working(run.event.carrier.reply);
  }

  #tell(what: (observer: Observer) => void): void {
    try {
      what(this.#observer);
    } catch {
      // Whoever looks on cannot break the work.
    }
  }

  #nak(run: Run, delay: number): void {
    run.settled = true;
    run.decided = true;
    this.#acks.nak(run.event.carrier.reply, delay);
    this.#release(run);
  }

  #release(run: Run): void {
    this.#cells.inFlight.decrement();
    this.#consumer.release(run);
  }
}
