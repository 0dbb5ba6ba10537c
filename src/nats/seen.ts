/** What `dedupe` and `count` remember by key: the stream OUZEL_SEEN, one message a key, which goes by its age. */
import { createHash } from 'node:crypto';
import type { StreamConfig } from '@nats-io/jetstream';
import { formatTimestamp } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Run } from '../core/run.ts';
import type { Publisher } from '../deliver/ports.ts';
import { asOuzelError, type OuzelError } from '../errors.ts';
import type { Counted, CountedEvents, SeenKeys } from '../flow/seen.ts';
import { isWrongSequence } from './publish.ts';
import { type StoredAccess, storedMessage } from './stored.ts';

export const SEEN_STREAM = 'OUZEL_SEEN';
export const SEEN_SUBJECTS = ['ouzel.seen.*.*', 'ouzel.counted.*.*'];
/** The stream's configuration beside its name and subjects. Each message says itself when it goes. */
export const SEEN_STREAM_OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 1,
  allow_rollup_hdrs: true,
  allow_msg_ttl: true,
  allow_direct: true,
};

/** Milliseconds to wait for a PubAck. */
const TIMEOUT = 5_000;
/** Milliseconds by which what is counted outlives its window: clocks differ. */
const OUTLIVES = 60_000;

const hashOf = (parts: readonly string[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 22);

const ttlLine = (milliseconds: number): string => headerLine('Nats-TTL', `${Math.ceil(milliseconds / 1000)}s`);

const expectedLine = (revision: number): string => headerLine('Nats-Expected-Last-Subject-Sequence', String(revision));

/** Names a run's event for good: a stream that was made anew has other timestamps. */
const nameOf = ({ event: { stream, position } }: Run): string =>
  `${stream} ${position.sequence} ${formatTimestamp(position)}`;

export interface SeenOptions extends StoredAccess {
  readonly publisher: Publisher;
}

/** What is remembered for the consumers of a daemon. */
export type Seen = SeenKeys & CountedEvents;

export function createSeen(options: SeenOptions): Seen {
  const { publisher } = options;

  const first: SeenKeys['first'] = (run, key, within, done) => {
    const subject = `ouzel.seen.${run.consumer.name}.${hashOf([key])}`;
    const own = nameOf(run);
    const compare = async (): Promise<void> => {
      const stored = await storedMessage(options, SEEN_STREAM, { last_by_subj: subject });
      // It has gone in between.
      if (stored === undefined) return note();
      done(undefined, Buffer.from(stored.body).toString() !== own);
    };
    const note = (): void =>
      publisher.publish(subject, headerBlock(ttlLine(within) + expectedLine(0)), own, TIMEOUT, {
        confirmed: () => done(undefined, false),
        failed: (error) => {
          if (isWrongSequence(error)) compare().catch((thrown: unknown) => done(asOuzelError(thrown)));
          else done(error);
        },
      });
    note();
  };

  const countedSubject = (run: Run, key: string | undefined): string =>
    `ouzel.counted.${run.consumer.name}.${hashOf(key === undefined ? [run.id] : [run.id, key])}`;

  return {
    first,
    async get(run, key) {
      const stored = await storedMessage(options, SEEN_STREAM, { last_by_subj: countedSubject(run, key) });
      if (stored === undefined) return { counted: [], revision: 0 };
      return { counted: readCounted(Buffer.from(stored.body).toString()), revision: stored.sequence };
    },
    put(run, key, counted, revision, within) {
      const { promise, resolve, reject } = Promise.withResolvers<boolean>();
      const headers = headerBlock(ttlLine(within + OUTLIVES) + expectedLine(revision));
      publisher.publish(countedSubject(run, key), headers, writeCounted(counted), TIMEOUT, {
        confirmed: () => resolve(true),
        failed: (error: OuzelError) => {
          if (isWrongSequence(error)) resolve(false);
          else reject(error);
        },
      });
      return promise;
    },
  };
}

/** A line an event, compact: there may be a thousand of them. */
const writeCounted = (counted: readonly Counted[]): string =>
  counted
    .map(({ sequence, milliseconds, nanoseconds, passed }) =>
      [sequence, milliseconds, nanoseconds, ...(passed ? [1] : [])].map((number) => number.toString(36)).join('.'),
    )
    .join('\n');

const readCounted = (text: string): Counted[] =>
  text.split('\n').map((line) => {
    const [sequence = 0, milliseconds = 0, nanoseconds = 0, passed = 0] = line
      .split('.')
      .map((number) => Number.parseInt(number, 36));
    return { sequence, milliseconds, nanoseconds, passed: passed === 1 };
  });
