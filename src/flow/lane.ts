/** A key's lane: the places of its events in hand, and what is stored of them on the server. */
import type { AttemptRecord } from '../core/attempts.ts';
import type { Event } from '../core/event.ts';
import type { Handed } from '../core/handover.ts';
import type { Run } from '../core/run.ts';

/** Where an event is stored: `front` is before all in hand and in `rest`; `rest` is behind. */
export type Tier = 'front' | 'rest';

/** Events of one key that are stored, as somebody who takes over finds them. */
export interface StoredLane {
  readonly front: number;
  readonly rest: number;
  /** The highest number in the event stream that was stored in order. */
  readonly last: number;
  /** Undefined for a key that goes on. */
  readonly hold?: Hold | undefined;
}

/** A key that is stopped by a dead letter. */
export interface Hold {
  readonly letter: number;
  /** Where that is written down in the store. */
  readonly number: number;
}

/** An event that was stored. */
export interface StoredEvent {
  /** Its number in the store. */
  readonly number: number;
  readonly event: Event;
  readonly handed: Handed;
}

/** Hears what became of an event that was to be stored. */
export type Put = (error?: Error, anew?: boolean) => void;

/** Keeps the events of a consumer by their lanes, in the order in which they were put there. */
export interface LaneStore {
  /** What a lane is called in the store. */
  name(key: string | undefined): string;
  /** All lanes in which something is stored, by name. */
  lanes(): Promise<ReadonlyMap<string, StoredLane>>;
  /**
   * @param behind Of an event that is not in order, the highest number in the event stream that was stored before.
   * @param done With an error when it is not stored, or nobody knows; `anew` is false for one that was there already.
   */
  put(
    lane: string,
    tier: Tier,
    run: Run,
    record: AttemptRecord | undefined,
    behind: number | undefined,
    done: Put,
  ): void;
  /**
   * The first event from a number on; undefined for none.
   *
   * @param again Whether it may have been tried before: then what is known of that is looked up.
   */
  next(lane: string, tier: Tier, from: number, again: boolean): Promise<StoredEvent | undefined>;
  /** Takes an event away, or a hold, however long that takes. */
  remove(number: number): void;
  /** Writes down that a key is stopped by a dead letter; an earlier hold of it goes. */
  hold(lane: string, letter: number, done: (error?: Error, number?: number) => void): void;
  /** Whether a dead letter is there still. */
  isLetter(letter: number): Promise<boolean>;
}

/** The place of one event in its lane. */
export interface Place {
  readonly lane: Lane;
  readonly sequence: number;
  /** As `isInOrder`. */
  readonly inOrder: boolean;
  /** Whether it came from the stream, and not from a timer, a re-drive or the store. */
  readonly ofStream: boolean;
  /** Undefined while the event is out: it was given back, or lost, and comes again. */
  run: Run | undefined;
  /** Its handling has begun. */
  begun: boolean;
  /** It ended without an outcome: it was stored, and comes from there. */
  stored?: boolean;
}

export interface Lane {
  key: string | undefined;
  /** In order; only the first one's run is at work. */
  readonly places: Place[];
  /** Undefined while all of the key is in hand. */
  stored: Stored | undefined;
}

/** What is stored of a lane. */
export class Stored {
  readonly name: string;
  front: number;
  rest: number;
  /** The highest number in the event stream that was stored in order: what is above it goes behind. */
  last: number;
  /** No number in the event stream below this one was put into the rest; 0: that is not known. */
  restFrom = 0;
  /** No number in the event stream above this one was put in front; infinite: that is not known. */
  frontUpTo = 0;
  /** Numbers in the event stream of those that are on their way into the store. */
  readonly underway: number[] = [];
  /** Where to read on, in each tier. */
  readonly from: Record<Tier, number> = { front: 0, rest: 0 };
  /** The next one, read or on its way to its place. */
  next: StoredEvent | undefined;
  reading = false;
  /** The number in the event stream of the next one, where that is known. */
  upcoming: number | undefined;
  /** The first one may have been tried before. */
  again = true;
  /** Not before this instant, in milliseconds since the epoch. */
  due = 0;
  timer: ReturnType<typeof setTimeout> | undefined;
  /** Set while a dead letter stops the key. */
  hold: Hold | undefined;
  /** The event that was to go to the front, and could not be stored for sure: it is tried again, and may be there. */
  tried: Run | undefined;
  /** The highest number in the event stream that ended in order: what is stored in order below it is there twice. */
  done = 0;

  constructor(name: string, { front, rest, last, hold }: StoredLane = { front: 0, rest: 0, last: 0 }) {
    this.name = name;
    this.front = front;
    if (front > 0) this.frontUpTo = Number.POSITIVE_INFINITY;
    this.rest = rest;
    this.last = last;
    this.hold = hold;
  }

  get count(): number {
    return this.front + this.rest;
  }

  /** Whether an event is the one that the key is stopped for, driven again. */
  awaits(run: Run | undefined): boolean {
    return this.hold !== undefined && run?.handed?.letter === this.hold.letter;
  }

  /** Whether nothing is stored, nothing is on its way there, and the key is not stopped. */
  get empty(): boolean {
    return this.count === 0 && this.underway.length === 0 && this.hold === undefined;
  }

  /** Where an event of its lane would stand in order; undefined: neither in front nor in the rest, for all that is known. */
  tierFor(sequence: number): Tier | undefined {
    if (sequence > this.last || (this.rest === 0 && this.underway.length === 0)) return 'rest';
    return sequence < this.restFrom && sequence > this.frontUpTo ? 'front' : undefined;
  }

  /** An event is on its way into the store. @param inOrder As `isInOrder`. */
  sends(tier: Tier, sequence: number, inOrder: boolean): void {
    const isFirst = this.underway.length === 0;
    this.underway.push(sequence);
    if (!inOrder) return;
    if (tier === 'front') this.frontUpTo = this.front === 0 && isFirst ? sequence : Math.max(this.frontUpTo, sequence);
    else if (this.rest === 0 && isFirst) this.restFrom = this.last = sequence;
    else this.last = Math.max(this.last, sequence);
  }

  get tier(): Tier {
    return this.front > 0 ? 'front' : 'rest';
  }
}

/**
 * Whether an event came to its key in the order of the stream: the others were brought by a timer that held them back, a
 * re-drive or a replay, and stand behind what is there when they arrive.
 */
export const isInOrder = ({ id, handed }: Pick<Run, 'id' | 'handed'>): boolean =>
  id === '' && (handed === undefined || handed.lane?.inOrder === true);

/** Puts a place where it belongs: by sequence among those in order, else at the end; never before what has begun. */
export function insert(places: Place[], place: Place): void {
  let index = places.length;
  if (place.inOrder)
    while (index > 0) {
      const before = places[index - 1] as Place;
      if (before.begun || !before.inOrder || before.sequence < place.sequence) break;
      index--;
    }
  if (index === places.length) places.push(place);
  else places.splice(index, 0, place);
}
