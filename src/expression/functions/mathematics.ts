/** Functions of numbers and of lists of values. */

import { compare } from '../equality.ts';
import type { Fault, Site } from '../fault.ts';
import { add, negate, roundTo } from '../numbers.ts';
import { Duration, isNum, aTypeName } from '../values.ts';
import type { Num } from '../values.ts';
import { addTimes } from '../time.ts';
import { wrongType } from './spec.ts';
import type { FunctionSpec } from './spec.ts';

const abs: FunctionSpec = {
  name: 'abs',
  form: 'both',
  args: [1, 1],
  usage: 'abs(number)',
  call: (site, value) =>
    isNum(value) ? (value < 0 ? negate(value) : value) : wrongType(site, 'abs', 'a number', value),
};

const round: FunctionSpec = {
  name: 'round',
  form: 'both',
  args: [1, 2],
  usage: 'round(number) or round(number, digits)',
  call: (site, value, digits = 0) => {
    if (!isNum(value)) return wrongType(site, 'round', 'a number', value);
    if (typeof digits !== 'number' || !Number.isInteger(digits) || digits < 0 || digits > 15) {
      return wrongType(site, 'round', 'digits from 0 to 15', digits);
    }
    return typeof value === 'bigint' ? value : roundTo(value, digits);
  },
};

/** `min` and `max`: of the arguments, or of one list. */
function extreme(name: 'min' | 'max', better: (order: number) => boolean): FunctionSpec {
  return {
    name,
    form: 'both',
    args: [1, Infinity],
    usage: `${name}(a, b) or ${name}(list)`,
    spread: true,
    call: (site, ...args) => {
      const [first] = args;
      const values: readonly unknown[] = args.length === 1 && Array.isArray(first) ? first : args;
      if (values.length === 0) return site.fault(`${name}(): the list is empty`);
      let best = values[0];
      if (compare(best, best) === undefined) return wrongType(site, name, 'values that can be compared', best);
      for (const value of values) {
        const order = compare(value, best);
        if (order === undefined)
          return site.fault(`${name}() cannot compare ${aTypeName(value)} with ${aTypeName(best)}`, value);
        if (better(order)) best = value;
      }
      return best;
    },
  };
}

const sum: FunctionSpec = {
  name: 'sum',
  form: 'both',
  args: [1, 1],
  usage: 'sum(list)',
  call: (site, list) => {
    if (!Array.isArray(list)) return wrongType(site, 'sum', 'a list', list);
    const items: readonly unknown[] = list;
    if (items.length > 0 && items.every((item) => item instanceof Duration)) return sumOfDurations(items, site);
    let total: Num = 0;
    for (const item of items) {
      if (!isNum(item)) return wrongType(site, 'sum', 'a list of numbers', item);
      const next = add(total, item);
      if (next === undefined) return site.fault('sum(): the result is out of range');
      total = next;
    }
    return total;
  },
};

function sumOfDurations(items: readonly Duration[], site: Site): unknown {
  let total: unknown = new Duration(0, 0);
  for (const item of items) total = addTimes(total, item);
  return total ?? outOfRange(site);
}

const outOfRange = (site: Site): Fault => site.fault('sum(): the result is out of range');

export const MATHEMATICS: readonly FunctionSpec[] = [
  abs,
  round,
  extreme('min', (order) => order < 0),
  extreme('max', (order) => order > 0),
  sum,
];
