/** One line of the audit trail: how an event ended, an attempt at it that failed, or an act (docs/reference/audit.md). */
import type { Outcome, OutcomeKind } from '../core/plan.ts';
import { confirmedRoutes, type Failure, type Run } from '../core/run.ts';
import { formatPlace } from '../errors.ts';

/** Characters of a text that somebody else wrote. */
const LONGEST_TEXT = 512;
/** Digits of a nanosecond timestamp below the millisecond. */
const BELOW_MILLISECOND = 6;

/** What is said of an event, whatever became of it. Times in milliseconds since the epoch. */
interface EventFacts {
  /** When it was recorded. */
  readonly at: number;
  readonly consumer: string;
  readonly stream: string;
  readonly seq: number;
  /** The stream's timestamp in nanoseconds since the epoch, as text: with the rest of the position it names an event. */
  readonly stamp: string;
  /** Absent where the event cannot be decoded. */
  readonly id?: string | undefined;
  readonly type?: string | undefined;
  /** Where there is no type. */
  readonly subject?: string | undefined;
  readonly key?: string | undefined;
  /** Absent for the first passage of the event. */
  readonly run?: string | undefined;
  /** The number of the attempt, from 1. */
  readonly attempt: number;
  /** Routes that have confirmed, in this attempt or an earlier one. */
  readonly routes?: readonly string[] | undefined;
  /** Milliseconds since it was received. */
  readonly ms: number;
  readonly trace?: string | undefined;
  readonly code?: string | undefined;
  readonly error?: string | undefined;
  /** The target whose delivery failed. */
  readonly target?: string | undefined;
}

export interface OutcomeRecord extends EventFacts {
  readonly kind: 'outcome';
  readonly outcome: OutcomeKind;
  readonly reason?: string | undefined;
}

export interface AttemptFailure extends EventFacts {
  readonly kind: 'attempt';
  /** Milliseconds before it is tried again. */
  readonly delay: number;
}

/** That an act was recorded: what is stored of it elsewhere has this hash. */
export interface ActLink {
  readonly kind: 'act';
  readonly at: number;
  /** Id of the record in OUZEL_AUDIT. */
  readonly act: string;
  readonly what: string;
  readonly resource: string;
  readonly who: string | null;
  /** SHA-256 of its bytes. */
  readonly sha256: string;
}

export type TrailRecord = OutcomeRecord | AttemptFailure | ActLink;

const cut = (text: string): string => (text.length > LONGEST_TEXT ? text.slice(0, LONGEST_TEXT) : text);

const nameOf = ({ event }: Run): Pick<EventFacts, 'id' | 'type' | 'subject'> => {
  try {
    const { id, type } = event.contents;
    return { id: cut(id), type: cut(type) };
  } catch {
    // It cannot be decoded, as its error says.
    return { subject: cut(event.carrier.subject) };
  }
};

function factsOf(run: Run, key: string | undefined, redact: (text: string) => string): EventFacts {
  const { event, record, failure } = run;
  const { sequence, milliseconds, nanoseconds } = event.position;
  const now = performance.now();
  const routes = [...(record?.confirmed ?? []), ...confirmedRoutes(run)];
  const { id, type, subject } = nameOf(run);
  const facts: EventFacts = {
    at: Math.round(performance.timeOrigin + now),
    consumer: run.consumer.name,
    stream: event.stream,
    seq: sequence,
    stamp: String(milliseconds) + String(nanoseconds).padStart(BELOW_MILLISECOND, '0'),
    ...(id === undefined ? { subject } : { id, type }),
    key: key === undefined ? undefined : cut(key),
    run: run.id === '' ? undefined : run.id,
    attempt: run.attempt,
    routes: routes.length === 0 ? undefined : routes,
    ms: Math.round((now - run.receivedAt) * 100) / 100,
    trace: run.span?.traceId,
  };
  return failure === undefined ? facts : { ...facts, ...causeOf(failure, redact) };
}

const causeOf = ({ error, route }: Failure, redact: (text: string) => string) => ({
  code: error.code,
  error: cut(redact(error.message + (error.place === undefined ? '' : ` at ${formatPlace(error.place)}`))),
  target: route?.targetName,
});

/** @param redact Takes secrets out of a text. */
export function outcomeLine(
  run: Run,
  { kind, reason }: Outcome,
  key: string | undefined,
  redact: (text: string) => string,
): string {
  const facts = factsOf(run, key, redact);
  return JSON.stringify({ kind: 'outcome', outcome: kind, reason: reason === '' ? undefined : reason, ...facts });
}

export const attemptLine = (
  run: Run,
  failure: Failure,
  delay: number,
  key: string | undefined,
  redact: (text: string) => string,
): string => JSON.stringify({ kind: 'attempt', ...factsOf(run, key, redact), ...causeOf(failure, redact), delay });

export const actLine = (act: Omit<ActLink, 'kind'>): string => JSON.stringify({ kind: 'act', ...act });
