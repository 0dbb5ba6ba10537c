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
  /** The number of the attempt, where it is not the first. */
  readonly attempt?: number | undefined;
  /** Routes that have confirmed, in this attempt or an earlier one. */
  readonly routes?: readonly string[] | undefined;
  /** Milliseconds since it was received. */
  readonly ms: number;
  readonly trace?: string | undefined;
  readonly code?: string | undefined;
  readonly error?: string | undefined;
  /** SHA-256 of its data as it came, where that is kept. */
  readonly payload?: string | undefined;
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

/** What needs no escapes in JSON, which is nearly everything. */
const PLAIN = /^[ !#-[\]-~]*$/;
const quoted = (text: string): string => (PLAIN.test(text) ? `"${text}"` : JSON.stringify(text));

function nameOf({ event }: Run): string {
  try {
    const { id, type } = event.contents;
    return `,"id":${quoted(cut(id))},"type":${quoted(cut(type))}`;
  } catch {
    // It cannot be decoded, as its error says.
    return `,"subject":${quoted(cut(event.carrier.subject))}`;
  }
}

function routesOf(run: Run): string {
  const { record, deliveries } = run;
  if (record === undefined && deliveries === undefined) return '';
  const routes = [...(record?.confirmed ?? []), ...confirmedRoutes(run)];
  return routes.length === 0 ? '' : `,"routes":${JSON.stringify(routes)}`;
}

const causeOf = ({ error, route }: Failure, redact: (text: string) => string): string => {
  const place = error.place === undefined ? '' : ` at ${formatPlace(error.place)}`;
  const target = route === undefined ? '' : `,"target":${quoted(route.targetName)}`;
  return `,"code":"${error.code}","error":${quoted(cut(redact(error.message + place)))}${target}`;
};

/** Written by hand: of every event, and in half the time of `JSON.stringify`. */
function factsOf(run: Run, key: string | undefined): string {
  const { event } = run;
  const { sequence, milliseconds, nanoseconds } = event.position;
  const now = performance.now();
  let line = `,"at":${Math.round(performance.timeOrigin + now)},"consumer":${quoted(run.consumer.name)}`;
  line += `,"stream":${quoted(event.stream)},"seq":${sequence}`;
  line += `,"stamp":"${milliseconds}${String(nanoseconds).padStart(BELOW_MILLISECOND, '0')}"`;
  line += nameOf(run);
  if (key !== undefined) line += `,"key":${quoted(cut(key))}`;
  if (run.id !== '') line += `,"run":${quoted(run.id)}`;
  const { attempt } = run;
  if (attempt !== 1) line += `,"attempt":${attempt}`;
  line += `${routesOf(run)},"ms":${Math.round((now - run.receivedAt) * 100) / 100}`;
  const { span } = run;
  return span === undefined ? line : `${line},"trace":"${span.traceId}"`;
}

/** @param redact Takes secrets out of a text. */
export function outcomeLine(
  run: Run,
  { kind, reason }: Outcome,
  key: string | undefined,
  redact: (text: string) => string,
  payload?: string,
): string {
  const why = reason === '' ? '' : `,"reason":${quoted(reason)}`;
  const cause = run.failure === undefined ? '' : causeOf(run.failure, redact);
  const data = payload === undefined ? '' : `,"payload":"${payload}"`;
  return `{"kind":"outcome","outcome":"${kind}"${why}${factsOf(run, key)}${data}${cause}}`;
}

export const attemptLine = (
  run: Run,
  failure: Failure,
  delay: number,
  key: string | undefined,
  redact: (text: string) => string,
): string => `{"kind":"attempt"${factsOf(run, key)}${causeOf(failure, redact)},"delay":${Math.round(delay)}}`;

export const actLine = (act: Omit<ActLink, 'kind'>): string => JSON.stringify({ kind: 'act', ...act });
