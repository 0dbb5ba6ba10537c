/**
 * Throttle: events go on no faster than a rate. They wait in hand, where they keep their consumer from pulling more;
 * but where others could go on meanwhile, because they have another key or another route, what would wait too long is
 * handed to a timer. To wait is no attempt: the clock of the attempt starts when it is over.
 */
import type { Run } from '../core/run.ts';
import type { Cell } from '../telemetry/cells.ts';
import { admissible, slotOf } from './gcra.ts';
import { letGo, Line, pauseAfter, Upcoming } from './line.ts';
import type { Quota } from './quota.ts';

/** Milliseconds ahead of their instant for which events are granted: then what a timer is late by costs no rate. */
const AHEAD = 50;
/** Share of a consumer's events in hand, or of its places, that may wait for one of several keys or routes. */
const WAITING_SHARE = 0.25;

/** Milliseconds after which a line is looked at again at the latest. */
const LONGEST = 60_000;

/** How an event waits. */
export interface Terms {
  readonly key: string;
  /** Whether others could go on while it waits. */
  readonly selective: boolean;
  readonly seconds: Cell | undefined;
}

export class Throttle {
  readonly #quota: Quota;
  /** Those of keys for which something waits. */
  readonly #lines = new Map<string, Line>();
  readonly #next = new Upcoming((line) => this.#advance(line));

  constructor(quota: Quota) {
    this.#quota = quota;
  }

  /** Events that wait for it, those included that were settled meanwhile. */
  get waiting(): number {
    let all = 0;
    for (const { length } of this.#lines.values()) all += length;
    return all;
  }

  /**
   * Whether a run may go on now. One that may not waits, and goes on with the step that asked, which then asks again;
   * or it was handed to a timer.
   */
  admits(run: Run, terms: Terms): boolean {
    if (run.cleared?.includes(this) === true) return true;
    const { key, selective, seconds } = terms;
    let line = this.#lines.get(key);
    if (line === undefined) {
      if (this.#quota.grants(key)) {
        (run.cleared ??= []).push(this);
        return true;
      }
      line = new Line(key);
      this.#lines.set(key, line);
    } else if (selective && this.#park(line, run)) return false;
    run.throttledBy = this;
    run.consumer.waits(run);
    line.push(run, seconds);
    this.#next.add(line);
    return false;
  }

  /** Hands an event to a timer that would wait for too long, or take too much of the room; false: it may wait here. */
  #park(line: Line, run: Run): boolean {
    // Where events keep an order, none is overtaken; and those of a batch stay together.
    if (run.plan.ordered === true || run.batch !== undefined) return false;
    const { prefetch, ackWait } = run.consumer.limits;
    const wait = line.length * this.#quota.rate.interval;
    if (wait < ackWait && line.length < Math.max(1, prefetch * WAITING_SHARE)) return false;
    const at = Math.max(line.parkedUntil, Date.now() + Math.max(wait, ackWait));
    line.parkedUntil = at + this.#quota.rate.interval;
    run.putBack(at);
    return true;
  }

  /** Lets go who may, asks for the others, and comes back when the next one may. */
  #advance(line: Line): void {
    clearTimeout(line.timer);
    line.timer = undefined;
    const now = this.#quota.now();
    line.look(performance.now());
    const due = line.slots.findIndex((slot) => slot > now);
    const ready = due === -1 ? line.slots.length : due;
    if (ready > 0) {
      line.slots.splice(0, ready);
      this.#release(line, ready);
    }
    if (line.slots.length === 0 && !line.asking) this.#releaseAhead(line);
    const left = line.look(performance.now());
    if (left === 0) {
      // What was granted and is not wanted any more is gone; so is what was known of the line.
      if (!line.asking && this.#lines.get(line.key) === line) this.#lines.delete(line.key);
      return;
    }
    const wanted = left - line.slots.length;
    if (wanted > 0 && !line.asking && now >= line.askAt) {
      line.asking = true;
      // The answer comes at once, or calls back here.
      this.#quota.ask(line.key, wanted, AHEAD, (granted, base) => this.#answered(line, wanted, granted, base));
      return;
    }
    const next = Math.min(
      line.slots[0] ?? Number.POSITIVE_INFINITY,
      wanted > 0 && !line.asking ? line.askAt : Number.POSITIVE_INFINITY,
    );
    if (next === Number.POSITIVE_INFINITY) return;
    line.timer = setTimeout(() => this.#advance(line), Math.max(1, Math.min(LONGEST, Math.ceil(next - now))));
    line.timer.unref();
  }

  #answered(line: Line, wanted: number, granted: number, base: number): void {
    line.asking = false;
    const { rate } = this.#quota;
    const now = this.#quota.now();
    const ready = line.slots.length > 0 ? 0 : admissible(base, now, granted, rate);
    for (let number = ready; number < granted; number++) line.slots.push(slotOf(base, number, rate));
    line.askAt = Math.max(slotOf(base, granted, rate) - AHEAD / 2, now + pauseAfter(wanted));
    if (ready > 0) this.#release(line, ready);
    this.#advance(line);
  }

  #release(line: Line, count: number): void {
    const now = performance.now();
    for (let number = 0; number < count && this.#releaseNext(line, number, now); number++);
  }

  /** Those for which something was taken ahead: once all are through, nobody waits any more while there is some left. */
  #releaseAhead(line: Line): void {
    const now = performance.now();
    for (let number = 0; line.length > 0 && this.#quota.grants(line.key); number++)
      this.#releaseNext(line, number, now);
  }

  #releaseNext(line: Line, number: number, now: number): boolean {
    const next = line.take();
    if (next === undefined) return false;
    const { run, since, seconds } = next;
    // One that came in this turn has not waited.
    const waited = since === 0 ? 0 : now - since;
    run.throttledFor += waited;
    seconds?.add(waited / 1000);
    letGo(run, this, number, now);
    return true;
  }
}
