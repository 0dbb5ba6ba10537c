/**
 * What is remembered of events whose handling failed or was cut off. It is kept where every instance finds it (the
 * bucket OUZEL_ATTEMPTS, or the timer that an event was handed over to), and only for such events: nothing is written
 * for one that succeeds at once.
 */
import type { Event, Position } from './event.ts';
import type { Handed } from './handover.ts';
import { ONCE_STAGES, type OnceStage } from './plan.ts';

export interface AttemptRecord {
  /** Attempts that failed. */
  readonly used: number;
  /** Attempts that were cut off while the event ran alone: whatever ended the process, it was at work on this event. */
  readonly cutOffs: number;
  /** Whether a further attempt began and nothing was heard of it since, and whether the event runs alone in it. */
  readonly open: boolean;
  readonly alone: boolean;
  /** Whether an attempt was cut off and none came to its end since: it may have been the event that ended the process. */
  readonly suspect: boolean;
  /** Whether that happened when it had been at work for a while as a suspect: the next time it runs all alone. */
  readonly grave: boolean;
  /** Deferrals that used none up, because a target was unavailable. */
  readonly deferred: number;
  /** Milliseconds since the epoch of the first failure and of the last; 0: none yet. */
  readonly firstFailedAt: number;
  readonly failedAt: number;
  /** The last failure was a deferral that may yet turn out to be the event's own fault (`deliver/retry.ts`). */
  readonly doubtful: boolean;
  /** Routes that confirmed; they are not delivered to again. */
  readonly confirmed: readonly string[];
  /** Not to be tried before this instant, in milliseconds since the epoch. */
  readonly next: number;
  /** The last stage with an effect that happens once that the event has passed; empty: none. */
  readonly passed: OnceStage | '';
  /** How often a timer held it back because it was throttled. */
  readonly throttled: number;
}

export const NO_ATTEMPTS: AttemptRecord = {
  used: 0,
  cutOffs: 0,
  open: false,
  alone: false,
  suspect: false,
  grave: false,
  deferred: 0,
  firstFailedAt: 0,
  failedAt: 0,
  doubtful: false,
  confirmed: [],
  next: 0,
  passed: '',
  throttled: 0,
};

/**
 * What is known when an attempt has begun that nobody has heard the end of. Many events are at work when a process dies:
 * that makes each of them suspect, and counts for none of them. It counts for one that ran alone.
 */
export function withCutOff(record: AttemptRecord): AttemptRecord {
  const { open, alone, suspect, cutOffs } = record;
  if (!open) return record;
  const ended = { ...record, open: false, alone: false, suspect: true };
  return alone ? { ...ended, cutOffs: cutOffs + 1 } : { ...ended, grave: record.grave || suspect };
}

export const writeRecord = (record: AttemptRecord): string => JSON.stringify(record);

/** Reads a record; what is not there is as if nothing had happened, and undefined stands for what is no record. */
export function readRecord(text: string): AttemptRecord | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const given = value as Readonly<Record<string, unknown>>;
  const number = (name: keyof AttemptRecord): number => {
    const found = given[name];
    return typeof found === 'number' && Number.isFinite(found) && found >= 0 ? found : 0;
  };
  return {
    used: number('used'),
    cutOffs: number('cutOffs'),
    open: given['open'] === true,
    alone: given['alone'] === true,
    suspect: given['suspect'] === true,
    grave: given['grave'] === true,
    deferred: number('deferred'),
    firstFailedAt: number('firstFailedAt'),
    failedAt: number('failedAt'),
    doubtful: given['doubtful'] === true,
    confirmed: Array.isArray(given['confirmed']) ? given['confirmed'].map(String) : [],
    next: number('next'),
    passed: ONCE_STAGES.find((stage) => stage === given['passed']) ?? '',
    throttled: number('throttled'),
  };
}

/** Of two records of one event, the one that knows more. */
export function newerRecord(
  left: AttemptRecord | undefined,
  right: AttemptRecord | undefined,
): AttemptRecord | undefined {
  if (left === undefined || right === undefined) return left ?? right;
  const steps = ({ used, cutOffs, deferred, throttled, open, suspect, grave }: AttemptRecord): number =>
    8 * (used + cutOffs + deferred + throttled) + (grave ? 4 : 0) + (suspect ? 2 : 0) + (open ? 1 : 0);
  return steps(right) > steps(left) ? right : left;
}

/** Events that were given back with a delay and have not come again. */
export class Delayed {
  /** When each is due, by its sequence; milliseconds since the epoch. */
  readonly #due = new Map<number, number>();

  get size(): number {
    return this.#due.size;
  }

  add(sequence: number, due: number): void {
    this.#due.set(sequence, due);
  }

  remove(sequence: number): void {
    if (this.#due.size > 0) this.#due.delete(sequence);
  }

  /** Forgets those that were due before an instant: another instance has them. */
  forgetBefore(instant: number): void {
    for (const [sequence, due] of this.#due) if (due < instant) this.#due.delete(sequence);
  }

  clear(): void {
    this.#due.clear();
  }
}

/** Events that are remembered after their ack: at first, and at most for a consumer that has many. */
const REMEMBERED = 256;
const REMEMBERED_MOST = 16_384;

/**
 * The messages that were acked last. An ack can be lost with the connection, or with the durable, and the message comes
 * once more. An event that was handed over is known by the message that brought it: the event itself may come so again.
 */
export class Acked {
  readonly #ofStream = new AckedPositions();
  readonly #due = new AckedPositions();

  add({ event, handed }: Received): void {
    if (handed === undefined) this.#ofStream.add(event.position);
    else this.#due.add(handed.due);
  }

  has({ event, handed }: Received): boolean {
    return handed === undefined ? this.#ofStream.has(event.position) : this.#due.has(handed.due);
  }
}

/** A message as its run knows it. */
interface Received {
  readonly event: Event;
  readonly handed: Handed | undefined;
}

class AckedPositions {
  #sequences = new Float64Array(REMEMBERED);
  #milliseconds = new Float64Array(REMEMBERED);
  #next = 0;

  add({ sequence, milliseconds }: Position): void {
    if (this.#next === this.#sequences.length) this.#turn();
    this.#sequences[this.#next] = sequence;
    this.#milliseconds[this.#next] = milliseconds;
    this.#next++;
  }

  /** A stream that was made anew counts from 1 again, so that the timestamp decides too. */
  has({ sequence, milliseconds }: Position): boolean {
    let index = this.#sequences.indexOf(sequence);
    while (index !== -1) {
      if (this.#milliseconds[index] === milliseconds) return true;
      index = this.#sequences.indexOf(sequence, index + 1);
    }
    return false;
  }

  /** At the end: makes more room, or begins anew at the oldest. */
  #turn(): void {
    if (this.#sequences.length === REMEMBERED_MOST) {
      this.#next = 0;
      return;
    }
    const grown = (old: Float64Array<ArrayBuffer>): Float64Array<ArrayBuffer> => {
      const larger = new Float64Array(old.length * 2);
      larger.set(old);
      return larger;
    };
    this.#sequences = grown(this.#sequences);
    this.#milliseconds = grown(this.#milliseconds);
  }
}
