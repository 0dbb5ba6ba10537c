/** What the core needs of the outside. `nats/` and `daemon.ts` supply it; tests may too. */
import type { Delivery } from '../deliver/delivery.ts';
import type { OuzelError } from '../errors.ts';
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
