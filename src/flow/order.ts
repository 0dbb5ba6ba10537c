/**
 * Order: events of one key are handled one at a time, in the order of their stream; other keys go on. Each key with
 * something in hand has a lane, and each event in it a place. An event keeps its place until it has an outcome: one that
 * was given back to be tried again, or was lost on the way, finds it when it comes again, and nothing of its key begins
 * meanwhile.
 *
 * Nothing begins at all while the gate is closed: until it is sure that no earlier event is missing, and while another
 * instance may have taken over (`reconcile/active.ts`).
 */
import type { Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';

/** The key of an event by which it is ordered; undefined is the one key of all events that have none. */
export type OrderKey = (run: Run) => string | undefined;

/** Milliseconds by which an event may begin before it is due: clocks differ, and the server rounds. */
const EARLY = 1_000;

interface Lane {
  readonly key: string | undefined;
  /** In order; only the first one's run is at work. Never empty while the lane is known. */
  readonly places: Place[];
}

/** The place of one event in its lane. */
export interface Place {
  readonly lane: Lane;
  readonly sequence: number;
  /** The event's run as its id; empty for its first passage, and only those stand in stream order. */
  readonly id: string;
  /** Whether it came from the stream, and not from a timer or a re-drive. */
  readonly ofStream: boolean;
  /** Undefined while the event is out: it was given back, or lost, and comes again. */
  run: Run | undefined;
  /** Its handling has begun. */
  begun: boolean;
}

/** An event and its passage, whoever brings it. */
const identity = ({ stream, sequence, id }: Run): string => `${stream} ${sequence} ${id}`;

export class Lanes {
  readonly #lanes = new Map<string | undefined, Lane>();
  /** Places whose event is out, by its identity. */
  readonly #out = new Map<string, Place>();
  /** Milliseconds of the monotonic clock until which events may begin; 0: the gate is closed. */
  #until = 0;
  /** Whether some event could have begun, had the gate been open. */
  #stalled = false;
  readonly #ready: Lane[] = [];
  #starting = false;
  #begun = 0;
  #outOfStream = 0;
  #ended = 0;

  /** Hears of an event that was lost before it had a place: later ones must not begin before it is back. */
  onMissed: (() => void) | undefined;

  /** Keys with something in hand, or out. */
  get size(): number {
    return this.#lanes.size;
  }

  /** Events that are out: given back, and to come again. `ofStream`: those that the stream's durable will bring. */
  get out(): { readonly all: number; readonly ofStream: number } {
    return { all: this.#out.size, ofStream: this.#outOfStream };
  }

  /** Events whose handling has begun. */
  get begun(): number {
    return this.#begun;
  }

  /** Runs that ended, so far. */
  get ended(): number {
    return this.#ended;
  }

  /** The stage of a plan that lets events of a key pass one at a time. */
  step(keyOf: OrderKey): Step {
    return {
      name: 'order',
      run: (run: Run): Verdict => {
        // It has begun, and comes by once more because it was noted so (`Consumer.goOn`).
        if (run.place?.begun === true) return undefined;
        const place = this.#takePlace(run, keyOf);
        if (place.lane.places[0] === place && this.#mayBegin(run, run.startedAt)) return this.#begin(place, run);
        if (!run.decided) run.consumer.waits(run);
        return PENDING;
      },
    };
  }

  /** To be called for every run that ended, also for those that are to come again. */
  readonly onSettled = (run: Run): void => {
    this.#ended++;
    const { place } = run;
    if (place === undefined) {
      if (run.returned) this.onMissed?.();
      return;
    }
    run.place = undefined;
    place.run = undefined;
    if (place.begun) this.#begun--;
    place.begun = false;
    if (run.returned) {
      this.#out.set(identity(run), place);
      if (place.ofStream) this.#outOfStream++;
    } else this.#leave(place);
  };

  /** Opens the gate, or keeps it open. @param until Milliseconds of the monotonic clock. */
  open(until: number): void {
    this.#until = until;
    if (!this.#stalled) return;
    this.#stalled = false;
    for (const lane of this.#lanes.values()) this.#ready.push(lane);
    this.#startReady();
  }

  /** Closes the gate: nothing begins until it is opened. What has begun goes on. */
  close(): void {
    this.#until = 0;
    this.#stalled = true;
  }

  /** Forgets the places of events that are out: whoever has the consumer now, it brings them in their order. */
  forgetOut(): void {
    const places = [...this.#out.values()];
    this.#out.clear();
    this.#outOfStream = 0;
    for (const place of places) this.#leave(place);
  }

  #takePlace(run: Run, keyOf: OrderKey): Place {
    const kept = this.#out.size > 0 ? this.#comeBack(run) : undefined;
    if (kept !== undefined) return kept;
    const key = keyOf(run);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      lane = { key, places: [] };
      this.#lanes.set(key, lane);
    }
    const { sequence, id } = run;
    const place: Place = { lane, sequence, id, ofStream: run.handed === undefined, run, begun: false };
    run.place = place;
    insert(lane.places, place);
    return place;
  }

  #comeBack(run: Run): Place | undefined {
    const name = identity(run);
    const place = this.#out.get(name);
    if (place === undefined) return undefined;
    this.#out.delete(name);
    if (place.ofStream) this.#outOfStream--;
    place.run = run;
    run.place = place;
    return place;
  }

  /** Whether the first one of a lane may begin now. One that came before it is due goes back, and keeps its place. */
  #mayBegin(run: Run, now: number): boolean {
    if (now >= this.#until) {
      this.#stalled = true;
      return false;
    }
    const due = run.record?.next ?? 0;
    if (due === 0 || due <= Date.now() + EARLY) return true;
    run.consumer.settle.defer(run, due);
    return false;
  }

  #begin(place: Place, run: Run): Verdict {
    place.begun = true;
    this.#begun++;
    if (!run.comesAgain) return undefined;
    run.consumer.goOn(run);
    return PENDING;
  }

  #leave(place: Place): void {
    const { lane } = place;
    const { places } = lane;
    const index = places[0] === place ? 0 : places.indexOf(place);
    if (index < 0) return;
    if (places.length === 1) {
      this.#lanes.delete(lane.key);
      places.length = 0;
      return;
    }
    places.splice(index, 1);
    if (index > 0) return;
    this.#ready.push(lane);
    this.#startReady();
  }

  #startReady(): void {
    // A run that ends at once comes back here; the loop below takes care of the next one, so the stack stays flat.
    if (this.#starting) return;
    this.#starting = true;
    let next = 0;
    try {
      while (next < this.#ready.length) this.#startFirst(this.#ready[next++] as Lane);
    } finally {
      this.#ready.splice(0, next);
      this.#starting = false;
    }
  }

  #startFirst({ places }: Lane): void {
    const [place] = places;
    const run = place?.run;
    if (place === undefined || run === undefined || place.begun || run.decided) return;
    const now = performance.now();
    if (!run.consumer.mayStart(run, now) || !this.#mayBegin(run, now)) return;
    run.startedAt = now;
    if (this.#begin(place, run) === undefined) run.resume();
  }
}

/** Puts a place where it belongs: by sequence among first passages, else at the end; never before what has begun. */
function insert(places: Place[], place: Place): void {
  let index = places.length;
  if (place.id === '')
    while (index > 0) {
      const before = places[index - 1] as Place;
      if (before.begun || before.id !== '' || before.sequence < place.sequence) break;
      index--;
    }
  if (index === places.length) places.push(place);
  else places.splice(index, 0, place);
}
