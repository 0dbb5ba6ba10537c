/** Deliveries of many runs, collected into batches that a database takes as one transaction. */
import type { OuzelError } from '../../errors.ts';
import type { Value } from '../../sql/values.ts';
import type { Delivery } from '../delivery.ts';

/** Writes rows: why one was refused, for each; undefined: it is committed. Throws where none of them may be. */
export type WriteRows = (
  rows: readonly (readonly Value[])[],
  signal: AbortSignal,
) => Promise<readonly (OuzelError | undefined)[]>;

export interface BatchLimits {
  /** Rows. */
  readonly max: number;
  /** Milliseconds that a row waits for others; 0: until the event loop has turned. */
  readonly within: number;
}

/** Bytes of events in a batch from which on it takes no more. */
const LARGE = 8 * 1024 * 1024;

interface Waiting {
  readonly delivery: Delivery;
  readonly row: readonly Value[];
  readonly size: number;
}

/**
 * One batch is under way at a time: two of them could update the same rows and wait for each other, and the rows that
 * come meanwhile make the next one all the larger.
 */
export class Batches {
  readonly #write: WriteRows;
  readonly #limits: BatchLimits;
  readonly #abort = new AbortController();
  #waiting: Waiting[] = [];
  #bytes = 0;
  #busy = false;
  #timer: NodeJS.Timeout | undefined;

  constructor(write: WriteRows, limits: BatchLimits) {
    this.#write = write;
    this.#limits = limits;
  }

  /** Takes the row of a delivery, which it confirms or fails. @param size Bytes of the event, more or less. */
  add(delivery: Delivery, row: readonly Value[], size: number): void {
    this.#waiting.push({ delivery, row, size });
    this.#bytes += size;
    this.#arrange();
  }

  /** Nobody waits for a delivery any more. */
  close(): void {
    clearTimeout(this.#timer);
    this.#abort.abort();
  }

  #arrange(): void {
    if (this.#busy || this.#waiting.length === 0) return;
    if (this.#waiting.length >= this.#limits.max || this.#bytes >= LARGE) this.#begin();
    else this.#timer ??= setTimeout(this.#begin, this.#limits.within);
  }

  readonly #begin = (): void => {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const batch = this.#take();
    if (batch.length === 0) return;
    this.#busy = true;
    this.#carryOut(batch).then(this.#done, this.#done);
  };

  readonly #done = (): void => {
    this.#busy = false;
    // What came meanwhile has waited long enough.
    this.#begin();
  };

  /** The rows that go next, less those that nobody waits for any more. */
  #take(): Waiting[] {
    const open = this.#waiting.filter(({ delivery }) => delivery.state === 'open');
    let bytes = 0;
    let end = 0;
    while (end < open.length && end < this.#limits.max && bytes < LARGE) bytes += open[end++]?.size ?? 0;
    this.#waiting = open.slice(end);
    this.#bytes = this.#waiting.reduce((sum, { size }) => sum + size, 0);
    return open.slice(0, end);
  }

  async #carryOut(batch: readonly Waiting[]): Promise<void> {
    try {
      const refusals = await this.#write(
        batch.map(({ row }) => row),
        this.#abort.signal,
      );
      for (const [index, { delivery }] of batch.entries()) {
        const refusal = refusals[index];
        if (refusal === undefined) delivery.confirm();
        else delivery.fail(refusal);
      }
    } catch (error) {
      for (const { delivery } of batch) delivery.fail(error);
    }
  }
}
