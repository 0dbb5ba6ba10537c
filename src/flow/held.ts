/** Events that debounce holds back, where every instance finds them. */
import type { Event, Position } from '../core/event.ts';
import type { Handover } from '../core/handover.ts';
import type { Run } from '../core/run.ts';

/** Names an event in its stream. */
export type Identity = Pick<Position, 'sequence' | 'milliseconds' | 'nanoseconds'>;

/** An event that is held, as it is stored. */
export interface Held {
  /** The number of what is stored; another one each time. */
  readonly revision: number;
  readonly handover: Handover;
  readonly body: Uint8Array;
  /** Milliseconds since the epoch: when it goes on, unless a newer one comes; when the first came that waited. */
  readonly due: number;
  readonly first: number;
  /**
   * `waits` for its instant; `released`: it goes on for sure, and whoever finds it so may hand it over; `gone`: it went
   * on, and is remembered for a while, so that an older one does not go on after it.
   */
  readonly state: 'waits' | 'released' | 'gone';
  /** Those that had the place before, the last first, as far as they are remembered. */
  readonly trail: readonly Former[];
}

/** An event that had a place, and went on, or was superseded by the next. */
export interface Former extends Identity {
  readonly wentOn: boolean;
}

/** What is to be stored of an event. */
export type Holding = Pick<Held, 'due' | 'first' | 'trail'>;

/** Where events are held: one at most in each place. A place is that of one key of one consumer and run. */
export interface HeldEvents {
  placeOf(run: Run, key: string | undefined): string;
  /** What is held there now, as the leader knows it. @throws OuzelError */
  get(place: string): Promise<Held | undefined>;
  /**
   * Puts a run's event in the place of the revision that is expected there; 0: of none.
   *
   * @returns What is held now; undefined: something else is there by now.
   * @throws OuzelError Nobody knows, or TARGET_TOO_LARGE
   */
  put(place: string, run: Run, key: string | undefined, holding: Holding, expected: number): Promise<Held | undefined>;
  /** Says for good that what is held there goes on. @returns Its revision then; undefined: something else is there */
  release(place: string, held: Held): Promise<number | undefined>;
  /** Hands it over to the consumer; once, however often it is said. @throws OuzelError */
  handOver(held: Held): Promise<void>;
  /**
   * Notes that it went on, unless something else is there by now.
   *
   * @param revision That of its release.
   * @param remembered Milliseconds.
   * @throws OuzelError
   */
  leave(place: string, held: Held, revision: number, remembered: number): Promise<void>;
  /**
   * Sets an alarm of its own for what is held there.
   *
   * @param at Milliseconds since the epoch.
   * @param id The same for all who set the same one; left out: one more.
   * @throws OuzelError
   */
  alarm(place: string, at: number, id?: string): Promise<void>;
  /** The event that is held, without an answer that anybody waits for. @throws OuzelError */
  open(held: Held): Promise<Event>;
  /** An event of a stream as it stands there; undefined when it is gone. @throws OuzelError */
  find(stream: string, identity: Identity): Promise<Event | undefined>;
}
