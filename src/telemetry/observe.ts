/**
 * What the log says of single events: only failures, and of those a line a second for each consumer and reason, with
 * the number of lines that were left out. An outage must not become a flood.
 */
import type { Observer } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import { formatPlace } from '../errors.ts';
import type { Cell } from './cells.ts';
import type { Logger } from './log.ts';

/** Milliseconds between two lines of one kind. */
const INTERVAL = 1000;

interface Limited {
  until: number;
  suppressed: number;
}

/** Lets one line of each kind pass an interval, and counts the others. The kinds come from the configuration. */
class LineLimit {
  readonly #kinds = new Map<string, Limited>();
  readonly #suppressed: Cell;

  constructor(suppressed: Cell) {
    this.#suppressed = suppressed;
  }

  /** Undefined when the line is to be left out; else how many were left out before it. */
  pass(kind: string): number | undefined {
    const now = performance.now();
    const known = this.#kinds.get(kind);
    if (known !== undefined && now < known.until) {
      known.suppressed++;
      this.#suppressed.increment();
      return undefined;
    }
    this.#kinds.set(kind, { until: now + INTERVAL, suppressed: 0 });
    return known?.suppressed ?? 0;
  }
}

const identity = (run: Run) => ({
  consumer: run.consumer.name,
  subject: run.subject,
  seq: run.sequence,
  attempt: run.attempt,
  ...(run.span === undefined ? {} : { trace_id: run.span.traceId, span_id: run.span.spanId }),
});

const cause = ({ error, route }: Failure) => ({
  code: error.code,
  error: error.message,
  ...(route === undefined ? {} : { target: route.targetName }),
  ...(error.place === undefined ? {} : { place: formatPlace(error.place) }),
});

/** An observer that logs failures. */
export function createLogObserver(logger: Logger, suppressed: Cell): Observer {
  const limit = new LineLimit(suppressed);
  const line = (kind: string, level: 'warn' | 'error', run: Run, fields: object, message: string) => {
    const left = limit.pass(`${run.consumer.name} ${kind}`);
    if (left === undefined) return;
    logger[level]({ ...identity(run), ...fields, ...(left > 0 ? { suppressed: left } : {}) }, message);
  };
  return {
    retried: (run, failure, delay) =>
      line(
        `retry ${failure.error.code}`,
        'warn',
        run,
        { ...cause(failure), delay_ms: delay },
        'event failed and will be tried again',
      ),
    deadLettered: (run, failure, reason) =>
      line(`dead_letter ${reason}`, 'error', run, { ...cause(failure), reason }, 'event went into the dead letters'),
    deadLetterRefused: (run, error, delay) =>
      line(
        'refused',
        'error',
        run,
        { error: error.message, delay_ms: delay },
        'dead letter could not be stored; the event is kept',
      ),
    settled: (run, outcome) => {
      if (logger.isLevelEnabled('debug'))
        logger.debug({ ...identity(run), outcome: outcome.kind, reason: outcome.reason }, 'event settled');
    },
  };
}

/** Tells several observers; one that throws does not keep the others from hearing. */
export function observeAll(observers: readonly Observer[]): Observer {
  const tell = (what: (observer: Observer) => void): void => {
    for (const observer of observers) {
      try {
        what(observer);
      } catch {
        // Whoever looks on cannot break the work.
      }
    }
  };
  return {
    retried: (run, failure, delay) => tell((observer) => observer.retried(run, failure, delay)),
    deadLettered: (run, failure, reason) => tell((observer) => observer.deadLettered(run, failure, reason)),
    deadLetterRefused: (run, error, delay) => tell((observer) => observer.deadLetterRefused(run, error, delay)),
    // Of every event: without a function made for it.
    settled: (run, outcome) => {
      for (const observer of observers) {
        try {
          observer.settled(run, outcome);
        } catch {
          // As above.
        }
      }
    },
  };
}
