/**
 * A consumer at work: the runs in hand and the plan that new ones begin with. Changing the consumer is one assignment
 * of `plan`; runs in flight finish on the one they began with.
 */
import { OuzelError } from '../errors.ts';
import type { Cell } from '../telemetry/cells.ts';
import { Attempts } from './attempts.ts';
import type { Event } from './event.ts';
import type { Plan } from './plan.ts';
import type { Acknowledger, DeadLetterStore, Observer } from './ports.ts';
import { Run } from './run.ts';
import { Settle, type SettleCells } from './settle.ts';
import type { Turns } from './turns.ts';

export interface ConsumerCells extends SettleCells {
  readonly received: Cell;
}

export interface ConsumerPorts {
  readonly acks: Acknowledger;
  readonly letters: DeadLetterStore;
  readonly observer: Observer;
  readonly cells: ConsumerCells;
  /** Shared by all consumers of a daemon. */
  readonly turns: Turns;
}

export class Consumer {
  readonly name: string;
  readonly attempts = new Attempts();
  readonly settle: Settle;
  /** What new runs begin with. */
  plan: Plan;
  /** Events and bytes in hand: received and not settled. */
  held = 0;
  heldBytes = 0;
  /** The highest stream sequence received; 0 before the first. */
  highestSequence = 0;
  /** Set for good when the consumer drains: what is queued does not start any more. */
  draining = false;
  /** Called when events were settled, so that the pull can ask for more. */
  onRelease: () => void = () => undefined;
  #oldest: Run | undefined;
  #newest: Run | undefined;
  readonly #turns: Turns;
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
    this.settle = new Settle(this, ports.acks, ports.letters, ports.observer, ports.cells);
  }

  /** Takes an event in hand; its run begins when it is its turn. */
  receive(event: Event): void {
    this.#turns.begin(this.#accept(event));
  }

  /** Takes an event in hand only to give it back: the consumer is stopping. */
  refuse(event: Event): Run {
    const run = this.#accept(event);
    run.startedAt = 0;
    return run;
  }

  #accept(event: Event): Run {
    const run = new Run(this, this.plan, event, performance.now());
    this.#received.increment();
    this.#inFlight.increment();
    const { sequence } = event.position;
    if (sequence > this.highestSequence) this.highestSequence = sequence;
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
    run.plan.onSettled?.(run);
    if (this.#retiring !== undefined) this.#retire(run.plan);
    this.onRelease();
    if (this.held === 0) this.#whenIdle?.();
  }

  /**
   * Keeps alive what is in hand and ends what ran out of time. Called every second or so.
   *
   * @param now Milliseconds of the monotonic clock.
   * @param quiet Milliseconds after which the server must hear of a run again; well below `ack_wait`.
   */
  sweep(now: number, quiet: number): void {
    for (const run of this.runs()) {
      if (run.settled) continue;
      const { timeout } = run.plan;
      if (run.started && !run.decided && now - run.startedAt > timeout)
        run.expire(new OuzelError('TARGET_TIMEOUT', `no answer within ${timeout} ms`));
      else if (run.openDeliveries > 0) expireDeliveries(run, now);
      if (!run.settled && now - run.heardOfAt > quiet) this.settle.working(run, now);
    }
  }

  /** Gives back what has not started; the server hands it out again. */
  giveBackUnstarted(): void {
    for (const run of this.runs()) if (!run.started) this.settle.giveBack(run);
  }

  /** Seconds since the receipt of the oldest event in hand; 0 without one. */
  oldestAge(): number {
    return this.#oldest === undefined ? 0 : (performance.now() - this.#oldest.receivedAt) / 1000;
  }

  /** The lowest stream sequence without an outcome, in hand or waiting to be tried again; undefined without one. */
  lowestSequence(): number | undefined {
    let lowest = this.attempts.lowestSequence();
    for (const run of this.runs()) if (lowest === undefined || run.sequence < lowest) lowest = run.sequence;
    return lowest;
  }

  /** Forgets what it knows by sequence: the stream was made anew and counts from 1 again. */
  startOver(): void {
    this.highestSequence = 0;
    this.attempts.clear();
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

/** Fails the deliveries whose target allows less time than the attempt has. */
function expireDeliveries(run: Run, now: number): void {
  for (const delivery of run.deliveries ?? []) {
    const { timeout } = delivery.route;
    if (timeout !== undefined && now - delivery.startedAt > timeout)
      delivery.fail(new OuzelError('TARGET_TIMEOUT', `no answer within ${timeout} ms`));
  }
}
