/** What a tap shows of an event. */
import { isJsonType, type Event } from '../core/event.ts';
import { excerptOf } from '../core/excerpt.ts';
import type { OutcomeKind } from '../core/plan.ts';
import type { Failure, Run } from '../core/run.ts';
import { formatPlace } from '../errors.ts';

/** Bytes of data that are shown, at most. */
const LONGEST_DATA = 2_048;
/** Characters of an attribute or message. */
const LONGEST_TEXT = 512;

/** What settled or will be tried again. */
export interface Settlement {
  /** retried: it comes again. kept: it stays in hand until what has to be stored for it is. */
  readonly outcome: OutcomeKind | 'retried' | 'kept';
  readonly reason: string;
  readonly failure: Failure | undefined;
  /** Milliseconds before it is tried again. */
  readonly delay: number | undefined;
}

export interface DeliverySummary {
  readonly route: string;
  readonly target: string;
  readonly result: 'confirmed' | 'failed' | 'open';
  readonly error?: string;
  /** Of an HTTP answer. */
  readonly status?: number;
  /** Absent where it has not ended. */
  readonly duration_ms?: number;
}

export interface TapRecord {
  /** When it was settled, RFC 3339. */
  readonly at: string;
  readonly consumer: string;
  readonly outcome: Settlement['outcome'];
  readonly reason: string;
  readonly stream: string;
  readonly seq: number;
  readonly subject: string;
  readonly attempt: number;
  /** Absent for the first passage of an event: of a replay (`replay-january`) or re-drive. */
  readonly run?: string;
  /** Milliseconds since it was received, and since the stream took it. */
  readonly duration_ms: number;
  readonly age_ms: number;
  /** Absent where the event could not be decoded. */
  readonly id?: string;
  readonly type?: string;
  readonly source?: string;
  readonly key?: string;
  /** While traces are on. */
  readonly trace_id?: string;
  readonly deliveries: readonly DeliverySummary[];
  readonly error?: { readonly code: string; readonly message: string; readonly place?: string };
  /** For `retried`. */
  readonly delay_ms?: number;
  /** Bytes of the data as it ended up, behind the transformers. */
  readonly size: number;
  /** The data, where it is JSON and short; else the beginning of it as text. */
  readonly data?: unknown;
  readonly excerpt?: string;
}

const cut = (text: string): string => excerptOf(text, LONGEST_TEXT).text;

/** @param key The key of the event, by its stream. */
export function recordOf(run: Run, settlement: Settlement, key: string | undefined): TapRecord {
  const { outcome, reason, failure, delay } = settlement;
  const now = performance.now();
  const { position } = run.event;
  return {
    at: new Date().toISOString(),
    consumer: run.consumer.name,
    outcome,
    reason,
    stream: run.stream,
    seq: run.sequence,
    subject: cut(run.subject),
    attempt: run.attempt,
    ...(run.id === '' ? {} : { run: run.id }),
    duration_ms: rounded(now - run.receivedAt),
    age_ms: Math.max(0, Math.round(performance.timeOrigin + now - position.milliseconds)),
    ...attributesOf(run.event),
    ...(key === undefined ? {} : { key: cut(key) }),
    ...(run.span === undefined ? {} : { trace_id: run.span.traceId }),
    deliveries: deliveriesOf(run),
    ...(failure === undefined ? {} : { error: errorOf(failure) }),
    ...(delay === undefined ? {} : { delay_ms: delay }),
    ...dataOf(run.event),
  };
}

const rounded = (milliseconds: number): number => Math.round(milliseconds * 100) / 100;

const errorOf = ({ error: { code, message, place } }: Failure) => ({
  code,
  message: cut(message),
  ...(place === undefined ? {} : { place: formatPlace(place) }),
});

const deliveriesOf = ({ deliveries = [] }: Run): DeliverySummary[] =>
  deliveries.map(({ route, state, error, exchange, duration }) => ({
    route: route.name,
    target: route.targetName,
    result: state,
    ...(error === undefined ? {} : { error: error.code }),
    ...(exchange?.answer === undefined ? {} : { status: exchange.answer.status }),
    ...(duration === undefined ? {} : { duration_ms: rounded(duration) }),
  }));

function attributesOf(event: Event): Pick<TapRecord, 'id' | 'type' | 'source'> {
  try {
    return { id: cut(event.id), type: cut(event.type), source: cut(event.source) };
  } catch {
    // It cannot be decoded, as its error says.
    return {};
  }
}

function dataOf(event: Event): Pick<TapRecord, 'size' | 'data' | 'excerpt'> {
  try {
    const body = event.body();
    const { text, whole } = excerptOf(body, LONGEST_DATA);
    const size = body.length;
    if (!whole || !isJsonType(event.datacontenttype)) return { size, excerpt: text };
    return { size, data: event.data };
  } catch {
    const { body } = event.carrier;
    return { size: body.length, excerpt: excerptOf(body, LONGEST_DATA).text };
  }
}
