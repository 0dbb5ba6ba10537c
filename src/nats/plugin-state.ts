/**
 * What plugins keep, in the bucket OUZEL_PLUGINS: an entry a plugin and key. The bucket is made by the first who wants
 * it, and read from its leader, since a stale entry would let two of them win a compare-and-set.
 */
import { type JetStreamClient, JetStreamApiError, type JetStreamManager } from '@nats-io/jetstream';
import { UnavailableError } from '../plugins/errors.ts';
import { MAX_VALUE, type StateStore } from '../plugins/state.ts';

const BUCKET = 'OUZEL_PLUGINS';
const STREAM = `KV_${BUCKET}`;
/** Bytes of the whole bucket. What is full refuses. */
const MAX_BYTES = 268_435_456;
/** Bytes of a message beside its value. */
const HEADERS = 1024;
/** JetStream API: no message found; another sequence is the last of the subject; no such stream. */
const NO_MESSAGE = 10037;
const WRONG_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164]);
const NO_STREAM = 10059;

/** Any text as a key that a bucket takes: what it does not take is written as bytes (`=40`). */
const keyOf = (plugin: string, key: string): string =>
  `${plugin}.${[...Buffer.from(key)]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      return /[\w-]/.test(character) ? character : `=${byte.toString(16).padStart(2, '0')}`;
    })
    .join('')}`;

const subjectOf = (plugin: string, key: string): string => `$KV.${BUCKET}.${keyOf(plugin, key)}`;

export function createStateStore(client: JetStreamClient, manager: JetStreamManager, replicas: number): StateStore {
  let bucket: Promise<unknown> | undefined;
  const open = (): Promise<unknown> => {
    const opening = (bucket ??= manager.streams
      .add({
        name: STREAM,
        subjects: [`$KV.${BUCKET}.>`],
        num_replicas: replicas,
        max_msgs_per_subject: 1,
        max_msg_size: MAX_VALUE + HEADERS,
        max_bytes: MAX_BYTES,
        discard: 'new',
        allow_rollup_hdrs: true,
        allow_msg_ttl: true,
        deny_delete: true,
        allow_direct: true,
      })
      // It is there already, as somebody made it who wanted it otherwise.
      .catch(() => manager.streams.info(STREAM)));
    opening.catch(() => (bucket = undefined));
    return opening;
  };
  const asked = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      await open();
      return await work();
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === NO_STREAM) bucket = undefined;
      throw new UnavailableError(`its state in ${BUCKET}: ${error instanceof Error ? error.message : String(error)}`, {
        cause: error,
      });
    }
  };
  return {
    get: (plugin, key) =>
      asked(async () => {
        const message = await manager.streams
          .getMessage(STREAM, { last_by_subj: subjectOf(plugin, key) })
          .catch((error: unknown) => {
            if (error instanceof JetStreamApiError && error.code === NO_MESSAGE) return null;
            throw error;
          });
        // The mark of an entry that was deleted, or whose time is over.
        if (message === null || message.header.has('KV-Operation') || message.header.has('Nats-Marker-Reason'))
          return undefined;
        return { value: message.string(), revision: message.seq };
      }),
    put: (plugin, key, text, ttl, expected) =>
      asked(async () => {
        const options = {
          ...(ttl === undefined ? {} : { ttl: `${Math.ceil(ttl / 1000)}s` }),
          ...(expected === undefined ? {} : { expect: { lastSubjectSequence: expected } }),
        };
        try {
          return (await client.publish(subjectOf(plugin, key), text, options)).seq;
        } catch (error) {
          const { code } = error as { code?: unknown };
          if (expected !== undefined && typeof code === 'number' && WRONG_SEQUENCE.has(code)) return undefined;
          throw error;
        }
      }),
    delete: (plugin, key) =>
      asked(async () => {
        // A mark would stand in the way of an `update` from revision 0; the purge leaves none.
        await manager.streams.purge(STREAM, { filter: subjectOf(plugin, key) });
      }),
  };
}
