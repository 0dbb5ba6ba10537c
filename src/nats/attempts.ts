/**
 * What is known of failing events, in the bucket OUZEL_ATTEMPTS: a record a consumer and event, which goes with the
 * event's outcome, and at the latest by its age. Read from the leader of the stream, since a stale record would count
 * attempts wrongly.
 */
import type { StreamConfig } from '@nats-io/jetstream';
import { readRecord, writeRecord } from '../core/attempts.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { AttemptStore } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import { messageIds } from '../deliver/ids.ts';
import type { Publisher, Requester } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';

export const ATTEMPTS_STREAM = 'KV_OUZEL_ATTEMPTS';
export const ATTEMPTS_PREFIX = '$KV.OUZEL_ATTEMPTS.';
export const ATTEMPTS_SUBJECTS = [`${ATTEMPTS_PREFIX}>`];

/** The bucket's configuration beside its name and subjects: what every client takes for a bucket, with ages of its own. */
export const ATTEMPTS_STREAM_OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 1,
  allow_rollup_hdrs: true,
  allow_msg_ttl: true,
  deny_delete: true,
  allow_direct: true,
};

/** Milliseconds to wait for an answer of the server. */
const TIMEOUT = 5_000;
/** Seconds by which a record outlives the longest time that its event may be tried. */
const OUTLIVES = 3_600;
/** How long the mark of a record that is gone stays: nothing waits for it. */
const GONE = '1m';
/** JetStream API: no message found; no such stream. */
const NOT_FOUND = 10037;
const STREAM_NOT_FOUND = 10059;

interface StoredMessage {
  readonly message?: { readonly hdrs?: string; readonly data?: string };
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

export interface AttemptStoreOptions {
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** The bucket is gone. */
  readonly onMissing: () => void;
}

export function createAttemptStore(
  publisher: Publisher,
  requester: Requester,
  { domain, onMissing }: AttemptStoreOptions,
): AttemptStore {
  const api = domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
  const subjectOf = (run: Run): string =>
    `${ATTEMPTS_PREFIX}${run.consumer.name}.${messageIds(run.event.stream, run.consumer.name, 'attempts')(run)}`;
  return {
    get(run, done) {
      const question = JSON.stringify({ last_by_subj: subjectOf(run) });
      requester.request(`${api}.STREAM.MSG.GET.${ATTEMPTS_STREAM}`, headerBlock(''), question, TIMEOUT, {
        failed: done,
        replied: ({ body }) => {
          const { message, error } = JSON.parse(Buffer.from(body).toString()) as StoredMessage;
          if (error !== undefined && error.err_code !== NOT_FOUND) {
            if (error.err_code === STREAM_NOT_FOUND) onMissing();
            return done(
              new OuzelError('TARGET_UNAVAILABLE', `${ATTEMPTS_STREAM}: ${error.description ?? 'no answer'}`),
            );
          }
          const headers = Buffer.from(message?.hdrs ?? '', 'base64').toString();
          if (message === undefined || headers.includes('KV-Operation')) return done(undefined);
          done(undefined, readRecord(Buffer.from(message.data ?? '', 'base64').toString()));
        },
      });
    },
    put(run, record, done) {
      const longest = Math.max(run.plan.longestRetry, record.next - Date.now());
      const lines = headerLine('Nats-TTL', `${Math.ceil(longest / 1000) + OUTLIVES}s`);
      publisher.publish(subjectOf(run), headerBlock(lines), writeRecord(record), TIMEOUT, {
        confirmed: () => done(),
        failed: done,
      });
    },
    remove(run) {
      let lines = headerLine('KV-Operation', 'PURGE');
      lines += headerLine('Nats-Rollup', 'sub');
      lines += headerLine('Nats-TTL', GONE);
      publisher.publish(subjectOf(run), headerBlock(lines), '', TIMEOUT, {
        confirmed: () => undefined,
        failed: () => undefined,
      });
    },
  };
}
