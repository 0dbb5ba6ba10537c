/**
 * A breaker a target: when a target is unavailable to one event after another, nothing is sent there until a probe gets
 * through. Events wait in hand meanwhile, and use up no attempts.
 */
import { NO_ATTEMPTS } from '../core/attempts.ts';
import type { Run } from '../core/run.ts';
import type { OuzelError } from '../errors.ts';

/** closed: all go. open: none. probing: one is on its way, and decides. */
export type BreakerState = 'closed' | 'open' | 'probing';

/** Failures one after another, with no success between, that open it. */
const THRESHOLD = 3;
/** Milliseconds until the first probe, the factor for each further one, and the longest time between two. */
const FIRST = 1_000;
const FACTOR = 2;
const LONGEST = 30_000;
/** Milliseconds that a target may ask to be left alone (`Retry-After`), at most. */
const LONGEST_ASKED = 300_000;
/** Milliseconds after which a probe that nobody has heard of counts as lost. */
const PROBE_LOST = 120_000;

export interface BreakerEvents {
  /** It opened, or is closed again: what waited for it goes on. */
  changed(breaker: Breaker): void;
}

export class Breaker {
  /** The target, as metrics and the log show it. */
  readonly target: string;
  readonly #events: BreakerEvents;
  #state: BreakerState = 'closed';
  #failures = 0;
  #probes = 0;
  #probedAt = 0;
  #lastSuccess = 0;
  #openedAt = 0;
  #error: OuzelError | undefined;
  #timer: NodeJS.Timeout | undefined;
  readonly #waiting = new Set<Run>();

  constructor(target: string, events: BreakerEvents) {
    this.target = target;
    this.#events = events;
  }

  get state(): BreakerState {
    return this.#state;
  }

  get isOpen(): boolean {
    return this.#state !== 'closed';
  }

  /** Why it opened last, and when (milliseconds since the epoch); undefined when it never did. */
  get trouble(): { readonly error: OuzelError; readonly since: number } | undefined {
    return this.#error === undefined ? undefined : { error: this.#error, since: this.#openedAt };
  }

  /** Events that wait for it. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether a delivery that began after an instant got through; in milliseconds since the epoch. */
  succeededSince(instant: number): boolean {
    return this.#lastSuccess > instant;
  }

  /** Whether it opened since an instant, in milliseconds since the epoch. */
  openedSince(instant: number): boolean {
    return this.#openedAt > instant;
  }

  /** Whether a run may deliver now. While it is open, one at a time may, and is the probe. */
  admits(): boolean {
    if (this.#state === 'closed') return true;
    const now = performance.now();
    if (this.#timer !== undefined) return false;
    if (this.#state === 'probing' && now - this.#probedAt < PROBE_LOST) return false;
    this.#state = 'probing';
    this.#probedAt = now;
    return true;
  }

  /** Keeps a run until it may deliver. */
  wait(run: Run): void {
    const now = Date.now();
    run.waitingSince = now;
    const record = run.record ?? NO_ATTEMPTS;
    // `retry.for` counts from here, whether or not it will have tried in between.
    if (record.firstFailedAt === 0) run.record = { ...record, firstFailedAt: now };
    run.consumer.waits(run);
    this.#waiting.add(run);
  }

  /** Milliseconds until the next probe; 0 while it is closed. */
  get pause(): number {
    return this.isOpen ? pauseBefore(this.#probes) : 0;
  }

  /** The target took something. @param startedAt When that delivery began; milliseconds of the monotonic clock. */
  succeeded(startedAt: number): void {
    this.#lastSuccess = Math.max(this.#lastSuccess, performance.timeOrigin + startedAt);
    this.#isThere();
  }

  /** It answers, be it by refusing an event for that event's own fault. */
  #isThere(): void {
    this.#failures = 0;
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#probes = 0;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#release(this.#waiting.size);
    this.#events.changed(this);
  }

  /** A delivery failed. Without the connection to NATS nothing is known of a target. */
  failed(error: OuzelError): void {
    if (error.code === 'NATS_UNAVAILABLE' || error.code === 'TARGET_BREAKER_OPEN') return this.#probeLost();
    if (error.kind !== 'unavailable') return this.#isThere();
    this.#failures++;
    if (this.#state === 'closed' && this.#failures < THRESHOLD) return;
    const opens = this.#state === 'closed';
    // What was sent before it opened may still fail, and says nothing new.
    if (this.#state === 'open' && this.#timer !== undefined) return;
    this.#error = error;
    this.#state = 'open';
    if (opens) this.#openedAt = Date.now();
    this.#pause(Math.max(pauseBefore(this.#probes++), Math.min(error.retryAfter ?? 0, LONGEST_ASKED)));
    if (opens) this.#events.changed(this);
  }

  /** Lets go of what waits: nobody uses it any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#release(this.#waiting.size);
  }

  #probeLost(): void {
    if (this.#state === 'probing') this.#pause(FIRST);
  }

  #pause(milliseconds: number): void {
    this.#state = 'open';
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#release(1);
    }, milliseconds);
    this.#timer.unref();
  }

  /** Lets waiting runs go on: the one that has waited longest is the next probe. */
  #release(count: number): void {
    for (const run of this.#waiting) {
      if (count <= 0) return;
      this.#waiting.delete(run);
      if (run.settled || run.decided) continue;
      count--;
      run.waitingSince = 0;
      run.consumer.goOn(run);
    }
  }
}

const pauseBefore = (probes: number): number => {
  const pause = Math.min(LONGEST, FIRST * FACTOR ** probes);
  return Math.round(pause * (0.9 + 0.2 * Math.random()));
};

/** The breakers of a daemon, by the identity of their targets. */
export class Breakers {
  readonly #breakers = new Map<string, Breaker>();
  readonly #events: BreakerEvents;

  constructor(events: BreakerEvents) {
    this.#events = events;
  }

  /**
   * @param target A named target; or `<consumer>/<route>` for one that is written where it is used.
   */
  of(target: string): Breaker {
    let breaker = this.#breakers.get(target);
    if (breaker === undefined) {
      breaker = new Breaker(target, this.#events);
      this.#breakers.set(target, breaker);
    }
    return breaker;
  }

  /** Those that are open now. */
  get open(): readonly Breaker[] {
    return [...this.#breakers.values()].filter(({ isOpen }) => isOpen);
  }

  /** Lets go of the breakers of targets that are gone. */
  keepOnly(targets: ReadonlySet<string>): void {
    for (const [target, breaker] of this.#breakers) {
      if (targets.has(target)) continue;
      breaker.close();
      this.#breakers.delete(target);
    }
  }
}
