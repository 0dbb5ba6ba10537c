/**
 * A run: one event's passage through the steps of a plan. It is a resumable state machine: a step that answers at once
 * costs no promise, and one that answers later resumes the same loop. There is one code path for both.
 */
import { asOuzelError, type OuzelError } from '../errors.ts';
import type { ErrorView, EventView, MessageView, Scope } from '../expression/types.ts';
import type { Delivery } from '../deliver/delivery.ts';
import type { Route } from '../deliver/route.ts';
import type { Place } from '../flow/lane.ts';
import type { AttemptRecord } from './attempts.ts';
import type { Batch } from './batch.ts';
import type { Consumer } from './consumer.ts';
import type { Event } from './event.ts';
import { FIRST_RUN, type Handed, replayOf } from './handover.ts';
import { headerEntries } from './headers.ts';
import type { Lane } from './lane.ts';
import { ONCE_STAGES, type OnceStage, type Outcome, type Plan, type Step } from './plan.ts';
import type { AttemptSpan } from './ports.ts';

/** What a step answers when it will call `resume` or `fail` of its run later, exactly once. */
export const PENDING = Symbol('pending');

/** Nothing: the event goes on. An outcome: it ends here. PENDING: the step answers later. */
export type Verdict = Outcome | typeof PENDING | undefined;

/** Why an attempt failed, and where. */
export interface Failure {
  readonly error: OuzelError;
  /** The route whose delivery failed; undefined when a stage before the deliveries did. */
  readonly route: Route | undefined;
}

export class Run implements Scope, MessageView {
  readonly consumer: Consumer;
  /** The plan that the run began with and ends with, whatever is reloaded meanwhile. */
  readonly plan: Plan;
  readonly event: Event;
  /** Empty for the first passage of an event; the id of a replay or re-drive otherwise. It enters every derived id. */
  readonly id: string;
  /** Milliseconds of the monotonic clock when the event was received, and when its handling started (0: queued). */
  readonly receivedAt: number;
  startedAt: number;
  /** When the server last heard of it (receipt or `working`); milliseconds of the monotonic clock. */
  heardOfAt: number;
  /** The ack subject that answers for the event: that of its last delivery. */
  reply: Uint8Array;
  /** What came with an event that was handed over, by a timer or a re-drive. */
  readonly handed: Handed | undefined;
  /** What is known of earlier attempts at the event, and whether the attempt store knows it too. */
  record: AttemptRecord | undefined;
  recorded = false;
  /** Set when the attempt store says that this attempt has begun. */
  opened = false;
  /** Set while it runs alone (`core/suspects.ts`). */
  suspect = false;
  /** Set when the server has given the event to somebody else: it did not hear of it for longer than `ack_wait`. */
  lost = false;
  /** Set while its consumer takes nothing more because this one cannot be let go. */
  blocking = false;
  /** Set when the dead letter that was driven again is gone. */
  letterGone = false;
  /** Set when the record of its outcome is stored, where that is waited for. */
  audited = false;
  /** Why this attempt failed; undefined: it did not. */
  failure: Failure | undefined;
  /** Milliseconds since the epoch since when it waits for a target that is unavailable; 0: it does not. */
  waitingSince = 0;
  /** The route that it waits for. */
  waitingFor: Route | undefined;
  settled = false;
  /** Called when the run is over, whichever way. */
  whenOver: (() => void) | undefined;
  /** Set when it ends for sure: settled, or a dead letter that is about to be stored. Later answers come too late. */
  decided = false;
  /** Set while a delivery's `give_up` is decided. */
  error?: ErrorView;
  /** The deliveries of this attempt, and how many of them are still to be heard from. */
  deliveries: Delivery[] | undefined;
  openDeliveries = 0;
  /** Set while the run holds one of its consumer's places (`flow/admit.ts`). */
  admitted = false;
  /** Where it stands in line for one (`flow/priority.ts`); 0 where nothing has priority. */
  rank = 0;
  /** The lane of its consumer that it belongs to; undefined where there are none. */
  lane: Lane | undefined;
  /** The limits that have let it go on in this attempt, and the one that it waits for (`flow/throttle.ts`). */
  cleared: object[] | undefined;
  throttledBy: object | undefined;
  /** Whether it has a place among the events at work in this process, or gave it up to wait (`flow/in-flight.ts`). */
  atWork: 'none' | 'taken' | 'left' = 'none';
  /** Milliseconds for which it was throttled. */
  throttledFor = 0;
  /** The batch that it is collected into, or delivered with (`flow/group.ts`). */
  batch: Batch | undefined;
  /** Its place in the order of its key (`flow/order.ts`); undefined without one. */
  place: Place | undefined;
  /** Set when it came again, and is noted as begun only when its handling begins (`core/redelivery.ts`). */
  comesAgain = false;
  /** Set when it ended without an outcome: given back, or lost. The event comes again. */
  returned = false;
  /** Neighbours among the consumer's runs in hand, by receipt. */
  previous: Run | undefined;
  next: Run | undefined;
  #position = 0;
  #passed: OnceStage | '' = '';
  #abort: AbortController | undefined;
  #span: AttemptSpan | undefined;

  constructor(consumer: Consumer, plan: Plan, event: Event, receivedAt: number, handed?: Handed) {
    this.consumer = consumer;
    this.plan = plan;
    this.event = event;
    this.handed = handed;
    this.id = handed?.run ?? '';
    this.reply = event.carrier.reply;
    this.receivedAt = receivedAt;
    this.startedAt = receivedAt;
    this.heardOfAt = receivedAt;
  }

  /** Runs steps until one answers later or ends the event. */
  advance(): void {
    const { steps } = this.plan;
    try {
      while (this.#position < steps.length) {
        const step = steps[this.#position] as Step;
        const verdict = step.once !== undefined && this.#hasPassed(step.once) ? undefined : step.run(this);
        if (verdict === PENDING) return;
        this.#passes(step);
        if (verdict !== undefined) return this.#end(verdict);
      }
    } catch (error) {
      return this.fail(error);
    }
    this.#end(this.plan.delivered);
  }

  /** What the leader of a batch comes to is where all of it ends. */
  #end(outcome: Outcome): void {
    if (this.batch?.isTogether === true) this.batch.end(outcome);
    else this.consumer.settle.outcome(this, outcome);
  }

  /** Every delivery has confirmed. */
  delivered(): void {
    if (this.batch === undefined) this.resume();
    else this.consumer.settle.outcome(this, this.plan.delivered);
  }

  /** The answer of a step that said PENDING. A run that was decided meanwhile (timed out) hears nothing. */
  resume(verdict?: Outcome): void {
    if (this.decided) return;
    this.#passes(this.plan.steps[this.#position] as Step);
    if (verdict === undefined) this.advance();
    else this.#end(verdict);
  }

  #passes({ once }: Step): void {
    this.#position++;
    if (once !== undefined && !this.#hasPassed(once)) this.#passed = once;
  }

  #hasPassed(stage: OnceStage): boolean {
    const { passed } = this;
    return passed !== '' && ONCE_STAGES.indexOf(stage) <= ONCE_STAGES.indexOf(passed);
  }

  /** The last stage with an effect that happens once that the event has passed, in this attempt or an earlier one. */
  get passed(): OnceStage | '' {
    return this.#passed === '' ? (this.record?.passed ?? '') : this.#passed;
  }

  /**
   * Hands the event to a timer: it comes again, and goes on behind this stage. For a step that then says PENDING.
   *
   * @param at Milliseconds since the epoch.
   */
  park(at: number, stage: OnceStage): void {
    this.consumer.settle.park(this, at, stage);
  }

  /**
   * Hands the event to a timer: it comes again, and begins anew, behind the last stage that it passes once. For a step
   * that then says PENDING.
   *
   * @param at Milliseconds since the epoch.
   */
  putBack(at: number): void {
    this.consumer.settle.park(this, at, 'throttle');
  }

  /** Ends the attempt with a failure, which the consumer's retry policy decides on. */
  fail(error: unknown, route?: Route): void {
    if (this.decided) return;
    if (this.batch?.isTogether === true) return this.batch.fail(asOuzelError(error, 'EVENT_FAILED'), route);
    this.consumer.settle.failure(this, { error: asOuzelError(error, 'EVENT_FAILED'), route });
  }

  /** Aborted when the attempt runs out of time. Made on first use, since most runs need none. */
  get signal(): AbortSignal {
    return (this.#abort ??= new AbortController()).signal;
  }

  /** Tells whoever works for this attempt that nobody waits for it any more. */
  abort(reason?: OuzelError): void {
    this.#abort?.abort(reason);
    for (const delivery of this.deliveries ?? []) delivery.abort(reason);
  }

  /** Ends the attempt because it ran out of time: every delivery still open fails with this error. */
  expire(error: OuzelError): void {
    this.#abort?.abort(error);
    if (this.openDeliveries === 0) return this.fail(error);
    for (const delivery of this.deliveries ?? []) delivery.fail(error);
  }

  /** The span of this attempt, begun when it is first asked for; undefined while traces are off. */
  get span(): AttemptSpan | undefined {
    return (this.#span ??= this.plan.tracer?.begin(this));
  }

  get started(): boolean {
    return this.startedAt !== 0;
  }

  get msg(): MessageView {
    return this;
  }

  get now(): number {
    return Date.now();
  }

  /** The events of its batch; the event alone where there is none. */
  get events(): readonly EventView[] {
    return this.batch === undefined ? [this.event] : this.batch.members.map(({ event }) => event);
  }

  /** The runs that it stands for, where it is the view of a batch that is delivered; undefined for an event's own. */
  get together(): readonly Run[] | undefined {
    return undefined;
  }

  /** What its batch was collected by; null: what it is collected by was not there. */
  get key(): unknown {
    return this.batch?.key;
  }

  get subject(): string {
    return this.event.carrier.subject;
  }

  get stream(): string {
    return this.event.stream;
  }

  get sequence(): number {
    return this.event.position.sequence;
  }

  /** The number of the attempt that runs now, from 1. */
  get attempt(): number {
    return this.record === undefined ? 1 : this.record.used + this.record.cutOffs + 1;
  }

  get run(): string {
    return this.id === '' ? FIRST_RUN : this.id;
  }

  get replay(): boolean {
    return replayOf(this.id) !== undefined;
  }

  header(name: string): string | undefined {
    return this.event.header(name);
  }

  headers(): Readonly<Record<string, string>> {
    const all: Record<string, string> = Object.create(null) as Record<string, string>;
    if (this.event.carrier.headers !== undefined)
      for (const [name, value] of headerEntries(this.event.carrier.headers)) all[name] ??= value;
    return all;
  }
}

/** The names of the routes that confirmed in the attempt that runs now. */
export const confirmedRoutes = (run: Run): string[] =>
  (run.deliveries ?? []).filter(({ state }) => state === 'confirmed').map(({ route }) => route.name);
