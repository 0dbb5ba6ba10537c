/**
 * How far each schedule is, in the bucket OUZEL_SCHEDULES, which is made by the first who needs it. Read from the leader:
 * a stale record would let a tick be published twice.
 */
import { type JetStreamClient, JetStreamApiError, type JetStreamManager, type StreamConfig } from '@nats-io/jetstream';
import { headers as newHeaders, type MsgHdrs } from '@nats-io/transport-node';
import type { Stored } from '../contracts/post.ts';
import { type ErrorCode, OuzelError } from '../errors.ts';
import type { Message } from '../sources/publish.ts';
import type { Claim, Ledger, Progress, Revised } from '../sources/schedules/ledger.ts';

const BUCKET = 'OUZEL_SCHEDULES';
export const SCHEDULES_STREAM = `KV_${BUCKET}`;
export const SCHEDULES_PREFIX = `$KV.${BUCKET}.`;
export const SCHEDULES_SUBJECTS = [`${SCHEDULES_PREFIX}>`];

/** The bucket's configuration beside its name and subjects: what every client takes for a bucket, with ages of its own. */
export const SCHEDULES_STREAM_OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 1,
  allow_rollup_hdrs: true,
  allow_msg_ttl: true,
  deny_delete: true,
  allow_direct: true,
};

/** JetStream API: no message found; no such stream. */
const NO_MESSAGE = 10037;
const NO_STREAM = 10059;
/** Another sequence is the last of the subject; the same id is on its way. */
const OVERTAKEN: ReadonlySet<number> = new Set([10071, 10164, 10158]);
const TOO_LARGE: ReadonlySet<number> = new Set([10054, 10097]);
/** Messages of a subject that are looked through for one; beyond, the duplicate window of the stream has to do. */
const LOOKED_THROUGH = 1_000;
/** Milliseconds to wait for the PubAck of a record. */
const TIMEOUT = 5_000;

export interface LedgerOptions {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  /** Makes the bucket. @throws OuzelError */
  readonly prepare: () => Promise<void>;
}

export function createLedger({ client, manager, prepare }: LedgerOptions): Ledger {
  const asked = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      throw errorOf(what, error);
    }
  };
  const message = (stream: string, query: MessageQuery) =>
    // The types of nats.js have the first message from a number on for direct gets only; the leader knows it too.
    manager.streams.getMessage(stream, query as MsgRequest).catch((error: unknown) => {
      if (apiCode(error) === NO_MESSAGE) return null;
      throw error;
    });
  const lastOn: Ledger['lastOn'] = (stream, subject) =>
    asked(`the last message on ${subject}`, async () => (await message(stream, { last_by_subj: subject }))?.seq ?? 0);

  return {
    lastOn,
    read: (key) =>
      asked(SCHEDULES_STREAM, async () => {
        const stored = await message(SCHEDULES_STREAM, { last_by_subj: SCHEDULES_PREFIX + key }).catch(
          async (error: unknown) => {
            if (apiCode(error) !== NO_STREAM) throw error;
            await prepare();
            return null;
          },
        );
        // The mark of one that was deleted, or whose time is over.
        if (stored === null || stored.header.has('KV-Operation') || stored.header.has('Nats-Marker-Reason'))
          return stored === null ? undefined : { ...NOTHING, revision: stored.seq };
        return revisedOf(stored.string(), stored.seq);
      }),
    write: (key, progress, expected, ttl) =>
      asked(SCHEDULES_STREAM, async () => {
        try {
          const ack = await client.publish(SCHEDULES_PREFIX + key, textOf(progress), {
            ttl: `${Math.ceil(ttl / 1000)}s`,
            timeout: TIMEOUT,
            expect: { lastSubjectSequence: expected },
          });
          return ack.seq;
        } catch (error) {
          if (OVERTAKEN.has(apiCode(error) ?? 0)) return undefined;
          throw error;
        }
      }),
    forget: (prefix) =>
      asked(SCHEDULES_STREAM, async () => {
        await manager.streams
          .purge(SCHEDULES_STREAM, { filter: `${SCHEDULES_PREFIX}${prefix}` })
          .catch((error: unknown) => {
            if (apiCode(error) !== NO_STREAM) throw error;
          });
      }),
    streamOf: (subject) =>
      asked(`the stream of ${subject}`, async () => {
        for await (const name of manager.streams.names(subject)) return name;
        throw new OuzelError('TARGET_NO_STREAM', `no stream takes ${subject}`);
      }),
    find: ({ stream, subject, after }, id) =>
      asked(`a message on ${subject}`, async () => {
        let last = after;
        for (let looked = 0; looked < LOOKED_THROUGH; looked++) {
          const next = await message(stream, { next_by_subj: subject, seq: last + 1 });
          // What was removed since leaves no number behind.
          if (next === null) return { found: undefined, last: looked === 0 ? await lastOn(stream, subject) : last };
          last = next.seq;
          if (next.header.get('Nats-Msg-Id') === id) return { found: last, last };
        }
        return { found: undefined, last: await lastOn(stream, subject) };
      }),
    publish: (given, timeout, last) =>
      asked(`publish to ${given.subject}`, async () => {
        try {
          return storedOf(await client.publish(given.subject, given.body, optionsOf(given, timeout, last)));
        } catch (error) {
          if (last !== undefined && OVERTAKEN.has(apiCode(error) ?? 0)) return undefined;
          throw error;
        }
      }),
  };
}

type MessageQuery = { readonly last_by_subj: string } | { readonly next_by_subj: string; readonly seq: number };
type MsgRequest = Parameters<JetStreamManager['streams']['getMessage']>[1];

const NOTHING: Progress = { upto: Number.NEGATIVE_INFINITY };

function optionsOf({ id, headers }: Message & { readonly id: string }, timeout: number, last: number | undefined) {
  return {
    msgID: id,
    timeout,
    headers: headersOf(headers),
    ...(last === undefined ? {} : { expect: { lastSubjectSequence: last } }),
  };
}

function headersOf(lines: string): MsgHdrs {
  const headers = newHeaders();
  for (const line of lines.split('\r\n')) {
    const colon = line.indexOf(':');
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  return headers;
}

const storedOf = ({ stream, seq, duplicate }: { stream: string; seq: number; duplicate: boolean }): Stored => ({
  stream,
  sequence: seq,
  duplicate,
});

/** A record as it is stored: instants as people read them. */
interface Stand {
  readonly upto: string;
  readonly tick?: { readonly instant: string; readonly stream: string; readonly sequence: number } | undefined;
  readonly claim?: (Omit<Claim, 'instant'> & { readonly instant: string }) | undefined;
}

const written = <T extends { readonly instant: number }>(of: T) => ({
  ...of,
  instant: new Date(of.instant).toISOString(),
});
const readBack = <T extends { readonly instant: string }>(of: T) => ({ ...of, instant: Date.parse(of.instant) });

const textOf = ({ upto, tick, claim }: Progress): string =>
  JSON.stringify({
    upto: new Date(upto).toISOString(),
    tick: tick && written(tick),
    claim: claim && written(claim),
  } satisfies Stand);

function revisedOf(text: string, revision: number): Revised {
  try {
    const { upto, tick, claim } = JSON.parse(text) as Stand;
    const known = Date.parse(upto);
    if (Number.isNaN(known)) return { ...NOTHING, revision };
    return { upto: known, tick: tick && readBack(tick), claim: claim && readBack(claim), revision };
  } catch {
    // Somebody else's: it is written over.
    return { ...NOTHING, revision };
  }
}

const apiCode = (error: unknown): number | undefined => (error instanceof JetStreamApiError ? error.code : undefined);

function errorOf(what: string, error: unknown): OuzelError {
  if (error instanceof OuzelError) return error;
  const { message, name } = error as Error;
  const code = apiCode(error);
  const of = (kind: ErrorCode, text = message): OuzelError =>
    new OuzelError(kind, `${what}: ${text}`, { cause: error });
  if (/permissions violation/i.test(message)) return of('NATS_PERMISSION');
  if (TOO_LARGE.has(code ?? 0) || name === 'MaxPayloadError') return of('TARGET_TOO_LARGE');
  if (code === NO_STREAM || name === 'JetStreamNotEnabled' || name === 'NoRespondersError')
    return of('TARGET_NO_STREAM', 'no stream takes it');
  if (code !== undefined) return of('TARGET_UNAVAILABLE', `${message} (JetStream error ${code})`);
  return of('NATS_UNAVAILABLE');
}
