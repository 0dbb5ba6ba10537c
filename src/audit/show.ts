/** Records as commands and the API show them, and an event's way as a list of them. */
import { z } from 'zod';
import { FIRST_RUN, formatTimestamp } from '../core/handover.ts';
import { isoTime } from '../core/time.ts';
import type { Found } from './query.ts';

const MILLION = 1_000_000n;

const text = z.string();
const instant = z.string().describe('RFC 3339.');

export const shownRecord = z
  .strictObject({
    at: instant,
    kind: z.enum(['outcome', 'attempt']).describe('attempt: it failed, and is tried again.'),
    consumer: text,
    outcome: z.enum(['delivered', 'filtered', 'dropped', 'dead_lettered']).optional(),
    reason: text.optional(),
    stream: text,
    sequence: z.number().int(),
    time: instant,
    id: text.optional(),
    type: text.optional(),
    subject: text.optional().describe('Where the event cannot be decoded.'),
    key: text.optional(),
    run: text.describe('`first`, or that of a replay or re-drive.'),
    attempt: z.number().int(),
    routes: z.array(text).describe('Those that confirmed.'),
    duration_ms: z.number(),
    delay_ms: z.number().optional().describe('Until it is tried again.'),
    trace_id: text.optional(),
    payload: text.optional().describe('SHA-256 of its data as it came, where that is kept.'),
    code: text.optional(),
    error: text.optional(),
    target: text.optional(),
    instance: text,
  })
  .meta({ id: 'AuditRecord', description: 'How an event ended, or an attempt at it that failed.' });

export type ShownRecord = z.input<typeof shownRecord>;

/** The timestamp of the stream as RFC 3339 with nanoseconds. @param stamp Nanoseconds since the epoch. */
function timeOf(stamp: string): string {
  const nanoseconds = BigInt(stamp);
  return formatTimestamp({
    sequence: 0,
    milliseconds: Number(nanoseconds / MILLION),
    nanoseconds: Number(nanoseconds % MILLION),
  });
}

export function showRecord({ record, instance }: Found): ShownRecord {
  const { at, kind, consumer, stream, seq, stamp, id, type, subject, key, run, attempt, routes, ms } = record;
  const { trace, payload, code, error, target } = record;
  const { outcome, reason } = record.kind === 'outcome' ? record : {};
  const delay = record.kind === 'attempt' ? record.delay : undefined;
  const shown = {
    at: isoTime(at),
    kind,
    consumer,
    outcome,
    reason,
    stream,
    sequence: seq,
    time: timeOf(stamp),
    id,
    type,
    subject,
    key,
    run: run ?? FIRST_RUN,
    attempt: attempt ?? 1,
    routes: [...(routes ?? [])],
    duration_ms: ms,
    delay_ms: delay,
    trace_id: trace,
    payload,
    code,
    error,
    target,
    instance,
  };
  return Object.fromEntries(Object.entries(shown).filter(([, value]) => value !== undefined)) as ShownRecord;
}

/** One event and all that is recorded of it. */
export interface Timeline {
  readonly stream: string;
  readonly sequence: number;
  readonly time: string;
  readonly id: string | undefined;
  readonly type: string | undefined;
  readonly key: string | undefined;
  readonly steps: readonly ShownRecord[];
}

/** Records by event, in the order in which the events came; what is recorded of one in the order in which it was. */
export function timelinesOf(records: readonly ShownRecord[]): Timeline[] {
  const events = new Map<string, ShownRecord[]>();
  for (const record of records) {
    const name = `${record.stream} ${record.sequence} ${record.time}`;
    const known = events.get(name);
    if (known === undefined) events.set(name, [record]);
    else known.push(record);
  }
  return [...events.values()]
    .map((steps): Timeline => {
      const [{ stream, sequence, time, id, type, key } = {} as ShownRecord] = steps;
      return {
        stream,
        sequence,
        time,
        id,
        type,
        key,
        steps: steps.toSorted((left, right) => (left.at < right.at ? -1 : 1)),
      };
    })
    .toSorted((left, right) => (left.time < right.time ? -1 : 1));
}
