/** How much is stored of ordered consumers, for whoever looks. */
import type { JetStreamManager } from '@nats-io/jetstream';
import { LANE_STREAM, LANE_SUBJECTS } from './lane-stream.ts';
import { findStream } from './provision.ts';

/** Subjects that are counted one by one; beyond them counting costs more than it tells. */
const COUNTED = 100_000;

/** What is stored of the keys of a consumer. */
interface StoredKeys {
  /** Keys with something stored, and those of them that a dead letter stops. */
  keys: number;
  held: number;
  events: number;
}

/** What is stored for each consumer; undefined where that is too much to be counted. */
export async function storedKeys(manager: JetStreamManager): Promise<ReadonlyMap<string, StoredKeys> | undefined> {
  const all = new Map<string, StoredKeys>();
  const info = await findStream(manager, LANE_STREAM);
  if (info === undefined || info.state.messages === 0) return all;
  if ((info.state.num_subjects ?? 0) > COUNTED) return undefined;
  const { state } = await manager.streams.info(LANE_STREAM, { subjects_filter: LANE_SUBJECTS[0] ?? '' });
  const seen = new Set<string>();
  for (const [subject, count] of Object.entries(state.subjects ?? {})) {
    const [, , consumer = '', key = '', tier] = subject.split('.');
    const stored = all.get(consumer) ?? { keys: 0, held: 0, events: 0 };
    all.set(consumer, stored);
    if (tier === 'hold') stored.held++;
    else stored.events += count;
    if (!seen.has(`${consumer}.${key}`)) stored.keys++;
    seen.add(`${consumer}.${key}`);
  }
  return all;
}
