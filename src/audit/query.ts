/** Which records of the trail somebody means, and how they are found in its stream. */
import { typeMatcher } from '../contracts/match.ts';
import type { OutcomeKind } from '../core/plan.ts';
import { OuzelError } from '../errors.ts';
import { findStream } from '../nats/provision.ts';
import { type ScanAccess, scanStream } from '../nats/scan.ts';
import { askedInstant } from '../reconcile/condition.ts';
import { batchText, OUTCOME_STREAM, readBatch } from './chain.ts';
import type { AttemptFailure, OutcomeRecord } from './record.ts';

/** What records are selected by, as text; each that is given must hold. */
export const AUDIT_SELECTORS = ['event', 'consumer', 'key', 'type', 'outcome', 'reason', 'since', 'until'] as const;
export type AuditSelectors = Partial<Record<(typeof AUDIT_SELECTORS)[number], string>>;

const OUTCOMES: readonly OutcomeKind[] = ['delivered', 'filtered', 'dropped', 'dead_lettered'];

/** What is said of an event. */
export type EventRecord = OutcomeRecord | AttemptFailure;

/** A record with who wrote it. */
export interface Found {
  readonly record: EventRecord;
  readonly instance: string;
}

export interface AuditQuery {
  /** Milliseconds since the epoch; 0: from the beginning. */
  readonly since: number;
  readonly until: number;
  /** Whether a batch can have what is meant: looked at before it is parsed. */
  mayHold(text: string): boolean;
  matches(record: EventRecord): boolean;
}

/** `EVENTS:17` */
const POSITION = /^([^\s.*>:]+):(\d+)$/;

/**
 * Compiles what is asked for. `event` is the id of an event, its key, or its place (`EVENTS:17`); `since` and `until`
 * are about when something was recorded.
 *
 * @param now Milliseconds since the epoch.
 * @throws OuzelError USAGE
 */
export function auditQuery(selectors: AuditSelectors, now = Date.now()): AuditQuery {
  const { event, consumer, key, type, outcome, reason } = selectors;
  if (outcome !== undefined && !(OUTCOMES as readonly string[]).includes(outcome))
    throw new OuzelError('USAGE', `--outcome: "${outcome}" is none; there are: ${OUTCOMES.join(', ')}`);
  const since = selectors.since === undefined ? 0 : askedInstant('since', selectors.since, now);
  const until = selectors.until === undefined ? Infinity : askedInstant('until', selectors.until, now);
  if (since > until) throw new OuzelError('USAGE', '--since lies after --until, so nothing is between them');
  const typed = type === undefined ? undefined : typeMatcher(type.split(','));
  const [, stream, sequence] = POSITION.exec(event ?? '') ?? [];
  const texts = [consumer, key, reason, outcome].flatMap((text) => (text === undefined ? [] : [JSON.stringify(text)]));
  const isEvent = (record: EventRecord): boolean =>
    record.id === event || record.key === event || (record.stream === stream && record.seq === Number(sequence));
  return {
    since,
    until,
    mayHold: (text) =>
      texts.every((each) => text.includes(each)) &&
      (event === undefined || text.includes(JSON.stringify(event)) || text.includes(`"seq":${sequence},`)),
    matches(record) {
      if (record.at < since || record.at > until) return false;
      if (event !== undefined && !isEvent(record)) return false;
      if (consumer !== undefined && record.consumer !== consumer) return false;
      if (key !== undefined && record.key !== key) return false;
      if (typed !== undefined && (record.type === undefined || !typed(record.type))) return false;
      if (outcome !== undefined && (record.kind !== 'outcome' || record.outcome !== outcome)) return false;
      return reason === undefined || (record.kind === 'outcome' && record.reason === reason);
    },
  };
}

/** Milliseconds by which a batch may be older than its message. */
const SLACK = 60_000;

export interface Selection {
  /** The newest that are meant, the oldest first. */
  readonly found: readonly Found[];
  /** More are meant than were asked for. */
  readonly more: boolean;
  /** Before this instant nothing was looked at, since it would have been too much; milliseconds since the epoch. */
  readonly lookedFrom: number | undefined;
}

/**
 * Looks for records in the stream. What was recorded twice, because a process ended between the record and the ack, is
 * there once.
 *
 * @param limit How many at most, the newest.
 * @param budget Bytes of the stream that are looked through at most, the newest.
 * @param permits Which of them may be seen; left out: all.
 */
export async function selectRecords(
  access: ScanAccess,
  query: AuditQuery,
  limit: number,
  { budget = Infinity, permits }: { budget?: number; permits?: (record: EventRecord) => boolean } = {},
): Promise<Selection> {
  const found = new Map<string, Found>();
  let more = false;
  let lookedFrom: number | undefined;
  const from = await firstWithin(access, budget);
  const since = query.since === 0 ? 0 : query.since - SLACK;
  for await (const message of scanStream(access, OUTCOME_STREAM, from === undefined ? { since } : { from })) {
    const text = textOf(message.data);
    if (text === undefined) continue;
    if (from !== undefined && lookedFrom === undefined) {
      const { time } = readBatch(text).link;
      lookedFrom = time > since ? time : 0;
    }
    if (!query.mayHold(text)) continue;
    const { link, records } = readBatch(text);
    for (const record of records) {
      if (record.kind === 'act' || !query.matches(record) || permits?.(record) === false) continue;
      const name = identityOf(record);
      // The last word on it counts.
      found.delete(name);
      found.set(name, { record, instance: link.chain });
      if (found.size <= limit) continue;
      more = true;
      found.delete(found.keys().next().value ?? '');
    }
  }
  return { found: [...found.values()], more, lookedFrom: lookedFrom === 0 ? undefined : lookedFrom };
}

/** What a record is about: the same however often it is recorded. */
function identityOf(record: EventRecord): string {
  const { consumer, stream, seq, stamp, run = '' } = record;
  const attempt = record.kind === 'attempt' ? `${record.attempt ?? 1} ${record.at}` : '';
  return `${record.kind} ${consumer} ${stream} ${seq} ${stamp} ${run} ${attempt}`;
}

/** The sequence from which on there are about as many bytes as may be looked through; undefined: all. */
async function firstWithin({ manager }: ScanAccess, budget: number): Promise<number | undefined> {
  if (budget === Infinity) return undefined;
  const { bytes = 0, messages = 0, last_seq = 0 } = (await findStream(manager, OUTCOME_STREAM))?.state ?? {};
  if (bytes <= budget) return undefined;
  return Math.max(1, last_seq - Math.floor((budget / bytes) * messages));
}

/** A message that is no batch is for `verify` to find. */
function textOf(bytes: Uint8Array): string | undefined {
  try {
    const text = batchText(bytes);
    readFirst(text);
    return text;
  } catch {
    return undefined;
  }
}

const readFirst = (text: string): void => void JSON.parse(text.slice(0, text.indexOf('\n')));
