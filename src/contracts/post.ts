/** From an event that somebody posts to the stream that takes it. */
import { subjectProblem } from '../config/fields.ts';
import type { Config } from '../config/schema.ts';
import { covers } from '../core/subjects.ts';
import type { Publisher } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';

/** Milliseconds to wait for the PubAck. */
const TIMEOUT = 10_000;

/** A message on its way into a stream. */
export interface Posted {
  readonly subject: string;
  /** A whole header block. */
  readonly headers: string;
  readonly body: string | Uint8Array;
}

/** Where a message is stored. */
export interface Stored {
  readonly stream: string;
  readonly sequence: number;
  /** The stream had one of this id already, and nothing was stored. */
  readonly duplicate: boolean;
}

/** Puts a message into a stream, and waits for its PubAck. @throws OuzelError TARGET_* */
export const post = ({ subject, headers, body }: Posted, publisher: Publisher, timeout = TIMEOUT): Promise<Stored> =>
  new Promise((resolve, reject) => {
    publisher.publish(subject, headers, body, timeout, {
      confirmed: (duplicate, sequence = 0, stream = '') => resolve({ stream, sequence, duplicate }),
      failed: reject,
    });
  });

/** Why nobody may post to a subject, or undefined when they may. */
export const postProblem = (subject: string): string | undefined =>
  subjectProblem(subject, false) ??
  (/[*>]/.test(subject) ? 'has a wildcard' : undefined) ??
  (subject.startsWith('$') ? "is the server's own" : undefined) ??
  (/^(?:ouzel|_inbox)(?:\.|$)/i.test(subject) ? "is Ouzel's own" : undefined);

/** @throws OuzelError EVENT_INVALID_SUBJECT */
export function checkSubject(subject: string): void {
  const problem = postProblem(subject);
  if (problem !== undefined) throw new OuzelError('EVENT_INVALID_SUBJECT', `the subject "${subject}" ${problem}`);
}

/** What says where a CloudEvent goes, beside its type. */
export interface Destination {
  readonly subject?: string | undefined;
  readonly stream?: string | undefined;
}

/**
 * The subject of a CloudEvent: the one that is given, else its type in the stream that is given, else in the only one
 * that takes it.
 *
 * @throws OuzelError TARGET_NO_STREAM, STREAM_NOT_FOUND, EVENT_INVALID_SUBJECT
 */
export function subjectOfType(config: Config, type: string, { subject, stream }: Destination): string {
  const found = subject ?? findSubject(config, type, stream);
  checkSubject(found);
  return found;
}

function findSubject({ streams }: Config, type: string, stream: string | undefined): string {
  if (stream !== undefined) {
    if (!Object.hasOwn(streams, stream))
      throw new OuzelError('STREAM_NOT_FOUND', `the configuration has no stream "${stream}"; give the subject`);
    return `${streams[stream]?.strip ?? ''}${type}`;
  }
  const found = Object.values(streams)
    .map(({ strip = '', subjects }) => ({ subject: strip + type, subjects }))
    .filter(({ subject, subjects }) => subjects.some((pattern) => covers(pattern, subject)));
  const [only, ...others] = found;
  if (only !== undefined && others.length === 0) return only.subject;
  throw new OuzelError(
    'TARGET_NO_STREAM',
    `${only === undefined ? 'no stream' : 'more than one stream'} of the configuration takes the type ${type}: say which with ?stream= or ?subject=`,
  );
}
