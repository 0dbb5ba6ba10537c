/** When a schedule ticks: a pure function of its configuration, so that every instance comes to the same instants. */
import { Cron } from 'croner';

/** What decides when a schedule ticks; one of cron, every and at is there. Milliseconds. */
export interface TimingOptions {
  readonly cron?: string | undefined;
  readonly every?: number | undefined;
  /** RFC 3339. */
  readonly at?: string | undefined;
  /** RFC 3339. What `every` counts from. */
  readonly anchor?: string | undefined;
  readonly timezone: string;
}

/** Instants between two others. */
export interface Span {
  /** The newest of them, the oldest first. */
  readonly instants: readonly number[];
  /** How many came before these. */
  readonly left: number;
  /** Whether there may be even more. */
  readonly uncounted: boolean;
}

/** Instants in milliseconds since the epoch. */
export interface Timing {
  /** The first instant behind this one; undefined when there is none any more. */
  next(after: number): number | undefined;
  /** The last instant up to and with this one; undefined when there was none yet. */
  last(until: number): number | undefined;
  /**
   * The instants behind `after` up to and with `until`.
   *
   * @param most How many of them are given at most: the newest.
   */
  between(after: number, until: number, most: number): Span;
}

/** Instants that are counted, at most: of each second of a year nobody needs to know the number. */
const COUNTED = 500;

/** From when on a pattern is tried: the same on every instance, whenever it is loaded. */
const TRIED_AT = Date.UTC(2026, 0, 1);

/** Makes it ready. The options are those of a configuration that was checked. */
export function timingOf({ cron, every, at, anchor, timezone }: TimingOptions): Timing {
  if (every !== undefined) return intervalTiming(every, anchor === undefined ? 0 : Date.parse(anchor));
  if (cron !== undefined) return cronTiming(cron, timezone);
  return onceTiming(Date.parse(at ?? ''));
}

/** By elapsed time: no clock change matters. The first is the anchor itself. */
function intervalTiming(every: number, anchor: number): Timing {
  /** The number of the last instant up to a time; -1 before the first. */
  const numberAt = (time: number): number => Math.max(-1, Math.floor((time - anchor) / every));
  const instantOf = (number: number): number => anchor + number * every;
  return {
    next: (after) => instantOf(numberAt(after) + 1),
    last: (until) => (until < anchor ? undefined : instantOf(numberAt(until))),
    between(after, until, most) {
      const last = numberAt(until);
      const count = Math.max(0, last - numberAt(after));
      const given = Math.min(count, most);
      const instants = Array.from({ length: given }, (_, index) => instantOf(last - given + 1 + index));
      return { instants, left: count - given, uncounted: false };
    },
  };
}

const onceTiming = (at: number): Timing => ({
  next: (after) => (at > after ? at : undefined),
  last: (until) => (at <= until ? at : undefined),
  between: (after, until) => ({ instants: at > after && at <= until ? [at] : [], left: 0, uncounted: false }),
});

/**
 * Hours, minutes and seconds that are written out are times of day: one that a change of the clock leaves out comes once,
 * right after the gap, and one that comes twice counts once. With a `*` or a step it goes by elapsed time.
 */
const cronOf = (pattern: string, timezone: string): Cron =>
  new Cron(pattern, { timezone, mode: '5-or-6-parts', fixedTimeRule: 'no-wildcard', paused: true });

function cronTiming(pattern: string, timezone: string): Timing {
  const cron = cronOf(pattern, timezone);
  const next = (after: number): number | undefined => cron.nextRun(new Date(after))?.getTime();
  /** The newest first. What croner gives is before the reference, and it may be this very millisecond. */
  const before = (until: number, most: number): number[] =>
    cron.previousRuns(most, new Date(until + 1)).map((run) => run.getTime());
  return {
    next,
    last: (until) => before(until, 1)[0],
    between(after, until, most) {
      const instants = before(until, most)
        .filter((run) => run > after)
        .reverse();
      const [oldest] = instants;
      let left = 0;
      // Fewer than asked for: there are no more.
      if (oldest !== undefined && instants.length === most)
        for (let each = next(after); each !== undefined && each < oldest && left < COUNTED; each = next(each)) left++;
      return { instants, left, uncounted: left === COUNTED };
    },
  };
}

/** What is wrong with a pattern, and where in it. */
export interface PatternProblem {
  readonly message: string;
  readonly offset?: number;
  readonly length?: number;
  readonly hint: string;
}

const FIELDS = ['second', 'minute', 'hour', 'day of month', 'month', 'day of week'];
const HINT = 'minute, hour, day of month, month, day of week; or six fields with the second first';

/** Why a pattern is none, or undefined when it is one. */
export function patternProblem(pattern: string): PatternProblem | undefined {
  if (pattern.trim().startsWith('@')) return triedProblem(pattern.trim());
  const fields = [...pattern.matchAll(/\S+/g)];
  if (fields.length !== 5 && fields.length !== 6)
    return { message: `"${pattern}" is not a cron pattern: it has ${fields.length} fields`, hint: HINT };
  const names = FIELDS.slice(-fields.length);
  for (const [index, { 0: text, index: offset }] of fields.entries()) {
    // Alone among stars, so that it is known which field is wrong.
    const alone = fields.map((_, other) => (other === index ? text : '*')).join(' ');
    const problem = errorOf(alone);
    if (problem === undefined) continue;
    return {
      message: `"${text}" is no ${names[index] ?? 'field'} of a cron pattern`,
      offset,
      length: text.length,
      hint: problem,
    };
  }
  return triedProblem(pattern);
}

function triedProblem(pattern: string): PatternProblem | undefined {
  const problem = errorOf(pattern);
  if (problem !== undefined) return { message: `"${pattern}" is not a cron pattern`, hint: problem };
  try {
    if (cronOf(pattern, 'UTC').nextRun(new Date(TRIED_AT)) !== null) return undefined;
  } catch {
    // A day that no month has ends the search for it with an error.
  }
  return { message: `"${pattern}" never comes`, hint: 'the day that it asks for is in none of its months' };
}

function errorOf(pattern: string): string | undefined {
  try {
    cronOf(pattern, 'UTC');
    return undefined;
  } catch (error) {
    const text = (error as Error).message.replace(/^\w+: /, '');
    return text.charAt(0).toLowerCase() + text.slice(1);
  }
}

/** Instants that are looked at for the shortest time between two of them. */
const LOOKED_AT = 50;

/** The shortest time between two ticks, as far as the first of a year show it; undefined where there is one only. */
export function shortestGap(timing: Timing): number | undefined {
  let shortest: number | undefined;
  let before = timing.next(TRIED_AT);
  for (let count = 0; before !== undefined && count < LOOKED_AT; count++) {
    const next = timing.next(before);
    if (next !== undefined) shortest = Math.min(shortest ?? Number.POSITIVE_INFINITY, next - before);
    before = next;
  }
  return shortest;
}
