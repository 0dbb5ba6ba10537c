/**
 * What waits for admission, and who of it is next: first come, first served; the smallest rank first (`priority`); or
 * by the weights of lanes. A run that was settled meanwhile stays until it is taken, and whoever takes it passes it over.
 */
import type { Lane } from '../core/lane.ts';
import type { Run } from '../core/run.ts';

/** Runs that wait. `Run.rank` does not change while it does. */
export interface Queue {
  readonly size: number;
  push(run: Run): void;
  /** The next one, which leaves the queue; undefined when nothing waits. */
  take(): Run | undefined;
}

/** What decides who is next. */
export interface Discipline {
  /** The smallest rank first, and of the same rank the earlier event of the stream. */
  readonly ranked: boolean;
  /** Lanes in turn by their weights. Undefined: there are none. */
  readonly rest: Lane | undefined;
}

/** First come, first served. */
export const IN_TURN: Discipline = { ranked: false, rest: undefined };

/** An empty queue. */
export function createQueue({ ranked, rest }: Discipline): Queue {
  const one = (): Queue => (ranked ? new Ranks() : new Arrivals());
  return rest === undefined ? one() : new Shares(rest, one);
}

/** First come, first served. */
class Arrivals implements Queue {
  #runs: Run[] = [];
  #head = 0;

  get size(): number {
    return this.#runs.length - this.#head;
  }

  push(run: Run): void {
    this.#runs.push(run);
  }

  take(): Run | undefined {
    if (this.#head === this.#runs.length) return undefined;
    const run = this.#runs[this.#head++];
    if (this.#head === this.#runs.length || this.#head > 1024) {
      this.#runs = this.#runs.slice(this.#head);
      this.#head = 0;
    }
    return run;
  }
}

interface Waiting {
  readonly run: Run;
  /** Of two runs of one event, that came one after the other, the earlier is first. */
  readonly arrival: number;
}

const isBefore = (left: Waiting, right: Waiting): boolean => {
  if (left.run.rank !== right.run.rank) return left.run.rank < right.run.rank;
  if (left.run.sequence !== right.run.sequence) return left.run.sequence < right.run.sequence;
  return left.arrival < right.arrival;
};

/** The smallest rank first: a binary heap. What comes in order of rank is put in place in one comparison. */
class Ranks implements Queue {
  readonly #heap: Waiting[] = [];
  #arrivals = 0;

  get size(): number {
    return this.#heap.length;
  }

  push(run: Run): void {
    const heap = this.#heap;
    const waiting: Waiting = { run, arrival: this.#arrivals++ };
    let at = heap.length;
    heap.push(waiting);
    while (at > 0) {
      const above = (at - 1) >> 1;
      const parent = heap[above] as Waiting;
      if (!isBefore(waiting, parent)) break;
      heap[at] = parent;
      at = above;
    }
    heap[at] = waiting;
  }

  take(): Run | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined) return undefined;
    if (heap.length > 0) this.#sink(last);
    return first.run;
  }

  /** Finds the place from the top for one that is to stand in it. */
  #sink(waiting: Waiting): void {
    const heap = this.#heap;
    let at = 0;
    for (;;) {
      let below = 2 * at + 1;
      if (below >= heap.length) break;
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Waiting, heap[below] as Waiting)) below++;
      const child = heap[below] as Waiting;
      if (!isBefore(child, waiting)) break;
      heap[at] = child;
      at = below;
    }
    heap[at] = waiting;
  }
}

interface Share {
  readonly queue: Queue;
  /** How far it has come: each that is taken counts the less, the more its lane weighs. */
  pass: number;
}

/**
 * Lanes in turn by their weights: the one that is furthest behind is next. A lane that was empty begins where the others
 * are, so that it neither catches up on what it did not need, nor waits for what they had.
 */
class Shares implements Queue {
  readonly #rest: Lane;
  readonly #create: () => Queue;
  readonly #shares = new Map<Lane, Share>();
  #size = 0;
  #now = 0;

  constructor(rest: Lane, create: () => Queue) {
    this.#rest = rest;
    this.#create = create;
  }

  get size(): number {
    return this.#size;
  }

  push(run: Run): void {
    const lane = run.lane ?? this.#rest;
    let share = this.#shares.get(lane);
    if (share === undefined) {
      share = { queue: this.#create(), pass: this.#now };
      this.#shares.set(lane, share);
    }
    if (share.queue.size === 0) share.pass = Math.max(share.pass, this.#now);
    share.queue.push(run);
    this.#size++;
  }

  take(): Run | undefined {
    let next: Share | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const [lane, share] of this.#shares) {
      // Where it would be then: of two that are as far, the heavier is first.
      const then = share.pass + 1 / lane.weight;
      if (share.queue.size === 0 || then >= least) continue;
      next = share;
      least = then;
    }
    if (next === undefined) return undefined;
    this.#now = Math.max(this.#now, next.pass);
    next.pass = least;
    this.#size--;
    return next.queue.take();
  }
}
