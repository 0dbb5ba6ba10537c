/** Times by a pattern, in the words of strftime. */

import { localTime } from './zone.ts';
import type { Timestamp } from './values.ts';

const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const DAY = 86_400_000;

type Field = (date: Date, offset: number) => string;

const pad = (value: number, digits = 2): string => String(value).padStart(digits, '0');

export const dayOfYear = (date: Date): number => {
  const first = new Date(date);
  first.setUTCMonth(0, 1);
  return Math.round((date.getTime() - first.getTime()) / DAY);
};

/** The Thursday of the week decides which year an ISO week belongs to. */
const thursday = (date: Date): Date => new Date(date.getTime() + (4 - (date.getUTCDay() || 7)) * DAY);

const zoneText = (offset: number, separator: string): string =>
  `${offset < 0 ? '-' : '+'}${pad(Math.floor(Math.abs(offset) / 60))}${separator}${pad(Math.abs(offset) % 60)}`;

const FIELDS: ReadonlyMap<string, Field> = new Map<string, Field>([
  ['Y', (date) => pad(date.getUTCFullYear(), 4)],
  ['y', (date) => pad(date.getUTCFullYear() % 100)],
  ['m', (date) => pad(date.getUTCMonth() + 1)],
  ['B', (date) => MONTHS[date.getUTCMonth()] ?? ''],
  ['b', (date) => (MONTHS[date.getUTCMonth()] ?? '').slice(0, 3)],
  ['d', (date) => pad(date.getUTCDate())],
  ['e', (date) => String(date.getUTCDate())],
  ['j', (date) => pad(dayOfYear(date) + 1, 3)],
  ['A', (date) => DAYS[date.getUTCDay()] ?? ''],
  ['a', (date) => (DAYS[date.getUTCDay()] ?? '').slice(0, 3)],
  ['u', (date) => String(date.getUTCDay() || 7)],
  ['G', (date) => pad(thursday(date).getUTCFullYear(), 4)],
  ['V', (date) => pad(Math.floor(dayOfYear(thursday(date)) / 7) + 1)],
  ['H', (date) => pad(date.getUTCHours())],
  ['I', (date) => pad(date.getUTCHours() % 12 || 12)],
  ['p', (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM')],
  ['M', (date) => pad(date.getUTCMinutes())],
  ['S', (date) => pad(date.getUTCSeconds())],
  ['L', (date) => pad(date.getUTCMilliseconds(), 3)],
  ['s', (date, offset) => String(Math.floor((date.getTime() - offset * 60_000) / 1000))],
  ['z', (_date, offset) => zoneText(offset, '')],
  [':z', (_date, offset) => zoneText(offset, ':')],
  ['F', (date) => `${pad(date.getUTCFullYear(), 4)}-${pad(date.getUTCMonth() + 1)}-${pad(date.getUTCDate())}`],
  ['T', (date) => `${pad(date.getUTCHours())}:${pad(date.getUTCMinutes())}:${pad(date.getUTCSeconds())}`],
  ['%', () => '%'],
]);

const FIELD = /%(:z|.|$)/gsu;

/** The first part of a pattern that means nothing, or undefined. */
export function unknownField(pattern: string): string | undefined {
  for (const [whole, name = ''] of pattern.matchAll(FIELD)) if (!FIELDS.has(name)) return whole;
  return undefined;
}

/** The time in a zone by a pattern; undefined for an unknown zone. */
export function strftime(time: Timestamp, pattern: string, zone: string): string | undefined {
  const local = localTime(time, zone);
  if (!local) return undefined;
  return pattern.replace(FIELD, (whole, name: string) => FIELDS.get(name)?.(local.date, local.offset) ?? whole);
}
