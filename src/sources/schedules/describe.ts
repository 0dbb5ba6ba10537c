/** When a schedule ticks, for people to read. */
import { formatDuration } from '../../config/fields.ts';
import type { TimingOptions } from './timing.ts';

/** `0 3 * * *`, `every 15m`, `at 2026-01-31T08:00:00Z`. */
export function describeWhen({ cron, every, at, anchor }: TimingOptions): string {
  if (cron !== undefined) return cron;
  if (every === undefined) return `at ${at ?? ''}`;
  return `every ${formatDuration(every)}${anchor === undefined ? '' : ` from ${anchor}`}`;
}
