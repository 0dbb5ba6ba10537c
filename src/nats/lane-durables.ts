/**
 * The durables of a consumer's lanes, as the server has them. The consumer's own durable notes which lanes there are,
 * so that one that leaves the configuration while no instance runs is found; a lane that leaves notes until when it has
 * its events.
 */
import type { ConsumerInfo, JetStreamManager } from '@nats-io/jetstream';
import { LANES, subjectsOf, UNTIL } from './plan.ts';

/** Milliseconds from the note that a lane leaves until it takes no more: all instances have read it by then. */
const NOTICE = 60_000;

/** The lanes that a consumer's own durable notes. */
export const notedLanes = (own: ConsumerInfo | undefined): string[] =>
  (own?.config.metadata?.[LANES] ?? '').split(',').filter((name) => name !== '');

/** What is to be known of the durable of a lane. */
export interface LaneState {
  readonly subjects: readonly string[];
  /** Up to when it has its events, by the clock of the server: milliseconds since the epoch; undefined: for good. */
  readonly until: number | undefined;
  /** Everything up to this number has its outcome. */
  readonly floor: number;
}

export function laneState({ config, ack_floor: floor }: ConsumerInfo): LaneState {
  const until = Date.parse(config.metadata?.[UNTIL] ?? '');
  return {
    subjects: subjectsOf(config),
    until: Number.isNaN(until) ? undefined : until,
    floor: floor.stream_seq,
  };
}

/** Notes on a durable that its lane leaves. @returns Until when it has its events, in milliseconds since the epoch. */
export async function noteLeaving(
  manager: JetStreamManager,
  { config, stream_name, name, ts }: ConsumerInfo,
): Promise<number> {
  const until = serverTime(ts) + NOTICE;
  const metadata = { ...config.metadata, [UNTIL]: new Date(until).toISOString() };
  await manager.consumers.update(stream_name, name, { ...config, metadata });
  return until;
}

/** The server's clock when it answered, in milliseconds since the epoch: events are stored by it. */
export const serverTime = (ts: string | undefined): number => {
  const time = Date.parse(ts ?? '');
  return Number.isNaN(time) ? Date.now() : time;
};

/** Whether all events up to a number of the stream have their outcome. */
export const isSettledUpTo = (info: ConsumerInfo, sequence: number): boolean =>
  info.ack_floor.stream_seq >= sequence || (info.num_pending === 0 && info.num_ack_pending === 0);
