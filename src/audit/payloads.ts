/**
 * The data of events, where it is kept. It stands apart from the trail, which has only its hash: so it can be erased,
 * and the chain of records stays whole. All of one key is below one subject.
 */
import type { JetStreamManager } from '@nats-io/jetstream';
import { headerBlock, headerLine } from '../core/headers.ts';
import { findStream } from '../nats/provision.ts';
import { hashOf } from './chain.ts';

export const PAYLOAD_STREAM = 'OUZEL_PAYLOADS';
const PREFIX = 'ouzel.payloads.';
export const PAYLOAD_SUBJECTS = `${PREFIX}*.*`;

/** The token of events that have no key. */
const NO_KEY = 'none';
/** Digits of the hash of a key: enough that no two share one. */
const KEY_DIGITS = 32;

const keyToken = (key: string | undefined): string =>
  key === undefined ? NO_KEY : hashOf(`key:${key}`).slice(0, KEY_DIGITS);

/** One on its way. */
export class Payload {
  readonly body: Uint8Array;
  /** SHA-256 of its bytes, as the record has it. */
  readonly hash: string;
  readonly subject: string;
  /** Set once the stream has it. */
  stored = false;

  constructor(body: Uint8Array, key: string | undefined) {
    this.body = body;
    this.hash = hashOf(body);
    this.subject = `${PREFIX}${keyToken(key)}.${this.hash}`;
  }

  /** The same data of other consumers is stored once. */
  get headers(): string {
    return headerBlock(headerLine('Nats-Msg-Id', this.subject.slice(PREFIX.length)));
  }
}

/** The hash that a payload is to have, by its subject. */
export const hashInSubject = (subject: string): string => subject.slice(subject.lastIndexOf('.') + 1);

/** What is kept under a hash; undefined: nothing, or it was erased. */
export async function payloadOf(
  manager: JetStreamManager,
  hash: string,
  key: string | undefined,
): Promise<Uint8Array | undefined> {
  if ((await findStream(manager, PAYLOAD_STREAM)) === undefined) return undefined;
  const subject = `${PREFIX}${keyToken(key)}.${hash}`;
  const stored = await manager.streams.getMessage(PAYLOAD_STREAM, { last_by_subj: subject });
  return stored?.data;
}

/** Erases all that is kept of a key. @returns How many payloads that were. */
export async function forgetPayloads(manager: JetStreamManager, key: string): Promise<number> {
  if ((await findStream(manager, PAYLOAD_STREAM)) === undefined) return 0;
  const { purged } = await manager.streams.purge(PAYLOAD_STREAM, { filter: `${PREFIX}${keyToken(key)}.*` });
  return purged;
}
