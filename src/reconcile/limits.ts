/** The limits of a consumer and of the targets that it delivers to, bound to its plan. */
import type { RateConfig } from '../config/flow/limits.ts';
import type { Outcome, Step } from '../core/plan.ts';
import { PENDING, type Run } from '../core/run.ts';
import type { Evaluate, Expression } from '../expression/index.ts';
import { formatDuration } from '../config/fields.ts';
import { type KeyOf, keyBy } from '../flow/by.ts';
import type { Rate } from '../flow/gcra.ts';
import type { KeyedAdmission } from '../flow/keyed-admission.ts';
import type { Limits, LimitSpec } from '../flow/limits.ts';
import type { Terms, Throttle } from '../flow/throttle.ts';
import type { Metrics } from '../telemetry/metrics.ts';

/** What limits need of the plan that they are part of. */
export interface LimitContext {
  /** The consumer. */
  readonly name: string;
  /** Undefined where nothing is limited: in a dry run. */
  readonly limits: Limits | undefined;
  readonly bind: (expression: Expression) => Evaluate;
  readonly missing: (path: string) => void;
  readonly metrics: Metrics;
}

/** Milliseconds at the limit that may go at once where a throttle does not say how many. */
const AT_ONCE = 10;
/** What all events share that do not have the field; no text is taken for it. */
const NONE = '\u0000none';

const rateOf = ({ limit, per, burst }: RateConfig, atOnce: number): Rate => ({
  interval: per / limit,
  burst: burst ?? Math.max(1, Math.ceil(atOnce)),
});

/** How many may go at once of what a throttle lets through. */
const throttleRate = (config: RateConfig): Rate => rateOf(config, (config.limit / config.per) * AT_ONCE);

function keyOf(by: Expression | undefined, { bind, missing }: LimitContext): (run: Run) => string {
  const key: KeyOf = keyBy(by === undefined ? undefined : { source: by, evaluate: bind(by) }, missing);
  return (run) => key(run) ?? NONE;
}

const specOf = (name: string, { scope, by }: RateConfig, rate: Rate): LimitSpec => ({
  name,
  rate,
  scope,
  by: by?.source ?? '',
});

/** Whose throttles there are: the target, or empty for a consumer's own. */
const targets = new WeakMap<object, string>();

/** The target of a throttle; empty for a consumer's own, undefined for what is none. */
export const targetOf = (throttle: object): string | undefined => targets.get(throttle);

/** So that what waits for it can be shown. */
function noteTarget(throttle: Throttle, target: string, { name, metrics }: LimitContext): void {
  targets.set(throttle, target);
  metrics.throttleWaiting.with(name, target);
}

/** What a limit is, in words, and whose it is. */
function inWords(config: RateConfig, rate: Rate, key: (run: Run) => string): (run: Run) => string {
  const { limit, per, by, scope } = config;
  const much = `${limit} in ${formatDuration(per)}, ${rate.burst} at once`;
  const where = scope === 'fleet' ? '' : ' on each instance';
  return (run) => {
    if (by === undefined) return `${much}${where}`;
    return `${much}${where}, for ${shownKey(key(run), by)}`;
  };
}

const shownKey = (key: string, by: Expression): string =>
  key === NONE ? `all without \`${by.source}\`` : JSON.stringify(key);

/** A limit as a stage. */
export interface LimitStage {
  readonly step: Step;
  readonly says: (run: Run) => string;
}

/** @param dropped How an event ends that comes too fast. */
export function rateLimitStage(config: RateConfig, dropped: Outcome, context: LimitContext): LimitStage {
  const rate = rateOf(config, config.limit);
  const key = keyOf(config.by, context);
  const held = context.limits?.rateLimit(specOf(`rate_limit.${context.name}`, config, rate));
  const words = inWords(config, rate, key);
  return {
    says: (run) => `at most ${words(run)}; the others are dropped`,
    step: {
      name: 'rate_limit',
      once: 'rate_limit',
      run: (run) => held?.limit.verdict(run, key(run), dropped),
      close: () => held?.release(),
    },
  };
}

/** @param selective Whether an event that waits must not keep the room of others that could go on. */
export function throttleStage(config: RateConfig, context: LimitContext): LimitStage {
  const rate = throttleRate(config);
  const key = keyOf(config.by, context);
  const held = context.limits?.throttle(specOf(`throttle.${context.name}`, config, rate));
  const seconds = context.metrics.throttled.with(context.name, '');
  if (held !== undefined) noteTarget(held.limit, '', context);
  const words = inWords(config, rate, key);
  const selective = config.by !== undefined;
  return {
    says: (run) => `at most ${words(run)}; the others wait`,
    step: {
      name: 'throttle',
      run: (run) =>
        held === undefined || held.limit.admits(run, { key: key(run), selective, seconds }) ? undefined : PENDING,
      close: () => held?.release(),
    },
  };
}

/** Admission by key. @param admission Undefined in a dry run. */
export function keyedStage(
  { max, by }: { readonly max: number; readonly by: Expression },
  admission: KeyedAdmission | undefined,
  context: LimitContext,
): LimitStage {
  const key = keyOf(by, context);
  return {
    says: (run) => `at most ${max} at once for ${shownKey(key(run), by)}`,
    step: admission?.step(key) ?? { name: 'admit', run: () => undefined },
  };
}

/** The throttle of a target, for one route to it. */
export interface RouteThrottle {
  readonly limit: Throttle;
  readonly terms: (run: Run) => Terms;
  readonly release: () => void;
}

/** @param alone Whether the consumer delivers nowhere else. */
export function targetThrottle(
  target: string,
  config: RateConfig,
  alone: boolean,
  context: LimitContext,
): RouteThrottle | undefined {
  const held = context.limits?.throttle(specOf(`target.${target}`, config, throttleRate(config)));
  if (held === undefined) return undefined;
  const key = keyOf(config.by, context);
  const selective = config.by !== undefined || !alone;
  const seconds = context.metrics.throttled.with(context.name, target);
  noteTarget(held.limit, target, context);
  return {
    limit: held.limit,
    terms: (run) => ({ key: key(run), selective, seconds }),
    release: () => held.release(),
  };
}

/** What a target's throttle is, in words. */
export const throttleInWords = (config: RateConfig): string => {
  const { limit, per, by } = config;
  const { burst } = throttleRate(config);
  const whose = by === undefined ? '' : ` for each \`${by.source}\``;
  return `no faster than ${limit} in ${formatDuration(per)}, ${burst} at once${whose}`;
};
