/**
 * Debounce: of the events of a key that come close together the newest goes on. It is held on the server; what is held
 * there is the truth, and an alarm only says when to look (docs/decisions/0015-debounce.md).
 */
import type { Outcome, Step } from '../core/plan.ts';
import { PENDING, type Run } from '../core/run.ts';
import { asOuzelError } from '../errors.ts';
import type { KeyOf } from './by.ts';
import type { Former, Held, HeldEvents, Identity } from './held.ts';

/** Milliseconds by which clocks differ, and in which an alarm that was just set may have gone off. */
const MARGIN = 1_000;
/** Milliseconds after which whatever should have gone on is looked at again: its alarm is lost. */
const OVERDUE = 10_000;
/** Events that are remembered to have had a place: of those that come again after a crash it is known what they did. */
const TRAIL = 32;
/** Places of which this instance knows what it put there, and bytes of an event that it keeps for that, at most. */
const KNOWN = 4_096;
const KNOWN_SIZE = 4_096;
/** Milliseconds by which an event of a stream that was made anew is later than one from before. */
const ANEW = 1_000;

export interface DebounceOptions {
  readonly held: HeldEvents;
  readonly keyOf: KeyOf;
  /** Milliseconds. */
  readonly quiet: number;
  readonly atMost: number | undefined;
  readonly superseded: Outcome;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
}

/** An event that is to be held. */
interface Waiting {
  readonly run: Run;
  readonly key: string | undefined;
  /** What it was to take the place of, when nobody knew whether it did. */
  replaced: Held | undefined;
  /** @param outcome Left out: it is held. */
  readonly done: (error?: Error, outcome?: Outcome) => void;
}

export class Debounce {
  readonly #options: DebounceOptions;
  readonly #now: () => number;
  /** Places that are worked on, with the events that came meanwhile: these are in hand anyway. */
  readonly #busy = new Map<string, Waiting[]>();
  /** What this instance put into places, the latest last: what is to take its place need not ask. */
  readonly #known = new Map<string, Held>();
  /** What an event that could not be stored for sure was to take the place of. */
  readonly #unsure = new WeakMap<Run, Held | undefined>();

  constructor(options: DebounceOptions) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  readonly step: Step = {
    name: 'debounce',
    once: 'debounce',
    run: (run) => {
      // Whoever drives an event again wants this very one.
      if (run.handed?.letter !== undefined) return undefined;
      const key = this.#options.keyOf(run);
      const place = this.#options.held.placeOf(run, key);
      run.consumer.settle.hold(run, (done) => this.#take(place, { run, key, replaced: this.#unsure.get(run), done }));
      return PENDING;
    },
  };

  #take(place: string, waiting: Waiting): void {
    const busy = this.#busy.get(place);
    if (busy !== undefined) return void busy.push(waiting);
    const queue = [waiting];
    this.#busy.set(place, queue);
    // It tells each event what fails, and fails in nothing else.
    this.#work(place, queue).catch(() => undefined);
  }

  async #work(place: string, queue: Waiting[]): Promise<void> {
    while (queue.length > 0) await this.#settle(place, queue.splice(0));
    this.#busy.delete(place);
  }

  async #settle(place: string, all: readonly Waiting[]): Promise<void> {
    // What may have been stored before is looked into first.
    const [known, fresh] = [all.filter((each) => this.#mayBeHeld(each)), all.filter((each) => !this.#mayBeHeld(each))];
    for (const each of known) await this.#newestOf(place, [each]);
    if (fresh.length > 0) await this.#newestOf(place, fresh);
  }

  #mayBeHeld({ run }: Waiting): boolean {
    return isRepeated(run) || this.#unsure.has(run);
  }

  /** Of events that came at once only the newest is stored; the others are superseded when it is. */
  async #newestOf(place: string, batch: readonly Waiting[]): Promise<void> {
    const { superseded } = this.#options;
    const newest = batch.reduce((one, other) => (isNewer(identityOf(other.run), identityOf(one.run)) ? other : one));
    let error: Error | undefined;
    let outcome: Outcome | undefined;
    try {
      if (!(await this.#hold(place, newest))) outcome = superseded;
    } catch (thrown) {
      error = asOuzelError(thrown);
    }
    for (const each of batch) each.done(error, each === newest ? outcome : superseded);
  }

  /** @returns Whether it is held now; false: a newer one is */
  async #hold(place: string, waiting: Waiting): Promise<boolean> {
    const { held, quiet, atMost = Number.POSITIVE_INFINITY } = this.#options;
    const { run, key } = waiting;
    const own = identityOf(run);
    // What comes for the first time is not there yet. Should the guess be wrong, the server stores nothing.
    const known = this.#known.get(place);
    let guesses = !this.#mayBeHeld(waiting) && (known === undefined || known.due > this.#now());
    for (; ; guesses = false) {
      const there = guesses ? known : await held.get(place);
      if (there !== undefined && (await this.#wasHeld(place, waiting, there))) return true;
      if (there !== undefined && !isNewer(own, there.handover.position)) return false;
      // That one goes on for sure, and this one begins anew behind it.
      if (there?.state === 'released') await held.handOver(there);
      const replaced = there?.state === 'waits' ? there : undefined;
      const now = this.#now();
      const first = replaced?.first ?? now;
      const due = Math.min(now + quiet, first + atMost);
      // As long as something is held its alarm is set again and again, so that one is enough for all that come.
      const alarmed = replaced !== undefined && replaced.due <= due && replaced.due + OVERDUE > now;
      // Where the place is only taken for empty, there may be one already. The source is acked when there is one.
      const setsLater = guesses && there === undefined;
      if (!alarmed && !setsLater) await held.alarm(place, due);
      const trail = there === undefined ? [] : [formerOf(there), ...there.trail].slice(0, TRAIL);
      this.#unsure.set(run, replaced);
      this.#known.delete(place);
      const stored = await held.put(place, run, key, { due, first, trail }, there?.revision ?? 0);
      if (stored === undefined) continue;
      this.#remember(place, stored);
      if (setsLater) await held.alarm(place, Math.max(due, this.#now()));
      // The alarm may have gone off before there was something to find.
      else if (!alarmed && this.#now() > due - MARGIN) await held.alarm(place, this.#now() + MARGIN);
      if (replaced !== undefined) await this.#end(run, replaced);
      return true;
    }
  }

  /** Keeps what is held, if it is small: apart from the bytes that it came with, which are part of something large. */
  #remember(place: string, stored: Held): void {
    const { handover, body } = stored;
    if (body.length + (handover.headers?.length ?? 0) > KNOWN_SIZE) return;
    const headers = handover.headers?.slice();
    this.#known.set(place, { ...stored, body: body.slice(), handover: { ...handover, headers } });
    for (const oldest of this.#known.keys()) {
      if (this.#known.size <= KNOWN) break;
      this.#known.delete(oldest);
    }
  }

  /** Whether it was stored before. Then whoever did so may not have come to the rest. */
  async #wasHeld(place: string, { run, replaced }: Waiting, there: Held): Promise<boolean> {
    const { held, superseded } = this.#options;
    const own = identityOf(run);
    const all = [formerOf(there), ...there.trail];
    const at = all.findIndex((each) => isSame(each, own));
    if (at === -1) return false;
    if (there.state === 'waits') await held.alarm(place, Math.max(there.due, this.#now()));
    const former = all[at + 1];
    if (former === undefined || former.wentOn) return true;
    if (replaced !== undefined && isSame(replaced.handover.position, former)) await this.#end(run, replaced);
    else if (isRepeated(run)) {
      const event = await held.find(run.event.stream, former);
      const handed = run.handed && { ...run.handed, record: undefined, lane: undefined };
      if (event !== undefined) await run.consumer.endElsewhere(event, handed, superseded);
    }
    return true;
  }

  /** Ends an event that was held, for the one that has its place now. */
  async #end(run: Run, replaced: Held): Promise<void> {
    const { held, superseded } = this.#options;
    const event = await held.open(replaced);
    this.#unsure.delete(run);
    await run.consumer.endElsewhere(event, { ...replaced.handover, due: event.position }, superseded);
  }
}

/** An alarm that went off. */
export interface Alarm {
  readonly place: string;
  /** When it was to go off; milliseconds since the epoch. */
  readonly at: number;
  /** Another one for each message that brings one. */
  readonly id: string;
}

/**
 * An alarm went off: what is held there goes on, if it is due.
 *
 * @param remembered Milliseconds for which it is remembered that it went on.
 */
export async function ring(
  held: HeldEvents,
  { place, at, id }: Alarm,
  remembered: number,
  now: () => number = Date.now,
): Promise<void> {
  for (;;) {
    const there = await held.get(place);
    if (there === undefined || there.state === 'gone') return;
    const waits = there.state === 'waits';
    // The clock of the server says that `at` has come.
    if (waits && there.due > Math.max(at, now())) return held.alarm(place, there.due, id);
    const revision = waits ? await held.release(place, there) : there.revision;
    if (revision === undefined) continue;
    await held.handOver(there);
    return held.leave(place, there, revision, remembered);
  }
}

/**
 * Lets what is held go on now, or ends it as cancelled.
 *
 * @returns False: it is not there any more, or goes on already
 */
export async function decide(
  held: HeldEvents,
  { place, revision }: { readonly place: string; readonly revision: number },
  cancelled: boolean,
  remembered: number,
): Promise<boolean> {
  const there = await held.get(place);
  if (there?.revision !== revision || there.state !== 'waits') return false;
  const decided = cancelled ? { ...there, handover: { ...there.handover, cancelled } } : there;
  const released = await held.release(place, decided);
  if (released === undefined) return false;
  await held.handOver(decided);
  await held.leave(place, decided, released, remembered);
  return true;
}

const formerOf = ({ handover: { position }, state }: Held): Former => ({
  sequence: position.sequence,
  milliseconds: position.milliseconds,
  nanoseconds: position.nanoseconds,
  wentOn: state !== 'waits',
});

const identityOf = ({ event: { position } }: Run): Identity => position;

const isRepeated = ({ event: { position } }: Run): boolean => position.deliveries > 1;

const isSame = (left: Identity, right: Identity): boolean =>
  left.sequence === right.sequence &&
  left.milliseconds === right.milliseconds &&
  left.nanoseconds === right.nanoseconds;

/** By the order of the stream. One that was made anew counts from 1 again. */
const isNewer = (left: Identity, right: Identity): boolean => {
  const later = left.milliseconds - right.milliseconds;
  return Math.abs(later) > ANEW ? later > 0 : left.sequence > right.sequence;
};
