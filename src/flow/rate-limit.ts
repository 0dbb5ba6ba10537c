/** Rate limit: events that come faster than a rate are dropped. Each counts once, however often it is tried. */
import type { Outcome } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import { Line } from './line.ts';
import type { Quota } from './quota.ts';

export class RateLimit {
  readonly #quota: Quota;
  /** Those of keys for which it is not known yet who may go on. */
  readonly #lines = new Map<string, Line>();
  #next: Line[] = [];

  constructor(quota: Quota) {
    this.#quota = quota;
  }

  /**
   * Whether a run may go on, at once or when that is known: one that may goes on with the step that asked, which then
   * asks again.
   *
   * @param dropped How one ends that may not.
   */
  verdict(run: Run, key: string, dropped: Outcome): Verdict {
    if (run.cleared?.includes(this) === true) return undefined;
    if (this.#quota.grants !== undefined) return this.#quota.grants(key) ? undefined : dropped;
    let line = this.#lines.get(key);
    if (line === undefined) {
      line = new Line(key);
      this.#lines.set(key, line);
    }
    run.consumer.waits(run);
    line.push({ run, since: 0, seconds: undefined });
    this.#lookAt(line, dropped);
    return PENDING;
  }

  /** Looks at a line when all are in it that come in this turn: they are counted together. */
  #lookAt(line: Line, dropped: Outcome): void {
    if (line.isNext || line.asking) return;
    line.isNext = true;
    this.#next.push(line);
    if (this.#next.length > 1) return;
    queueMicrotask(() => {
      const lines = this.#next;
      this.#next = [];
      for (const each of lines) {
        each.isNext = false;
        this.#ask(each, dropped);
      }
    });
  }

  #ask(line: Line, dropped: Outcome): void {
    const wanted = line.prune();
    if (wanted === 0) return void this.#lines.delete(line.key);
    line.asking = true;
    this.#quota.ask(line.key, wanted, 0, (granted) => {
      line.asking = false;
      for (let number = 0; number < wanted; number++) {
        const { run } = line.take() ?? {};
        if (run === undefined) break;
        if (number >= granted) run.resume(dropped);
        else {
          (run.cleared ??= []).push(this);
          run.consumer.goOn(run);
        }
      }
      this.#ask(line, dropped);
    });
  }
}
