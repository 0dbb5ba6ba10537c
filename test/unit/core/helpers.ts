/** Events from plain values, and a consumer whose ports only write down what they are told. */
import { afterEach, beforeEach, vi } from 'vitest';
import { createDecoder } from '../../../src/contracts/decode.ts';
import { Consumer, type ConsumerLimits } from '../../../src/core/consumer.ts';
import { Event } from '../../../src/core/event.ts';
import type { Handed, Handover } from '../../../src/core/handover.ts';
import type { Outcome, OutcomeKind, Plan, RetryPolicy, Step } from '../../../src/core/plan.ts';
import type { Observer, Tracer } from '../../../src/core/ports.ts';
import { Pauses } from '../../../src/core/pauses.ts';
import { Suspects } from '../../../src/core/suspects.ts';
import { PENDING, type Run, type Verdict } from '../../../src/core/run.ts';
import { Turns } from '../../../src/core/turns.ts';
import { Breaker } from '../../../src/deliver/breaker.ts';
import type { PreparedTarget, Route } from '../../../src/deliver/route.ts';
import { type ErrorCode, OuzelError } from '../../../src/errors.ts';
import type { Evaluate } from '../../../src/expression/index.ts';
import type { InFlight } from '../../../src/flow/in-flight.ts';
import { Cell, HistogramCell } from '../../../src/telemetry/cells.ts';
import { observeAll } from '../../../src/telemetry/observe.ts';
import {
  RecordingAcks,
  RecordingAttempts,
  RecordingLetters,
  RecordingObserver,
  RecordingParking,
  RecordingTrail,
} from './recording.ts';

export const bytes = (text: string): Uint8Array => Buffer.from(text);

/** A header block as the server hands it over. */
export const block = (headers: Readonly<Record<string, string>>): Uint8Array =>
  bytes(
    `NATS/1.0\r\n${Object.entries(headers)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n`,
  );

export interface EventOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly headerBlock?: Uint8Array;
  readonly subject?: string;
  readonly stream?: string;
  readonly strip?: string;
  readonly source?: Evaluate;
  readonly sequence?: number;
  readonly deliveries?: number;
  readonly milliseconds?: number;
  readonly nanoseconds?: number;
  /** What the delivery is answered by. */
  readonly reply?: string;
}

/** An event with this body, as a message of the stream EVENTS would bring it. */
export function eventOf(body: string | Uint8Array, options: EventOptions = {}): Event {
  const { headers, headerBlock, subject = 'events.orders.created', stream = 'EVENTS', strip = 'events.' } = options;
  const { sequence = 42, deliveries = 1, milliseconds = Date.UTC(2026, 0, 2, 3, 4, 5, 6), nanoseconds = 0 } = options;
  const { reply = `reply.${sequence}` } = options;
  const carrier = {
    subject,
    reply: bytes(reply),
    headers: headerBlock ?? (headers === undefined ? undefined : block(headers)),
    body: typeof body === 'string' ? bytes(body) : body,
  };
  const position = { sequence, deliveries, milliseconds, nanoseconds };
  return new Event(carrier, position, stream, createDecoder({ stream, strip, source: options.source }));
}

export const jsonEvent = (data: unknown, options?: EventOptions): Event => eventOf(JSON.stringify(data), options);

/** The body of an event as it would go out, as text. */
export const bodyText = (event: Event): string => {
  const body = event.body();
  return typeof body === 'string' ? body : Buffer.from(body).toString();
};

export const outcome = (kind: OutcomeKind, reason = ''): Outcome => ({ kind, reason, counter: new Cell() });

export const step = (name: string, run: (run: Run) => Verdict): Step => ({ name, run });

/** A step that answers when it is told to. */
export class Gate implements Step {
  readonly name = 'gate';
  readonly waiting: Run[] = [];

  run(run: Run): Verdict {
    this.waiting.push(run);
    return PENDING;
  }

  /** Takes the run that has waited longest. */
  next(): Run {
    const run = this.waiting.shift();
    if (run === undefined) throw new Error('nobody waits');
    return run;
  }
}

export const POLICY: RetryPolicy = {
  attempts: 3,
  first: 1000,
  factor: 2,
  max: 10_000,
  jitter: 0,
  for: 60_000,
  giveUp: undefined,
};

export const error = (code: ErrorCode = 'TARGET_REJECTED', message = 'no'): OuzelError => new OuzelError(code, message);

/** Runs begin at once, whatever the clock says. */
class AtOnce extends Turns {
  override begin(run: Run): void {
    run.advance();
  }

  override again(run: Run): void {
    run.startedAt = performance.now();
    run.advance();
  }
}

/**
 * Stops the clocks for every test of a file or a `describe`: they go on by `vi.advanceTimersByTime` alone, so that a
 * delay is to the millisecond what was decided, and a wait of hours takes none.
 */
export function stopClocks(): void {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date', 'performance', 'setTimeout', 'clearTimeout'] });
    // The monotonic clock begins anew at 0, which is how a run says that it has not started.
    vi.advanceTimersByTime(1_000);
  });
  afterEach(() => void vi.useRealTimers());
}

/** The second, third… delivery of an event comes when it is due. */
export const later = (milliseconds: number): void => void vi.advanceTimersByTime(milliseconds);

/** The process never stands still, whatever a test's clocks do. */
class Awake extends Pauses {
  override age(): number {
    return 0;
  }
}

let due = 0;

/** A handover, brought by a message of its own. */
export const handedBy = (handover: Handover): Handed => ({
  ...handover,
  due: { ...handover.position, deliveries: 1, sequence: ++due },
});

export interface HarnessOptions {
  readonly steps?: readonly Step[];
  readonly retry?: Partial<RetryPolicy>;
  readonly timeout?: number;
  readonly onSettled?: (run: Run) => void;
  readonly turns?: Turns;
  readonly limits?: Partial<ConsumerLimits>;
  /** What an earlier process left, or another one shares. */
  readonly attempts?: RecordingAttempts;
  readonly suspects?: Suspects;
  readonly pauses?: Pauses;
  /** Names of all routes, for dead letters. */
  readonly routes?: readonly string[];
  /** Whether no event could be delivered now. */
  readonly unavailable?: () => boolean;
  /** Whether nothing is there that could find out. */
  readonly lacksProbe?: () => boolean;
  /** Another observer beside the recording one. */
  readonly observer?: Observer;
  readonly tracer?: Tracer;
  /** The places of the whole process. */
  readonly inFlight?: InFlight;
  /** Whether the steps keep an order. */
  readonly ordered?: boolean;
  /** Whether it runs on one instance alone. Default: where it keeps an order. */
  readonly exclusive?: boolean;
}

/** A consumer with recording ports, and all that it counts. */
export function harness(options: HarnessOptions = {}) {
  const { steps = [], retry, timeout = 30_000, onSettled, turns = new AtOnce(), tracer, routes = [] } = options;
  const {
    attempts = new RecordingAttempts(),
    suspects = new Suspects(),
    unavailable = () => false,
    lacksProbe = () => false,
    pauses = new Awake(),
  } = options;
  const acks = new RecordingAcks();
  const letters = new RecordingLetters();
  const parking = new RecordingParking();
  const observer = new RecordingObserver();
  const trail = new RecordingTrail();
  const retries = new Map<string, Cell>();
  const deadLettered = new Map<string, Outcome>();
  const cells = {
    received: new Cell(),
    inFlight: new Cell(),
    returned: new Cell(),
    parked: new Cell(),
    duration: new HistogramCell([1]),
    age: new HistogramCell([1]),
    retries: (reason: string): Cell => {
      const cell = retries.get(reason) ?? new Cell();
      retries.set(reason, cell);
      return cell;
    },
    deadLettered: (reason: string): Outcome => {
      const made = deadLettered.get(reason) ?? outcome('dead_lettered', reason);
      deadLettered.set(reason, made);
      return made;
    },
  };
  const closed: string[] = [];
  const plan: Plan = {
    revision: 'r1',
    steps,
    delivered: outcome('delivered'),
    retry: { ...POLICY, ...retry },
    timeout,
    routes,
    targets: [],
    unavailable,
    lacksProbe,
    ordered: options.ordered === true,
    exclusive: options.exclusive ?? options.ordered === true,
    longestRetry: POLICY.for,
    onSettled,
    close: () => void closed.push('r1'),
    tracer,
  };
  const consumer = new Consumer('billing', plan, {
    acks,
    letters,
    attempts,
    parking,
    suspects,
    pauses,
    trail,
    observer: options.observer === undefined ? observer : observeAll([observer, options.observer]),
    cells,
    turns,
    inFlight: options.inFlight,
  });
  // Where it matters when the server takes an event for lost, a test says so.
  consumer.limits = { prefetch: 2000, ackWait: 3_600_000, ...options.limits };
  const sum = (values: Iterable<Cell>): number => [...values].reduce((total, { value }) => total + value, 0);
  return {
    consumer,
    plan,
    /** Revisions of the plans that were closed. */
    closed,
    acks,
    letters,
    attempts,
    parking,
    observer,
    trail,
    cells,
    /** Retries by reason. */
    retries: () => Object.fromEntries([...retries].map(([reason, { value }]) => [reason, value])),
    counts: () => ({
      received: cells.received.value,
      delivered: plan.delivered.counter.value,
      dead_lettered: sum([...deadLettered.values()].map(({ counter }) => counter)),
      retries: sum(retries.values()),
      returned: cells.returned.value,
      parked: cells.parked.value,
      in_flight: cells.inFlight.value,
    }),
    /** Takes an event and answers with its run. */
    receive: (event: Event = jsonEvent({}), handed?: Handover): Run => {
      consumer.receive(event, handed === undefined ? undefined : handedBy(handed));
      const run = consumer.runs().find((each) => each.event === event);
      return run ?? ({ settled: true } as Run);
    },
  };
}

const routeCells = () => ({
  confirmed: new Cell(),
  rejected: new Cell(),
  unavailable: new Cell(),
  duration: new HistogramCell([1]),
});

/** A route to a target that does what it is given. */
export function route(name: string, deliver: PreparedTarget['deliver'], more: Partial<Route> = {}): Route {
  return {
    name,
    target: { deliver },
    targetName: name,
    when: undefined,
    stop: false,
    otherwise: false,
    retry: POLICY,
    breaker: new Breaker(name, { changed: () => undefined }),
    timeout: undefined,
    cells: routeCells(),
    ...more,
  };
}

/** Pseudo-random numbers from 0 to 1, the same for the same seed (mulberry32). */
export function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
