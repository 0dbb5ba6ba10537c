/** Rate limit: events that come faster than a rate are dropped. Each counts once, however often it is tried. */
import type { Outcome } from '../core/plan.ts';
import { PENDING, type Run, type Verdict } from '../core/run.ts';
import { letGo, Line, pauseAfter, Upcoming } from './line.ts';
import type { Quota } from './quota.ts';

export class RateLimit {
  readonly #quota: Quota;
  /** Those of keys for which it is not known yet who may go on. */
  readonly #lines = new Map<string, Line>();
  readonly #next = new Upcoming((line) => this.#ask(line));
  #dropped: Outcome | undefined;

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
    let line = this.#lines.get(key);
    if (line === undefined) {
      // Nearly always: what was taken ahead is there, and nobody has to wait.
      if (this.#quota.grants(key)) return undefined;
      if (this.#quota.decides) return dropped;
      line = new Line(key);
      this.#lines.set(key, line);
    }
    this.#dropped = dropped;
    run.consumer.waits(run);
    line.push(run);
    if (line.timer === undefined) this.#next.add(line);
    return PENDING;
  }

  #ask(line: Line): void {
    line.timer = undefined;
    const wanted = line.look(performance.now());
    if (wanted === 0) return this.#forget(line);
    line.asking = true;
    this.#quota.ask(line.key, wanted, 0, (granted) => this.#answered(line, wanted, granted));
  }

  #answered(line: Line, wanted: number, granted: number): void {
    line.asking = false;
    const now = performance.now();
    for (let number = 0; number < wanted; number++) {
      const { run } = line.take() ?? {};
      if (run === undefined) break;
      if (number < granted) letGo(run, this, number, now);
      else run.resume(this.#dropped);
    }
    // Those that came meanwhile: once they are through, nobody waits any more while there is something left.
    for (let number = granted; line.length > 0 && this.#quota.grants(line.key); number++) {
      const { run } = line.take() ?? {};
      if (run !== undefined) letGo(run, this, number, now);
    }
    if (line.length === 0) return this.#forget(line);
    const pause = pauseAfter(wanted);
    if (pause === 0) return this.#next.add(line);
    line.timer = setTimeout(() => this.#ask(line), pause);
    line.timer.unref();
  }

  /** It may be looked at once more, when there is another line of its key. */
  #forget(line: Line): void {
    if (this.#lines.get(line.key) === line) this.#lines.delete(line.key);
  }
}
