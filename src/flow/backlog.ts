/**
 * What does not fit into a key's lane in hand: it is stored on the server, in order, and its source is acked. The store
 * is the truth of it; whoever takes over finds there which keys have something stored, and begins with none of these
 * before that.
 *
 * A key's events stand in three parts: `front`, what is in hand, `rest`. An event that must wait longer than `ack_wait`
 * goes to the front, and so do those in hand behind it; what comes while something is stored goes to the rest. Numbers
 * of the event stream decide between what is in hand and what is stored, so that an event which could not be stored
 * keeps its turn.
 */
import type { AttemptRecord } from '../core/attempts.ts';
import type { Event } from '../core/event.ts';
import type { Handed } from '../core/handover.ts';
import type { Done } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import { isInOrder, type Lane, type LaneStore, type Place, Stored, type StoredEvent, type Tier } from './lane.ts';

export interface BacklogPorts {
  readonly store: LaneStore;
  /** Takes an event in hand that was stored. */
  readonly receive: (event: Event, handed: Handed) => void;
  /** Whether a dead letter stops its key. */
  readonly holds: () => boolean;
  /** How many events may be in hand, and for how long, in milliseconds. */
  readonly hand: () => { readonly prefetch: number; readonly ackWait: number };
}

/** What it needs of the lanes. */
interface LanesView {
  readonly isOpen: () => boolean;
  readonly lanes: ReadonlyMap<string | undefined, Lane>;
  /** Looks at a lane whose next event may have changed. */
  readonly ready: (lane: Lane) => void;
}

/** The share of what may be in hand that one key may have; and while its first event is away to be tried again. */
const SHARE = 8;
const SHARE_WAITING = 64;
/** Keys that are read at once. */
const READS = 32;
/** Milliseconds before it is read again when the store did not answer. */
const READ_AGAIN = 1_000;
/** Errors after which an event may have been stored all the same. */
const UNKNOWN: ReadonlySet<string> = new Set(['TARGET_TIMEOUT', 'NATS_UNAVAILABLE']);
/** Milliseconds that a timer can wait at once. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Whether one more may be stored: where nobody knows, it is looked for. */
const isThere = (error: Error | undefined, anew: boolean | undefined): boolean =>
  error === undefined ? anew !== false : UNKNOWN.has(asOuzelError(error).code);

export class Backlog {
  readonly #ports: BacklogPorts;
  readonly #view: LanesView;
  readonly #stored = new Map<string, Lane>();
  /** Lanes that are to be read when there is room. */
  readonly #waiting = new Set<Lane>();
  #reads = 0;
  /** Events in hand that were stored. */
  #inHand = 0;

  constructor(ports: BacklogPorts, view: LanesView) {
    this.#ports = ports;
    this.#view = view;
  }

  /** Keys with something stored. */
  get size(): number {
    return this.#stored.size;
  }

  /** The lanes with something stored; of those that nothing came of yet, the key is not known. */
  get lanes(): Iterable<Lane> {
    return this.#stored.values();
  }

  /** Finds what is stored. Nothing may begin before. */
  async takeStock(): Promise<void> {
    const { store } = this.#ports;
    const found = await store.lanes();
    if (found.size === 0) return;
    const inHand = new Map([...this.#view.lanes.values()].map((lane) => [store.name(lane.key), lane]));
    for (const [name, stored] of found) {
      if (this.#stored.has(name)) continue;
      const lane = inHand.get(name) ?? { key: undefined, places: [], stored: undefined };
      lane.stored = new Stored(name, stored);
      this.#stored.set(name, lane);
    }
  }

  /** Forgets what is stored: another instance has it, or will look for it. */
  forget(): void {
    for (const lane of this.#stored.values()) {
      clearTimeout(lane.stored?.timer);
      lane.stored = undefined;
    }
    this.#stored.clear();
    this.#waiting.clear();
  }

  /** The lane of a key of which something was found; undefined for others. */
  find(key: string | undefined): Lane | undefined {
    if (this.#stored.size === 0) return undefined;
    const lane = this.#stored.get(this.#ports.store.name(key));
    if (lane !== undefined) lane.key = key;
    return lane;
  }

  /** The lane of an event that was stored; undefined when that is forgotten by now. */
  laneOf(name: string): Lane | undefined {
    const lane = this.#stored.get(name);
    if (lane?.stored !== undefined) lane.stored.reading = false;
    return lane;
  }

  /**
   * Stores an event that comes, where it does not fit into its lane.
   *
   * @param stays Called when it could not be stored, and stays in hand after all.
   */
  takes(lane: Lane, run: Run, stays: () => void): boolean {
    const { stored } = lane;
    if (run.handed?.lane !== undefined || !this.#view.isOpen() || stored?.awaits(run) === true) return false;
    if (stored === undefined || stored.empty) {
      if (lane.places.length < this.#bound(lane, run)) return false;
    } else if (isInOrder(run) && run.sequence <= stored.last) return false;
    this.#put(lane, 'rest', run, stays);
    return true;
  }

  /** The first event of a lane waits for longer than it may in hand: it goes to the front. */
  putFirst(place: Place, run: Run, record: AttemptRecord, done: Done): void {
    const stored = this.#storedOf(place.lane);
    // Something older is there, which cannot be unless it came twice: this one waits on the server.
    if (stored.front > 0 && stored.tried !== run)
      return done(new OuzelError('TARGET_TOO_LARGE', 'its key has events in front already'));
    const inOrder = isInOrder(run);
    stored.sends('front', run.sequence, inOrder);
    this.#ports.store.put(stored.name, 'front', run, record, inOrder ? undefined : stored.last, (error, anew) => {
      this.#arrived(stored, 'front', run, isThere(error, anew));
      stored.tried = error === undefined ? undefined : run;
      if (error === undefined) {
        place.stored = true;
        stored.due = record.next;
        stored.upcoming = inOrder ? run.sequence : 0;
        stored.next = undefined;
      }
      done(error);
    });
  }

  /** Whether the first place of a lane comes before all that is stored. */
  isNext(lane: Lane, place: Place): boolean {
    const { stored } = lane;
    if (stored === undefined || stored.empty || place.run?.handed?.lane !== undefined) return true;
    if (stored.hold !== undefined) return stored.awaits(place.run);
    if (!place.inOrder) return true;
    const { upcoming, underway } = stored;
    if (underway.some((sequence) => sequence < place.sequence)) return false;
    return stored.count === 0 || (upcoming !== undefined && place.sequence < upcoming);
  }

  /** Whether the next event of a lane is a stored one: it is read then, when its time has come. */
  goesFirst(lane: Lane): boolean {
    const { stored } = lane;
    if (stored === undefined) return false;
    if (stored.empty) {
      this.#close(lane, stored);
      return false;
    }
    if (stored.reading) return true;
    const [place] = lane.places;
    const isFirst = place !== undefined && this.isNext(lane, place);
    if (isFirst) return false;
    if (stored.hold !== undefined) return this.#isHeld(lane, stored);
    if (stored.count === 0) return true;
    const wait = stored.due - Date.now();
    if (wait > 0) {
      this.#wake(lane, stored, wait);
      if (wait > this.#ports.hand().ackWait) this.#storeAll(lane, stored);
    } else this.#read(lane, stored);
    return true;
  }

  /** A dead letter stops the key of an event, until it was driven again or discarded. */
  hold({ lane }: Place, letter: number, done: Done): void {
    const stored = this.#storedOf(lane);
    this.#ports.store.hold(stored.name, letter, (error, number) => {
      if (error === undefined && number !== undefined) stored.hold = { letter, number };
      done(error);
    });
  }

  /** A letter that was driven again has an outcome: its key goes on, unless it is a letter again. */
  letterEnded({ handed, place }: Run): void {
    if (place === undefined || place.stored === true) return;
    if (place.lane.stored?.hold?.letter === handed?.letter) this.#release(place.lane);
  }

  /** Lets the keys go on whose letters are gone, or all where letters hold none any more. */
  async releaseHeld(): Promise<void> {
    for (const lane of this.#stored.values()) {
      const { stored } = lane;
      const hold = stored?.hold;
      if (stored === undefined || hold === undefined || !this.#view.isOpen()) continue;
      const holds = this.#ports.holds() && (await this.#ports.store.isLetter(hold.letter));
      if (!holds && stored.hold === hold && lane.stored === stored) this.#release(lane);
    }
  }

  #release(lane: Lane): void {
    const { stored } = lane;
    if (stored?.hold === undefined) return;
    this.#ports.store.remove(stored.hold.number);
    stored.hold = undefined;
    this.#view.ready(lane);
  }

  /** The key is stopped: only the letter that stops it passes, driven again. @returns True. */
  #isHeld(lane: Lane, stored: Stored): boolean {
    this.#storeAll(lane, stored);
    // It may be in front itself, when it failed once more and waits for long.
    if (stored.front === 0 || stored.next !== undefined) return true;
    const wait = stored.due - Date.now();
    if (wait > 0) this.#wake(lane, stored, wait);
    else this.#read(lane, stored);
    return true;
  }

  /** A run ended that was stored. */
  ended(run: Run, { name, number }: NonNullable<Handed['lane']>): void {
    this.#inHand--;
    if (!run.returned) this.#ports.store.remove(number);
    const lane = this.#stored.get(name);
    const stored = lane?.stored;
    if (lane === undefined || stored === undefined) return;
    stored.reading = false;
    if (run.returned) {
      stored.again = true;
      stored.due = run.record?.next ?? 0;
    } else this.#done(stored, number, isInOrder(run) ? run.sequence : 0);
    // Those that have a place leave it, and the next one of the lane is looked for then.
    if (run.place === undefined) this.#view.ready(lane);
    this.#readWaiting();
  }

  /** @param sequence In the event stream, of an event that ended in order. */
  #done(stored: Stored, number: number, sequence: number): void {
    const { tier } = stored;
    stored[tier]--;
    stored.from[tier] = number + 1;
    stored.upcoming = undefined;
    stored.again = false;
    stored.due = 0;
    stored.done = Math.max(stored.done, sequence);
  }

  #bound({ places }: Lane, { consumer }: Run): number {
    const { prefetch } = this.#ports.hand();
    const [first] = places;
    if (first === undefined || first.run !== undefined) return Math.max(1, Math.floor(prefetch / SHARE));
    // However many keys wait like this: half of the room is for the events that they wait for.
    return consumer.held > prefetch / 2 ? 1 : Math.max(1, Math.floor(prefetch / SHARE_WAITING));
  }

  #storedOf(lane: Lane): Stored {
    if (lane.stored !== undefined) return lane.stored;
    const name = this.#ports.store.name(lane.key);
    const stored = new Stored(name);
    // Nobody has tried what is stored from now on.
    stored.again = false;
    lane.stored = stored;
    this.#stored.set(name, lane);
    return stored;
  }

  #close(lane: Lane, stored: Stored): void {
    clearTimeout(stored.timer);
    lane.stored = undefined;
    this.#stored.delete(stored.name);
    this.#waiting.delete(lane);
  }

  #put(lane: Lane, tier: Tier, run: Run, stays: () => void): void {
    const stored = this.#storedOf(lane);
    const inOrder = isInOrder(run);
    stored.sends(tier, run.sequence, inOrder);
    const behind = inOrder ? undefined : stored.last;
    const put = (done: Done): void =>
      this.#ports.store.put(stored.name, tier, run, run.record, behind, (error, anew) => {
        this.#arrived(stored, tier, run, isThere(error, anew));
        done(error);
        if (lane.stored === stored) this.#view.ready(lane);
      });
    run.consumer.settle.store(run, put, stays);
  }

  #arrived(stored: Stored, tier: Tier, run: Run, added: boolean): void {
    const { sequence } = run;
    stored.underway.splice(stored.underway.indexOf(sequence), 1);
    if (!added) return;
    if (stored.count === 0 && isInOrder(run)) stored.upcoming = sequence;
    stored[tier]++;
  }

  /** Stores what is in hand of a lane whose first event waits for long. */
  #storeAll(lane: Lane, stored: Stored): void {
    const waiting = lane.places.filter(({ ofStream, inOrder, begun }) => ofStream && inOrder && !begun);
    for (const place of waiting) {
      const { run, sequence } = place;
      if (run === undefined || run.decided) continue;
      const tier = stored.tierFor(sequence);
      if (tier === undefined) continue;
      lane.places.splice(lane.places.indexOf(place), 1);
      run.place = undefined;
      this.#put(lane, tier, run, () => {
        run.place = place;
        lane.places.push(place);
        lane.places.sort((left, right) => left.sequence - right.sequence);
      });
    }
  }

  #wake(lane: Lane, stored: Stored, wait: number): void {
    clearTimeout(stored.timer);
    stored.timer = setTimeout(() => this.#view.ready(lane), Math.min(wait, LONGEST_TIMER));
  }

  #read(lane: Lane, stored: Stored): void {
    if (!this.#view.isOpen()) return;
    if (stored.next !== undefined) return this.#take(stored, stored.next);
    if (!this.#mayRead()) return void this.#waiting.add(lane);
    stored.reading = true;
    this.#reads++;
    const { name, tier, again } = stored;
    this.#ports.store.next(name, tier, stored.from[tier], again).then(
      (found) => {
        this.#reads--;
        if (lane.stored === stored) this.#found(lane, stored, tier, found);
        this.#readWaiting();
      },
      () => {
        this.#reads--;
        stored.reading = false;
        if (lane.stored === stored) this.#wake(lane, stored, READ_AGAIN);
        this.#readWaiting();
      },
    );
  }

  #found(lane: Lane, stored: Stored, tier: Tier, found: StoredEvent | undefined): void {
    stored.reading = false;
    if (found === undefined) {
      // Somebody took it away.
      stored[tier] = 0;
      stored.upcoming = undefined;
      return this.#view.ready(lane);
    }
    const { number, event, handed } = found;
    const { sequence } = event.position;
    const inOrder = isInOrder({ id: handed.run, handed });
    if (inOrder && sequence <= stored.done) {
      this.#ports.store.remove(number);
      this.#done(stored, number, 0);
      return this.#view.ready(lane);
    }
    stored.upcoming = inOrder ? sequence : 0;
    stored.next = found;
    if (inOrder && this.#letGoOfTwin(lane, sequence)) return this.#view.ready(lane);
    const [place] = lane.places;
    if (place !== undefined && this.isNext(lane, place)) return this.#view.ready(lane);
    if (stored.hold !== undefined && handed.letter !== stored.hold.letter) return;
    this.#take(stored, found);
  }

  /** Lets go of an event in hand that is the stored one, and came again because its ack was lost. @returns Whether there was one. */
  #letGoOfTwin(lane: Lane, sequence: number): boolean {
    const twin = lane.places.find((place) => place.ofStream && place.inOrder && place.sequence === sequence);
    if (twin?.run === undefined || twin.begun || twin.run.decided) return false;
    twin.stored = true;
    twin.run.consumer.settle.store(
      twin.run,
      (done) => done(),
      () => undefined,
    );
    return true;
  }

  /** Takes a stored event in hand; it finds its lane when it comes to it. */
  #take(stored: Stored, { event, handed }: StoredEvent): void {
    const { sequence } = event.position;
    // One that is earlier, and still on its way into the store, might have to stay in hand.
    if (stored.underway.some((each) => each < sequence) || !this.#view.isOpen()) return;
    stored.next = undefined;
    stored.reading = true;
    clearTimeout(stored.timer);
    this.#inHand++;
    this.#ports.receive(event, handed);
  }

  /** Whether there is room: what is in hand already may wait for what is stored, and does not count. */
  #mayRead(): boolean {
    return this.#reads < READS && this.#inHand < this.#ports.hand().prefetch;
  }

  /** Reads on where there was no room. */
  #readWaiting(): void {
    for (const lane of this.#waiting) {
      if (!this.#mayRead()) return;
      this.#waiting.delete(lane);
      this.#view.ready(lane);
    }
  }
}
