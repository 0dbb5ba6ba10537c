/** Where a replay reads events from: their stream, or an archive of it. */
import type { Handover } from '../core/handover.ts';

/** An event as it was stored. */
export interface StoredEvent {
  /** Where it stands in its source, as text that the source understands. */
  readonly cursor: string;
  readonly stream: string;
  readonly subject: string;
  readonly position: Handover['position'];
  /** Its header block, or undefined. */
  readonly headers: Uint8Array | undefined;
  readonly body: Uint8Array;
}

/** What is asked for. */
export interface ReplayRange {
  /** Milliseconds since the epoch, of the stream's timestamp; both are within. */
  readonly since: number | undefined;
  readonly until: number | undefined;
  /** Patterns of subjects of which one does not hold another; none: all. */
  readonly subjects: readonly string[];
}

/** What of it is there, fixed when a replay begins: it does not run after what comes meanwhile. */
export interface Extent {
  /** When the source was made, or what else tells it from another of its name. */
  readonly identity: string;
  /** Where it ends, in the words of the source. */
  readonly end: string;
  /** How many events, about. */
  readonly total: number;
}

/** Reads events in the order in which their stream has them. */
export interface ReplaySource {
  /** @throws OuzelError NOT_FOUND, NATS_UNAVAILABLE */
  extent(range: ReplayRange): Promise<Extent>;
  /**
   * The next events, as many as fit in hand.
   *
   * @param after The last one that was read, undefined for none.
   * @returns None: that was the end.
   */
  read(range: ReplayRange, extent: Extent, after: string | undefined): Promise<readonly StoredEvent[]>;
  close(): Promise<void>;
}
