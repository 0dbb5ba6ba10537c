/** What became of the latest deliveries to one target: a ring in memory, of those that went out over HTTP. */

/** What was sent, and what came back so far. */
export interface Exchange {
  /** Its `webhook-id`. */
  readonly id: string;
  /** The answer; its body, of which the beginning is there, may come later than the status. */
  answer: { readonly status: number; readonly body: Uint8Array } | undefined;
  /** What must not be shown when it comes back. */
  secrets: readonly string[];
}

/** One attempt. */
export interface DeliveryRecord {
  /** When it ended; milliseconds since the epoch. */
  readonly at: number;
  readonly consumer: string;
  readonly route: string;
  readonly stream: string;
  readonly sequence: number;
  readonly subject: string;
  readonly attempt: number;
  readonly result: 'confirmed' | 'rejected' | 'unavailable';
  /** Milliseconds. */
  readonly duration: number;
  readonly exchange: Exchange;
  readonly error: { readonly code: string; readonly message: string } | undefined;
}

/** Records of a target, at most. */
export const KEPT = 100;

export class DeliveryLog {
  readonly #ring: DeliveryRecord[] = [];
  #next = 0;

  add(record: DeliveryRecord): void {
    this.#ring[this.#next] = record;
    this.#next = (this.#next + 1) % KEPT;
  }

  /** All that are kept, the newest first. */
  get latest(): readonly DeliveryRecord[] {
    return [...this.#ring.slice(this.#next), ...this.#ring.slice(0, this.#next)].reverse();
  }
}
