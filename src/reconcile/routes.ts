/** The routes of a consumer: its entries of `deliver`, each with its target made ready. */
import type { ConsumerConfig, RetryOverride, TargetConfig } from '../config/schema.ts';
import type { RetryPolicy } from '../core/plan.ts';
import type { TargetComponent, TargetContext } from '../deliver/component.ts';
import type { PreparedTarget, Route } from '../deliver/route.ts';
import { targets } from '../deliver/targets/index.ts';
import { OuzelError } from '../errors.ts';
import type { Evaluate, Expression } from '../expression/index.ts';
import type { Scope } from '../expression/types.ts';
import type { CompileInput } from './compile.ts';
import type { KeyOf } from './key.ts';
import { type LimitContext, type RouteThrottle, targetThrottle } from './limits.ts';
import type { PluginCompiler } from './plugins.ts';

/** What the routes need of the plan that they are part of. */
export interface RouteContext {
  readonly input: CompileInput;
  readonly settings: ConsumerConfig;
  readonly filters: ReadonlyMap<string, Evaluate>;
  readonly missing: (path: string) => void;
  readonly condition: (expression: Expression | undefined) => ((scope: Scope) => boolean) | undefined;
  readonly plugins: PluginCompiler;
  readonly limits: LimitContext;
  readonly keyOf: KeyOf;
}

const TARGETS: readonly TargetComponent[] = targets;

export class RouteCompiler {
  readonly #input: CompileInput;
  readonly #consumer: ConsumerConfig;
  readonly #context: RouteContext;
  readonly #targets: PreparedTarget[] = [];
  readonly #throttles: RouteThrottle[] = [];

  constructor(context: RouteContext) {
    this.#input = context.input;
    this.#consumer = context.settings;
    this.#context = context;
  }

  /** Sends what the targets still owe. */
  readonly flush = async (): Promise<void> =>
    void (await Promise.allSettled(this.#targets.map(async (target) => target.flush?.())));

  /** Lets go of the targets that were made ready so far. */
  close(): void {
    for (const target of this.#targets) target.close?.();
    for (const { release } of this.#throttles) release();
  }

  /** How often and how long is tried again: as the target, the consumer or the defaults say. */
  retry(target?: TargetConfig): RetryPolicy {
    const { defaults } = this.#input.config;
    const layers = [target?.retry, this.#consumer.retry, defaults.retry];
    const pick = <T>(read: (layer: RetryOverride) => T | undefined): T | undefined =>
      layers.map((layer) => (layer === undefined ? undefined : read(layer))).find((value) => value !== undefined);
    const { backoff } = defaults.retry;
    return {
      attempts: pick(({ attempts }) => attempts) ?? defaults.retry.attempts,
      first: pick((layer) => layer.backoff?.first) ?? backoff.first,
      factor: pick((layer) => layer.backoff?.factor) ?? backoff.factor,
      max: pick((layer) => layer.backoff?.max) ?? backoff.max,
      jitter: pick((layer) => layer.backoff?.jitter) ?? backoff.jitter,
      for: pick((layer) => layer.for) ?? defaults.retry.for,
      giveUp: this.#context.condition(pick((layer) => layer.give_up)),
    };
  }

  /** One route an entry. */
  routes(): Route[] {
    return (this.#consumer.deliver ?? []).map((entry) => {
      const { name, component, options, config } = this.#target(entry.to);
      const route = entry.name ?? name;
      // A target that is written where it is used is that route's alone.
      const named = typeof entry.to === 'string' && this.#input.config.targets[entry.to] !== undefined;
      const breaker = this.#input.breakers.of(named ? name : `${this.#input.name}/${route}`);
      this.#input.metrics.targetBreakerOpen.with(breaker.target).set(breaker.isOpen ? 1 : 0);
      return {
        name: route,
        targetName: name,
        target: this.#prepare(component, options, route),
        when: this.#context.condition(entry.when),
        stop: entry.stop,
        otherwise: entry.else,
        retry: this.retry(config),
        breaker,
        timeout: config?.timeout,
        throttle: this.#throttle(name, config),
        cells: this.#cells(name),
      };
    });
  }

  #throttle(target: string, config: TargetConfig | undefined): RouteThrottle | undefined {
    if (config?.throttle === undefined) return undefined;
    const alone = this.#consumer.deliver?.length === 1;
    const throttle = targetThrottle(target, config.throttle, alone, this.#context.limits);
    if (throttle !== undefined) this.#throttles.push(throttle);
    return throttle;
  }

  #cells(target: string): Route['cells'] {
    const { metrics, name } = this.#input;
    return {
      confirmed: metrics.deliveries.with(name, target, 'confirmed'),
      rejected: metrics.deliveries.with(name, target, 'rejected'),
      unavailable: metrics.deliveries.with(name, target, 'unavailable'),
      duration: metrics.deliveryDuration.with(name, target),
    };
  }

  /** The target that an entry of `deliver` names or holds; a kind that needs no options is a name too (`log`). */
  #target(to: string | TargetConfig): {
    name: string;
    component: TargetComponent;
    options: unknown;
    config: TargetConfig | undefined;
  } {
    const config = typeof to === 'string' ? this.#input.config.targets[to] : to;
    if (config?.plugin !== undefined) {
      const component = this.#context.plugins.target(config);
      return { name: typeof to === 'string' ? to : config.plugin, component, options: config.options, config };
    }
    const given = new Map<string, unknown>(Object.entries(config ?? {}));
    const component = TARGETS.find(({ name }) => (config === undefined ? name === to : given.has(name)));
    if (component === undefined) throw new OuzelError('CONFIG_UNKNOWN_NAME', `no target ${JSON.stringify(to)}`);
    const name = typeof to === 'string' ? to : component.name;
    const options = config === undefined ? component.options.parse(undefined) : given.get(component.name);
    return { name, component, options, config };
  }

  #prepare(component: TargetComponent, options: unknown, route: string): PreparedTarget {
    const target = component.prepare(options, this.#targetContext(route));
    this.#targets.push(target);
    return this.#input.standIn?.(target) ?? target;
  }

  #targetContext(route: string): TargetContext {
    const { name, publisher, requester, files, folderOf, logger } = this.#input;
    return {
      consumer: name,
      route,
      stream: this.#consumer.stream,
      bindTemplate: (template) => template.bind(this.#context.filters),
      bind: (expression) => expression.bind(this.#context.filters),
      missing: this.#context.missing,
      keyOf: this.#context.keyOf,
      publisher,
      requester,
      files,
      folderOf,
      log: (fields, message) => logger.info(fields, message),
    };
  }
}
