/**
 * The only place that answers the server. Whoever calls it is done with the run: every event in hand ends here in
 * exactly one of an outcome, a retry, a timer, or being given back.
 */
import { decide, type Decision } from '../deliver/retry.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Cell, HistogramCell } from '../telemetry/cells.ts';
import { type AttemptRecord, NO_ATTEMPTS } from './attempts.ts';
import { batchThatFailed } from './batch.ts';
import type { Consumer } from './consumer.ts';
import type { OnceStage, Outcome } from './plan.ts';
import type {
  Acknowledger,
  AttemptStore,
  AuditTrail,
  DeadLetterStore,
  Done,
  HoldKey,
  Keepsake,
  Observer,
  Parking,
  TimerKind,
} from './ports.ts';
import { confirmedRoutes, type Failure, type Run } from './run.ts';

export interface SettleCells {
  readonly inFlight: Cell;
  readonly returned: Cell;
  readonly parked: Cell;
  readonly retries: (reason: string) => Cell;
  readonly deadLettered: (reason: string) => Outcome;
  readonly duration: HistogramCell;
  readonly age: HistogramCell;
}

export interface SettlePorts {
  readonly acks: Acknowledger;
  readonly letters: DeadLetterStore;
  readonly attempts: AttemptStore;
  readonly parking: Parking;
  /** Undefined where no key is held. */
  readonly hold?: HoldKey | undefined;
  readonly observer: Observer;
  /** Absent: nothing is recorded. */
  readonly trail?: AuditTrail | undefined;
  readonly cells: SettleCells;
}

/** Milliseconds before what could not be stored is stored again: at first, and at most. */
const STORE_AGAIN = 500;
const STORE_AGAIN_MOST = 5_000;

export class Settle {
  readonly #consumer: Consumer;
  readonly #ports: SettlePorts;

  constructor(consumer: Consumer, ports: SettlePorts) {
    this.#consumer = consumer;
    this.#ports = ports;
  }

  /** The event reached an outcome: every delivery is confirmed, or a rule ended it. */
  outcome(run: Run, outcome: Outcome): void {
    if (!run.decided) this.#end(run, outcome);
  }

  #end(run: Run, outcome: Outcome): void {
    run.decided = true;
    const { acks, cells, attempts, letters, trail } = this.#ports;
    const letter = run.handed?.letter;
    if (letter !== undefined && !run.letterGone)
      return this.#keep(
        run,
        'removal of the dead letter',
        (done) => letters.remove(letter, done),
        () => {
          run.letterGone = true;
          this.#end(run, outcome);
        },
      );
    if (trail !== undefined && trail.mode !== 'off' && !run.audited) {
      const required = trail.mode === 'required';
      trail.outcome(run, outcome);
      if (required) return this.#waitForRecord(run);
    }
    run.settled = true;
    const isAnswered = run.reply.length > 0;
    if (isAnswered) acks.ack(run.reply);
    outcome.counter.increment();
    const now = performance.now();
    cells.duration.observe((now - run.receivedAt) / 1000);
    cells.age.observe(Math.max(0, performance.timeOrigin + now - run.event.position.milliseconds) / 1000);
    try {
      this.#ports.observer.settled(run, outcome);
    } catch {
      // Whoever looks on cannot break the work.
    }
    if (run.recorded) attempts.remove(run);
    if (isAnswered) this.#consumer.acked.add(run);
    this.#release(run);
  }

  /** The trail calls `audited`. Until then thousands wait, and each collection of garbage would copy their data. */
  #waitForRecord({ event }: Run): void {
    if (this.#ports.observer.looksAtData !== true) event.shed();
  }

  /** The record of an outcome is stored. The event was kept in hand for it, and ends now. */
  audited(run: Run, outcome: Outcome): void {
    if (run.settled) return;
    run.audited = true;
    this.#consumer.unblock(run);
    this.#end(run, outcome);
  }

  /**
   * The record of an outcome cannot be stored now: the event stays in hand, and its consumer takes no others.
   *
   * @param again Milliseconds until it is stored again.
   * @param tell Whether the observer hears of it: once for all events that a refusal is about.
   */
  unaudited(run: Run, error: Error, again: number, tell: boolean): void {
    if (run.settled) return;
    if (run.lost) return this.lose(run);
    this.#consumer.block(run, `audit record cannot be stored: ${error.message}`);
    if (tell) this.#tell(() => this.#ports.observer.refused(run, 'audit record', error, again));
  }

  /** The attempt failed: it is tried again later, or goes into the dead letters and is acked once it is stored there. */
  failure(run: Run, failure: Failure): void {
    if (run.decided) return;
    // Somebody else has the event by now, and decides for himself.
    if (run.lost) return this.lose(run);
    run.decided = true;
    run.failure = failure;
    const decision = decide(run, failure, Date.now(), batchThatFailed(run, failure.route)?.chance ?? Math.random());
    if (decision.retry) this.#tryLater(run, failure, decision);
    else {
      run.record = decision.record;
      this.#bury(run, failure, decision.reason);
    }
  }

  #tryLater(run: Run, failure: Failure, { delay, reason, record }: Extract<Decision, { retry: true }>): void {
    const { observer, attempts, cells, trail } = this.#ports;
    this.#tell(() => observer.retried(run, failure, delay));
    if (trail !== undefined && trail.mode !== 'off') trail.attempt(run, failure, delay);
    const later = (): void => {
      cells.retries(reason).increment();
      this.#nak(run, Math.max(1, record.next - Date.now()));
    };
    const giveBack = (): void => this.#keep(run, 'attempts', (done) => attempts.put(run, record, done), later);
    if (!this.#consumer.parks(run, delay)) return giveBack();
    this.#handOver(run, record, 'retry', giveBack);
  }

  /**
   * A stage holds the event back until an instant: a timer brings it again, and it goes on behind that stage; or, where
   * it is throttled, is throttled again.
   *
   * @param at Milliseconds since the epoch.
   */
  park(run: Run, at: number, stage: OnceStage | 'throttle'): void {
    if (run.decided) return;
    if (run.lost) return this.lose(run);
    run.decided = true;
    const known = run.record ?? NO_ATTEMPTS;
    const isThrottled = stage === 'throttle';
    const record: AttemptRecord = {
      ...known,
      open: false,
      alone: false,
      next: at,
      passed: isThrottled ? run.passed : stage,
      throttled: known.throttled + (isThrottled ? 1 : 0),
    };
    // What no timer can carry waits on the server, where it holds its ack slot.
    this.#handOver(run, record, stage, () =>
      this.#keep(
        run,
        'attempts',
        (done) => this.#ports.attempts.put(run, record, done),
        () => {
          this.#ports.cells.returned.increment();
          this.#nak(run, Math.max(1, at - Date.now()));
        },
      ),
    );
  }

  /**
   * Puts an event that has not begun where it waits for those of its key before it, and acks it when it is stored.
   *
   * @param put As `LaneStore.put`.
   * @param kept The event was not stored: it stays in hand.
   */
  store(run: Run, put: (done: Done) => void, kept: () => void): void {
    if (run.decided) return;
    run.decided = true;
    run.startedAt = 0;
    put((error) => {
      if (run.settled) return;
      if (error === undefined) return this.#parked(run);
      run.decided = false;
      if (run.lost) return this.lose(run);
      kept();
    });
  }

  /** It is stored elsewhere, and comes from there. */
  #parked(run: Run): void {
    const { attempts, cells, acks } = this.#ports;
    run.settled = true;
    cells.parked.increment();
    if (run.recorded) attempts.remove(run);
    acks.ack(run.reply);
    this.#consumer.acked.add(run);
    this.#release(run);
  }

  /** Hands the event to a timer for `record.next`, and acks it when the timer is stored. */
  #handOver(run: Run, record: AttemptRecord, kind: TimerKind, tooLarge: () => void): void {
    const { parking } = this.#ports;
    const parked = (): void => this.#parked(run);
    this.#keep(run, 'timer', (done) => parking.park(run, record, kind, done), parked, tooLarge);
  }

  /**
   * A stage stores the event elsewhere, from where it comes again and goes on behind that stage; or it finds that the
   * event ends here.
   *
   * @param store Called until it says that the event is stored, or what its outcome is.
   */
  hold(run: Run, store: (done: (error?: Error, outcome?: Outcome) => void) => void): void {
    if (run.decided) return;
    if (run.lost) return this.lose(run);
    run.decided = true;
    let outcome: Outcome | undefined;
    this.#keep(
      run,
      'held event',
      (done) =>
        store((error, answer) => {
          outcome = answer;
          done(error);
        }),
      () => (outcome === undefined ? this.#parked(run) : this.#end(run, outcome)),
      () => {
        run.decided = false;
        const message = 'its headers leave no room to hold it back (64 KiB in all)';
        this.failure(run, { error: new OuzelError('TARGET_TOO_LARGE', message), route: undefined });
      },
    );
  }

  /** A message that brought no event did what it is for. */
  answer(reply: Uint8Array): void {
    this.#ports.acks.ack(reply);
  }

  #bury(run: Run, failure: Failure, reason: string): void {
    const { letters, observer, cells, hold } = this.#ports;
    let letter: number | undefined;
    const store = (done: Done): void =>
      letters.store(run, failure, reason, (error, number) => {
        letter = number;
        done(error);
      });
    const end = (): void => {
      this.#tell(() => observer.deadLettered(run, failure, reason));
      this.#end(run, cells.deadLettered(reason));
    };
    this.#keep(run, 'dead letter', store, () => {
      const number = letter;
      if (hold === undefined || number === undefined || run.plan.holds !== true || run.place === undefined)
        return end();
      this.#keep(run, 'hold of the key', (done) => hold(run, number, done), end);
    });
  }

  /**
   * Keeps the event in hand until something is stored; the consumer takes no further events meanwhile.
   *
   * @param tooLarge What to do instead with an event that is too large for it.
   */
  #keep(
    run: Run,
    what: Keepsake,
    store: (done: Done) => void,
    stored: () => void,
    tooLarge?: () => void,
    again = STORE_AGAIN,
  ): void {
    let heard = false;
    const done: Done = (error) => {
      if (heard || run.settled) return;
      heard = true;
      if (error === undefined) {
        this.#consumer.unblock(run);
        return stored();
      }
      if (tooLarge !== undefined && asOuzelError(error).code === 'TARGET_TOO_LARGE') return tooLarge();
      if (run.lost) return this.lose(run);
      this.#consumer.block(run, `${what} cannot be stored: ${error.message}`);
      this.#tell(() => this.#ports.observer.refused(run, what, error, again));
      const next = Math.min(STORE_AGAIN_MOST, again * 2);
      setTimeout(() => this.#keep(run, what, store, stored, tooLarge, next), again).unref();
    };
    if (run.settled) return;
    try {
      store(done);
    } catch (error) {
      done(asOuzelError(error));
    }
  }

  /**
   * The event's handling has not started and will not here.
   *
   * @param delay Milliseconds before the server hands it out again.
   */
  giveBack(run: Run, delay = 0): void {
    if (run.decided) return;
    if (run.lost) return this.lose(run);
    this.#return(run, delay);
  }

  /** The event's handling is cut off, by a drain that runs out of time: what it confirmed is kept, and it goes back. */
  interrupt(run: Run, delay: number): void {
    if (run.decided) return;
    run.abort();
    if (run.lost) return this.lose(run);
    const known = run.record ?? NO_ATTEMPTS;
    const confirmed = [...known.confirmed, ...confirmedRoutes(run)];
    if (confirmed.length > 0) run.record = { ...known, confirmed };
    run.opened ||= confirmed.length > 0;
    this.#return(run, delay);
  }

  /** Goes back without an attempt; what was noted of one that was about to begin is taken back first. */
  #return(run: Run, delay: number): void {
    run.decided = true;
    const { attempts, cells } = this.#ports;
    const back = (): void => {
      cells.returned.increment();
      this.#nak(run, delay);
    };
    const known = run.record ?? NO_ATTEMPTS;
    // What happens once has happened, though nothing came of it yet.
    if (!run.opened && run.passed === known.passed) return back();
    const record = { ...known, passed: run.passed };
    this.#keep(run, 'attempts', (done) => attempts.put(run, record, done), back);
  }

  /** The event came before it is to be tried again. @param until Milliseconds since the epoch. */
  defer(run: Run, until: number): void {
    if (run.decided) return;
    run.decided = true;
    this.#ports.cells.returned.increment();
    this.#nak(run, Math.max(1, until - Date.now()));
  }

  /** Another lane of the consumer has this event: its durable brings it, and this delivery is let go uncounted. */
  passOn(reply: Uint8Array): void {
    this.#ports.acks.ack(reply);
  }

  /** The event was acked before, and the ack was lost. */
  ackAgain(run: Run): void {
    this.#ports.acks.ack(run.reply);
    this.lose(run);
  }

  /** Lets go of an event that somebody else has in hand by now: the server hears nothing. */
  lose(run: Run): void {
    if (run.settled) return;
    run.settled = true;
    run.decided = true;
    run.returned = true;
    run.abort();
    this.#ports.cells.returned.increment();
    this.#release(run);
  }

  /** Tells the server of a run that is queued or running that it is still in hand. */
  working(run: Run, now: number): void {
    if (run.reply.length === 0 || this.#ports.acks.working(run.reply)) run.heardOfAt = now;
  }

  #tell(what: () => void): void {
    try {
      what();
    } catch {
      // Whoever looks on cannot break the work.
    }
  }

  #nak(run: Run, delay: number): void {
    run.settled = true;
    run.returned = true;
    // Whoever takes over waits for all that is out, so that nothing is for longer than that.
    if (run.plan.exclusive === true && run.handed?.lane === undefined)
      delay = Math.min(delay, this.#consumer.limits.ackWait);
    if (delay > 0 && run.handed === undefined) this.#consumer.delayed.add(run.sequence, Date.now() + delay);
    // A nak that comes late would take the event from whoever has it now.
    if (!run.lost) this.#ports.acks.nak(run.reply, delay);
    this.#release(run);
  }

  #release(run: Run): void {
    this.#ports.cells.inFlight.decrement();
    this.#consumer.unblock(run);
    this.#consumer.release(run);
    run.whenOver?.();
  }
}
