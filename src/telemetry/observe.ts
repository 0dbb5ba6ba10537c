/**
 * What the log says of single events: only failures, and of those a line a second for each consumer, target and
 * reason, with the number of lines that were left out; and, after a flood, that events are handled again. An outage
 * must not become a flood.
 */
import type { Keepsake, Observer } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import { formatPlace } from '../errors.ts';
import type { Cell } from './cells.ts';
import { LogEconomy, QUIET } from './economy.ts';
import type { Logger } from './log.ts';

/** Milliseconds between looks at what went quiet. */
const TICK = 1_000;

/** A consumer whose events fail. */
interface Trouble {
  readonly since: number;
  lastAt: number;
  failures: number;
  /** Events that were handled between the failures, and since the last one. */
  meanwhile: number;
  handled: number;
}

/** Milliseconds after which a trouble is forgotten that nothing came after. */
const FORGOTTEN = 3_600_000;

const identity = (run: Run) => ({
  subject: run.subject,
  seq: run.sequence,
  attempt: run.attempt,
  ...(run.span === undefined ? {} : { trace_id: run.span.traceId, span_id: run.span.spanId }),
});

const cause = ({ error }: Failure) => ({
  error: error.message,
  ...(error.place === undefined ? {} : { place: formatPlace(error.place) }),
});

/** The names that a kind of failure is known by. */
const kindOf = (run: Run, { error, route }: Failure) => ({
  consumer: run.consumer.name,
  code: error.code,
  ...(route === undefined ? {} : { target: route.targetName }),
});

/** Logs failures; at debug level every event that is settled. */
export class LogObserver implements Observer {
  readonly #logger: Logger;
  readonly #economy: LogEconomy;
  readonly #clock: () => number;
  readonly #troubles = new Map<string, Trouble>();
  readonly #timer: NodeJS.Timeout;

  /**
   * @param suppressed Counts the lines that were left out.
   * @param clock Milliseconds of a monotonic clock.
   */
  constructor(logger: Logger, suppressed: Cell, clock: () => number = () => performance.now()) {
    this.#logger = logger;
    this.#clock = clock;
    this.#economy = new LogEconomy({ logger, suppressed, clock });
    this.#timer = setInterval(() => this.tick(), TICK);
    this.#timer.unref();
  }

  retried(run: Run, failure: Failure, delay: number): void {
    const common = kindOf(run, failure);
    const kind = `retry ${common.consumer} ${common.target ?? ''} ${common.code}`;
    this.#economy.write({ kind, level: 'warn', message: 'event failed and will be tried again' }, common, () => ({
      ...identity(run),
      ...cause(failure),
      delay_ms: delay,
    }));
    this.#failed(run);
  }

  deadLettered(run: Run, failure: Failure, reason: string): void {
    const common = { ...kindOf(run, failure), reason };
    const kind = `dead_letter ${common.consumer} ${common.target ?? ''} ${common.code} ${reason}`;
    this.#economy.write({ kind, level: 'error', message: 'event went into the dead letters' }, common, () => ({
      ...identity(run),
      ...cause(failure),
    }));
    this.#failed(run);
  }

  refused(run: Run, what: Keepsake, error: Error, delay: number): void {
    const common = { consumer: run.consumer.name };
    const line = {
      kind: `refused ${common.consumer} ${what}`,
      level: 'error',
      message: `${what} could not be stored; the event is kept, and its consumer takes no others`,
    } as const;
    this.#economy.write(line, common, () => ({ ...identity(run), error: error.message, delay_ms: delay }));
    this.#failed(run);
  }

  settled(run: Run, outcome: Parameters<Observer['settled']>[1]): void {
    if (this.#troubles.size > 0 && outcome.kind !== 'dead_lettered') this.#succeeded(run);
    if (this.#logger.isLevelEnabled('debug'))
      this.#logger.debug(
        { consumer: run.consumer.name, ...identity(run), outcome: outcome.kind, reason: outcome.reason },
        'event settled',
      );
  }

  /** Sums up the floods that are over, and says which consumers handle their events again. */
  tick(): void {
    this.#economy.tick();
    const now = this.#clock();
    for (const [consumer, trouble] of this.#troubles) {
      const { since, lastAt, failures, meanwhile, handled } = trouble;
      if (now - lastAt < QUIET || (handled === 0 && now - lastAt < FORGOTTEN)) continue;
      this.#troubles.delete(consumer);
      // An event that failed among others that did not was no outage: it needs no all-clear.
      if (handled > 0 && failures > 1 && failures > meanwhile)
        this.#logger.info(
          { consumer, failures, for_s: Math.round((lastAt - since) / 1000), handled },
          'events are handled again',
        );
    }
  }

  /** Says what was left out so far; nothing more will come. */
  close(): void {
    clearInterval(this.#timer);
    this.#economy.flush();
  }

  #failed(run: Run): void {
    const now = this.#clock();
    const { name } = run.consumer;
    const known = this.#troubles.get(name);
    if (known === undefined)
      return void this.#troubles.set(name, { since: now, lastAt: now, failures: 1, meanwhile: 0, handled: 0 });
    known.lastAt = now;
    known.failures++;
    known.meanwhile += known.handled;
    known.handled = 0;
  }

  #succeeded(run: Run): void {
    const trouble = this.#troubles.get(run.consumer.name);
    if (trouble !== undefined) trouble.handled++;
  }
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
    get looksAtData() {
      return observers.some((observer) => observer.looksAtData === true);
    },
    retried: (run, failure, delay) => tell((observer) => observer.retried(run, failure, delay)),
    deadLettered: (run, failure, reason) => tell((observer) => observer.deadLettered(run, failure, reason)),
    refused: (run, what, error, delay) => tell((observer) => observer.refused(run, what, error, delay)),
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
