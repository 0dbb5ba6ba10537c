/**
 * A lease on a consumer that runs on one instance at a time, for as long as the server pins nobody: it does so only with
 * an event in its hand, and what waits in other streams must not wait for that. The lease is a key of the bucket
 * OUZEL_ATTEMPTS, written by compare and set, which the server deletes after `LEASE_TIME` unless it is renewed.
 *
 * A pin comes before a lease. Whoever takes the lease must see afterwards that nobody is pinned; whoever is pinned must
 * see afterwards that nobody else has the lease. Whichever of the two comes later then finds the other one.
 */
import { randomUUID } from 'node:crypto';
import { JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Publisher } from '../deliver/ports.ts';
import type { ActiveHolder } from './active.ts';
import { ATTEMPTS_PREFIX, ATTEMPTS_STREAM } from './attempts.ts';
import { FENCE } from './pin.ts';
import { isWrongSequence } from './publish.ts';

/** Seconds after which the server deletes a lease that was not renewed. More than `FENCE`. */
const LEASE_TIME = 15;
/** Milliseconds between renewals. */
const RENEW = 3_000;
/** Milliseconds to wait for an answer of the server. */
const TIMEOUT = 5_000;
/** JetStream API: no such stream. */
const NO_STREAM = 10059;
/** How long the mark of a lease that was given back stays: nothing waits for it. */
const GONE = '1m';

export interface LeaseOptions {
  readonly publisher: Publisher;
  readonly manager: JetStreamManager;
  readonly consumer: string;
  /** The name of this instance. */
  readonly instance: string;
  /** The lease was this instance's at this instant, by the monotonic clock. */
  readonly onConfirmed: (at: number) => void;
  /** It is so no more. */
  readonly onLost: () => void;
}

interface Written extends ActiveHolder {
  /** Of the process that has it: names of instances may be the same. */
  readonly token: string;
}

interface Found {
  /** Undefined: nobody has it. */
  readonly holder: Written | undefined;
  /** The number of what is there; 0: nothing. */
  readonly revision: number;
}

export class Lease {
  readonly #options: LeaseOptions;
  readonly #subject: string;
  readonly #token = randomUUID();
  #since = '';
  /** The number of what this instance wrote last; undefined while it has no lease. */
  #revision: number | undefined;
  #confirmedAt = Number.NEGATIVE_INFINITY;
  /** Set from `take` until it is given back. */
  #wanted = false;
  #timer: NodeJS.Timeout | undefined;
  #busy = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.#subject = subjectOf(options.consumer);
  }

  get held(): boolean {
    return this.#revision !== undefined;
  }

  /** When it was known to be this instance's last, by the monotonic clock. */
  get confirmedAt(): number {
    return this.#confirmedAt;
  }

  /** Who has it; undefined: nobody. @throws The error of nats.js */
  async holder(): Promise<(ActiveHolder & { readonly own: boolean }) | undefined> {
    const found = await readLease(this.#options.manager, this.#options.consumer);
    if (found.holder === undefined) return undefined;
    const { instance, since } = found.holder;
    return { instance, since, own: this.#isOwn(found) };
  }

  /** Takes it, unless another instance has it. @returns Whether it is this instance's. @throws The error of nats.js */
  async take(): Promise<boolean> {
    this.#wanted = true;
    this.#since = new Date().toISOString();
    const found = await readLease(this.#options.manager, this.#options.consumer);
    const isFree = found.holder === undefined || this.#isOwn(found);
    if (!isFree || !(await this.#write(found.revision))) return false;
    this.#timer ??= setInterval(() => this.#renew(), RENEW).unref();
    return true;
  }

  /** Gives it back. Should that not be heard, it ends by itself. */
  drop(): void {
    const revision = this.#revision;
    this.forget();
    if (revision !== undefined) this.#purge(revision);
  }

  #purge(revision: number): void {
    let lines = headerLine('KV-Operation', 'PURGE');
    lines += headerLine('Nats-Rollup', 'sub');
    lines += headerLine('Nats-TTL', GONE);
    lines += headerLine('Nats-Expected-Last-Subject-Sequence', String(revision));
    const { publisher } = this.#options;
    publisher.publish(this.#subject, headerBlock(lines), '', TIMEOUT, {
      confirmed: () => undefined,
      failed: () => undefined,
    });
  }

  /** Lets it end by itself. */
  forget(): void {
    this.#wanted = false;
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#revision = undefined;
    this.#confirmedAt = Number.NEGATIVE_INFINITY;
  }

  #renew(): void {
    if (this.#busy) return;
    this.#busy = true;
    this.#keep()
      .catch(() => undefined)
      .finally(() => (this.#busy = false));
  }

  async #keep(): Promise<void> {
    const revision = this.#revision;
    if (revision === undefined) return;
    // Nothing begins any more by now, and another instance may have had it meanwhile.
    const lapsed = performance.now() - this.#confirmedAt > FENCE;
    if (!lapsed && (await this.#write(revision))) return;
    if (!lapsed && this.#wanted) {
      // An answer may have been lost: then what is there is this instance's all the same.
      const found = await readLease(this.#options.manager, this.#options.consumer);
      if (this.#isOwn(found) && (await this.#write(found.revision))) return;
    }
    if (!this.#wanted) return;
    this.forget();
    this.#options.onLost();
  }

  #isOwn({ holder }: Found): boolean {
    return holder?.token === this.#token;
  }

  /** @returns False when something else is there by now. @throws OuzelError as `Publisher` */
  async #write(expected: number): Promise<boolean> {
    const at = performance.now();
    let lines = headerLine('Nats-Expected-Last-Subject-Sequence', String(expected));
    lines += headerLine('Nats-TTL', `${LEASE_TIME}s`);
    const { publisher, instance, onConfirmed } = this.#options;
    const written: Written = { instance, since: this.#since, token: this.#token };
    const revision = await new Promise<number | undefined>((resolve, reject) => {
      publisher.publish(this.#subject, headerBlock(lines), JSON.stringify(written), TIMEOUT, {
        confirmed: (_duplicate, sequence) => resolve(sequence),
        failed: (error) => (isWrongSequence(error) ? resolve(undefined) : reject(error)),
      });
    });
    if (revision === undefined) return false;
    if (!this.#wanted) {
      // It was given back while this was on its way.
      this.#purge(revision);
      return false;
    }
    this.#revision = revision;
    this.#confirmedAt = at;
    onConfirmed(at);
    return true;
  }
}

const subjectOf = (consumer: string): string => `${ATTEMPTS_PREFIX}${consumer}.lease`;

/** The lease of a consumer, as the leader of the stream knows it. @throws The error of nats.js */
export async function readLease(manager: JetStreamManager, consumer: string): Promise<Found> {
  const message = await manager.streams
    .getMessage(ATTEMPTS_STREAM, { last_by_subj: subjectOf(consumer) })
    .catch((error: unknown) => {
      // Where no bucket is there is no lease.
      if (error instanceof JetStreamApiError && error.code === NO_STREAM) return null;
      throw error;
    });
  if (message === null) return { holder: undefined, revision: 0 };
  const isMark = message.header.has('KV-Operation');
  return { holder: isMark ? undefined : message.json<Written>(), revision: message.seq };
}
