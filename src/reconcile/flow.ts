/** The stages of flow control that a consumer has, in the one order: a stage that is not configured does not exist. */
import type { ConsumerConfig } from '../config/schema.ts';
import type { Outcome, Step } from '../core/plan.ts';
import type { Run } from '../core/run.ts';
import type { Expression } from '../expression/index.ts';
import { delayStep } from '../flow/delay.ts';
import { expireStep } from '../flow/expire.ts';
import { type InstantOf, instantOf } from '../flow/instant.ts';
import { type LimitContext, rateLimitStage, throttleStage } from './limits.ts';

/** What the stages need of the plan that they are part of. */
export interface FlowContext extends LimitContext {
  readonly settings: ConsumerConfig;
  readonly dropped: (reason: string) => Outcome;
}

/** A stage with its options as validated, for `explain`. */
export interface FlowStage {
  readonly kind: 'expire' | 'order' | 'rate_limit' | 'delay' | 'throttle';
  readonly options: unknown;
  readonly step: Step;
  /** What there is to say of an event that comes to it. */
  readonly says: (run: Run) => string;
  /** Set for a stage that does more than look at the event: `explain` lets it say what it would do, and passes by. */
  readonly dry: boolean;
}

/** What decides over an event before its consumer's own filters do. */
export function stagesBefore(context: FlowContext): FlowStage[] {
  const { expire } = context.settings;
  const stages: FlowStage[] = [];
  if (expire !== undefined) {
    const from = instant(expire.from, context);
    const step = expireStep(expire.after, from, context.dropped('expired'));
    stages.push({
      kind: 'expire',
      options: expire,
      step,
      says: (run) => `is of no use from ${shown(from(run) + expire.after)} on`,
      dry: false,
    });
  }
  return stages;
}

/** What holds an event back when the pipeline has let it pass, before it is delivered. */
export function stagesBehind(context: FlowContext): FlowStage[] {
  const { rate_limit: rate, delay, throttle } = context.settings;
  const stages: FlowStage[] = [];
  if (rate !== undefined) {
    const stage = rateLimitStage(rate, context.dropped('rate_limited'), context);
    stages.push({ kind: 'rate_limit', options: rate, ...stage, dry: true });
  }
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
  if (throttle !== undefined)
    stages.push({ kind: 'throttle', options: throttle, ...throttleStage(throttle, context), dry: true });
  return stages;
}

const shown = (instant: number): string => new Date(instant).toISOString();

const instant = (source: Expression | undefined, { bind }: FlowContext): InstantOf =>
  instantOf(source === undefined ? undefined : { source, evaluate: bind(source) });
