/** Dead letters by consumer and reason: what a person looks at first. */
import type { DeadLetter } from './read.ts';

export interface Group {
  readonly consumer: string;
  readonly reason: string;
  count: number;
  /** When the first and the last of them became dead letters; RFC 3339. */
  oldest: string;
  newest: string;
  /** The error of the newest. */
  error: string;
}

export class Groups {
  readonly #groups = new Map<string, Group>();

  add({ consumer, reason, failed, error }: DeadLetter): void {
    const name = `${consumer} ${reason}`;
    const group = this.#groups.get(name);
    if (group === undefined) {
      this.#groups.set(name, { consumer, reason, count: 1, oldest: failed, newest: failed, error });
      return;
    }
    group.count++;
    if (failed < group.oldest) group.oldest = failed;
    if (failed < group.newest) return;
    group.newest = failed;
    group.error = error;
  }

  /** The largest first. */
  list(): Group[] {
    return [...this.#groups.values()].toSorted((left, right) => right.count - left.count);
  }
}
