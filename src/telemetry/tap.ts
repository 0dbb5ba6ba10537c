/**
 * The tap: single events as they are settled, for whoever looks on. Nobody looks on most of the time: then it costs one
 * comparison an event. What a tap cannot take, or would cost too much to look at, is left out and counted.
 */
import { stringifyJson } from '../core/json.ts';
import type { Keepsake, Observer } from '../core/ports.ts';
import type { Failure, Run } from '../core/run.ts';
import { retryReason } from '../deliver/retry.ts';
import { OuzelError } from '../errors.ts';
import { recordOf, type Settlement } from './tap-record.ts';

/** Taps at once. */
const MAX_TAPS = 16;
/** Events written to one tap in a second, at most. */
const MAX_WRITTEN = 100;
/** Events that one tap looks at closer in a second, at most: its type, key and expression cost something. */
const MAX_LOOKED_AT = 20_000;
/** Milliseconds of the windows in which these are counted. */
const WINDOW = 1_000;

/** Which events a tap wants; undefined: all. */
export interface TapQuery {
  readonly consumer: string | undefined;
  readonly outcome: string | undefined;
  readonly reason: string | undefined;
  /** Asked last, since it has to look into the event; undefined: nothing to ask. */
  readonly matches: ((run: Run) => boolean) | undefined;
}

/** Where a tap's events go. */
export interface TapSink {
  /** Whether so much waits to be sent that nothing more should be added. */
  readonly full: boolean;
  event(json: string): void;
  leftOut(counts: LeftOut): void;
  /** No more will come. */
  end(reason: string): void;
}

/** Events that a tap did not show since it last said so. */
export interface LeftOut {
  /** They matched, and were too many. */
  readonly left_out: number;
  /** So many came that nobody looked whether they match. */
  readonly not_looked_at: number;
}

interface Tap {
  readonly query: TapQuery;
  readonly sink: TapSink;
  written: number;
  lookedAt: number;
  leftOut: number;
  unseen: number;
}

export interface TapHubOptions {
  readonly keyOf: (run: Run) => string | undefined;
  /** Takes secrets out of what is shown. */
  readonly redact: (text: string) => string;
}

export class TapHub implements Observer {
  readonly #options: TapHubOptions;
  readonly #taps = new Set<Tap>();
  #timer: NodeJS.Timeout | undefined;
  /** What was said of the run that is settled next. */
  #failed: { readonly run: Run; readonly failure: Failure } | undefined;

  constructor(options: TapHubOptions) {
    this.#options = options;
  }

  /** How many look on. */
  get size(): number {
    return this.#taps.size;
  }

  /**
   * Lets somebody look on.
   *
   * @returns Ends it.
   * @throws OuzelError TAP_LIMIT
   */
  open(query: TapQuery, sink: TapSink): () => void {
    if (this.#taps.size >= MAX_TAPS) throw new OuzelError('TAP_LIMIT', `${MAX_TAPS} taps are open already`);
    const tap: Tap = { query, sink, written: 0, lookedAt: 0, leftOut: 0, unseen: 0 };
    this.#taps.add(tap);
    this.#timer ??= setInterval(() => this.#window(), WINDOW).unref();
    return () => this.#remove(tap);
  }

  /** Ends all of them. */
  close(reason: string): void {
    this.#window();
    for (const tap of this.#taps) {
      this.#remove(tap);
      tap.sink.end(reason);
    }
  }

  get looksAtData(): boolean {
    return this.#taps.size > 0;
  }

  settled(run: Run, { kind, reason }: Parameters<Observer['settled']>[1]): void {
    if (this.#taps.size === 0) return;
    const failure = this.#failed?.run === run ? this.#failed.failure : undefined;
    this.#failed = undefined;
    this.#show(run, { outcome: kind, reason, failure, delay: undefined });
  }

  retried(run: Run, failure: Failure, delay: number): void {
    if (this.#taps.size === 0) return;
    this.#show(run, { outcome: 'retried', reason: retryReason(failure.error), failure, delay });
  }

  deadLettered(run: Run, failure: Failure): void {
    // Its outcome follows at once, and is what is shown.
    if (this.#taps.size > 0) this.#failed = { run, failure };
  }

  refused(run: Run, what: Keepsake, error: Error): void {
    if (this.#taps.size === 0) return;
    const failure: Failure = { error: new OuzelError('TARGET_UNAVAILABLE', error.message), route: undefined };
    const reason = `${what.replaceAll(' ', '_')}_refused`;
    this.#show(run, { outcome: 'kept', reason, failure, delay: undefined });
  }

  #show(run: Run, settlement: Settlement): void {
    let json: string | undefined;
    for (const tap of this.#taps) {
      if (!this.#wants(tap, run, settlement)) continue;
      if (tap.written >= MAX_WRITTEN || tap.sink.full) {
        tap.leftOut++;
        continue;
      }
      tap.written++;
      json ??= this.#options.redact(stringifyJson(recordOf(run, settlement, this.#options.keyOf(run))));
      tap.sink.event(json);
    }
  }

  #wants(tap: Tap, run: Run, { outcome, reason }: Settlement): boolean {
    const { query } = tap;
    if (query.consumer !== undefined && query.consumer !== run.consumer.name) return false;
    if (query.outcome !== undefined && query.outcome !== outcome) return false;
    if (query.reason !== undefined && query.reason !== reason) return false;
    if (query.matches === undefined) return true;
    if (tap.lookedAt >= MAX_LOOKED_AT) {
      tap.unseen++;
      return false;
    }
    tap.lookedAt++;
    return query.matches(run);
  }

  /** Begins the next second, and says what the last one left out. */
  #window(): void {
    for (const tap of this.#taps) {
      tap.written = 0;
      tap.lookedAt = 0;
      if ((tap.leftOut === 0 && tap.unseen === 0) || tap.sink.full) continue;
      tap.sink.leftOut({ left_out: tap.leftOut, not_looked_at: tap.unseen });
      tap.leftOut = 0;
      tap.unseen = 0;
    }
  }

  #remove(tap: Tap): void {
    this.#taps.delete(tap);
    if (this.#taps.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#failed = undefined;
  }
}
