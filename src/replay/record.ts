/** What is known of a replay, in the bucket OUZEL_REPLAYS: how far it is, and whether it goes on. */
import { JetStreamApiError, type StreamConfig } from '@nats-io/jetstream';
import { z } from 'zod';
import { OuzelError } from '../errors.ts';
import { ensureStream, findStream, type StreamSpec } from '../nats/provision.ts';
import { ASKED, type ReplayAccess, replayName } from './asked.ts';

const STREAM = 'KV_OUZEL_REPLAYS';
const PREFIX = '$KV.OUZEL_REPLAYS.';
/** Milliseconds that a replay is known after its last change. */
const KEPT = 30 * 86_400_000;
/** Bytes of one record. */
const LARGEST = 65_536;
const OPTIONS: Partial<StreamConfig> = {
  max_msgs_per_subject: 1,
  max_msg_size: LARGEST,
  allow_rollup_hdrs: true,
  deny_delete: true,
  allow_direct: true,
};

/** JetStream API: no message found; another sequence is the last of the subject. */
const NO_MESSAGE = 10037;
const WRONG_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164]);

const count = z.number().int().min(0);

/** running: somebody hands over; or did, and was killed. */
const REPLAY_STATES = ['running', 'stopped', 'failed', 'done'] as const;

export const replayRecord = z.strictObject({
  version: z.literal(1),
  name: replayName(),
  state: z.enum(REPLAY_STATES),
  reason: z.string().optional().describe('Why it ended before it was done.'),
  asked: z.strictObject(ASKED),
  since: z.number().optional().describe('Milliseconds since the epoch, of what was asked for.'),
  until: z.number().optional(),
  extent: z.strictObject({ identity: z.string(), end: z.string(), total: count }),
  cursor: z.string().optional().describe('The last event that was dealt with.'),
  read: count.describe('Events looked at.'),
  selected: count.describe('Events that were meant.'),
  handed: z.record(z.string(), count).describe('Events handed over, by consumer.'),
  failed: count.describe('Events that cannot be handed over.'),
  failures: z.array(z.strictObject({ event: z.string(), code: z.string(), message: z.string() })),
  warnings: z.array(z.string()).describe('What should be known of it, as it was when it began.'),
  runner: z.string().describe('Who is at it, or was last.'),
  by: z.string(),
  started: z.string(),
  updated: z.string(),
});
export type ReplayRecord = z.output<typeof replayRecord>;

/** A record with its revision in the bucket. */
export interface Kept {
  readonly record: ReplayRecord;
  readonly revision: number;
}

const spec = (replicas: number): StreamSpec => ({
  name: STREAM,
  subjects: [`${PREFIX}>`],
  replicas,
  discard: 'old',
  maxAge: KEPT,
  description: 'Replays of Ouzel, and how far they are',
  options: OPTIONS,
  manage: false,
});

type StoreAccess = Pick<ReplayAccess, 'client' | 'manager' | 'config'>;

export class ReplayStore {
  readonly #access: StoreAccess;

  constructor(access: StoreAccess) {
    this.#access = access;
  }

  /** Makes the bucket, where there is none. @throws OuzelError as `ensureStream` */
  async ensure(): Promise<void> {
    await ensureStream(this.#access.manager, spec(this.#access.config.nats.system.replicas));
  }

  /** @throws OuzelError NATS_UNAVAILABLE */
  async get(name: string): Promise<Kept | undefined> {
    const { manager } = this.#access;
    if ((await findStream(manager, STREAM)) === undefined) return undefined;
    try {
      const message = await manager.streams.getMessage(STREAM, { last_by_subj: PREFIX + name });
      if (message === null || message.header.has('KV-Operation')) return undefined;
      const record = replayRecord.safeParse(JSON.parse(message.string())).data;
      return record === undefined ? undefined : { record, revision: message.seq };
    } catch (error) {
      if (error instanceof JetStreamApiError && error.code === NO_MESSAGE) return undefined;
      throw unavailable(error);
    }
  }

  /** The newest first. @throws OuzelError NATS_UNAVAILABLE */
  async list(): Promise<ReplayRecord[]> {
    const { manager } = this.#access;
    if ((await findStream(manager, STREAM)) === undefined) return [];
    const { state } = await manager.streams.info(STREAM, { subjects_filter: `${PREFIX}>` });
    const names = Object.keys(state.subjects ?? {}).map((subject) => subject.slice(PREFIX.length));
    const kept = await Promise.all(names.map((name) => this.get(name)));
    return kept
      .flatMap((each) => (each === undefined ? [] : [each.record]))
      .toSorted((left, right) => right.started.localeCompare(left.started));
  }

  /**
   * @param expected The revision that it must have now; 0: none at all.
   * @returns The new revision; undefined when somebody else changed it meanwhile.
   * @throws OuzelError NATS_UNAVAILABLE
   */
  async put(record: ReplayRecord, expected: number): Promise<number | undefined> {
    try {
      const text = JSON.stringify(record);
      const options = { expect: { lastSubjectSequence: expected } };
      return (await this.#access.client.publish(PREFIX + record.name, text, options)).seq;
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (typeof code === 'number' && WRONG_SEQUENCE.has(code)) return undefined;
      throw unavailable(error);
    }
  }
}

const unavailable = (error: unknown): OuzelError =>
  error instanceof OuzelError
    ? error
    : new OuzelError('NATS_UNAVAILABLE', `the bucket OUZEL_REPLAYS: ${(error as Error).message}`, { cause: error });
