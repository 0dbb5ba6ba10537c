/** Reads a stream from front to back, up to what it holds at the beginning. */
import {
  DeliverPolicy,
  type JetStreamClient,
  type JetStreamManager,
  type JsMsg,
  type OrderedConsumerOptions,
} from '@nats-io/jetstream';
import { findStream } from './provision.ts';

/** Messages asked for at once. */
const BATCH = 256;
/** Milliseconds that an unfinished batch waits: messages that were counted may be gone before they are read. */
const EXPIRES = 1_000;

export interface ScanAccess {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
}

export interface ScanRange {
  /** Only these subjects. */
  readonly subjects?: readonly string[];
  /** Only what was stored since then; milliseconds since the epoch. */
  readonly since?: number | undefined;
  /** Only from this sequence on; then `since` is for the caller to look at. */
  readonly from?: number | undefined;
}

function startOf(since = 0, from = 0): Partial<OrderedConsumerOptions> {
  if (from > 0) return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: from };
  if (since <= 0) return {};
  return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(since).toISOString() };
}

/** The messages of a stream, the oldest first; none where there is no such stream. @throws OuzelError as `findStream` */
export async function* scanStream(
  { client, manager }: ScanAccess,
  stream: string,
  { subjects = [], since, from }: ScanRange = {},
): AsyncGenerator<JsMsg> {
  const info = await findStream(manager, stream);
  if (info === undefined || info.state.messages === 0) return;
  // What comes meanwhile is for whoever asks next.
  const last = info.state.last_seq;
  const ordered = await client.consumers.get(stream, {
    ...(subjects.length === 0 ? {} : { filter_subjects: [...subjects] }),
    ...startOf(since, from),
  });
  try {
    let pending = (await ordered.info(true)).num_pending;
    while (pending > 0) {
      let read = 0;
      for await (const message of await ordered.fetch({ max_messages: Math.min(BATCH, pending), expires: EXPIRES })) {
        if (message.seq > last) return;
        yield message;
        read++;
        pending = message.info.pending;
      }
      if (read === 0) pending = (await ordered.info()).num_pending;
    }
  } finally {
    await ordered.delete().catch(() => false);
  }
}
