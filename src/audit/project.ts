/**
 * Keeps the table of records up to date with their stream: a durable hands out one batch at a time, whichever instance
 * asks, and it is acked once its rows are committed. A batch that comes twice changes nothing.
 */
import { hash } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, DeliverPolicy, type JetStreamClient, type JetStreamManager, type JsMsg } from '@nats-io/jetstream';
import { Retention } from '../deliver/sql/retention.ts';
import { asOuzelError } from '../errors.ts';
import { scanStream, type ScanAccess } from '../nats/scan.ts';
import type { Logger } from '../telemetry/log.ts';
import { batchText, OUTCOME_STREAM, readBatch } from './chain.ts';
import type { Found } from './query.ts';
import { AUDIT_TABLE, AuditStore } from './store.ts';

/** Milliseconds that the durable waits for an ack, that a question waits for a batch, and between attempts. */
const ACK_WAIT = 60_000;
const EXPIRES = 2_000;
const AGAIN_FIRST = 1_000;
const AGAIN_MOST = 15_000;
const NANOSECONDS = 1_000_000;

/** The records of a batch; none where it is no batch, which is for `verify` to find. */
function recordsOf(bytes: Uint8Array): Found[] {
  try {
    const { link, records } = readBatch(batchText(bytes));
    return records.flatMap((record) => (record.kind === 'act' ? [] : [{ record, instance: link.chain }]));
  } catch {
    return [];
  }
}

/** A file is of one host; a server is of all. */
function durableOf({ database, dialect }: AuditStore): string {
  const place = dialect === 'sqlite' ? `${hostname()} ${database.shown}` : database.shown;
  return `ouzel-audit-${hash('sha256', place, 'hex').slice(0, 16)}`;
}

export interface ProjectorOptions {
  readonly url: string;
  /** Milliseconds that rows are kept. */
  readonly keep: number;
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly logger: Logger;
}

export class Projector {
  readonly #options: ProjectorOptions;
  readonly #store: AuditStore;
  readonly #retention: Retention;
  readonly #abort = new AbortController();
  #running: Promise<void> | undefined;
  #problem = '';

  constructor(options: ProjectorOptions) {
    this.#options = options;
    this.#store = new AuditStore(options.url);
    const { database, dialect } = this.#store;
    this.#retention = new Retention(database, dialect, AUDIT_TABLE, options.keep, (error) => this.#say(error), 'at');
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Ends after the batch that is being written. @param limit Ends the waiting. */
  async close(limit: Promise<void>): Promise<void> {
    this.#abort.abort();
    this.#retention.close();
    await Promise.race([this.#running, limit]);
    await this.#store.close();
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    for (let failures = 0; !signal.aborted;) {
      try {
        await this.#follow(() => (failures = 0));
      } catch (error) {
        if (signal.aborted) return;
        this.#say(error);
        const delay = Math.min(AGAIN_MOST, AGAIN_FIRST * 2 ** failures++);
        await sleep(delay, undefined, { signal, ref: false }).catch(() => undefined);
      }
    }
  }

  /** @throws what NATS and the database throw */
  async #follow(wrote: () => void): Promise<void> {
    const { client, manager } = this.#options;
    const durable = durableOf(this.#store);
    await manager.consumers.add(OUTCOME_STREAM, {
      durable_name: durable,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: ACK_WAIT * NANOSECONDS,
      max_ack_pending: 1,
      description: `Projection of the audit of Ouzel into ${this.#store.database.shown}`,
    });
    const consumer = await client.consumers.get(OUTCOME_STREAM, durable);
    while (!this.#abort.signal.aborted) {
      const message = await consumer.next({ expires: EXPIRES });
      if (message === null) continue;
      await this.#write(message);
      wrote();
      this.#problem = '';
    }
  }

  async #write(message: JsMsg): Promise<void> {
    try {
      await this.#store.write(recordsOf(message.data));
    } catch (error) {
      message.nak(AGAIN_FIRST);
      throw error;
    }
    // Only once there is a table.
    this.#retention.begin();
    message.ack();
  }

  #say(error: unknown): void {
    const { code, message } = asOuzelError(error);
    if (this.#problem !== message)
      this.#options.logger.error({ code, store: this.#store.database.shown }, `the audit is not projected: ${message}`);
    this.#problem = message;
  }
}

/**
 * Writes the table anew from the stream. What is older than the stream's first batch stays as it is.
 *
 * @returns How many records were written.
 * @throws OuzelError as `Database.insert`, NATS_UNAVAILABLE
 */
export async function rebuild(
  access: ScanAccess,
  store: AuditStore,
  progress: (records: number) => void,
): Promise<number> {
  let written = 0;
  for await (const { data } of scanStream(access, OUTCOME_STREAM)) {
    const found = recordsOf(data);
    const [first] = found;
    if (written === 0 && first !== undefined) await store.clear(Math.min(...found.map(({ record }) => record.at)));
    await store.write(found);
    written += found.length;
    progress(written);
  }
  return written;
}
