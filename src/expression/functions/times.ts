/** Parts of timestamps and durations, and `format`. */

import { ExpressionError } from '../error.ts';
import { MAX_PATTERN_LENGTH } from '../pattern.ts';
import { dayOfYear, strftime, unknownField } from '../strftime.ts';
import { Duration, Timestamp } from '../values.ts';
import { localTime } from '../zone.ts';
import { wrongType } from './spec.ts';
import type { FunctionSpec } from './spec.ts';

/** A part of a timestamp, in UTC or in a zone; of a duration too, where it has one. */
function part(name: string, ofTime: (date: Date) => number, ofDuration?: (length: Duration) => number): FunctionSpec {
  return {
    name,
    form: 'method',
    args: [1, 2],
    usage: `time.${name}() or time.${name}('Europe/Berlin')`,
    call: (site, time, zone = '') => {
      if (time instanceof Duration && ofDuration) return ofDuration(time);
      if (!(time instanceof Timestamp)) {
        return wrongType(site, name, ofDuration ? 'a timestamp or a duration' : 'a timestamp', time);
      }
      if (typeof zone !== 'string') return wrongType(site, name, 'a time zone', zone);
      const local = localTime(time, zone);
      return local ? ofTime(local.date) : site.fault(`${name}(): there is no time zone "${zone.slice(0, 80)}"`, zone);
    },
  };
}

/** Whole units of a length, cut off towards zero. */
const units =
  (size: number) =>
  (length: Duration): number => {
    const total = Math.trunc((length.seconds + length.nanos / 1e9) / size);
    return total === 0 ? 0 : total;
  };

const millisOf = (length: Duration): number => {
  const negative = length.seconds < 0;
  const nanos = negative && length.nanos > 0 ? length.nanos - 1e9 : length.nanos;
  const millis = Math.trunc(nanos / 1e6);
  return millis === 0 ? 0 : millis;
};

const format: FunctionSpec = {
  name: 'format',
  form: 'both',
  args: [2, 3],
  usage: "format(time, '%Y-%m-%d') or format(time, '%H:%M', 'Europe/Berlin')",
  call: (site, time, pattern, zone = '') => {
    if (!(time instanceof Timestamp)) return wrongType(site, 'format', 'a timestamp', time);
    if (typeof pattern !== 'string' || typeof zone !== 'string') {
      return wrongType(site, 'format', 'strings as pattern and zone', typeof pattern === 'string' ? zone : pattern);
    }
    if (pattern.length > MAX_PATTERN_LENGTH)
      return site.fault(`format(): the pattern is longer than ${MAX_PATTERN_LENGTH}`);
    const unknown = unknownField(pattern);
    if (unknown !== undefined) return site.fault(`format(): the pattern has no "${unknown}"`, pattern);
    return strftime(time, pattern, zone) ?? site.fault(`format(): there is no time zone "${zone.slice(0, 80)}"`, zone);
  },
  prepare: (site, [, pattern], [, place = site]) => {
    const unknown = typeof pattern?.value === 'string' ? unknownField(pattern.value) : undefined;
    if (unknown === undefined) return undefined;
    throw new ExpressionError(
      `format(): the pattern has no "${unknown}"`,
      place.offset,
      place.length,
      'Write %% for a percent sign.',
    );
  },
};

export const TIMES: readonly FunctionSpec[] = [
  part('getFullYear', (date) => date.getUTCFullYear()),
  part('getMonth', (date) => date.getUTCMonth()),
  part('getDate', (date) => date.getUTCDate()),
  part('getDayOfMonth', (date) => date.getUTCDate() - 1),
  part('getDayOfWeek', (date) => date.getUTCDay()),
  part('getDayOfYear', dayOfYear),
  part('getHours', (date) => date.getUTCHours(), units(3600)),
  part('getMinutes', (date) => date.getUTCMinutes(), units(60)),
  part('getSeconds', (date) => date.getUTCSeconds(), units(1)),
  part('getMilliseconds', (date) => date.getUTCMilliseconds(), millisOf),
  format,
];
