/** One line of the audit trail: how an event ended, an attempt at it that failed, or an act (docs/reference/audit.md). */
import type { Outcome, OutcomeKind } from '../core/plan.ts';
import { confirmedRoutes, type Failure, type Run } from '../core/run.ts';
import { formatPlace } from '../errors.ts';
import type { Line, LineWriter } from './lines.ts';

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

function writeName(lines: LineWriter, { event }: Run): void {
  let id: string;
  let type: string;
  try {
    ({ id, type } = event.contents);
  } catch {
    // It cannot be decoded, as its error says.
    lines.raw(',"subject":').text(cut(event.carrier.subject));
    return;
  }
  lines.raw(',"id":').text(cut(id)).raw(',"type":').text(cut(type));
}

function writeRoutes(lines: LineWriter, run: Run): void {
  const { record, deliveries } = run;
  if (record === undefined && deliveries === undefined) return;
  const routes = [...(record?.confirmed ?? []), ...confirmedRoutes(run)];
  for (const [index, route] of routes.entries()) lines.raw(index === 0 ? ',"routes":[' : ',').text(route);
  if (routes.length > 0) lines.raw(']');
}

function writeCause(lines: LineWriter, { error, route }: Failure, redact: (text: string) => string): void {
  const place = error.place === undefined ? '' : ` at ${formatPlace(error.place)}`;
  lines.raw(`,"code":"${error.code}","error":`).text(cut(redact(error.message + place)));
  if (route !== undefined) lines.raw(',"target":').text(route.targetName);
}

function writeFacts(lines: LineWriter, run: Run, key: string | undefined): void {
  const { event } = run;
  const { sequence, milliseconds, nanoseconds } = event.position;
  const now = performance.now();
  lines.raw(',"at":').integer(Math.round(performance.timeOrigin + now));
  lines.raw(',"consumer":').text(run.consumer.name).raw(',"stream":').text(event.stream);
  lines.raw(',"seq":').integer(sequence);
  lines.raw(',"stamp":"').integer(milliseconds).digits(nanoseconds, BELOW_MILLISECOND).raw('"');
  writeName(lines, run);
  if (key !== undefined) lines.raw(',"key":').text(cut(key));
  if (run.id !== '') lines.raw(',"run":').text(run.id);
  const { attempt } = run;
  if (attempt !== 1) lines.raw(',"attempt":').integer(attempt);
  writeRoutes(lines, run);
  const hundredths = Math.round(Math.max(0, now - run.receivedAt) * 100);
  lines
    .raw(',"ms":')
    .integer(Math.floor(hundredths / 100))
    .raw('.')
    .digits(hundredths % 100, 2);
  const { span } = run;
  if (span !== undefined) lines.raw(',"trace":').text(span.traceId);
}

/**
 * Writes how an event ended.
 *
 * @param redact Takes secrets out of a text.
 */
export function writeOutcome(
  lines: LineWriter,
  run: Run,
  { kind, reason }: Outcome,
  key: string | undefined,
  redact: (text: string) => string,
  payload?: string,
): Line {
  lines.begin().raw('{"kind":"outcome","outcome":').text(kind);
  if (reason !== '') lines.raw(',"reason":').text(reason);
  writeFacts(lines, run, key);
  if (payload !== undefined) lines.raw(',"payload":').text(payload);
  if (run.failure !== undefined) writeCause(lines, run.failure, redact);
  return lines.raw('}').end();
}

/** Writes an attempt that failed. @param delay Milliseconds until the next one. */
export function writeAttempt(
  lines: LineWriter,
  run: Run,
  failure: Failure,
  delay: number,
  key: string | undefined,
  redact: (text: string) => string,
): Line {
  lines.begin().raw('{"kind":"attempt"');
  writeFacts(lines, run, key);
  writeCause(lines, failure, redact);
  return lines.raw(',"delay":').integer(Math.round(delay)).raw('}').end();
}

/** Writes an act. */
export function writeAct(lines: LineWriter, { at, act, what, resource, who, sha256 }: Omit<ActLink, 'kind'>): Line {
  lines.begin().raw('{"kind":"act","at":').integer(at);
  lines.raw(',"act":').text(act).raw(',"what":').text(what).raw(',"resource":').text(resource).raw(',"who":');
  if (who === null) lines.raw('null');
  else lines.text(who);
  return lines.raw(',"sha256":').text(sha256).raw('}').end();
}
