/** What schedules need of NATS: a record of what was ticked, and streams to publish into. */
import type { Stored } from '../../contracts/post.ts';
import type { Message } from '../publish.ts';
import type { LeftOut } from './plan.ts';

/** Milliseconds since the epoch, as everywhere here. */
export interface Tick extends Pick<Stored, 'stream' | 'sequence'> {
  readonly instant: number;
}

/** A tick that somebody began to publish. */
export interface Claim {
  readonly instant: number;
  readonly stream: string;
  readonly subject: string;
  /** The last of the subject when it began: the tick is behind this one, if it is in the stream. */
  readonly after: number;
  /** What is left out before it: whoever notes that it is done counts that. */
  readonly leaves?: LeftOut | undefined;
}

/** How far a schedule is, for all instances. */
export interface Progress {
  /** Every instant up to this one is done with. */
  readonly upto: number;
  /** The last one that is in a stream. */
  readonly tick?: Tick | undefined;
  readonly claim?: Claim | undefined;
}

export interface Revised extends Progress {
  readonly revision: number;
}

/** Every promise may be broken with OuzelError NATS_UNAVAILABLE, NATS_PERMISSION or TARGET_*. */
export interface Ledger {
  read(key: string): Promise<Revised | undefined>;
  /**
   * Writes if nobody else did meanwhile.
   *
   * @param expected The revision that was read; 0: none at all.
   * @param ttl Milliseconds after which nobody needs it any more.
   * @returns The new revision; undefined when somebody was faster, and nothing was written.
   */
  write(key: string, progress: Progress, expected: number, ttl: number): Promise<number | undefined>;
  /** Forgets the keys of this beginning, whole tokens. */
  forget(prefix: string): Promise<void>;
  /** The stream that takes a subject. @throws OuzelError TARGET_NO_STREAM */
  streamOf(subject: string): Promise<string>;
  /** The number of the last message on a subject, and its id; 0: there is none. */
  lastOn(stream: string, subject: string): Promise<{ readonly last: number; readonly id: string | undefined }>;
  /**
   * Looks for a message by its id.
   *
   * @param after The messages of the subject behind this one are looked at.
   * @returns Its number, if it is there, and that of the last message on the subject.
   */
  find(
    place: Pick<Claim, 'stream' | 'subject' | 'after'>,
    id: string,
  ): Promise<{ readonly found: number | undefined; readonly last: number }>;
  /**
   * Publishes, and waits for the PubAck.
   *
   * @param last The number that the last message on the subject must have; undefined: any.
   * @returns Undefined when another one is the last by now, and nothing was stored.
   */
  publish(message: Message & { readonly id: string }, timeout: number, last?: number): Promise<Stored | undefined>;
}
