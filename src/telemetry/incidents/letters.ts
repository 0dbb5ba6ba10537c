/** Dead letters, said once and not 200,000 times: the first of a kind at once, then one a minute with a count. */

/** Milliseconds between two incidents of one consumer and reason. */
const QUIET = 60_000;

/** Dead letters of one consumer and reason, to be said in one incident. */
export interface LetterReport<Detail> {
  readonly consumer: string;
  readonly reason: string;
  readonly count: number;
  /** When the first of them failed, by the clock that they were given with. */
  readonly since: number;
  /** What there is to say of the first of them. */
  readonly detail: Detail;
}

interface Counted<Detail> {
  readonly consumer: string;
  readonly reason: string;
  saidAt: number;
  count: number;
  since: number;
  /** Of the first that was not said yet; undefined when all were. */
  detail: Detail | undefined;
}

export class LetterCounts<Detail extends object> {
  /** As many as there are consumers with reasons; those that went quiet are forgotten. */
  readonly #counts = new Map<string, Counted<Detail>>();

  /**
   * An event became a dead letter.
   *
   * @param detail Asked only for the one of many that stands for the others.
   * @returns What is to be said now, if anything is.
   */
  add(now: number, consumer: string, reason: string, detail: () => Detail): LetterReport<Detail> | undefined {
    const key = `${consumer} ${reason}`;
    const known = this.#counts.get(key);
    if (known === undefined) {
      this.#counts.set(key, { consumer, reason, saidAt: now, count: 0, since: now, detail: undefined });
      return { consumer, reason, count: 1, since: now, detail: detail() };
    }
    known.count++;
    if (known.detail === undefined) {
      known.detail = detail();
      known.since = now;
    }
    return now - known.saidAt >= QUIET ? this.#take(known, now) : undefined;
  }

  /** What was counted and can be said now; with `all`, whatever was. */
  due(now: number, all = false): LetterReport<Detail>[] {
    const reports: LetterReport<Detail>[] = [];
    for (const [key, counted] of this.#counts) {
      if (!all && now - counted.saidAt < QUIET) continue;
      const report = this.#take(counted, now);
      if (report === undefined) this.#counts.delete(key);
      else reports.push(report);
    }
    return reports;
  }

  #take(counted: Counted<Detail>, now: number): LetterReport<Detail> | undefined {
    const { consumer, reason, count, since, detail } = counted;
    if (detail === undefined) return undefined;
    counted.saidAt = now;
    counted.count = 0;
    counted.detail = undefined;
    return { consumer, reason, count, since, detail };
  }
}
