/** The events that wait for one key of a limit, first come, first served. */
import type { Run } from '../core/run.ts';
import type { Cell } from '../telemetry/cells.ts';

/** An event that waits. */
export interface Waiting {
  readonly run: Run;
  /** Milliseconds of the monotonic clock; 0: since it was last looked. */
  since: number;
  /** Counts the seconds that its consumer's events have waited; undefined: nobody counts them. */
  readonly seconds: Cell | undefined;
}

/** Events that go on at once when they may; the others take their turn on the event loop. */
const AT_ONCE = 256;
/** Events that were asked for together, from which a line is busy; milliseconds between two questions of such a one. */
const BUSY = 8;
const PAUSE = 4;

export class Line {
  readonly key: string;
  /** Set while it is asked how many of them may go. */
  asking = false;
  /** When those may go that were granted and have not gone yet, in order; by the clock of the quota. */
  slots: number[] = [];
  /** Not to be asked before this instant, by the clock of the quota. */
  askAt = 0;
  /** When the last one is due that was handed to a timer; milliseconds since the epoch. */
  parkedUntil = 0;
  timer: NodeJS.Timeout | undefined;
  /** Set while it is about to be looked at. */
  isNext = false;
  #waiting: Waiting[] = [];
  #head = 0;

  constructor(key: string) {
    this.key = key;
  }

  /** How many wait, those included that were settled meanwhile. */
  get length(): number {
    return this.#waiting.length - this.#head;
  }

  push(run: Run, seconds?: Cell): void {
    this.#waiting.push({ run, since: 0, seconds });
  }

  /** The next one that still waits, taken out; undefined when there is none. */
  take(): Waiting | undefined {
    while (this.#head < this.#waiting.length) {
      const next = this.#waiting[this.#head++] as Waiting;
      if (isWaiting(next)) return next;
    }
    return undefined;
  }

  /** Lets go of those that were settled meanwhile. @param now Milliseconds of the monotonic clock. @returns how many wait */
  look(now: number): number {
    const all = this.#waiting;
    let left = 0;
    for (let index = this.#head; index < all.length; index++) {
      const each = all[index] as Waiting;
      if (!isWaiting(each)) continue;
      if (each.since === 0) each.since = now;
      all[left++] = each;
    }
    all.length = left;
    this.#head = 0;
    return left;
  }
}

const isWaiting = ({ run }: Waiting): boolean => !run.settled && !run.decided && !run.consumer.draining;

/** How long to leave a line alone before it is asked for again, so that many are asked for at once. */
export const pauseAfter = (asked: number): number => (asked < BUSY ? 0 : PAUSE);

/**
 * Lets a run go on that a limit has cleared: with the step that it waits at, which asks again.
 *
 * @param limit What it waited for.
 * @param before How many went on in this turn before it.
 * @param now Milliseconds of the monotonic clock.
 */
export function letGo(run: Run, limit: object, before: number, now: number): void {
  run.throttledBy = undefined;
  (run.cleared ??= []).push(limit);
  // Of an event that failed before it is noted first that an attempt begins; one that gave up its place needs another.
  if (run.recorded || before >= AT_ONCE || run.atWork === 'left') return run.consumer.goOn(run);
  if (!run.consumer.mayStart(run, now)) return;
  run.startedAt = now;
  run.advance();
}

/** Calls back for the lines that are about to be looked at, when all are in them that come in this turn. */
export class Upcoming {
  readonly #look: (line: Line) => void;
  #lines: Line[] = [];

  constructor(look: (line: Line) => void) {
    this.#look = look;
  }

  add(line: Line): void {
    if (line.isNext || line.asking) return;
    line.isNext = true;
    this.#lines.push(line);
    if (this.#lines.length === 1) queueMicrotask(this.#all);
  }

  readonly #all = (): void => {
    const lines = this.#lines;
    this.#lines = [];
    for (const line of lines) {
      line.isNext = false;
      this.#look(line);
    }
  };
}
