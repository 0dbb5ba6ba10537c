/** Timestamps and durations as text, and their arithmetic. */

import { Duration, Timestamp } from './values.ts';

/** 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z. */
const MIN_SECONDS = -62_135_596_800;
const MAX_SECONDS = 253_402_300_799;
const MAX_DURATION_SECONDS = 315_576_000_000;
const BILLION = 1_000_000_000;

/** Longer texts are neither, whatever is in them. */
const MAX_TEXT = 100;

const RFC3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9})\d*)?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/;

/** The days of a month, and the days before it in a year that is no leap year. */
const DAYS_IN = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
const DAYS_BEFORE = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];

const isLeap = (year: number): boolean => year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0);

/** Days since 1970-01-01, or undefined for a day that does not exist. By hand: a Date costs more than all the rest. */
function daysOf(year: number, month: number, day: number): number | undefined {
  const leapDay = month === 2 && isLeap(year) ? 1 : 0;
  if (day < 1 || day > (DAYS_IN[month - 1] ?? 0) + leapDay) return undefined;
  const past = year - 1;
  const leapDays = Math.floor(past / 4) - Math.floor(past / 100) + Math.floor(past / 400);
  const inYear = (DAYS_BEFORE[month - 1] ?? 0) + (month > 2 && isLeap(year) ? 1 : 0) + day - 1;
  return past * 365 + leapDays + inYear - 719_162;
}

/** The last text read and its timestamp: the filters of one event ask for the same time again and again. */
let last: { readonly text: string; readonly time: Timestamp } | undefined;

/** The timestamp of an RFC 3339 text, or undefined. */
export function parseTimestamp(text: string): Timestamp | undefined {
  if (last?.text === text) return last.time;
  const parts = text.length > MAX_TEXT ? null : RFC3339.exec(text);
  if (!parts) return undefined;
  const number = (index: number): number => Number(parts[index] ?? 0);
  const days = daysOf(number(1), number(2), number(3));
  if (days === undefined) return undefined;
  if (number(4) > 23 || number(5) > 59 || number(6) > 60 || number(9) > 23 || number(10) > 59) return undefined;
  const offset = (number(9) * 60 + number(10)) * 60 * (parts[8] === '-' ? -1 : 1);
  const seconds = days * 86_400 + number(4) * 3600 + number(5) * 60 + number(6) - offset;
  const time = timestamp(seconds, Number((parts[7] ?? '').padEnd(9, '0')));
  if (time) last = { text, time };
  return time;
}

/** A timestamp from any seconds and nanos, or undefined outside of years 1 to 9999. */
export function timestamp(seconds: number, nanos: number): Timestamp | undefined {
  const whole = seconds + Math.floor(nanos / BILLION);
  if (!(whole >= MIN_SECONDS && whole <= MAX_SECONDS)) return undefined;
  return new Timestamp(whole, nanos - Math.floor(nanos / BILLION) * BILLION);
}

/** A duration from any seconds and nanos, or undefined beyond ±10,000 years. */
function duration(seconds: number, nanos: number): Duration | undefined {
  const whole = seconds + Math.floor(nanos / BILLION);
  if (!(whole >= -MAX_DURATION_SECONDS && whole <= MAX_DURATION_SECONDS)) return undefined;
  return new Duration(whole, nanos - Math.floor(nanos / BILLION) * BILLION);
}

const fraction = (nanos: number): string => {
  if (nanos === 0) return '';
  const digits = String(nanos).padStart(9, '0');
  return `.${digits.endsWith('000000') ? digits.slice(0, 3) : digits.endsWith('000') ? digits.slice(0, 6) : digits}`;
};

/** RFC 3339 in UTC, with as many digits of a second as are needed (0, 3, 6 or 9). */
export function formatTimestamp(time: Timestamp): string {
  return `${new Date(time.seconds * 1000).toISOString().slice(0, 19)}${fraction(time.nanos)}Z`;
}

/** Seconds with a decimal fraction as needed: `90s`, `3.5s`, `-0.25s`. */
export function formatDuration(length: Duration): string {
  const negative = length.seconds < 0;
  const seconds = negative && length.nanos > 0 ? -(length.seconds + 1) : Math.abs(length.seconds);
  const nanos = negative && length.nanos > 0 ? BILLION - length.nanos : length.nanos;
  const digits = nanos === 0 ? '' : `.${String(nanos).padStart(9, '0').replace(/0+$/, '')}`;
  return `${negative ? '-' : ''}${seconds}${digits}s`;
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ['d', 86_400 * BILLION],
  ['h', 3600 * BILLION],
  ['m', 60 * BILLION],
  ['s', BILLION],
  ['ms', 1_000_000],
  ['us', 1000],
  ['µs', 1000],
  ['ns', 1],
]);

/** The duration of a text such as `1h30m`, `-2.5s`, `250ms`, `7d`, or undefined. */
export function parseDuration(text: string): Duration | undefined {
  if (
    text.length > MAX_TEXT ||
    !/^[+-]?(?:0|(?:(?:\d{1,15}(?:\.\d{0,18})?|\.\d{1,18})(?:ms|us|µs|ns|d|h|m|s))+)$/.test(text)
  )
    return undefined;
  let seconds = 0;
  let nanos = 0;
  for (const [, whole = '', part = '', unit = ''] of text.matchAll(/(\d*)(?:\.(\d*))?(ms|us|µs|ns|d|h|m|s)/g)) {
    const size = UNITS.get(unit) ?? 0;
    if (size >= BILLION) seconds += Number(whole || 0) * (size / BILLION);
    else {
      const perSecond = BILLION / size;
      seconds += Math.floor(Number(whole || 0) / perSecond);
      nanos += (Number(whole || 0) % perSecond) * size;
    }
    nanos += Math.round(Number(`0.${part || 0}`) * size);
  }
  return text.startsWith('-') ? duration(-seconds, -nanos) : duration(seconds, nanos);
}

type Sum = Timestamp | Duration | undefined;

/** Time plus length; undefined when the two cannot be added, null when the sum is out of range. */
export function addTimes(a: unknown, b: unknown): Sum | null {
  if (a instanceof Timestamp && b instanceof Duration)
    return timestamp(a.seconds + b.seconds, a.nanos + b.nanos) ?? null;
  if (a instanceof Duration && b instanceof Timestamp) return addTimes(b, a);
  if (a instanceof Duration && b instanceof Duration) return duration(a.seconds + b.seconds, a.nanos + b.nanos) ?? null;
  return undefined;
}

/** Time less length, or the length between two times; undefined and null as in {@link addTimes}. */
export function subtractTimes(a: unknown, b: unknown): Sum | null {
  if (a instanceof Timestamp && b instanceof Timestamp) {
    return duration(a.seconds - b.seconds, a.nanos - b.nanos) ?? null;
  }
  if (!(b instanceof Duration)) return undefined;
  if (a instanceof Timestamp) return timestamp(a.seconds - b.seconds, a.nanos - b.nanos) ?? null;
  if (a instanceof Duration) return duration(a.seconds - b.seconds, a.nanos - b.nanos) ?? null;
  return undefined;
}
