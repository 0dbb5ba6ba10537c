/** Lets events pass that happened within business hours: by the event's own time, so that a replay decides the same. */
import { defineFilter, z } from 'ouzel';

const isTimezone = (name: string): boolean => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name }).format();
    return true;
  } catch {
    return false;
  }
};

const DAYS = ['Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat', 'Sun'] as const;

export const businessHours = defineFilter({
  options: z.object({
    from: z.number().int().min(0).max(23).default(9),
    to: z.number().int().min(1).max(24).default(17),
    days: z.array(z.enum(DAYS)).min(1).default(['Mon', 'Tue', 'Wed', 'Thu', 'Fri']),
    timezone: z.string().refine(isTimezone, 'there is no such time zone').default('UTC'),
  }),
  setup: ({ options: { from, to, days, timezone } }) => {
    const format = new Intl.DateTimeFormat('en-GB', { timeZone: timezone, weekday: 'short', hour: 'numeric' });
    return (event) => {
      const parts = format.formatToParts(new Date(event.time));
      const part = (type: 'weekday' | 'hour'): string => parts.find((each) => each.type === type)?.value ?? '';
      const hour = Number(part('hour')) % 24;
      return days.some((day) => day === part('weekday')) && hour >= from && hour < to;
    };
  },
});
