/** From a consumer's configuration to its plan: the stages in the one order, compiled and bound. */
import type { Config, ConsumerConfig, StageConfig } from '../config/schema.ts';
import type { Schemas } from '../contracts/validate.ts';
import type { Outcome, OutcomeKind, Plan, Step } from '../core/plan.ts';
import type { Tracer } from '../core/ports.ts';
import type { Run } from '../core/run.ts';
import type { Breakers } from '../deliver/breaker.ts';
import type { Files, Publisher, Requester } from '../deliver/ports.ts';
import { deliverStep, type PreparedTarget, type Preview } from '../deliver/route.ts';
import { OuzelError, type Place } from '../errors.ts';
import { type Evaluate, Expression } from '../expression/index.ts';
import type { Admission } from '../flow/admit.ts';
import type { InFlight } from '../flow/in-flight.ts';
import type { KeyedAdmission } from '../flow/keyed-admission.ts';
import type { Limits } from '../flow/limits.ts';
import type { Lanes } from '../flow/order.ts';
import { ownIncidentsStep } from '../flow/own-incidents.ts';
import type { HeldEvents } from '../flow/held.ts';
import type { CountedEvents, SeenKeys } from '../flow/seen.ts';
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
import { bindFilters } from './filters.ts';
import { expireStage, type FlowContext, type FlowStage, stagesBehind } from './flow.ts';
import { keyBy } from './key.ts';
import { dedupeStage } from './keyed.ts';
import { keyedStage, type LimitContext, type LimitStage } from './limits.ts';
import { orderStage } from './order.ts';
import { priorityStage } from './priority.ts';
import { PluginCompiler, type PluginEntry } from './plugins.ts';
import { RouteCompiler } from './routes.ts';
import { typesOf, typesStep, typeSteps, type VersionShown } from './types.ts';

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
  /** Set where concurrency is limited by key. */
  readonly keyed?: KeyedAdmission | undefined;
  /** Undefined where one event is alone. */
  readonly inFlight?: InFlight | undefined;
  /** Undefined where nothing is limited: in a dry run, and where one target is tried. */
  readonly limits?: Limits | undefined;
  /** What debounce holds for the consumer; undefined where nothing is held. */
  readonly held?: HeldEvents | undefined;
  /** What is remembered of events by key; undefined where nothing is. */
  readonly seen?: (SeenKeys & CountedEvents) | undefined;
  /** Who keeps the order of a consumer that has one, and the gate of one that runs on one instance. */
  readonly lanes?: Lanes | undefined;
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
  readonly kind:
    | 'own_incidents'
    | 'types'
    | 'upcast'
    | 'schema'
    | PipelineComponent['kind']
    | 'priority'
    | 'admit'
    | 'in_flight'
    | FlowStage['kind']
    | 'deliver';
  /** The component of a stage of the pipeline: `filter`, `set`, … */
  readonly component?: string;
  /** Its options as validated. */
  readonly options?: unknown;
  /** Of `upcast` and `schema`: what there is to say of an event; undefined where its type is not known. */
  readonly version?: ((run: Run) => VersionShown | undefined) | undefined;
  /** Of the stages of flow control, as `FlowStage`. */
  readonly says?: ((run: Run) => string) | undefined;
  readonly dry?: boolean;
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

/** One that calls all that there are; undefined without any. */
function inTurn(listeners: readonly FlowStage['onSettled'][]): FlowStage['onSettled'] {
  const all = listeners.filter((each) => each !== undefined);
  if (all.length < 2) return all[0];
  return (run) => {
    for (const each of all) each(run);
  };
}

class PlanCompiler {
  readonly #input: CompileInput;
  readonly #consumer: ConsumerConfig;
  readonly #filters: ReadonlyMap<string, Evaluate>;
  readonly #missing = new Set<string>();
  readonly #routes: RouteCompiler;
  readonly #steps: Step[] = [];
  readonly #plugins: PluginCompiler;

  constructor(input: CompileInput) {
    const consumer = input.config.consumers[input.name];
    if (consumer === undefined) throw new OuzelError('INTERNAL', `no consumer ${input.name} in the configuration`);
    this.#input = input;
    this.#consumer = consumer;
    this.#filters = bindFilters(input.config);
    this.#plugins = new PluginCompiler(input.name, consumer.timeout ?? input.config.defaults.timeout, input);
    this.#routes = new RouteCompiler({
      input,
      settings: consumer,
      filters: this.#filters,
      missing: this.#countMissing,
      condition: (expression) => this.#condition(expression),
      plugins: this.#plugins,
      limits: this.#limitContext(),
      keyOf: keyBy(input.config.streams[consumer.stream]?.key?.bind(this.#filters)),
    });
  }

  plan(): ExplainedPlan {
    const { admission, keyed, revision, config } = this.#input;
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
    const flow = this.#flow();
    const before = [...flow.dedupe, ...pipeline.slice(0, leading)];
    stages.push(...this.#typeStages(), ...flow.expire);
    // What asks the server could let a later event of a key pass by, so that it has to have its place by then.
    stages.push(...(flow.dedupe.length > 0 ? [...flow.order, ...before] : [...before, ...flow.order]));
    stages.push(...this.#admitting());
    stages.push(...pipeline.slice(leading), ...flow.behind);
    const routes = this.#routes.routes();
    if (deliver !== undefined && deliver.length > 0)
      stages.push({
        info: { kind: 'deliver' },
        leads: false,
        step: deliverStep(routes, this.#outcome('filtered', 'no_route')),
      });
    const retry = this.#routes.retry();
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
      // One that is disabled is not probed; who waits for another one, or probes it, is on the way to this one too.
      lacksProbe: () =>
        routes.some(({ breaker }) => breaker.isUnprobed) &&
        routes.every(({ breaker }) => breaker.isUnprobed || breaker.isDisabled),
      timeout: timeout ?? config.defaults.timeout,
      ordered: this.#consumer.order_by !== undefined,
      exclusive: flow.order.length > 0,
      holds: this.#consumer.on_dead_letter === 'hold',
      // The next one of its key stands in line before a place is given away.
      onSettled: inTurn([
        flow.order.length > 0 ? this.#input.lanes?.onSettled : undefined,
        keyed?.onSettled ?? admission?.onSettled,
        ...flow.onSettled,
      ]),
      tracer: this.#input.tracer,
      ready: this.#plugins.ready,
      flush: this.#routes.flush,
      close: this.close,
    };
    return { plan, stages: stages.map(({ info }) => info) };
  }

  /** Lets go of what was made so far. */
  readonly close = (): void => {
    for (const step of this.#steps) step.close?.();
    this.#routes.close();
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

  /** What lets events begin: those of the consumer, of one key, and of the whole process. */
  #admitting(): Stage[] {
    const { admission, keyed, inFlight, config } = this.#input;
    const stages: Stage[] = [];
    const { bind, missing } = this.#limitContext();
    const priority = priorityStage(this.#consumer, bind, missing);
    if (priority !== undefined)
      stages.push({ info: { kind: 'priority', says: priority.says }, leads: false, step: priority.step });
    if (admission !== undefined) stages.push({ info: { kind: 'admit' }, leads: false, step: admission.step });
    const { concurrency } = this.#consumer;
    if (concurrency?.by !== undefined)
      stages.push(this.#dry('admit', keyedStage({ ...concurrency, by: concurrency.by }, keyed, this.#limitContext())));
    const most = config.runtime.max_in_flight;
    if (most !== undefined)
      stages.push(
        this.#dry('in_flight', {
          step: inFlight?.step ?? { name: 'in_flight', run: () => undefined },
          says: () => `at most ${most} at work at once in the whole process`,
        }),
      );
    return stages;
  }

  /** A stage that `explain` shows and passes by. */
  #dry(kind: 'admit' | 'in_flight', { step, says }: LimitStage): Stage {
    return { info: { kind, says, dry: true }, leads: false, step };
  }

  /** What controls the flow, before the pipeline and behind it. */
  #flow(): Record<'expire' | 'dedupe' | 'order' | 'behind', Stage[]> & { onSettled: FlowStage['onSettled'][] } {
    const { admission, keyed, standIn } = this.#input;
    const context: FlowContext = {
      ...this.#limitContext(),
      settings: this.#consumer,
      dropped: (reason) => this.#outcome('dropped', reason),
      missing: this.#countMissing,
      held: this.#input.held,
      seen: this.#input.seen,
      leave: keyed?.onSettled ?? admission?.leave,
      alone: standIn !== undefined,
    };
    const stagesOf = (stages: readonly (FlowStage | undefined)[]): Stage[] =>
      stages
        .filter((stage) => stage !== undefined)
        .map(({ step, onSettled: _hears, ...info }) => {
          this.#steps.push(step);
          return { info, leads: false, step };
        });
    const behind = stagesBehind(context);
    return {
      expire: stagesOf([expireStage(context)]),
      dedupe: stagesOf([dedupeStage(context)]),
      order: stagesOf([orderStage(context, this.#input.lanes, this.#countMissing)]),
      behind: stagesOf(behind),
      onSettled: behind.map(({ onSettled }) => onSettled),
    };
  }

  #limitContext(): LimitContext {
    const { name, limits, metrics } = this.#input;
    return {
      name,
      limits,
      metrics,
      bind: (expression) => expression.bind(this.#filters),
      missing: this.#countMissing,
    };
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
