/** From a consumer's configuration to its plan: the stages in the one order, compiled and bound. */
import type { Config, ConsumerConfig, RetryOverride, StageConfig, TargetConfig } from '../config/schema.ts';
import { typeMatcher } from '../contracts/match.ts';
import type { Schemas } from '../contracts/validate.ts';
import type { Outcome, OutcomeKind, Plan, RetryPolicy, Step } from '../core/plan.ts';
import type { Tracer } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import type { Breakers } from '../deliver/breaker.ts';
import type { TargetComponent, TargetContext } from '../deliver/component.ts';
import type { Files, Publisher, Requester } from '../deliver/ports.ts';
import { deliverStep, type PreparedTarget, type Preview, type Route } from '../deliver/route.ts';
import { targets } from '../deliver/targets/index.ts';
import { OuzelError, type Place } from '../errors.ts';
import { type Evaluate, Expression } from '../expression/index.ts';
import type { Admission } from '../flow/admit.ts';
import { ownIncidentsStep } from '../flow/own-incidents.ts';
import type { Tables } from '../lookup/tables/table.ts';
import type { PipelineComponent, StageContext } from '../pipeline/component.ts';
import { condition } from '../pipeline/faults.ts';
import { filters } from '../pipeline/filters/index.ts';
import { transformers } from '../pipeline/transformers/index.ts';
import type { LoadedPlugin } from '../plugins/load.ts';
import type { StateStore } from '../plugins/state.ts';
import { INCIDENT_STREAM } from '../telemetry/incidents/catalogue.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import { keyBy, type KeyOf } from './key.ts';
import { PluginCompiler, type PluginEntry } from './plugins.ts';
import { typesOf, typeSteps, type VersionShown } from './types.ts';

export interface CompileInput {
  readonly name: string;
  readonly config: Config;
  readonly revision: string;
  readonly metrics: Metrics;
  readonly publisher: Publisher;
  readonly requester: Requester;
  readonly files: Files;
  readonly breakers: Breakers;
  /** Where relative paths start that stand at a place of the configuration. */
  readonly folderOf: (place: Place | undefined) => string;
  readonly logger: Logger;
  readonly admission: Admission | undefined;
  /** Undefined while traces are off. */
  readonly tracer?: Tracer | undefined;
  /** The plugins that the configuration names. */
  readonly plugins: ReadonlyMap<string, LoadedPlugin>;
  /** What plugins keep; undefined where there is no server. */
  readonly state?: StateStore | undefined;
  /** Its tables. */
  readonly tables: Tables;
  /** The schemas of its types; left out where it has none. */
  readonly schemas?: Schemas | undefined;
  /** Is shown what lookups would ask; nobody is asked then. */
  readonly shows?: ((asked: Preview) => void) | undefined;
  /** Puts something else in a target's place: `explain` shows what would be sent. */
  readonly standIn?: ((target: PreparedTarget) => PreparedTarget) | undefined;
}

/** What a step of a plan is, for `explain`. */
export interface StageInfo {
  readonly kind: 'own_incidents' | 'types' | 'upcast' | 'schema' | PipelineComponent['kind'] | 'admit' | 'deliver';
  /** The component of a stage of the pipeline: `filter`, `set`, … */
  readonly component?: string;
  /** Its options as validated. */
  readonly options?: unknown;
  /** Of `upcast` and `schema`: what there is to say of an event; undefined where its type is not known. */
  readonly version?: ((run: Run) => VersionShown | undefined) | undefined;
}

/** A plan with what each of its steps is, in their order. */
export interface ExplainedPlan {
  readonly plan: Plan;
  readonly stages: readonly StageInfo[];
}

interface Stage {
  readonly info: StageInfo;
  /** Whether it may decide before an event waits for admission: a filter that answers at once. */
  readonly leads: boolean;
  readonly step: Step;
}

/** Series of one consumer's missing fields, at most; a path with a computed index could otherwise make any number. */
const MISSING_PATHS = 100;

const COMPONENTS = new Map<string, PipelineComponent>(
  [...filters, ...transformers].map((component) => [component.name, component as PipelineComponent]),
);

/**
 * The named filters that are expressions, each bound to those that it refers to. The loader has made sure that there is
 * no circle.
 */
export function bindFilters(config: Config): ReadonlyMap<string, Evaluate> {
  const bound = new Map<string, Evaluate>();
  const bind = (name: string): void => {
    const expression = config.filters[name];
    if (bound.has(name) || !(expression instanceof Expression)) return;
    for (const used of expression.filterNames) bind(used.name);
    bound.set(name, expression.bind(bound));
  };
  for (const name of Object.keys(config.filters)) bind(name);
  return bound;
}

/** The named filters that are expressions, and so can be shown clause by clause. */
export const expressionsOf = ({ filters: named }: Config): Readonly<Record<string, Expression>> =>
  Object.fromEntries(
    Object.entries(named).flatMap(([name, filter]) => (filter instanceof Expression ? [[name, filter] as const] : [])),
  );

const TARGETS: readonly TargetComponent[] = targets;

/** The step that lets pass only the types that a consumer names. */
function typesStep(types: readonly string[], other: Outcome): Step {
  const matches = typeMatcher(types);
  return { name: 'types', run: ({ event }) => (matches(event.type) ? undefined : other) };
}

class PlanCompiler {
  readonly #input: CompileInput;
  readonly #consumer: ConsumerConfig;
  readonly #filters: ReadonlyMap<string, Evaluate>;
  readonly #missing = new Set<string>();
  readonly #targets: PreparedTarget[] = [];
  readonly #steps: Step[] = [];
  readonly #plugins: PluginCompiler;
  readonly #keyOf: KeyOf;

  constructor(input: CompileInput) {
    const consumer = input.config.consumers[input.name];
    if (consumer === undefined) throw new OuzelError('INTERNAL', `no consumer ${input.name} in the configuration`);
    this.#input = input;
    this.#consumer = consumer;
    this.#filters = bindFilters(input.config);
    this.#keyOf = keyBy(input.config.streams[consumer.stream]?.key?.bind(this.#filters));
    this.#plugins = new PluginCompiler(input.name, consumer.timeout ?? input.config.defaults.timeout, input);
  }

  plan(): ExplainedPlan {
    const { admission, revision, config } = this.#input;
    const { stream, types, timeout, deliver } = this.#consumer;
    const pipeline = this.#consumer.pipeline.flatMap((stage, index) => {
      const made = this.#stage(stage, index);
      this.#steps.push(...made.map(({ step }) => step));
      return made;
    });
    // Filters that lead the pipeline decide before an event waits for admission.
    const first = pipeline.findIndex(({ leads }) => !leads);
    const leading = first === -1 ? pipeline.length : first;
    const stages: Stage[] = [];
    if (stream === INCIDENT_STREAM) {
      const own = ownIncidentsStep(this.#input.name, this.#outcome('filtered', 'own_incident'));
      stages.push({ info: { kind: 'own_incidents' }, leads: true, step: own });
    }
    if (types !== undefined)
      stages.push({ info: { kind: 'types' }, leads: true, step: typesStep(types, this.#outcome('filtered', 'type')) });
    stages.push(...this.#typeStages(), ...pipeline.slice(0, leading));
    if (admission !== undefined) stages.push({ info: { kind: 'admit' }, leads: false, step: admission.step });
    stages.push(...pipeline.slice(leading));
    const routes = this.#routes();
    if (deliver !== undefined && deliver.length > 0)
      stages.push({
        info: { kind: 'deliver' },
        leads: false,
        step: deliverStep(routes, this.#outcome('filtered', 'no_route')),
      });
    const retry = this.#retry();
    const steps = stages.map(({ step }) => step);
    const plan: Plan = {
      revision,
      steps,
      delivered: this.#outcome('delivered', ''),
      retry,
      longestRetry: Math.max(retry.for, ...routes.map((route) => route.retry.for)),
      routes: routes.map(({ name }) => name),
      targets: routes.map(({ breaker }) => breaker.target),
      unavailable: () => routes.length > 0 && routes.every(({ breaker }) => breaker.isOpen),
      timeout: timeout ?? config.defaults.timeout,
      onSettled: admission?.onSettled,
      tracer: this.#input.tracer,
      ready: this.#plugins.ready,
      flush: async () => void (await Promise.allSettled(this.#targets.map(async (target) => target.flush?.()))),
      close: this.close,
    };
    return { plan, stages: stages.map(({ info }) => info) };
  }

  /** Lets go of what was made so far. */
  readonly close = (): void => {
    for (const step of this.#steps) step.close?.();
    for (const target of this.#targets) target.close?.();
    this.#plugins.close();
  };

  #outcome(kind: OutcomeKind, reason: string): Outcome {
    return { kind, reason, counter: this.#input.metrics.events.with(this.#input.name, kind, reason) };
  }

  /** Counts a field that was not there. */
  readonly #countMissing = (path: string): void => {
    if (!this.#missing.has(path)) {
      if (this.#missing.size >= MISSING_PATHS)
        return this.#input.metrics.missingFields.with(this.#input.name, 'other').increment();
      this.#missing.add(path);
    }
    this.#input.metrics.missingFields.with(this.#input.name, path).increment();
  };

  /** The components of one entry of `pipeline`: by name, or as written there. */
  #stage(stage: StageConfig, index: number): Stage[] {
    const { config } = this.#input;
    if (typeof stage !== 'string') return this.#components(stage, `pipeline[${index}]`);
    const filter = config.filters[stage];
    if (filter instanceof Expression) return this.#components({ filter }, stage);
    if (filter !== undefined) return this.#components(filter, stage);
    const transformer = config.transformers[stage];
    if (transformer !== undefined) return this.#components(transformer, stage);
    throw new OuzelError('CONFIG_UNKNOWN_NAME', `no filter or transformer "${stage}"`);
  }

  #components(options: object | PluginEntry, name: string): Stage[] {
    if ('plugin' in options && options.plugin !== undefined) {
      const refused = this.#outcome('filtered', name);
      const kind = this.#input.plugins.get(options.plugin)?.kind === 'filter' ? 'filter' : 'transformer';
      const info = { kind, component: `plugin ${options.plugin}`, options: options.options } as const;
      return [{ info, leads: false, step: this.#plugins.step(options, name, refused) }];
    }
    const context = this.#context(name);
    const given = new Map<string, unknown>(Object.entries(options));
    return [...COMPONENTS.values()]
      .filter((component) => given.get(component.name) !== undefined)
      .map((component) => ({
        leads: component.kind === 'filter',
        info: { kind: component.kind, component: component.name, options: given.get(component.name) },
        step: component.compile(given.get(component.name), context),
      }));
  }

  /** The versions and schemas of the types that it may get. */
  #typeStages(): Stage[] {
    const { config, name, schemas, metrics } = this.#input;
    return typeSteps(typesOf(config, name), {
      schemas,
      bind: (expression) => expression.bind(this.#filters),
      missing: this.#countMissing,
      count: (type, version) => metrics.upcasts.with(name, type, version),
    }).map(({ step, ...info }) => ({ info, leads: true, step }));
  }

  #context(name: string): StageContext {
    return {
      name,
      consumer: this.#input.name,
      stream: this.#consumer.stream,
      requester: this.#input.requester,
      lookups: this.#lookups(name),
      bind: (expression) => expression.bind(this.#filters),
      bindTemplate: (template) => template.bind(this.#filters),
      missing: this.#countMissing,
      filtered: (reason) => this.#outcome('filtered', reason),
    };
  }

  #lookups(stage: string): StageContext['lookups'] {
    const { name, config, tables, metrics, shows } = this.#input;
    const { domain } = config.nats;
    return { domain, tables, count: (result) => metrics.lookups.with(name, stage, result), shows };
  }

  #condition(expression: Expression | undefined) {
    return expression === undefined
      ? undefined
      : condition(expression.bind(this.#filters), expression, this.#countMissing);
  }

  #retry(target?: TargetConfig): RetryPolicy {
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
      giveUp: this.#condition(pick((layer) => layer.give_up)),
    };
  }

  #routes(): Route[] {
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
        when: this.#condition(entry.when),
        stop: entry.stop,
        otherwise: entry.else,
        retry: this.#retry(config),
        breaker,
        timeout: config?.timeout,
        cells: this.#cells(name),
      };
    });
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
      const component = this.#plugins.target(config);
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
      bindTemplate: (template) => template.bind(this.#filters),
      bind: (expression) => expression.bind(this.#filters),
      missing: this.#countMissing,
      keyOf: this.#keyOf,
      publisher,
      requester,
      files,
      folderOf,
      log: (fields, message) => logger.info(fields, message),
    };
  }
}

/** Compiles the plan of one consumer. The configuration was validated, so what fails here is Ouzel's own fault. */
export const compilePlan = (input: CompileInput): Plan => compileExplained(input).plan;

/** The same, with what its steps are. */
export function compileExplained(input: CompileInput): ExplainedPlan {
  const compiler = new PlanCompiler(input);
  try {
    return compiler.plan();
  } catch (error) {
    compiler.close();
    throw error;
  }
}
