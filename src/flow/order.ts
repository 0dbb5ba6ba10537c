/**
 * Order: events of one key are handled one at a time, in the order of their stream; other keys go on. Each key with
 * something in hand has a lane, and each event in it a place. An event keeps its place until it has an outcome: one that
 * was given back to be tried again, or was lost on the way, finds it when it comes again, and nothing of its key begins
 * meanwhile.
 *
 * A key has a bounded lane in hand. What comes beyond it, and what waits behind an event that is tried again only later
 * than `ack_wait`, is stored on the server and comes from there (`flow/backlog.ts`).
 *
 * Nothing begins at all while the gate is closed: until it is sure that no earlier event is missing, and while another
 * instance may have taken over (`reconcile/active.ts`). A consumer that runs on one instance for another reason than its
 * order has the gate alone.
 */
import type { Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import { Backlog, type BacklogPorts } from './backlog.ts';
import { insert, isInOrder, type Lane, type Place } from './lane.ts';

/** The key of an event by which it is ordered; undefined is the one key of all events that have none. */
export type OrderKey = (run: Run) => string | undefined;

/** Milliseconds by which an event may begin before it is due: clocks differ, and the server rounds. */
const EARLY = 1_000;

/** An event and its passage, whoever brings it. */
const identity = ({ stream, sequence, id }: Run): string => `${stream} ${sequence} ${id}`;

export class Lanes {
  readonly #lanes = new Map<string | undefined, Lane>();
  /** Places whose event is out, by its identity. */
  readonly #out = new Map<string, Place>();
  /** What is stored of the lanes; undefined where there is no store. */
  #backlog: Backlog | undefined;
  /** Milliseconds of the monotonic clock until which events may begin; 0: the gate is closed. */
  #until = 0;
  /** Whether some event could have begun, had the gate been open. */
  #stalled = true;
  readonly #ready: Lane[] = [];
  #starting = false;
  #begun = 0;
  #outOfStream = 0;
  #ended = 0;
  /** Hears of an event that was lost before it had a place: later ones must not begin before it is back. */
  onMissed: (() => void) | undefined;

  /** Stores what is beyond the bound of a lane, from now on. */
  attach(ports: BacklogPorts): void {
    this.#backlog = new Backlog(ports, {
      isOpen: () => performance.now() < this.#until,
      lanes: this.#lanes,
      ready: (lane) => this.#startSoon(lane),
    });
  }

  get backlog(): Backlog | undefined {
    return this.#backlog;
  }

  /** Finds what is stored, before anything begins. @returns False when the store does not answer. */
  async takeStock(): Promise<boolean> {
    if (this.#backlog === undefined) return true;
    return this.#backlog.takeStock().then(
      () => true,
      () => false,
    );
  }

  /** Keys with something in hand, out, or stored. */
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
        if (place === undefined) return PENDING;
        if (this.#isNext(place) && this.#mayBegin(run, run.startedAt)) return this.#begin(place, run);
        if (run.decided) return PENDING;
        run.consumer.waits(run);
        // What is stored comes first: it is looked for.
        if (place.lane.places[0] === place && place.lane.stored !== undefined) this.#startSoon(place.lane);
        return PENDING;
      },
    };
  }

  /**
   * The stage of a plan that keeps no order, of a consumer that runs on one instance alone all the same: each event has
   * a lane of its own, and begins when the gate is open.
   */
  gate(): Step {
    return { ...this.step(identity), name: 'gate' };
  }

  /** To be called for every run that ended, also for those that are to come again. */
  readonly onSettled = (run: Run): void => {
    this.#ended++;
    const { place } = run;
    if (run.handed?.lane !== undefined) this.#backlog?.ended(run, run.handed.lane);
    if (run.handed?.letter !== undefined && !run.returned) this.#backlog?.letterEnded(run);
    if (place === undefined) {
      if (run.returned && run.handed === undefined) this.onMissed?.();
      return;
    }
    run.place = undefined;
    place.run = undefined;
    if (place.begun) this.#begun--;
    place.begun = false;
    const { stored } = place.lane;
    if (stored !== undefined && !run.returned && place.stored !== true && isInOrder(run))
      stored.done = Math.max(stored.done, run.sequence);
    // What is stored stays so, and is read again.
    if (run.returned && run.handed?.lane === undefined) {
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
    for (const lane of this.#backlog?.lanes ?? []) this.#ready.push(lane);
    this.#startReady();
  }

  /** Closes the gate: nothing begins until it is opened. What has begun goes on. */
  close(): void {
    this.#until = 0;
    this.#stalled = true;
  }

  /** Forgets the places of events that are out, and what is stored: whoever has the consumer now finds it. */
  forgetOut(): void {
    const places = [...this.#out.values()];
    this.#out.clear();
    this.#outOfStream = 0;
    this.#backlog?.forget();
    for (const place of places) this.#leave(place);
    for (const lane of this.#lanes.values()) this.#forgetEmpty(lane);
  }

  /** @returns Undefined for an event that goes to the store instead. */
  #takePlace(run: Run, keyOf: OrderKey): Place | undefined {
    const kept = this.#out.size > 0 ? this.#comeBack(run) : undefined;
    if (kept !== undefined) return kept;
    const lane = this.#laneFor(run, keyOf);
    if (lane === undefined) {
      run.consumer.settle.giveBack(run);
      return undefined;
    }
    const stays = (): void => void this.#add(lane, run);
    if (this.#backlog?.takes(lane, run, stays) === true) return undefined;
    return this.#add(lane, run);
  }

  /** @returns Undefined for an event of the store when what is stored is forgotten by now. */
  #laneFor(run: Run, keyOf: OrderKey): Lane | undefined {
    const name = run.handed?.lane?.name;
    if (name !== undefined) return this.#backlog?.laneOf(name);
    const key = keyOf(run);
    const known = this.#lanes.get(key);
    if (known !== undefined) return known;
    const lane = this.#backlog?.find(key) ?? { key, places: [], stored: undefined };
    this.#lanes.set(key, lane);
    return lane;
  }

  #add(lane: Lane, run: Run): Place {
    const { sequence, handed } = run;
    const place: Place = { lane, sequence, inOrder: isInOrder(run), ofStream: handed === undefined, run, begun: false };
    run.place = place;
    // What was stored was read because its turn has come; and a letter that is driven again is what its key waits for.
    if (handed?.lane === undefined && lane.stored?.awaits(run) !== true) insert(lane.places, place);
    else lane.places.unshift(place);
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

  /** Whether it is the first of its lane, and nothing that is stored comes before it. */
  #isNext(place: Place): boolean {
    const { lane } = place;
    if (lane.places[0] !== place) return false;
    return lane.stored === undefined || this.#backlog === undefined || this.#backlog.isNext(lane, place);
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
    places.splice(index, 1);
    if (places.length === 0 && lane.stored === undefined) this.#forgetEmpty(lane);
    else if (index === 0) this.#startSoon(lane);
  }

  #forgetEmpty(lane: Lane): void {
    const { key, places, stored } = lane;
    if (places.length === 0 && stored === undefined && this.#lanes.get(key) === lane) this.#lanes.delete(key);
  }

  #startSoon(lane: Lane): void {
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

  #startFirst(lane: Lane): void {
    const [place] = lane.places;
    if (place?.begun === true) return;
    if (lane.stored !== undefined && this.#backlog?.goesFirst(lane) === true) return;
    const run = place?.run;
    if (place === undefined) return this.#forgetEmpty(lane);
    if (run === undefined || run.decided) return;
    const now = performance.now();
    if (!run.consumer.mayStart(run, now) || !this.#mayBegin(run, now)) return;
    run.startedAt = now;
    if (this.#begin(place, run) === undefined) run.resume();
  }
}
