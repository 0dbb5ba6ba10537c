/** The stages of flow control that a consumer has, in the one order: a stage that is not configured does not exist. */
import { formatDuration } from '../config/fields.ts';
import type { GroupConfig } from '../config/flow/group.ts';
import type { ConsumerConfig } from '../config/schema.ts';
import type { Outcome, Step } from '../core/plan.ts';
import type { Run } from '../core/run.ts';
import { type Expression, Fault, toJson, toJsonText } from '../expression/index.ts';
import { delayStep } from '../flow/delay.ts';
import { expireStep } from '../flow/expire.ts';
import { Grouping } from '../flow/group.ts';
import type { HeldEvents } from '../flow/held.ts';
import { type InstantOf, instantOf } from '../flow/instant.ts';
import { type LimitContext, rateLimitStage, throttleStage } from './limits.ts';
import type { CountedEvents, SeenKeys } from '../flow/seen.ts';
import { countStage, debounceStage } from './keyed.ts';
import { faultError } from '../pipeline/faults.ts';

/** What the stages need of the plan that they are part of. */
export interface FlowContext extends LimitContext {
  readonly settings: ConsumerConfig;
  readonly dropped: (reason: string) => Outcome;
  /** Counts a field that was not there. */
  readonly missing: (path: string) => void;
  /** What debounce holds; undefined where nothing runs. */
  readonly held: HeldEvents | undefined;
  /** What is remembered of events by key; undefined where nothing runs. */
  readonly seen: (SeenKeys & CountedEvents) | undefined;
  /** Gives the place of a run to the next one. */
  readonly leave: ((run: Run) => void) | undefined;
  /** Whether one event alone is looked at, which waits for no others. */
  readonly alone: boolean;
}

/** A stage with its options as validated, for `explain`. */
export interface FlowStage {
  readonly kind:
    'expire' | 'dedupe' | 'order' | 'gate' | 'rate_limit' | 'count' | 'debounce' | 'delay' | 'group' | 'throttle';
  readonly options: unknown;
  readonly step: Step;
  /** What there is to say of an event that comes to it. */
  readonly says: (run: Run) => string;
  /** Set for a stage that does more than look at the event: `explain` lets it say what it would do, and passes by. */
  readonly dry: boolean;
  /** Hears of every run that ended. */
  readonly onSettled?: ((run: Run) => void) | undefined;
}

/** What decides over an event before its consumer's own filters do, at once. */
export function expireStage(context: FlowContext): FlowStage | undefined {
  const { expire } = context.settings;
  if (expire === undefined) return undefined;
  const from = instant(expire.from, context);
  return {
    kind: 'expire',
    options: expire,
    step: expireStep(expire.after, from, context.dropped('expired')),
    says: (run) => `is of no use from ${shown(from(run) + expire.after)} on`,
    dry: false,
  };
}

/** What holds an event back when the pipeline has let it pass, before it is delivered. */
export function stagesBehind(context: FlowContext): FlowStage[] {
  const { rate_limit: rate, delay, group, throttle } = context.settings;
  const stages: FlowStage[] = [];
  if (rate !== undefined) {
    const stage = rateLimitStage(rate, context.dropped('rate_limited'), context);
    stages.push({ kind: 'rate_limit', options: rate, ...stage, dry: true });
  }
  stages.push(...[countStage(context), debounceStage(context)].filter((stage) => stage !== undefined));
  if (delay !== undefined) {
    const { for: wait = 0, from, until } = delay;
    const begins = instant(until ?? from, context);
    const due: InstantOf = (scope) => begins(scope) + wait;
    stages.push({
      kind: 'delay',
      options: delay,
      step: delayStep(due),
      says: (run) => (due(run) > run.now ? `waits until ${shown(due(run))}` : `was due at ${shown(due(run))}`),
      dry: true,
    });
  }
  if (group !== undefined) stages.push(groupStage(group, context));
  if (throttle !== undefined)
    stages.push({ kind: 'throttle', options: throttle, ...throttleStage(throttle, context), dry: true });
  return stages;
}

function groupStage(group: GroupConfig, context: FlowContext): FlowStage {
  const { by, max, max_bytes: maxBytes, within } = group;
  const keyOf = groupKey(by, context);
  const { concurrency } = context.settings;
  const { groupWaiting, groupSize } = context.metrics;
  const grouping = new Grouping(
    {
      max: context.alone ? 1 : max,
      maxBytes,
      within,
      atOnce: concurrency?.max ?? Number.POSITIVE_INFINITY,
    },
    { keyOf, leave: context.leave, after: later },
    context.alone ? undefined : { waiting: groupWaiting.with(context.name), size: groupSize.with(context.name) },
  );
  const bounds = `${max} events, ${maxBytes} bytes or ${formatDuration(within)}`;
  return {
    kind: 'group',
    options: group,
    step: grouping.step,
    says: (run) =>
      by === undefined
        ? `waits for others, up to ${bounds}: below it is alone`
        : `waits for others of the key ${toJsonText(keyOf(run))}, up to ${bounds}: below it is alone`,
    dry: false,
    onSettled: grouping.onSettled,
  };
}

/** What events are collected by. One that does not have it is of the one key "none", which is null. */
function groupKey(by: Expression | undefined, { bind, missing }: FlowContext): (run: Run) => unknown {
  if (by === undefined) return () => null;
  const evaluate = bind(by);
  return (run) => {
    const value = evaluate(run);
    if (!(value instanceof Fault)) return toJson(value) ?? null;
    if (value.kind !== 'missing_field') throw faultError(value, by);
    missing(value.path ?? by.source);
    return null;
  };
}

function later(milliseconds: number, then: () => void): () => void {
  const timer = setTimeout(then, milliseconds);
  timer.unref();
  return () => clearTimeout(timer);
}

const shown = (instant: number): string => new Date(instant).toISOString();

const instant = (source: Expression | undefined, { bind }: FlowContext): InstantOf =>
  instantOf(source === undefined ? undefined : { source, evaluate: bind(source) });
