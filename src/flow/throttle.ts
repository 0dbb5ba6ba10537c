/**
 * Throttle: events go on no faster than a rate. They wait in hand, where they keep their consumer from pulling more;
 * but where others could go on meanwhile, because they have another key or another route, what would wait too long is
 * handed to a timer. To wait is no attempt: the clock of the attempt starts when it is over.
 */
import type { Run } from '../core/run.ts';
import type { Cell } from '../telemetry/cells.ts';
import { slotOf } from './gcra.ts';
import { Line } from './line.ts';
import type { Quota } from './quota.ts';

/** Milliseconds ahead of their instant for which events are granted: then what a timer is late by costs no rate. */
const AHEAD = 50;
/** Share of a consumer's events in hand, or of its places, that may wait for one of several keys or routes. */
const WAITING_SHARE = 0.25;

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
  #next: Line[] = [];

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
      if (this.#quota.grants?.(key) === true) {
        (run.cleared ??= []).push(this);
        return true;
      }
      line = new Line(key);
      this.#lines.set(key, line);
    } else if (selective && this.#park(line, run)) return false;
    run.throttledBy = this;
    run.consumer.waits(run);
    line.push({ run, since: performance.now(), seconds });
    this.#lookAt(line);
    return false;
  }

  /** Hands an event to a timer that would wait for too long, or take too much of the room; false: it may wait here. */
  #park(line: Line, run: Run): boolean {
    const { prefetch, ackWait } = run.consumer.limits;
    const wait = line.length * this.#quota.rate.interval;
    if (wait < ackWait && line.length < Math.max(1, prefetch * WAITING_SHARE)) return false;
    const at = Math.max(line.parkedUntil, Date.now() + Math.max(wait, ackWait));
    line.parkedUntil = at + this.#quota.rate.interval;
    run.putBack(at);
    return true;
  }

  /** Looks at a line when all are in it that come in this turn: they are asked for together. */
  #lookAt(line: Line): void {
    if (line.isNext || line.asking) return;
    line.isNext = true;
    this.#next.push(line);
    if (this.#next.length === 1) queueMicrotask(this.#lookAtAll);
  }

  readonly #lookAtAll = (): void => {
    const lines = this.#next;
    this.#next = [];
    for (const line of lines) {
      line.isNext = false;
      this.#advance(line);
    }
  };

  /** Lets go who may, asks for the others, and comes back when the next one may. */
  #advance(line: Line): void {
    clearTimeout(line.timer);
    line.timer = undefined;
    const now = this.#quota.now();
    this.#release(line, now);
    const waiting = line.prune();
    if (waiting === 0) {
      // What was granted and is not wanted any more is gone; so is what was known of the line.
      if (!line.asking) this.#lines.delete(line.key);
      return;
    }
    const wanted = waiting - line.slots.length;
    if (wanted > 0 && !line.asking && now >= line.askAt) {
      line.asking = true;
      // The answer comes at once, or calls back here.
      this.#quota.ask(line.key, wanted, AHEAD, (granted, base) => this.#answered(line, granted, base));
      return;
    }
    if (line.asking && line.slots.length === 0) return;
    const due = line.slots[0] ?? Number.POSITIVE_INFINITY;
    const again = wanted > 0 && !line.asking ? line.askAt : Number.POSITIVE_INFINITY;
    line.timer = setTimeout(() => this.#advance(line), Math.max(1, Math.ceil(Math.min(due, again) - now)));
    line.timer.unref();
  }

  #answered(line: Line, granted: number, base: number): void {
    line.asking = false;
    const { rate } = this.#quota;
    for (let number = 0; number < granted; number++) line.slots.push(slotOf(base, number, rate));
    line.askAt = slotOf(base, granted, rate) - AHEAD / 2;
    this.#advance(line);
  }

  #release(line: Line, now: number): void {
    let gone = 0;
    for (const slot of line.slots) {
      if (slot > now) break;
      const next = line.take();
      gone++;
      if (next === undefined) break;
      this.#clear(next);
    }
    line.slots.splice(0, gone);
  }

  #clear({ run, since, seconds }: { run: Run; since: number; seconds: Cell | undefined }): void {
    const waited = performance.now() - since;
    run.throttledFor += waited;
    seconds?.add(waited / 1000);
    run.throttledBy = undefined;
    (run.cleared ??= []).push(this);
    run.consumer.goOn(run);
  }
}
