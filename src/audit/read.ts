/** Reads the trail back from its streams. */
import { findStream } from '../nats/provision.ts';
import { type ScanAccess, scanStream } from '../nats/scan.ts';
import { type ActRecord, AUDIT_STREAM } from './acts.ts';
import { chainOfHead, type Head, HEAD_STREAM } from './anchor.ts';
import { type Batch, batchText, OUTCOME_STREAM, readBatch } from './chain.ts';
import { hashInSubject, PAYLOAD_STREAM } from './payloads.ts';
import { type Verdict, Verifier } from './verify.ts';

/** Milliseconds by which clocks differ, and a batch may be older than its message. */
const SLACK = 60_000;
/** Bytes of the largest batch: a stream with less room than that left is full. */
const LARGEST = 2 * 2 ** 20;
const NANOSECONDS = 1_000_000;

function batchOf(bytes: Uint8Array): Batch | undefined {
  try {
    return readBatch(batchText(bytes));
  } catch {
    return undefined;
  }
}

/**
 * Verifies all that the trail holds.
 *
 * @param since Only what was stored since then; milliseconds since the epoch.
 * @param progress Hears of each batch.
 * @throws OuzelError NATS_UNAVAILABLE, NATS_PERMISSION
 */
export async function verifyTrail(
  access: ScanAccess,
  since = 0,
  progress?: (done: number, all: number) => void,
): Promise<Verdict> {
  const now = Date.now();
  // The heads first: what they say must be in what is read after them.
  const heads = new Map<string, Head>();
  for await (const message of scanStream(access, HEAD_STREAM))
    heads.set(chainOfHead(message.subject), message.json<Head>());
  const stream = await findStream(access.manager, OUTCOME_STREAM);
  const { max_age = 0, max_bytes = -1 } = stream?.config ?? {};
  const { first_seq: first = 0, bytes = 0, messages = 0 } = stream?.state ?? {};
  const verifier = new Verifier({
    since: since === 0 ? 0 : since + SLACK,
    kept: max_age > 0 ? now - max_age / NANOSECONDS + SLACK : 0,
    first,
    full: max_bytes > 0 && bytes + LARGEST > max_bytes,
  });
  let done = 0;
  for await (const { seq: sequence, subject, data } of scanStream(access, OUTCOME_STREAM, { since })) {
    verifier.batch({ sequence, subject, bytes: data, batch: batchOf(data) });
    progress?.(++done, messages);
  }
  for await (const message of scanStream(access, AUDIT_STREAM, { since })) {
    const { id, time, what } = actOf(message.data);
    verifier.act({ sequence: message.seq, id, at: Date.parse(time), what, bytes: message.data });
  }
  for await (const message of scanStream(access, PAYLOAD_STREAM, { since }))
    verifier.payload(message.seq, hashInSubject(message.subject), message.data);
  return verifier.finish(heads);
}

/** A record of an act; one that is none has no id. */
function actOf(bytes: Uint8Array): Pick<ActRecord, 'id' | 'time' | 'what'> {
  try {
    return JSON.parse(Buffer.from(bytes).toString()) as ActRecord;
  } catch {
    return { id: '', time: new Date(0).toISOString(), what: '' };
  }
}
