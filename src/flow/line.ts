/** The events that wait for one key of a limit, first come, first served. */
import type { Run } from '../core/run.ts';
import type { Cell } from '../telemetry/cells.ts';

/** An event that waits. */
export interface Waiting {
  readonly run: Run;
  /** Milliseconds of the monotonic clock. */
  readonly since: number;
  /** Counts the seconds that its consumer's events have waited; undefined: nobody counts them. */
  readonly seconds: Cell | undefined;
}

export class Line {
  readonly key: string;
  /** Set while it is asked how many of them may go. */
  asking = false;
  /** When those may go that were granted and are not gone yet, in order; by the clock of the quota. */
  readonly slots: number[] = [];
  /** Not to be asked before this instant; by the clock of the quota. */
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

  push(waiting: Waiting): void {
    this.#waiting.push(waiting);
  }

  /** The next one that still waits, taken out; undefined when there is none. */
  take(): Waiting | undefined {
    while (this.#head < this.#waiting.length) {
      const next = this.#waiting[this.#head++] as Waiting;
      // The tail is moved to the front only when it is short, so that each is moved once at most.
      if (this.#head * 2 >= this.#waiting.length) {
        this.#waiting = this.#waiting.slice(this.#head);
        this.#head = 0;
      }
      if (isWaiting(next)) return next;
    }
    return undefined;
  }

  /** Lets go of those that were settled meanwhile; how many still wait. */
  prune(): number {
    this.#waiting = this.#waiting.slice(this.#head).filter(isWaiting);
    this.#head = 0;
    return this.#waiting.length;
  }
}

const isWaiting = ({ run }: Waiting): boolean => !run.settled && !run.decided && !run.consumer.draining;
