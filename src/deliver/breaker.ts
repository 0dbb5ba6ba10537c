/**
 * A breaker a target: when a target is unavailable to one event after another, nothing is sent there until a probe gets
 * through. Events wait in hand meanwhile, and use up no attempts.
 */
import { NO_ATTEMPTS } from '../core/attempts.ts';
import type { Run } from '../core/run.ts';
import type { OuzelError } from '../errors.ts';
import { DeliveryLog } from './log.ts';
import type { Route } from './route.ts';

/** closed: all go. open: none. probing: one is on its way, and decides. disabled: none, until somebody enables it. */
export type BreakerState = 'closed' | 'open' | 'probing' | 'disabled';

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
  /** It opened, or is closed again, or gone: what waited for it goes on. Or it was disabled. */
  changed(breaker: Breaker): void;
  /** Why a target is disabled that nobody has delivered to yet; undefined when it is not. */
  readonly disabled?: (target: string) => Disabling | undefined;
}

/** That a target said it is gone for good (410), and what it said. */
export interface Disabling {
  readonly error: OuzelError;
  /** Milliseconds since the epoch. */
  readonly since: number;
}

export class Breaker {
  /** The target, as metrics and the log show it. */
  readonly target: string;
  /** What became of the latest deliveries there. */
  readonly deliveries = new DeliveryLog();
  readonly #events: BreakerEvents;
  #state: BreakerState = 'closed';
  #failures = 0;
  #probes = 0;
  #lastSuccess = 0;
  #openedAt = 0;
  #error: OuzelError | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Whether the next event that asks is the probe. */
  #due = false;
  /** Nothing in the configuration delivers there any more: what still does is not held up, and nothing is said of it. */
  #gone = false;
  readonly #waiting = new Set<Run>();

  constructor(target: string, events: BreakerEvents) {
    this.target = target;
    this.#events = events;
  }

  get state(): BreakerState {
    return this.#state;
  }

  /** Whether it left the configuration. */
  get isGone(): boolean {
    return this.#gone;
  }

  get isOpen(): boolean {
    return this.#state !== 'closed';
  }

  /** Whether nothing is sent there, not even a probe, until somebody enables it. */
  get isDisabled(): boolean {
    return this.#state === 'disabled';
  }

  /** Whether it is open, and no event waits that could be the next probe. */
  get isUnprobed(): boolean {
    return this.#state === 'open' && this.#waiting.size === 0;
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
    if (!this.#due) return false;
    this.#state = 'probing';
    this.#wakeIn(PROBE_LOST);
    return true;
  }

  /**
   * Keeps a run until it may deliver.
   *
   * @param route The one that it waits for, whose `retry.for` bounds that.
   */
  wait(run: Run, route: Route): void {
    const now = Date.now();
    run.waitingSince = now;
    run.waitingFor = route;
    // `retry.for` counts from here, whether or not it will have tried in between.
    for (const each of run.batch?.isTogether === true ? run.batch.members : [run]) {
      const record = each.record ?? NO_ATTEMPTS;
      if (record.firstFailedAt === 0) each.record = { ...record, firstFailedAt: now };
    }
    this.#waiting.add(run);
    run.consumer.waits(run);
  }

  /** A run that waits was settled meanwhile. */
  leave(run: Run): void {
    this.#waiting.delete(run);
  }

  /** The target may have been mended: what waits is probed with at once, and the pauses begin anew. */
  probeSoon(): void {
    if (!this.isOpen || this.isDisabled) return;
    this.#probes = 0;
    this.#wakeIn(0);
  }

  /** Milliseconds until the next probe; 0 while it is closed or disabled. */
  get pause(): number {
    // What comes again while it is disabled waits in hand: nobody knows for how long.
    return this.isOpen && !this.isDisabled ? pauseBefore(this.#probes) : 0;
  }

  /** The target took something. @param startedAt When that delivery began; milliseconds of the monotonic clock. */
  succeeded(startedAt: number): void {
    // By the wall clock as it is now: failures of events are known by it, over processes.
    this.#lastSuccess = Date.now() - (performance.now() - startedAt);
    this.#isThere();
  }

  /** It answers, be it by refusing an event for that event's own fault. */
  #isThere(): void {
    this.#failures = 0;
    // What was sent before it was disabled may still get through, and changes nothing.
    if (this.#state === 'closed' || this.isDisabled) return;
    this.#close();
    this.#events.changed(this);
  }

  #close(): void {
    this.#state = 'closed';
    this.#probes = 0;
    this.#due = false;
    clearTimeout(this.#timer);
    this.#release(this.#waiting.size);
  }

  /**
   * A delivery failed.
   *
   * @param mostAsked Milliseconds that the target may ask to be left alone, at most.
   */
  failed(error: OuzelError, mostAsked = LONGEST_ASKED): void {
    // It was held back here, and nothing went out.
    if (this.#gone || this.isDisabled || error.code === 'TARGET_BREAKER_OPEN') return;
    if (error.code === 'TARGET_GONE') return this.disable({ error, since: Date.now() });
    if (saysNothing(error)) return this.#probeLost();
    if (error.kind !== 'unavailable') return this.#isThere();
    this.#failures++;
    if (this.#state === 'closed' && this.#failures < THRESHOLD) return;
    // What was sent before it opened may still fail, and says nothing new.
    if (this.#state === 'open') return;
    const opens = this.#state === 'closed';
    this.#error = error;
    if (opens) this.#openedAt = Date.now();
    const asked = Math.min(error.retryAfter ?? 0, mostAsked, LONGEST_ASKED);
    this.#pause(Math.max(pauseBefore(this.#probes++), asked));
    if (opens) this.#events.changed(this);
  }

  /** Nothing goes there any more, not even a probe. What waits for it goes on waiting. */
  disable({ error, since }: Disabling): void {
    if (this.#gone) return;
    clearTimeout(this.#timer);
    this.#due = false;
    this.#state = 'disabled';
    this.#error = error;
    this.#openedAt = since;
    this.#events.changed(this);
  }

  /** Somebody wants it to be delivered to again. */
  enable(): void {
    if (!this.isDisabled) return;
    this.#failures = 0;
    this.#close();
    this.#events.changed(this);
  }

  /** Nobody delivers there any more: it lets go of what waits, and holds nothing back. */
  close(): void {
    const { isOpen } = this;
    this.#gone = true;
    this.#close();
    if (isOpen) this.#events.changed(this);
  }

  #probeLost(): void {
    if (this.#state === 'probing') this.#pause(FIRST);
  }

  #pause(milliseconds: number): void {
    this.#state = 'open';
    this.#wakeIn(milliseconds);
  }

  /** After a while the next probe is due; one that is on its way then counts as lost. */
  #wakeIn(milliseconds: number): void {
    this.#due = false;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      // Whoever is let go may not get as far as to probe: its consumer drains, or has lost it. Then another one may.
      this.#wakeIn(FIRST);
      this.#state = 'open';
      this.#due = true;
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
      run.waitingFor = undefined;
      run.consumer.goOn(run);
    }
  }
}

/** Whether a delivery failed before the target had a say: without NATS, for what the event is, or in a plugin's code. */
const saysNothing = ({ code }: OuzelError): boolean =>
  ['NATS_UNAVAILABLE', 'PLUGIN_FAILED', 'TARGET_TOO_LARGE', 'INTERNAL'].includes(code) || code.startsWith('EVENT_');

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
      const disabling = this.#events.disabled?.(target);
      if (disabling !== undefined) breaker.disable(disabling);
    }
    return breaker;
  }

  /** The one of a target; undefined where nobody delivers to it. */
  find(target: string): Breaker | undefined {
    return this.#breakers.get(target);
  }

  /** Those of all targets that are delivered to. */
  get all(): readonly Breaker[] {
    return [...this.#breakers.values()];
  }

  /** Those that are open now. */
  get open(): readonly Breaker[] {
    return [...this.#breakers.values()].filter(({ isOpen }) => isOpen);
  }

  /** Lets go of the breakers of targets that are gone, and returns which those were. */
  keepOnly(targets: ReadonlySet<string>): readonly string[] {
    const gone = [...this.#breakers.keys()].filter((target) => !targets.has(target));
    for (const target of gone) {
      this.#breakers.get(target)?.close();
      this.#breakers.delete(target);
    }
    return gone;
  }

  /** These targets may have been mended. */
  probeSoon(targets: readonly string[]): void {
    for (const target of targets) this.#breakers.get(target)?.probeSoon();
  }
}
