/**
 * A consumer at work: the runs in hand and the plan that new ones begin with. Changing the consumer is one assignment
 * of `plan`; runs in flight finish on the one they began with.
 */
import { OuzelError } from '../errors.ts';
import { type Discipline, IN_TURN } from '../flow/queue.ts';
import type { Cell } from '../telemetry/cells.ts';
import { Acked, Delayed } from './attempts.ts';
import type { InFlight } from '../flow/in-flight.ts';
import type { Event } from './event.ts';
import type { Handed } from './handover.ts';
import type { Lane } from './lane.ts';
import type { Pauses } from './pauses.ts';
import type { Outcome, Plan } from './plan.ts';
import { Redeliveries } from './redelivery.ts';
import { Run } from './run.ts';
import { Settle, type SettleCells, type SettlePorts } from './settle.ts';
import type { Suspects } from './suspects.ts';
import type { Turns } from './turns.ts';

export interface ConsumerCells extends SettleCells {
  readonly received: Cell;
}

export interface ConsumerPorts extends SettlePorts {
  readonly cells: ConsumerCells;
  /** Shared by all consumers of a daemon. */
  readonly turns: Turns;
  readonly suspects: Suspects;
  readonly pauses: Pauses;
  /** Who has a place among all events at work; left out: nobody counts them. */
  readonly inFlight?: InFlight | undefined;
}

/** What a consumer is told beside its plan. */
export interface ConsumerLimits {
  /** Events in hand, at most. */
  readonly prefetch: number;
  /** Milliseconds after which the server gives an event to somebody else that it has not heard of. */
  readonly ackWait: number;
}

export class Consumer {
  readonly name: string;
  /** Events that were given back with a delay, and those that were acked last. */
  readonly delayed = new Delayed();
  readonly acked = new Acked();
  readonly settle: Settle;
  /** What new runs begin with. */
  plan: Plan;
  limits: ConsumerLimits = { prefetch: 2000, ackWait: 30_000 };
  /** Events and bytes in hand: received and not settled. */
  held = 0;
  heldBytes = 0;
  /** Set for good when the consumer drains: what is queued does not start any more. */
  draining = false;
  /** Who of its events that wait for a place is next. */
  discipline: Discipline = IN_TURN;
  /** The lane of an event that was handed over; undefined where there are no lanes. */
  laneOf: ((event: Event) => Lane) | undefined;
  /** Set while all is taken that the server has handed out before: whether it could be delivered does not matter. */
  catchingUp = false;
  /** Called when events were settled, so that the pulls can ask for more. */
  readonly onRelease: (() => void)[] = [];
  #oldest: Run | undefined;
  #newest: Run | undefined;
  readonly #turns: Turns;
  readonly #suspects: Suspects;
  readonly #redeliveries: Redeliveries;
  readonly #pauses: Pauses;
  readonly #places: InFlight | undefined;
  /** The highest stream sequence received, and up to which a delivery may be a repetition that does not say so. */
  #highestSequence = 0;
  #comesAgainUpTo = 0;
  /** Events in hand that cannot be let go, because what has to be stored for them is refused. */
  #blocking = 0;
  #blockedBy = '';
  /** The runs in hand by sequence, made when events come again and kept as long as they do. */
  #bySequence: Map<number, Run[]> | undefined;
  readonly #received: Cell;
  readonly #inFlight: Cell;
  #whenIdle: (() => void) | undefined;
  /** Plans that were replaced, with the number of runs that are still on them. */
  #retiring: Map<Plan, number> | undefined;

  constructor(name: string, plan: Plan, ports: ConsumerPorts) {
    this.name = name;
    this.plan = plan;
    this.#turns = ports.turns;
    this.#received = ports.cells.received;
    this.#inFlight = ports.cells.inFlight;
    this.#suspects = ports.suspects;
    this.#pauses = ports.pauses;
    this.#places = ports.inFlight;
    this.settle = new Settle(this, ports);
    this.#redeliveries = new Redeliveries(this, ports.attempts, ports.suspects);
  }

  /**
   * Takes an event in hand; its run begins when it is its turn.
   *
   * @param handed What came with it when it was handed over by a timer or a re-drive.
   * @param lane Whose durable brought it, where the consumer has lanes.
   */
  receive(event: Event, handed?: Handed, lane?: Lane): void {
    const run = this.#accept(event, handed, lane);
    const { deliveries, sequence } = event.position;
    // It may have lain in the socket until the server gave it to somebody else, who has it in hand now.
    if (this.#pauses.age(run.receivedAt) > this.limits.ackWait / 2) return this.settle.lose(run);
    if (deliveries === 1 && handed === undefined && sequence > this.#comesAgainUpTo) this.#turns.begin(run);
    else this.#redeliveries.take(run);
  }

  /** Begins a run, or goes on with it, when it is its turn. */
  start(run: Run): void {
    if (this.#places?.comesBack(run) !== true) this.#turns.again(run);
  }

  /** Whether a run may start now that has waited; one that was lost meanwhile is let go. */
  mayStart(run: Run, now: number): boolean {
    if (run.settled || this.draining) return false;
    if (now - run.heardOfAt <= this.limits.ackWait) return true;
    this.settle.lose(run);
    return false;
  }

  /** The run of the same event that is in hand from an earlier delivery, or undefined. */
  twinOf(run: Run): Run | undefined {
    if (this.#bySequence === undefined) {
      this.#bySequence = new Map();
      for (const each of this.runs()) this.#note(each);
    }
    return this.#bySequence.get(run.sequence)?.find((each) => each !== run && isSameEvent(each, run));
  }

  #note(run: Run): void {
    const known = this.#bySequence?.get(run.sequence);
    if (known === undefined) this.#bySequence?.set(run.sequence, [run]);
    else known.push(run);
  }

  #forgetNote(run: Run): void {
    const known = this.#bySequence?.get(run.sequence);
    if (known === undefined) return;
    if (known.length === 1) this.#bySequence?.delete(run.sequence);
    else known.splice(known.indexOf(run), 1);
  }

  /** Whether an event that fails is handed to a timer: a delay in milliseconds that would hold its ack slot too long. */
  parks(run: Run, delay: number): boolean {
    // It waits where it is stored already.
    if (run.handed?.lane !== undefined) return false;
    if (run.plan.ordered === true) return delay > this.limits.ackWait;
    return delay > this.limits.ackWait || this.delayed.size >= this.limits.prefetch;
  }

  /** How many events may be in hand now. */
  get room(): number {
    if (this.#blocking > 0) return 0;
    const { prefetch } = this.limits;
    if (!this.plan.unavailable() || this.catchingUp) return prefetch;
    // What is in hand may wait for events of its keys, which are to come again: only these can find out.
    const waitsForOthers = this.plan.exclusive === true && this.held > 0 && this.plan.lacksProbe();
    return waitsForOthers ? prefetch : 1;
  }

  /** Why an event cannot be let go: what has to be stored before is refused. Empty while none is kept. */
  get blocked(): string {
    return this.#blocking > 0 ? this.#blockedBy : '';
  }

  /** Takes nothing more as long as this event cannot be let go. */
  block(run: Run, reason: string): void {
    this.#blockedBy = reason;
    if (run.blocking) return;
    run.blocking = true;
    this.#blocking++;
  }

  unblock(run: Run): void {
    if (!run.blocking) return;
    run.blocking = false;
    this.#blocking--;
  }

  /** To be called when `room` may have grown. */
  ask(): void {
    for (const ask of this.onRelease) ask();
  }

  /** To be called when a run waits for something that may take long. `goOn` takes it up again. */
  waits(run: Run): void {
    run.startedAt = 0;
    this.#places?.leave(run);
    this.#redeliveries.waits(run);
  }

  /** Goes on with a run that has waited, when it is its turn. */
  goOn(run: Run): void {
    this.#redeliveries.goOn(run);
  }

  /**
   * Gives back what waits for its target, for a throttle, or for others to be delivered with, on a plan that was
   * replaced: it began nothing, and the server hands it out again for the plan in force.
   */
  giveBackOutdated(): void {
    for (const run of this.runs()) {
      const waits = run.waitingSince > 0 || run.throttledBy !== undefined || run.batch?.state === 'collecting';
      if (waits && run.plan !== this.plan) this.settle.giveBack(run);
    }
  }

  /** Takes an event in hand only to give it back: the consumer is stopping. */
  refuse(event: Event, handed?: Handed, lane?: Lane): Run {
    const run = this.#accept(event, handed, lane);
    run.startedAt = 0;
    return run;
  }

  /**
   * Takes an event in hand only to end it: one that was stored elsewhere, and has no answer that anybody waits for, or
   * one that was cancelled.
   *
   * @returns Resolves when it has ended.
   */
  endElsewhere(event: Event, handed: Handed | undefined, outcome: Outcome): Promise<void> {
    const run = this.#accept(event, handed, undefined);
    const { promise, resolve } = Promise.withResolvers<void>();
    run.whenOver = resolve;
    this.settle.outcome(run, outcome);
    return promise;
  }

  #accept(event: Event, handed: Handed | undefined, lane: Lane | undefined): Run {
    const run = new Run(this, this.plan, event, performance.now(), handed);
    run.lane = lane ?? (handed === undefined ? undefined : this.laneOf?.(event));
    if (lane !== undefined && handed === undefined) {
      lane.held++;
      lane.heldBytes += event.carrier.body.length;
    }
    this.#received.increment();
    this.#inFlight.increment();
    const { sequence } = event.position;
    if (sequence > this.#highestSequence && handed === undefined && event.carrier.reply.length > 0)
      this.#highestSequence = sequence;
    if (this.#bySequence !== undefined) this.#note(run);
    this.held++;
    this.heldBytes += event.carrier.body.length;
    run.previous = this.#newest;
    if (this.#newest === undefined) this.#oldest = run;
    else this.#newest.next = run;
    this.#newest = run;
    return run;
  }

  /** Puts another plan in place: new runs begin with it, and the old one is closed when its last run has ended. */
  replacePlan(plan: Plan): void {
    const old = this.plan;
    this.plan = plan;
    const left = this.runs().filter((run) => run.plan === old).length;
    if (left === 0) return old.close();
    (this.#retiring ??= new Map()).set(old, left);
  }

  #retire(plan: Plan): void {
    const left = this.#retiring?.get(plan);
    if (left === undefined) return;
    if (left > 1) this.#retiring?.set(plan, left - 1);
    else {
      this.#retiring?.delete(plan);
      if (this.#retiring?.size === 0) this.#retiring = undefined;
      plan.close();
    }
  }

  /** Called by `settle` alone, when a run has ended. */
  release(run: Run): void {
    if (run.previous === undefined) this.#oldest = run.next;
    else run.previous.next = run.next;
    if (run.next === undefined) this.#newest = run.previous;
    else run.next.previous = run.previous;
    run.previous = undefined;
    run.next = undefined;
    this.held--;
    this.heldBytes -= run.event.carrier.body.length;
    if (run.lane !== undefined && run.handed === undefined) {
      run.lane.held--;
      run.lane.heldBytes -= run.event.carrier.body.length;
    }
    if (this.#bySequence !== undefined) this.#forgetNote(run);
    run.plan.onSettled?.(run);
    run.waitingFor?.breaker.leave(run);
    this.#places?.leave(run);
    if (run.suspect) this.#suspects.left(run);
    if (this.#retiring !== undefined) this.#retire(run.plan);
    this.ask();
    if (this.held === 0) this.#whenIdle?.();
  }

  /**
   * Keeps alive what is in hand, ends what ran out of time, and recognises what was lost. Called every second or so.
   *
   * @param now Milliseconds of the monotonic clock.
   */
  sweep(now: number): void {
    const { ackWait } = this.limits;
    for (const run of this.runs()) {
      if (run.settled) continue;
      if (now - run.heardOfAt > ackWait && !run.lost) {
        run.lost = true;
        if (!run.started && !run.decided) {
          this.settle.lose(run);
          continue;
        }
      }
      if (!run.decided) this.#expire(run, now);
      if (!run.settled && !run.lost && now - run.heardOfAt > ackWait / 3) this.settle.working(run, now);
    }
    this.#bySequence = undefined;
    if (this.delayed.size > 0) this.delayed.forgetBefore(Date.now() - ackWait);
  }

  #expire(run: Run, now: number): void {
    const { timeout } = run.plan;
    const { waitingFor } = run;
    if (waitingFor !== undefined) {
      // It waits for its target, and began nothing; `retry.for` bounds that as if it had tried.
      const bound = waitingFor.retry.for;
      if (Date.now() - (run.record?.firstFailedAt ?? run.waitingSince) <= bound) return;
      const reason = waitingFor.breaker.trouble?.error.message ?? '';
      const message = `${waitingFor.targetName} was unavailable for longer than ${bound} ms: ${reason}`;
      return run.fail(new OuzelError('TARGET_UNAVAILABLE', message), waitingFor);
    }
    if (run.started && now - run.startedAt > timeout)
      run.expire(new OuzelError('TARGET_TIMEOUT', `no answer within ${timeout} ms`));
    else if (run.openDeliveries > 0) expireDeliveries(run, now);
  }

  /**
   * Cuts off what still runs, at the end of a drain: what it confirmed is kept, and the events go back.
   *
   * @param delay Milliseconds before the server hands them out again.
   */
  interrupt(delay: number): void {
    for (const run of this.runs()) this.settle.interrupt(run, delay);
  }

  /** Gives back what has not started. @param delay Milliseconds before the server hands it out again. */
  giveBackUnstarted(delay: number): void {
    for (const run of this.runs()) if (!run.started) this.settle.giveBack(run, delay);
  }

  /** Seconds since the receipt of the oldest event in hand; 0 without one. */
  oldestAge(): number {
    return this.#oldest === undefined ? 0 : (performance.now() - this.#oldest.receivedAt) / 1000;
  }

  /** Its durable was made anew: events that were received come again as if for the first time. */
  comesAgain(): void {
    this.#comesAgainUpTo = this.#highestSequence;
  }

  /** Forgets what it knows by sequence: the stream was made anew and counts from 1 again. */
  startOver(): void {
    this.#highestSequence = 0;
    this.#comesAgainUpTo = 0;
    this.delayed.clear();
  }

  /** Resolves when nothing is in hand. */
  idle(): Promise<void> {
    if (this.held === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#whenIdle = resolve;
    });
  }

  /** The runs in hand now, by receipt. */
  runs(): Run[] {
    const runs: Run[] = [];
    for (let run = this.#oldest; run !== undefined; run = run.next) runs.push(run);
    return runs;
  }
}

/** Whether two runs are of one event and one passage of it: a stream that was made anew counts from 1 again. */
function isSameEvent(left: Run, right: Run): boolean {
  const { milliseconds, nanoseconds } = left.event.position;
  const { position } = right.event;
  if (left.id !== right.id || left.stream !== right.stream) return false;
  return position.milliseconds === milliseconds && position.nanoseconds === nanoseconds;
}

/** Fails the deliveries whose target allows less time than the attempt has. */
function expireDeliveries(run: Run, now: number): void {
  for (const delivery of run.deliveries ?? []) {
    const { timeout } = delivery.route;
    if (timeout !== undefined && !delivery.isPutOff && now - delivery.startedAt > timeout)
      delivery.fail(new OuzelError('TARGET_TIMEOUT', `no answer within ${timeout} ms`));
  }
}
