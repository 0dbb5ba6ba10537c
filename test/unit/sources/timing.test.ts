/** The instants of schedules, against a model that walks every minute of the clock around each change of 2026. */
import { describe, expect, it } from 'vitest';
import { patternProblem, shortestGap, timingOf } from '../../../src/sources/schedules/timing.ts';
import { zonedTime, zoneHint } from '../../../src/sources/schedules/zone.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ZONES = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'America/Santiago', 'Asia/Kolkata'];

/** What the clock of a zone shows, as if it were UTC. */
function wallOf(zone: string): (instant: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  return (instant) => {
    const parts = new Map(format.formatToParts(instant).map(({ type, value }) => [type, Number(value)]));
    const of = (type: Intl.DateTimeFormatPartTypes): number => parts.get(type) ?? 0;
    return Date.UTC(of('year'), of('month') - 1, of('day'), of('hour'), of('minute'), of('second'));
  };
}

/** The instants of 2026 from which on the clock goes by another offset. */
function changesOf(zone: string): number[] {
  const wall = wallOf(zone);
  const offset = (instant: number): number => wall(instant) - instant;
  const changes: number[] = [];
  for (let day = Date.UTC(2026, 0, 1); day < Date.UTC(2027, 0, 1); day += DAY) {
    if (offset(day) === offset(day + DAY)) continue;
    let minute = day;
    while (offset(minute) === offset(day)) minute += MINUTE;
    changes.push(minute);
  }
  return changes;
}

interface Pattern {
  readonly text: string;
  readonly minutes: readonly number[];
  readonly hours: readonly number[];
  /** Written out, so that they are times of day. */
  readonly fixed: boolean;
}

const ALL_HOURS = Array.from({ length: 24 }, (_, hour) => hour);
const every = (step: number): number[] => Array.from({ length: 60 / step }, (_, index) => index * step);

const PATTERNS: readonly Pattern[] = [
  { text: '30 2 * * *', minutes: [30], hours: [2], fixed: true },
  { text: '0 0 * * *', minutes: [0], hours: [0], fixed: true },
  { text: '15,45 0,1,2,3 * * *', minutes: [15, 45], hours: [0, 1, 2, 3], fixed: true },
  { text: '0 1-3 * * *', minutes: [0], hours: [1, 2, 3], fixed: true },
  { text: '59 23 * * *', minutes: [59], hours: [23], fixed: true },
  { text: '*/10 * * * *', minutes: every(10), hours: ALL_HOURS, fixed: false },
  { text: '30 * * * *', minutes: [30], hours: ALL_HOURS, fixed: false },
  { text: '*/15 1-2 * * *', minutes: every(15), hours: [1, 2], fixed: false },
];

/** What a pattern is to come to between two instants. */
function model({ minutes, hours, fixed }: Pattern, zone: string, from: number, until: number): number[] {
  const wall = wallOf(zone);
  const found = new Set<number>();
  let before = wall(from - MINUTE);
  for (let instant = from; instant < until; instant += MINUTE) {
    const now = wall(instant);
    // What a gap leaves out comes at its end, in order of the clock; what comes again has been there.
    for (let each = before + MINUTE; each <= now; each += MINUTE) {
      const local = new Date(each);
      const matches = minutes.includes(local.getUTCMinutes()) && hours.includes(local.getUTCHours());
      if (matches && (each === now || fixed)) found.add(instant);
    }
    if (!fixed && now <= before) {
      const local = new Date(now);
      if (minutes.includes(local.getUTCMinutes()) && hours.includes(local.getUTCHours())) found.add(instant);
    }
    // Behind an overlap, a time of day is new only where it was not seen.
    before = fixed ? Math.max(before, now) : now;
  }
  return [...found];
}

const texts = (instants: readonly number[], zone: string): string[] => instants.map((each) => zonedTime(each, zone));

describe.each(ZONES)('%s', (zone) => {
  const changes = changesOf(zone);
  // A zone without changes has its ordinary days.
  const moments = changes.length === 0 ? [Date.UTC(2026, 2, 29, 1)] : changes;

  it(`has ${zone === 'Asia/Kolkata' ? 'no change' : 'two changes'} in 2026`, () => {
    expect(changes).toHaveLength(zone === 'Asia/Kolkata' ? 0 : 2);
  });

  it.each(PATTERNS)('$text ticks as the model says around each change', (pattern) => {
    const timing = timingOf({ cron: pattern.text, timezone: zone });
    for (const change of moments) {
      const [from, until] = [change - 2 * DAY, change + 2 * DAY];
      const expected = model(pattern, zone, from, until);
      expect(expected.length).toBeGreaterThan(2);
      const ticks: number[] = [];
      for (let each = timing.next(from - 1); each !== undefined && each < until; each = timing.next(each))
        ticks.push(each);
      expect(texts(ticks, zone)).toEqual(texts(expected, zone));
      // Backwards it is the same, from anywhere.
      const { instants, left } = timing.between(from - 1, until - 1, 5);
      expect(texts(instants, zone)).toEqual(texts(expected.slice(-5), zone));
      expect(left).toBe(Math.min(500, Math.max(0, expected.length - 5)));
      for (const [index, each] of expected.entries()) {
        if (Math.abs(each - change) > 4 * HOUR) continue;
        expect(timing.last(each)).toBe(each);
        if (index > 0) expect(timing.last(each - 1)).toBe(expected[index - 1]);
        expect(timing.next(each - 1)).toBe(each);
      }
    }
  });

  it('an interval goes by elapsed time', () => {
    const timing = timingOf({ every: 90 * MINUTE, timezone: zone });
    for (const change of moments) {
      let before = timing.next(change - DAY) ?? 0;
      for (let each = timing.next(before); each !== undefined && each < change + DAY; each = timing.next(each)) {
        expect(each - before).toBe(90 * MINUTE);
        before = each;
      }
    }
  });
});

it('an interval counts from its anchor, which is its first tick', () => {
  const anchor = '2026-03-01T00:00:10Z';
  const timing = timingOf({ every: HOUR, anchor, timezone: 'UTC' });
  const first = Date.parse(anchor);
  expect(timing.next(0)).toBe(first);
  expect(timing.last(first - 1)).toBeUndefined();
  expect(timing.next(first)).toBe(first + HOUR);
  expect(timing.between(0, first + 10 * HOUR, 3)).toEqual({
    instants: [8, 9, 10].map((hours) => first + hours * HOUR),
    left: 8,
    uncounted: false,
  });
  expect(timing.between(first, first, 3).instants).toEqual([]);
});

it('what ticks once ticks once', () => {
  const at = '2026-03-01T00:00:10Z';
  const timing = timingOf({ at, timezone: 'UTC' });
  expect(timing.next(0)).toBe(Date.parse(at));
  expect(timing.next(Date.parse(at))).toBeUndefined();
  expect(timing.between(0, Date.parse(at), 5).instants).toEqual([Date.parse(at)]);
  expect(timing.between(Date.parse(at), Date.parse(at) + DAY, 5).instants).toEqual([]);
});

it.each([
  ['0 9 * * MON-FRI', '2026-01-02T12:00:00Z', '2026-01-05T09:00:00Z'],
  ['0 9 * JAN,JUL MON#1', '2026-01-06T00:00:00Z', '2026-07-06T09:00:00Z'],
  ['0 0 L * *', '2026-02-01T00:00:00Z', '2026-02-28T00:00:00Z'],
  ['0 0 L 2 *', '2028-01-01T00:00:00Z', '2028-02-29T00:00:00Z'],
  ['0 0 * * FRI#L', '2026-01-01T00:00:00Z', '2026-01-30T00:00:00Z'],
  ['0 0 * * 5L', '2026-01-01T00:00:00Z', '2026-01-30T00:00:00Z'],
  ['30 */5 * * * *', '2026-01-01T00:00:31Z', '2026-01-01T00:05:30Z'],
  ['0 12 13 * FRI', '2026-02-01T00:00:00Z', '2026-02-06T12:00:00Z'],
  ['@daily', '2026-01-01T00:00:00Z', '2026-01-02T00:00:00Z'],
])('%s after %s is %s', (cron, after, next) => {
  expect(patternProblem(cron)).toBeUndefined();
  expect(timingOf({ cron, timezone: 'UTC' }).next(Date.parse(after))).toBe(Date.parse(next));
});

it.each([
  ['0 9 * *', undefined],
  ['0 9 * * * * *', undefined],
  ['61 9 * * *', '61'],
  ['0 9 * FOO *', 'FOO'],
  ['0 9 * * MON#6', 'MON#6'],
  ['0 9 */0 * *', '*/0'],
  ['@reboot', undefined],
  ['@hardly', undefined],
  ['0 9 31 2 *', undefined],
  ['2026-12-01T00:00:00', undefined],
  ['', undefined],
])('"%s" is no pattern, and %s is pointed at', (pattern, culprit) => {
  const problem = patternProblem(pattern);
  expect(problem?.message).toContain(pattern === '' ? 'cron' : (culprit ?? pattern));
  expect(problem?.hint).not.toBe('');
  if (culprit !== undefined) {
    const { offset = -1, length = 0 } = problem ?? {};
    expect(pattern.slice(offset, offset + length)).toBe(culprit);
  }
});

it('zones are names; an offset or a slip of the finger is none', () => {
  expect(zoneHint('Europe/Berlin')).toBeUndefined();
  expect(zoneHint('Asia/Calcutta')).toBeUndefined();
  expect(zoneHint('UTC')).toBeUndefined();
  expect(zoneHint('Europe/Berln')).toContain('"Europe/Berlin"');
  expect(zoneHint('new_york')).toContain('"America/New_York"');
  expect(zoneHint('+02:00')).toContain('Europe/Berlin');
  expect(zoneHint('')).toContain('Europe/Berlin');
});

it('the shortest time between two ticks is found', () => {
  expect(shortestGap(timingOf({ cron: '0,10 3 * * *', timezone: 'UTC' }))).toBe(10 * MINUTE);
  expect(shortestGap(timingOf({ every: 7000, timezone: 'UTC' }))).toBe(7000);
  expect(shortestGap(timingOf({ at: '2026-03-01T00:00:10Z', timezone: 'UTC' }))).toBeUndefined();
});
