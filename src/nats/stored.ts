/** Single messages of streams, read from the leader: what a follower says may be stale. */
import { headerBlock } from '../core/headers.ts';
import type { Requester } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';

/** Milliseconds to wait for an answer of the server. */
const TIMEOUT = 5_000;
/** JetStream API: no message found; no such stream. */
const NOT_FOUND = 10037;
const STREAM_NOT_FOUND = 10059;

export interface StoredMessage {
  readonly subject: string;
  readonly sequence: number;
  /** RFC 3339. */
  readonly time: string;
  readonly headers: Uint8Array | undefined;
  readonly body: Uint8Array;
}

interface Answer {
  readonly message?: {
    readonly subject: string;
    readonly seq: number;
    readonly hdrs?: string;
    readonly data?: string;
    readonly time: string;
  };
  readonly error?: { readonly err_code?: number; readonly description?: string };
}

/** Which message: the last of a subject, or that of a number. */
export type Question = { readonly last_by_subj: string } | { readonly seq: number };

export interface StoredAccess {
  readonly requester: Requester;
  /** JetStream domain, or undefined. */
  readonly domain: string | undefined;
  /** The stream is gone. */
  readonly onMissing: () => void;
}

/** The message asked for; undefined where there is none. @throws OuzelError TARGET_*, NATS_* */
export function storedMessage(
  { requester, domain, onMissing }: StoredAccess,
  stream: string,
  question: Question,
): Promise<StoredMessage | undefined> {
  const { promise, resolve, reject } = Promise.withResolvers<StoredMessage | undefined>();
  const api = domain === undefined ? '$JS.API' : `$JS.${domain}.API`;
  requester.request(`${api}.STREAM.MSG.GET.${stream}`, headerBlock(''), JSON.stringify(question), TIMEOUT, {
    failed: reject,
    replied: ({ body }) => {
      const { message, error } = JSON.parse(Buffer.from(body).toString()) as Answer;
      if (message !== undefined) {
        const { subject, seq, time, hdrs, data = '' } = message;
        const headers = hdrs === undefined ? undefined : Buffer.from(hdrs, 'base64');
        return resolve({ subject, sequence: seq, time, headers, body: Buffer.from(data, 'base64') });
      }
      if (error?.err_code === NOT_FOUND) return resolve(undefined);
      if (error?.err_code === STREAM_NOT_FOUND) onMissing();
      reject(new OuzelError('TARGET_UNAVAILABLE', `${stream}: ${error?.description ?? 'no answer'}`));
    },
  });
  return promise;
}
