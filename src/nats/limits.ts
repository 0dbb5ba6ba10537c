/**
 * How far the keys of limits have come, in the bucket OUZEL_LIMITS: a number a limit and key, which goes by its age
 * soon after it has no meaning any more. Changed by compare-and-set, and read from the leader of the stream.
 */
import { createHash } from 'node:crypto';
import type { StreamConfig } from '@nats-io/jetstream';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { Publisher, Requester } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import type { SharedStandings } from '../flow/quota.ts';

export const LIMITS_STREAM = 'KV_OUZEL_LIMITS';
const LIMITS_PREFIX = '$KV.OUZEL_LIMITS.';
export const LIMITS_SUBJECTS = [`${LIMITS_PREFIX}>`];

export const LIMITS_STREAM_OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 1,
  allow_rollup_hdrs: true,
  allow_msg_ttl: true,
  deny_delete: true,
  allow_direct: true,
};

/** Milliseconds to wait for an answer of the server. */
const TIMEOUT = 5_000;
/** JetStream API: no message found; no such stream. */
const NOT_FOUND = 10037;
const STREAM_NOT_FOUND = 10059;

/** A key that is fit for a subject as it is; others are hashed. None is taken for another. */
const PLAIN = /^[\w-]{1,40}$/;

const tokenOf = (key: string): string =>
  PLAIN.test(key) ? `k.${key}` : `h.${createHash('sha256').update(key).digest('base64url').slice(0, 22)}`;

interface StoredMessage {
  readonly message?: { readonly hdrs?: string; readonly data?: string; readonly seq?: number };
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

export interface SharedStandingsOptions {
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** Makes the bucket. It is there once it resolves. */
  readonly ensure: () => Promise<void>;
}

/** The bucket is made when it is wanted for the first time. */
export function createSharedStandings(
  publisher: Publisher,
  requester: Requester,
  { domain, ensure }: SharedStandingsOptions,
): SharedStandings {
  const api = domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
  const subjectOf = (limit: string, key: string): string => `${LIMITS_PREFIX}${limit}.${tokenOf(key)}`;
  let making: Promise<void> | undefined;
  /** Makes the bucket, once for all who find that it is not there. */
  const made = (then: (error: Error | undefined) => void): void => {
    making ??= ensure().finally(() => (making = undefined));
    making.then(
      () => then(undefined),
      (error: unknown) => then(error as Error),
    );
  };
  return {
    swap(limit, key, value, expected, keep, done) {
      let lines = headerLine('Nats-Expected-Last-Subject-Sequence', String(expected));
      lines += headerLine('Nats-TTL', `${Math.max(1, Math.ceil(keep / 1000))}s`);
      publisher.publish(subjectOf(limit, key), headerBlock(lines), String(value), TIMEOUT, {
        confirmed: (_duplicate, sequence) => done(undefined, sequence),
        failed: (error) => {
          if (error.code === 'TARGET_REJECTED') return done(undefined);
          if (error.code !== 'TARGET_NO_STREAM') return done(error);
          // Nothing was there, and nothing is.
          made((failed) => done(failed));
        },
      });
    },
    read(limit, key, done) {
      const question = JSON.stringify({ last_by_subj: subjectOf(limit, key) });
      requester.request(`${api}.STREAM.MSG.GET.${LIMITS_STREAM}`, headerBlock(''), question, TIMEOUT, {
        failed: (error) => done(error, 0, 0),
        replied: ({ body }) => {
          const { message, error } = JSON.parse(Buffer.from(body).toString()) as StoredMessage;
          if (error?.err_code === STREAM_NOT_FOUND) return made((failed) => done(failed, 0, 0));
          if (error !== undefined && error.err_code !== NOT_FOUND)
            return done(
              new OuzelError('TARGET_UNAVAILABLE', `${LIMITS_STREAM}: ${error.description ?? 'no answer'}`),
              0,
              0,
            );
          if (message === undefined) return done(undefined, 0, 0);
          const value = Number(Buffer.from(message.data ?? '', 'base64').toString());
          // What somebody wrote by hand, or deleted, is as if nothing were there but its sequence.
          done(undefined, Number.isFinite(value) && !isMark(message) ? value : 0, message.seq ?? 0);
        },
      });
    },
  };
}

const isMark = ({ hdrs = '' }: NonNullable<StoredMessage['message']>): boolean =>
  Buffer.from(hdrs, 'base64').toString().includes('KV-Operation');
