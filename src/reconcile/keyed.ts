/** The stages that tell events apart by a key and remember something of each: `dedupe`, `count` and `debounce`. */
import { formatDuration } from '../config/fields.ts';
import type { OnceStage, Step } from '../core/plan.ts';
import { OuzelError } from '../errors.ts';
import type { Expression } from '../expression/index.ts';
import { keyBy, type KeyOf } from '../flow/by.ts';
import { Count } from '../flow/count.ts';
import { Debounce } from '../flow/debounce.ts';
import { dedupeStep } from '../flow/dedupe.ts';
import type { FlowContext, FlowStage } from './flow.ts';

export function dedupeStage({ settings, seen, dropped, ...context }: FlowContext): FlowStage | undefined {
  if (settings.dedupe === undefined) return undefined;
  const { by, within } = settings.dedupe;
  const keyOf: KeyOf =
    by === undefined ? ({ event }) => JSON.stringify([event.source, event.id]) : boundKey(by, context);
  const what = by?.source ?? 'source and id';
  return {
    kind: 'dedupe',
    options: settings.dedupe,
    step: seen === undefined ? nowhere('dedupe') : dedupeStep(seen, keyOf, within, dropped('duplicate')),
    says: (run) =>
      keyOf(run) === undefined
        ? `has no ${what}, and goes on`
        : `goes on, unless another with this ${what} came within ${formatDuration(within)}`,
    dry: true,
  };
}

export function countStage({ settings, seen, dropped, ...context }: FlowContext): FlowStage | undefined {
  if (settings.count === undefined) return undefined;
  const { by, within, at } = settings.count;
  const keyOf = boundKey(by, context);
  const options = { keyOf, within, at, counted: dropped('counted') };
  return {
    kind: 'count',
    options: settings.count,
    step: seen === undefined ? nowhere('count') : new Count({ ...options, events: seen }).step,
    says: (run) => `goes on if it is number ${at} of ${among(keyOf(run), by)} within ${formatDuration(within)}`,
    dry: true,
  };
}

export function debounceStage({ settings, held, dropped, ...context }: FlowContext): FlowStage | undefined {
  if (settings.debounce === undefined) return undefined;
  const { by, quiet, at_most: atMost } = settings.debounce;
  const keyOf = boundKey(by, context);
  const options = { keyOf, quiet, atMost, superseded: dropped('superseded') };
  const bound = atMost === undefined ? '' : `, or for ${formatDuration(atMost)} in all`;
  return {
    kind: 'debounce',
    options: settings.debounce,
    step: held === undefined ? nowhere('debounce') : new Debounce({ ...options, held }).step,
    says: (run) =>
      `waits until ${among(keyOf(run), by)} were quiet for ${formatDuration(quiet)}${bound}; the newest goes on`,
    dry: true,
  };
}

/** The step where nothing runs: `explain` passes it by. */
const nowhere = (name: OnceStage): Step => ({
  name,
  run: () => {
    throw new OuzelError('INTERNAL', `${name} without a place to remember events in`);
  },
});

const among = (value: string | undefined, by: Expression | undefined): string => {
  if (by === undefined) return 'all events of the consumer';
  return value === undefined ? `those without ${by.source}` : `those with ${by.source} ${JSON.stringify(value)}`;
};

const boundKey = (source: Expression | undefined, { bind, missing }: Pick<FlowContext, 'bind' | 'missing'>): KeyOf =>
  keyBy(source === undefined ? undefined : { source, evaluate: bind(source) }, missing);
