/**
 * Events that come again: after a failure, after a crash, after a lost ack, or handed over by a timer or a re-drive.
 * What is known of them is looked up first. That a delivery is repeated says nothing of an attempt; only an attempt
 * that was noted as begun, and of which nothing was heard since, makes an event suspect of having ended the process.
 */
import { OuzelError } from '../errors.ts';
import { type AttemptRecord, newerRecord, NO_ATTEMPTS, readRecord, withCutOff } from './attempts.ts';
import type { Consumer } from './consumer.ts';
import type { AttemptStore } from './ports.ts';
import type { Run } from './run.ts';
import type { Suspects } from './suspects.ts';

/** Milliseconds before a question that was not answered is asked again. */
const ASK_AGAIN = 1_000;
/** Milliseconds for which a suspect is at work alone, unless it ended a process after longer than that. */
const LOOSENED = 1_000;
/** Milliseconds by which an event may come before it is due: clocks differ, and the server rounds. */
const EARLY = 1_000;

export class Redeliveries {
  readonly #consumer: Consumer;
  readonly #attempts: AttemptStore;
  readonly #suspects: Suspects;

  constructor(consumer: Consumer, attempts: AttemptStore, suspects: Suspects) {
    this.#consumer = consumer;
    this.#attempts = attempts;
    this.#suspects = suspects;
  }

  /** Takes an event that came again; its run begins when all is known. */
  take(run: Run): void {
    run.startedAt = 0;
    const { settle, acked } = this.#consumer;
    const twin = this.#consumer.twinOf(run);
    if (twin !== undefined) {
      // It is still in hand from before: that run goes on, and answers for this delivery.
      twin.reply = run.reply;
      twin.heardOfAt = run.heardOfAt;
      twin.lost = false;
      return settle.lose(run);
    }
    if (run.handed === undefined) this.#consumer.delayed.remove(run.sequence);
    if (acked.has(run)) return settle.ackAgain(run);
    this.#ask(run);
  }

  #ask(run: Run): void {
    if (run.settled) return;
    // The first delivery by a timer or a re-drive brings along what is known.
    if (run.handed !== undefined && run.event.position.deliveries === 1) return this.#known(run, undefined);
    this.#attempts.get(run, (error, record) => {
      if (run.settled) return;
      if (error === undefined) return this.#known(run, record);
      setTimeout(() => this.#ask(run), ASK_AGAIN).unref();
    });
  }

  #known(run: Run, stored: AttemptRecord | undefined): void {
    const { settle, draining } = this.#consumer;
    if (draining) return settle.giveBack(run);
    const brought = run.handed?.record === undefined ? undefined : readRecord(run.handed.record);
    const record = newerRecord(brought, stored);
    run.recorded = stored !== undefined;
    run.record = record === undefined ? undefined : withCutOff(record);
    if (run.plan.exclusive === true) {
      // It takes its place first; what leads to that place was passed before, or does nothing but decide.
      run.comesAgain = true;
      return this.#consumer.start(run);
    }
    if (run.record?.suspect !== true && stored !== undefined && stored.next > Date.now() + EARLY)
      return settle.defer(run, stored.next);
    this.#enter(run);
  }

  /** Begins an attempt at an event of which all is known. */
  #enter(run: Run): void {
    if (run.record?.suspect === true) return this.#suspect(run);
    if (run.event.position.deliveries === 1) return this.#consumer.start(run);
    this.#begin(run);
  }

  /** An attempt at it was cut off: it runs alone, so that if the process dies again, it is known over what. */
  #suspect(run: Run): void {
    const { cutOffs } = run.record ?? NO_ATTEMPTS;
    if (cutOffs < run.plan.retry.attempts) return this.#suspects.enter(run, () => this.#begin(run));
    const message = `its handling began ${cutOffs} times with no other suspect at work and never ended: the process died each time, or lost the event`;
    run.fail(new OuzelError('EVENT_POISON', message));
  }

  /** Goes on with a run that has waited for its target, which was noted as no attempt. */
  goOn(run: Run): void {
    if (run.comesAgain) {
      run.comesAgain = false;
      return this.#enter(run);
    }
    if (!run.recorded) return this.#consumer.start(run);
    if (run.record?.suspect === true) this.#suspects.enter(run, () => this.#begin(run));
    else this.#begin(run);
  }

  /** The run waits for its target, and that may take long: if the process ends meanwhile, it is not over this event. */
  waits(run: Run): void {
    if (run.suspect) this.#suspects.left(run);
    if (!run.opened) return;
    run.opened = false;
    // Should it not be stored: the event is suspect after a crash, and nothing worse.
    this.#attempts.put(run, run.record ?? NO_ATTEMPTS, () => undefined);
  }

  /** Notes that an attempt begins, and only then begins it. */
  #begin(run: Run): void {
    if (run.settled) return;
    // From now on a drain takes the note back, be it stored by then or not.
    run.opened = true;
    this.#attempts.put(run, { ...(run.record ?? NO_ATTEMPTS), open: true, alone: run.suspect }, (error) => {
      if (run.settled || run.decided) return;
      if (error !== undefined) return void setTimeout(() => this.#begin(run), ASK_AGAIN).unref();
      run.recorded = true;
      if (this.#consumer.draining) return this.#consumer.settle.giveBack(run);
      this.#consumer.start(run);
      if (run.suspect && run.record?.grave !== true) setTimeout(() => this.#loosen(run), LOOSENED).unref();
    });
  }

  /** What ends a process mostly does so at once: a suspect that is still at work lets the next one begin. */
  #loosen(run: Run): void {
    const atWork = (): boolean => !run.decided && run.suspect && run.opened;
    if (!atWork()) return;
    this.#attempts.put(run, { ...(run.record ?? NO_ATTEMPTS), open: true, alone: false }, (error) => {
      if (error === undefined && atWork()) this.#suspects.loosen(run);
    });
  }
}
