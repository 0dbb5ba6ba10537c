/**
 * An event that is handed to one consumer by a message of Ouzel's own, rather than by its stream: a retry that was
 * parked, a re-drive, or a replay. The message stands on `ouzel.due.<consumer>` in the stream OUZEL_TIMERS (at once, or when its
 * timer fires), and carries all that the handling needs, so that its source can be acked as soon as it is stored:
 *
 * - body: the event's bytes as they came (or as a re-drive mended them);
 * - `Ouzel-Stream`, `Ouzel-Subject`, `Ouzel-Sequence`, `Ouzel-Time`: where the event stands, or stood;
 * - `Ouzel-Original`: its own header block in Base64, where it has one;
 * - `Ouzel-Run`: the run; `first` for the first passage;
 * - `Ouzel-Record`: what is known of its attempts, as JSON;
 * - `Ouzel-Routes`: the routes to deliver to, separated by commas; absent: all;
 * - `Ouzel-Letter`: the number of the dead letter that goes when the run has an outcome;
 * - `Ouzel-Cancelled`: somebody decided that it goes no further: it ends as dropped;
 * - `Ouzel-Body`: the object in OUZEL_BODIES that holds the bytes, where they leave no room for the rest.
 */
import type { Position } from './event.ts';
import { headerLine, headerValue } from './headers.ts';

/** How the run of an event's first passage is written. */
export const FIRST_RUN = 'first';

const REPLAY_RUN = /^replay-([\w-]+)/;

/** The run of a replay. @param name Letters, digits, `-` and `_`. */
export const replayRun = (name: string): string => `replay-${name}`;

/** The name of the replay that a run is of, also where a dead letter of it was driven again; undefined for others. */
export const replayOf = (run: string): string | undefined => REPLAY_RUN.exec(run)?.[1];

export interface Handover {
  readonly stream: string;
  readonly subject: string;
  readonly position: Pick<Position, 'sequence' | 'milliseconds' | 'nanoseconds'>;
  /** The event's own header block, or undefined. */
  readonly headers: Uint8Array | undefined;
  /** Empty for the first passage. */
  readonly run: string;
  /** What is known of the attempts, as `core/attempts.ts` writes it; undefined: nothing yet. */
  readonly record: string | undefined;
  /** Undefined: all. */
  readonly routes: readonly string[] | undefined;
  readonly letter: number | undefined;
  readonly bodyName: string | undefined;
  /** Somebody decided that it goes no further. */
  readonly cancelled?: boolean | undefined;
}

/** A handover with where the message stands that brought it. */
export interface Handed extends Handover {
  readonly due: Position;
  readonly lane?: HandedLane | undefined;
}

/** Where an event was stored until the events of its key before it were done with (`flow/order.ts`). */
export interface HandedLane {
  readonly name: string;
  /** Its number in the store. */
  readonly number: number;
  /** Whether it came to its key in the order of the stream. */
  readonly inOrder: boolean;
}

const BELOW_MILLISECOND = 6;

/** RFC 3339 in UTC with nanoseconds, so that an event keeps its identity wherever it is written down. */
export function formatTimestamp({ milliseconds, nanoseconds }: Handover['position']): string {
  const below = String(nanoseconds).padStart(BELOW_MILLISECOND, '0');
  return `${new Date(milliseconds).toISOString().slice(0, -1)}${below}Z`;
}

const TIMESTAMP = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z$/;

/** The inverse of `formatTimestamp`; digits that are not there are zeros. NaN for what is no timestamp. */
export function parseTimestamp(text: string): { milliseconds: number; nanoseconds: number } {
  const [, whole, fraction = ''] = TIMESTAMP.exec(text) ?? [];
  const digits = fraction.padEnd(3 + BELOW_MILLISECOND, '0');
  return {
    milliseconds: whole === undefined ? Number.NaN : Date.parse(`${whole}.${digits.slice(0, 3)}Z`),
    nanoseconds: Number(digits.slice(3)),
  };
}

/** The header lines of a handover. */
export function handoverLines(handover: Handover): string {
  const { stream, subject, position, headers, run, record, routes, letter, bodyName, cancelled } = handover;
  let lines = headerLine('Ouzel-Stream', stream);
  lines += headerLine('Ouzel-Subject', subject);
  lines += headerLine('Ouzel-Sequence', String(position.sequence));
  lines += headerLine('Ouzel-Time', formatTimestamp(position));
  lines += headerLine('Ouzel-Run', run === '' ? FIRST_RUN : run);
  if (headers !== undefined) lines += headerLine('Ouzel-Original', Buffer.from(headers).toString('base64'));
  if (record !== undefined) lines += headerLine('Ouzel-Record', record);
  if (routes !== undefined) lines += headerLine('Ouzel-Routes', routes.join(','));
  if (letter !== undefined) lines += headerLine('Ouzel-Letter', String(letter));
  if (bodyName !== undefined) lines += headerLine('Ouzel-Body', bodyName);
  if (cancelled === true) lines += headerLine('Ouzel-Cancelled', '1');
  return lines;
}

/** Reads a handover from a message's header block; undefined when it is none. */
export function readHandover(block: Uint8Array | undefined): Handover | undefined {
  if (block === undefined) return undefined;
  const stream = headerValue(block, 'Ouzel-Stream');
  const subject = headerValue(block, 'Ouzel-Subject');
  const sequence = Number(headerValue(block, 'Ouzel-Sequence'));
  const timestamp = parseTimestamp(headerValue(block, 'Ouzel-Time') ?? '');
  if (stream === undefined || subject === undefined || !Number.isSafeInteger(sequence)) return undefined;
  if (Number.isNaN(timestamp.milliseconds)) return undefined;
  const run = headerValue(block, 'Ouzel-Run') ?? FIRST_RUN;
  const headers = headerValue(block, 'Ouzel-Original');
  const letter = headerValue(block, 'Ouzel-Letter');
  return {
    stream,
    subject,
    position: { sequence, ...timestamp },
    headers: headers === undefined ? undefined : Buffer.from(headers, 'base64'),
    run: run === FIRST_RUN ? '' : run,
    record: headerValue(block, 'Ouzel-Record'),
    routes: headerValue(block, 'Ouzel-Routes')
      ?.split(',')
      .filter((name) => name !== ''),
    letter: letter === undefined ? undefined : Number(letter),
    bodyName: headerValue(block, 'Ouzel-Body'),
    ...(headerValue(block, 'Ouzel-Cancelled') === undefined ? {} : { cancelled: true }),
  };
}
