/** Time zones: what the clock shows at a point in time. */

import type { Timestamp } from './values.ts';

const MAX_CACHED = 100;
const formats = new Map<string, Intl.DateTimeFormat>();

/** The local time as the UTC fields of a Date, with the offset from UTC in minutes; undefined for an unknown zone. */
export function localTime(time: Timestamp, zone: string): { readonly date: Date; readonly offset: number } | undefined {
  const offset = offsetOf(time, zone);
  return offset === undefined ? undefined : { date: new Date(time.millis + offset * 60_000), offset };
}

function offsetOf(time: Timestamp, zone: string): number | undefined {
  if (zone === '' || zone === 'UTC' || zone === 'Z') return 0;
  const fixed = /^([+-]?)(\d{1,2}):(\d{2})$/.exec(zone);
  if (fixed) {
    const minutes = Number(fixed[2]) * 60 + Number(fixed[3]);
    return minutes > 24 * 60 || Number(fixed[3]) > 59 ? undefined : fixed[1] === '-' ? -minutes : minutes;
  }
  const format = formatOf(zone);
  return format && offsetBy(format, time.seconds * 1000);
}

function offsetBy(format: Intl.DateTimeFormat, millis: number): number {
  const parts = new Map(format.formatToParts(millis).map((part) => [part.type, Number(part.value)]));
  const part = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
  const local = new Date(0);
  local.setUTCFullYear(part('year'), part('month') - 1, part('day'));
  local.setUTCHours(part('hour'), part('minute'), part('second'));
  return Math.round((local.getTime() - millis) / 60_000);
}

function formatOf(zone: string): Intl.DateTimeFormat | undefined {
  const cached = formats.get(zone);
  if (cached) return cached;
  let format: Intl.DateTimeFormat;
  try {
    format = new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      calendar: 'iso8601',
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  } catch {
    return undefined;
  }
  if (formats.size >= MAX_CACHED) formats.clear();
  formats.set(zone, format);
  return format;
}
