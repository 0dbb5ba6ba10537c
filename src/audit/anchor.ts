/**
 * The heads of chains, in the bucket OUZEL_AUDIT: how far each had got, and the hash of its last batch. Whoever changes
 * the trail behind a head would have to change that too, in a bucket that keeps who wrote last.
 */
import type { JetStreamManager, StreamConfig } from '@nats-io/jetstream';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import type { Logger } from '../telemetry/log.ts';

export const HEAD_STREAM = 'KV_OUZEL_AUDIT';
const PREFIX = '$KV.OUZEL_AUDIT.';
export const HEAD_SUBJECTS = [`${PREFIX}>`];
/** What every client takes for a bucket. */
export const HEAD_STREAM_OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 8,
  allow_rollup_hdrs: true,
  deny_delete: true,
  allow_direct: true,
};

/** Milliseconds between two writes of a head that moves, and to wait for an answer. */
const EVERY = 10_000;
const TIMEOUT = 5_000;

/** The last batch of a chain that is known for sure. */
export interface Head {
  readonly number: number;
  readonly hash: string;
  /** Where it is in the stream. */
  readonly sequence: number;
  /** When it was written; milliseconds since the epoch. */
  readonly time: number;
  /** The chain ended there: its process drained. */
  readonly closed?: true;
}

const headSubject = (chain: string): string => PREFIX + chain;
/** The chain whose head is on a subject. */
export const chainOfHead = (subject: string): string => subject.slice(PREFIX.length);

export class Anchor {
  readonly #chain: string;
  readonly #publisher: Publisher;
  readonly #manager: JetStreamManager;
  readonly #logger: Logger;
  readonly #timer: NodeJS.Timeout;
  #head: Head | undefined;
  #written: Head | undefined;
  /** Of the last write in the bucket; 0: there is none. */
  #revision = 0;
  #writing: Promise<void> | undefined;
  #problem = '';

  constructor(chain: string, publisher: Publisher, manager: JetStreamManager, logger: Logger) {
    this.#chain = chain;
    this.#publisher = publisher;
    this.#manager = manager;
    this.#logger = logger;
    this.#timer = setInterval(() => this.#begin(), EVERY);
    this.#timer.unref();
  }

  /** The chain has another head. The first is written at once, so that a chain cannot be taken away unseen. */
  moved(head: Head): void {
    this.#head = head;
    if (this.#written === undefined) this.#begin();
  }

  /** Writes the head as it stays. @param limit Ends the waiting. */
  async close(limit: Promise<void>): Promise<void> {
    clearInterval(this.#timer);
    await Promise.race([this.#writing, limit]);
    if (this.#head === undefined) return;
    this.#head = { ...this.#head, closed: true };
    this.#begin();
    await Promise.race([this.#writing, limit]);
  }

  #begin(): void {
    if (this.#writing !== undefined || this.#head === undefined || this.#head === this.#written) return;
    const head = this.#head;
    this.#writing = this.#write(head)
      .then(
        () => {
          this.#written = head;
          this.#problem = '';
        },
        (error: unknown) => this.#say(asOuzelError(error)),
      )
      .finally(() => (this.#writing = undefined));
  }

  async #write(head: Head): Promise<void> {
    try {
      this.#revision = await this.#put(head);
    } catch (error) {
      if (!(error instanceof OuzelError) || error.code !== 'TARGET_REJECTED') throw error;
      // The answer to an earlier write was lost, or somebody else wrote here.
      this.#revision = await this.#ownRevision(head);
      this.#revision = await this.#put(head);
    }
  }

  #put(head: Head): Promise<number> {
    const { promise, resolve, reject } = Promise.withResolvers<number>();
    const lines = headerLine('Nats-Expected-Last-Subject-Sequence', String(this.#revision));
    this.#publisher.publish(headSubject(this.#chain), headerBlock(lines), JSON.stringify(head), TIMEOUT, {
      confirmed: (_duplicate, sequence = 0) => resolve(sequence),
      failed: reject,
    });
    return promise;
  }

  /** @throws OuzelError CONFLICT where the head that is there is none of this process */
  async #ownRevision(head: Head): Promise<number> {
    const stored = await this.#manager.streams.getMessage(HEAD_STREAM, { last_by_subj: headSubject(this.#chain) });
    if (stored === null) return 0;
    const there = stored.json<Head>();
    const isOurs = there.number < head.number ? there.time <= head.time : there.hash === head.hash;
    if (isOurs) return stored.seq;
    throw new OuzelError('CONFLICT', `somebody else wrote the head of chain ${this.#chain}: ${JSON.stringify(there)}`);
  }

  #say({ code, message }: OuzelError): void {
    if (this.#problem !== message)
      this.#logger.error({ code, stream: HEAD_STREAM }, `the head of the audit is not anchored: ${message}`);
    this.#problem = message;
  }
}
