/**
 * Group: events that have something in common are collected and delivered as one batch. They stay in hand meanwhile,
 * kept alive and not acked, so that a crash loses none of them: the server hands them out again.
 */
import { Batch, sizeOfMark } from '../core/batch.ts';
import type { Step } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import { toJsonText } from '../expression/index.ts';
import type { Cell, HistogramCell } from '../telemetry/cells.ts';

export interface GroupLimits {
  /** Events of a batch. */
  readonly max: number;
  /** Bytes of their bodies as they came. A single event may be larger. */
  readonly maxBytes: number;
  /** Milliseconds that the first of a batch waits for others. */
  readonly within: number;
  /** Batches that are delivered at once. */
  readonly atOnce: number;
}

export interface GroupPorts {
  /** What an event is collected by, as JSON; null: it is not there. @throws OuzelError EVENT_EXPRESSION */
  readonly keyOf: (run: Run) => unknown;
  /** Calls back after so many milliseconds, unless what it answers with is called before. */
  readonly after: (milliseconds: number, then: () => void) => () => void;
  /** Gives the place of an event that is collected to the next one (`flow/admit.ts`). */
  readonly leave?: ((run: Run) => void) | undefined;
}

/** What is counted of batches. */
export interface GroupCells {
  /** Events in incomplete batches. */
  readonly waiting: Cell;
  /** Events of each that was complete. */
  readonly size: HistogramCell;
}

/** A batch that is still collected. */
interface Open {
  readonly batch: Batch;
  readonly members: Run[];
  /** Under which it is found. */
  readonly name: string;
  /** Events that it is complete with. */
  readonly full: number;
  bytes: number;
  readonly cancel: () => void;
}

/** Bytes that wait in incomplete batches, at most: half of what a consumer has in hand. */
const MOST_BYTES = 32 * 1024 * 1024;

export class Grouping {
  readonly #limits: GroupLimits;
  readonly #ports: GroupPorts;
  readonly #cells: GroupCells | undefined;
  /** In the order in which they began. */
  readonly #open = new Map<string, Open>();
  readonly #openOf = new Map<Batch, Open>();
  /** Events, and bytes of them, in incomplete batches. */
  #waiting = 0;
  #bytes = 0;
  /** Batches that wait until fewer are delivered, how many are, and how many of the events of each have no outcome. */
  #ready: Batch[] = [];
  readonly #left = new Map<Batch, number>();
  /** Of a batch that is complete, the events that are not noted as begun yet. */
  readonly #notNoted = new Map<Batch, Set<Run>>();

  /** @param cells Left out where nothing is counted: in a dry run. */
  constructor(limits: GroupLimits, ports: GroupPorts, cells?: GroupCells) {
    this.#limits = limits;
    this.#ports = ports;
    this.#cells = cells;
  }

  /** The stage of a plan that collects. */
  readonly step: Step = {
    name: 'group',
    run: (run: Run): Verdict => {
      if (run.batch === undefined) return this.#take(run);
      // It comes by once more because it was noted as begun.
      this.#noted(run.batch, run);
      return PENDING;
    },
    close: () => {
      for (const { cancel } of this.#open.values()) cancel();
    },
  };

  /** Events in incomplete batches. */
  get waiting(): number {
    return this.#waiting;
  }

  #take(run: Run): Verdict {
    const key = this.#ports.keyOf(run);
    // What may have ended the process goes alone, so that it takes no others with it.
    if (run.suspect) {
      run.batch = new Batch(key, [run], 'together');
      this.#left.set(run.batch, 1);
      return undefined;
    }
    run.consumer.waits(run);
    this.#collect(run, key);
    if (run.admitted) this.#ports.leave?.(run);
    return PENDING;
  }

  #collect(run: Run, key: unknown): void {
    const { max, maxBytes } = this.#limits;
    const size = run.event.carrier.body.length;
    const name = nameOf(run, key);
    let open = this.#open.get(name);
    if (open !== undefined && open.bytes + size > maxBytes) {
      this.#complete(open);
      open = undefined;
    }
    open ??= this.#begin(name, key, Math.min(max, sizeOfMark(run.record?.batch ?? '') || max));
    run.batch = open.batch;
    open.members.push(run);
    open.bytes += size;
    this.#add(1, size);
    if (open.members.length >= open.full || open.bytes >= maxBytes) this.#complete(open);
    else this.#makeRoom(run);
  }

  /** There is no room for events that would complete a batch: the oldest one goes as it is. */
  #makeRoom({ consumer }: Run): void {
    while (this.#waiting >= consumer.limits.prefetch || this.#bytes >= MOST_BYTES) {
      const [oldest] = this.#open.values();
      if (oldest === undefined) return;
      this.#complete(oldest);
    }
  }

  #begin(name: string, key: unknown, full: number): Open {
    const members: Run[] = [];
    const batch = new Batch(key, members, 'collecting');
    const cancel = this.#ports.after(this.#limits.within, () => this.#complete(open));
    const open: Open = { batch, members, name, full, bytes: 0, cancel };
    this.#open.set(name, open);
    this.#openOf.set(batch, open);
    return open;
  }

  #close(open: Open): void {
    open.cancel();
    this.#open.delete(open.name);
    this.#openOf.delete(open.batch);
    this.#add(-open.members.length, -open.bytes);
  }

  #add(events: number, bytes: number): void {
    this.#waiting += events;
    this.#bytes += bytes;
    this.#cells?.waiting.add(events);
  }

  #complete(open: Open): void {
    if (!this.#openOf.has(open.batch)) return;
    this.#cells?.size.observe(open.members.length);
    this.#close(open);
    const { batch } = open;
    batch.state = 'noting';
    if (this.#left.size < this.#limits.atOnce) this.#note(batch);
    else this.#ready.push(batch);
  }

  /** Notes that an attempt begins at those events of which something is known, as for a single one. */
  #note(batch: Batch): void {
    const now = performance.now();
    // Whoever was lost meanwhile leaves the batch here, by `onSettled`.
    for (const member of batch.members) member.consumer.mayStart(member, now);
    if (batch.members.length === 0) return;
    const recorded = batch.members.filter((member) => member.recorded && !member.settled);
    this.#left.set(batch, batch.members.length);
    if (recorded.length === 0) return this.#go(batch);
    this.#notNoted.set(batch, new Set(recorded));
    for (const member of recorded) member.consumer.goOn(member);
  }

  #noted(batch: Batch, run: Run): void {
    const missing = this.#notNoted.get(batch);
    if (missing?.delete(run) !== true) return;
    // It waits for the others.
    run.startedAt = 0;
    if (missing.size > 0) return;
    this.#notNoted.delete(batch);
    this.#go(batch);
  }

  /** The first event goes on for all. */
  #go(batch: Batch): void {
    const [leader] = batch.members;
    if (leader === undefined || leader.consumer.draining) return;
    batch.state = 'together';
    leader.startedAt = performance.now();
    leader.resume();
  }

  /** To be called for every run that ended. */
  readonly onSettled = (run: Run): void => {
    const { batch } = run;
    if (batch === undefined) return;
    if (batch.state === 'collecting') return this.#remove(run, batch);
    const isLeader = batch.members[0] === run;
    // What was let go before its delivery began is in no delivery.
    if (batch.state !== 'apart') batch.members = batch.members.filter((member) => member !== run);
    if (batch.state === 'together' && isLeader) this.#giveBack(batch);
    if (batch.state === 'noting') this.#noted(batch, run);
    const left = (this.#left.get(batch) ?? 0) - 1;
    if (left > 0) this.#left.set(batch, left);
    else if (this.#left.delete(batch)) this.#startReady();
  };

  #remove(run: Run, batch: Batch): void {
    const open = this.#openOf.get(batch);
    const index = open?.members.indexOf(run) ?? -1;
    if (open === undefined || index === -1) return;
    const size = run.event.carrier.body.length;
    open.members.splice(index, 1);
    open.bytes -= size;
    this.#add(-1, -size);
    if (open.members.length === 0) this.#close(open);
  }

  /** Its first event was given back or lost, so the others go back too: they are collected again. */
  #giveBack(batch: Batch): void {
    batch.state = 'apart';
    // A drain gives back all that is in hand, and knows when.
    for (const member of batch.members) if (!member.consumer.draining) member.consumer.settle.giveBack(member);
  }

  #startReady(): void {
    while (this.#left.size < this.#limits.atOnce) {
      const batch = this.#ready.shift();
      if (batch === undefined) return;
      if (batch.members.length > 0) this.#note(batch);
    }
  }
}

/**
 * The name of the batch that an event belongs to. Events that failed together are tried again together; those of other
 * runs, and those that have confirmed elsewhere, are by themselves, since all of a batch take the same routes.
 */
function nameOf({ id, record, handed }: Run, key: unknown): string {
  const text = key === null ? '' : toJsonText(key);
  if (id === '' && record === undefined) return text;
  const { batch = '', confirmed = [] } = record ?? {};
  return `${text}\n${JSON.stringify([id, batch, confirmed, handed?.routes ?? null])}`;
}
