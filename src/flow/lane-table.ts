/**
 * Which lane an event belongs to. A lane that left the configuration keeps the events that were stored until an instant;
 * later ones go the way that the configuration says now. So each event belongs to one lane on all instances, whichever
 * durable brings it.
 */
import type { Lane } from '../core/lane.ts';
import { overlaps } from '../core/subjects.ts';

export interface LaneEntry {
  readonly lane: Lane;
  readonly subjects: readonly string[];
  /** Whether it left the configuration, or is to. */
  readonly leaving: boolean;
  /** Up to when it has its events, by the clock of the stream: milliseconds since the epoch. Undefined: for good. */
  readonly until: number | undefined;
}

/** Subjects whose lanes are remembered. */
const REMEMBERED = 4096;

export class LaneTable {
  readonly rest: Lane;
  readonly #entries: readonly LaneEntry[];
  readonly #bySubject = new Map<string, readonly LaneEntry[]>();

  /** @param rest What is in no other lane. */
  constructor(rest: Lane, entries: readonly LaneEntry[]) {
    this.rest = rest;
    // What a lane that leaves still has is nobody else's yet.
    this.#entries = entries.toSorted((left, right) => Number(right.leaving) - Number(left.leaving));
  }

  /** The lane of an event. @param milliseconds When it was stored in its stream, since the epoch. */
  of(subject: string, milliseconds: number): Lane {
    for (const { lane, until } of this.#matching(subject))
      if (until === undefined || milliseconds <= until) return lane;
    return this.rest;
  }

  #matching(subject: string): readonly LaneEntry[] {
    const known = this.#bySubject.get(subject);
    if (known !== undefined) return known;
    if (this.#bySubject.size === REMEMBERED) this.#bySubject.clear();
    const found = this.#entries.filter(({ subjects }) => subjects.some((each) => overlaps(each, subject)));
    this.#bySubject.set(subject, found);
    return found;
  }
}

/** Each lane's share of a consumer's room, by its weight: at least one event. */
export function shareOut(prefetch: number, lanes: readonly Pick<Lane, 'weight'>[]): number[] {
  const total = lanes.reduce((sum, { weight }) => sum + weight, 0);
  return lanes.map(({ weight }) => Math.max(1, Math.floor((prefetch * weight) / total)));
}
