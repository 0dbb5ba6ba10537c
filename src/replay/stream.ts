/** A stream as the source of a replay. */
import { DeliverPolicy, type JetStreamClient, type JetStreamManager, type JsMsg } from '@nats-io/jetstream';
import { headerBlock, headerLine } from '../core/headers.ts';
import { OuzelError } from '../errors.ts';
import { findStream } from '../nats/provision.ts';
import type { Extent, ReplayRange, ReplaySource, StoredEvent } from './source.ts';

/** Events in hand, at most. */
const BATCH = 256;
/** Milliseconds that a batch waits for what was counted and is gone since. */
const EXPIRES = 2_000;
const NANOSECONDS = 1_000_000n;

type Start = { readonly after: string } | { readonly instant: number } | undefined;

export class StreamSource implements ReplaySource {
  readonly #client: JetStreamClient;
  readonly #manager: JetStreamManager;
  readonly #stream: string;

  constructor(client: JetStreamClient, manager: JetStreamManager, stream: string) {
    this.#client = client;
    this.#manager = manager;
    this.#stream = stream;
  }

  async extent(range: ReplayRange): Promise<Extent> {
    const found = await findStream(this.#manager, this.#stream);
    if (found === undefined) throw new OuzelError('NOT_FOUND', `there is no stream ${this.#stream} on the server`);
    const { created, state } = found;
    const { since, until } = range;
    const all = await this.#pending(range, since === undefined ? undefined : { instant: since });
    const beyond = until === undefined ? 0 : await this.#pending(range, { instant: until + 1 });
    return { identity: String(created), end: String(state.last_seq), total: Math.max(0, all - beyond) };
  }

  /** An ordered consumer of its own for each batch: a replay may wait for longer than the server keeps one. */
  async read(range: ReplayRange, { end }: Extent, after: string | undefined): Promise<readonly StoredEvent[]> {
    const { since, until = Infinity } = range;
    const instant = since === undefined ? undefined : { instant: since };
    const ordered = await this.#open(range, after === undefined ? instant : { after });
    const events: StoredEvent[] = [];
    try {
      const { num_pending: pending } = await ordered.info(true);
      if (pending === 0) return [];
      const messages = await ordered.fetch({ max_messages: Math.min(BATCH, pending), expires: EXPIRES });
      for await (const message of messages) {
        const event = storedEvent(this.#stream, message);
        if (message.seq > Number(end) || event.position.milliseconds > until) break;
        events.push(event);
      }
      return events;
    } finally {
      await ordered.delete().catch(() => false);
    }
  }

  /** The connection is somebody else's. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  async #pending(range: ReplayRange, start: Start): Promise<number> {
    const ordered = await this.#open(range, start);
    try {
      return (await ordered.info(true)).num_pending;
    } finally {
      await ordered.delete().catch(() => false);
    }
  }

  #open({ subjects }: ReplayRange, start: Start) {
    return this.#client.consumers.get(this.#stream, {
      ...(subjects.length === 0 ? {} : { filter_subjects: [...subjects] }),
      ...(start === undefined
        ? {}
        : 'after' in start
          ? { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: Number(start.after) + 1 }
          : { deliver_policy: DeliverPolicy.StartTime, opt_start_time: new Date(start.instant).toISOString() }),
    });
  }
}

function storedEvent(stream: string, message: JsMsg): StoredEvent {
  const { seq, subject, headers, data, timestampNanos } = message;
  const lines = [...(headers ?? [])].flatMap(([name, values]) => values.map((value) => headerLine(name, value)));
  return {
    cursor: String(seq),
    stream,
    subject,
    position: {
      sequence: seq,
      milliseconds: Number(timestampNanos / NANOSECONDS),
      nanoseconds: Number(timestampNanos % NANOSECONDS),
    },
    headers: headers === undefined ? undefined : Buffer.from(headerBlock(lines.join(''))),
    body: data,
  };
}
