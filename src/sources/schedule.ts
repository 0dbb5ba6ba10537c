/** Schedules: what a source says of the times at which it ticks. How they tick is in `schedules/`. */
import { z } from 'zod';
import { present } from '../config/components.ts';
import { duration, formatDuration, instant, type IssueDetails } from '../config/fields.ts';
import { defineSource } from './component.ts';
import { patternProblem, shortestGap, timingOf } from './schedules/timing.ts';
import { zoneHint } from './schedules/zone.ts';

const cron = z.string().superRefine((value, context) => {
  const problem = patternProblem(value);
  if (problem === undefined) return;
  const { message, ...where } = problem;
  const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', ...where };
  context.addIssue({ code: 'custom', message, params: { ...params } });
});

const timezone = z.string().superRefine((value, context) => {
  const hint = zoneHint(value);
  if (hint === undefined) return;
  const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
  context.addIssue({ code: 'custom', message: `there is no time zone "${value}"`, params: { ...params } });
});

const WAYS = [{ name: 'cron' }, { name: 'every' }, { name: 'at' }];

const options = z
  .strictObject({
    cron: cron
      .optional()
      .describe(
        'A cron pattern of 5 fields (minute, hour, day of month, month, day of week) or 6 (the second first), with names (`MON-FRI`, `JAN`), `L` (the last day; `5L` or `FRI#L`, the last Friday), `#` (`MON#1`, the first Monday), `W` (the nearest weekday), and `@daily` and the like.',
      ),
    every: duration({ min: 1000 })
      .optional()
      .describe('By elapsed time, counted from `anchor`: no change of the clocks matters.'),
    at: instant().optional().describe('Once, at this instant.'),
    anchor: instant()
      .optional()
      .describe(
        'What `every` counts from, and its first tick. Default: 1970-01-01T00:00:00Z, so that `1h` is on the hour.',
      ),
    timezone: timezone.default('UTC').describe('The time zone of `cron`, and of `schedule.time`: `Europe/Berlin`.'),
    missed: z
      .enum(['skip', 'last', 'all'])
      .default('last')
      .describe(
        'What becomes of ticks whose time came while no instance could publish them: `skip`, none of them (one that is late by a minute at most still comes); `last`, the newest; `all`, each, up to `missed_limit`.',
      ),
    missed_limit: z
      .number()
      .int()
      .min(1)
      .max(1000)
      .default(100)
      .describe('How many `missed: all` makes up for, the newest.'),
    jitter: duration({ min: 0, max: 86_400_000 })
      .default(0)
      .describe(
        'Each tick comes later by up to this, so that not all schedules come at once: the same on all instances, another for each tick. Shorter than the time between two ticks.',
      ),
  })
  .superRefine((value, context) => {
    present(value, context, WAYS, 'exactly one');
    const say = (path: string, message: string, hint?: string): void => {
      const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
      context.addIssue({ code: 'custom', path: [path], message, params: { ...params } });
    };
    if (value.anchor !== undefined && value.every === undefined) say('anchor', 'an anchor is for `every`');
    const { jitter } = value;
    if (jitter === 0 || (value.cron === undefined && value.every === undefined)) return;
    const gap = shortestGap(timingOf(value));
    if (gap !== undefined && jitter >= gap)
      say('jitter', `a jitter of ${formatDuration(jitter)} is too long`, `ticks come every ${formatDuration(gap)}`);
  });

export const schedule = defineSource({
  name: 'schedule',
  summary: 'Ticks at times of its own: each becomes one event, however many instances there are.',
  example: '{ cron: "0 3 * * *", timezone: Europe/Berlin, missed: last }',
  options,
});

export type ScheduleOptions = z.output<typeof options>;
