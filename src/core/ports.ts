/** What the core needs of the outside. `nats/` and `daemon.ts` supply it; tests may too. */
import type { Delivery } from '../deliver/delivery.ts';
import type { OuzelError } from '../errors.ts';
import type { AttemptRecord } from './attempts.ts';
import type { OnceStage, Outcome } from './plan.ts';
import type { Failure, Run } from './run.ts';

/** Answers to the server, by the bytes of a message's ack subject. Only `settle.ts` calls it. */
export interface Acknowledger {
  ack(reply: Uint8Array): void;
  /** Deliver again, after a delay in milliseconds. */
  nak(reply: Uint8Array, delay: number): void;
  /** Still at it: restarts the server's `ack_wait`. False when there is no server to tell. */
  working(reply: Uint8Array): boolean;
}

/** What has to be stored before an event may go, as the log calls it. */
export type Keepsake =
  | 'dead letter'
  | 'attempts'
  | 'timer'
  | 'held event'
  | 'removal of the dead letter'
  | 'hold of the key'
  | 'audit record';

/** Calls back once: without an error when what was asked for is done for good. */
export type Done = (error?: Error) => void;

/** Keeps events that could not be delivered. */
export interface DeadLetterStore {
  /** @param done Hears the letter's number too, where that is known. */
  store(run: Run, failure: Failure, reason: string, done: (error?: Error, letter?: number) => void): void;
  /** Takes a letter away whose event was driven again. One that is gone is taken away already. */
  remove(sequence: number, done: Done): void;
}

/** Keeps what is known of the attempts at an event, for all instances. */
export interface AttemptStore {
  get(run: Run, done: (error: Error | undefined, record?: AttemptRecord) => void): void;
  put(run: Run, record: AttemptRecord, done: Done): void;
  /** Lets go of the record of an event that has its outcome. What is left behind goes by its age. */
  remove(run: Run): void;
}

/** Why an event waits: it is tried again, or a stage holds it back. */
export type TimerKind = 'retry' | 'throttle' | OnceStage;

/** Stops the key of an event until its dead letter was driven again or discarded. */
export type HoldKey = (run: Run, letter: number, done: Done) => void;

/** Hands events over to timers, which bring them back. */
export interface Parking {
  /**
   * Hands an event to a timer, which brings it back at `record.next`.
   *
   * @param done With an error `TARGET_TOO_LARGE` for an event that no timer can carry.
   */
  park(run: Run, record: AttemptRecord, kind: TimerKind, done: Done): void;
}

/** Hears of what deserves a log line or a span; must not throw and must not keep the run. */
export interface Observer {
  /** Whether it looks at the data of events when they are settled. */
  readonly looksAtData?: boolean;
  /** The event will be tried again in `delay` milliseconds. */
  retried(run: Run, failure: Failure, delay: number): void;
  deadLettered(run: Run, failure: Failure, reason: string): void;
  /** What has to be stored before the event may go is refused: it is kept in hand, and stored again in `delay` ms. */
  refused(run: Run, what: Keepsake, error: Error, delay: number): void;
  settled(run: Run, outcome: Outcome): void;
}

/** Records what became of events (`audit/`). It never throws. */
export interface AuditTrail {
  /** `required`: an event stays in hand until its record is stored, and `settle.audited` ends it then. */
  readonly mode: 'off' | 'best_effort' | 'required';
  outcome(run: Run, outcome: Outcome): void;
  /** An attempt failed, and the event is tried again in `delay` milliseconds. */
  attempt(run: Run, failure: Failure, delay: number): void;
}

/** Where in a trace something happens, as W3C Trace Context writes it. It goes out with what is sent meanwhile. */
export interface TraceContext {
  /** 32 hexadecimal digits. */
  readonly traceId: string;
  /** 16 hexadecimal digits. */
  readonly spanId: string;
  readonly traceparent: string;
  /** As the producer sent it, or undefined. */
  readonly tracestate: string | undefined;
}

/** The span of one attempt, from its start to its outcome. It ends through the `Observer` of whoever made it. */
export interface AttemptSpan extends TraceContext {
  /** Begins the span of a delivery within the attempt. */
  deliver(delivery: Delivery): DeliverySpan;
}

/** The span of one delivery. */
export interface DeliverySpan extends TraceContext {
  /** To be called once, with the error of a delivery that failed. */
  end(error: OuzelError | undefined): void;
}

/** Makes the spans of one consumer. Absent while traces are off. */
export interface Tracer {
  /** Begins the span of the attempt that runs now. Asked once an attempt, at the latest when it ends. */
  begin(run: Run): AttemptSpan;
}
