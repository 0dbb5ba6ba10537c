/**
 * One event through the compiled plan of a consumer, dry: the same steps in the same order, with targets that show what
 * they would send. Nothing is delivered, nothing is acked, and no server is asked.
 */
import { pino } from 'pino';
import type { LoadedConfig } from '../config/load.ts';
import type { Config, ConsumerConfig, RouteConfig } from '../config/schema.ts';
import { Consumer } from '../core/consumer.ts';
import type { Event } from '../core/event.ts';
import { headerEntries } from '../core/headers.ts';
import type { Plan, Step } from '../core/plan.ts';
import type { Acknowledger, AttemptStore, DeadLetterStore, Observer, Parking } from '../core/ports.ts';
import { PENDING, Run, type Verdict } from '../core/run.ts';
import { Pauses } from '../core/pauses.ts';
import { Suspects } from '../core/suspects.ts';
import { Turns } from '../core/turns.ts';
import { Breakers } from '../deliver/breaker.ts';
import type { Files, Publisher, Requester } from '../deliver/ports.ts';
import { backoff, retryReason } from '../deliver/retry.ts';
import type { PreparedTarget, Preview } from '../deliver/route.ts';
import { overlaps } from '../core/subjects.ts';
import { asOuzelError, formatPlace, OuzelError } from '../errors.ts';
import { type Clause, explainExpression, type NamedFilters } from '../expression/explain.ts';
import { Expression, toJson } from '../expression/index.ts';
import { Admission } from '../flow/admit.ts';
import '../hash.ts';
import { cellsOf } from '../reconcile/build.ts';
import { laneShown } from './lane.ts';
import { compileExplained, type StageInfo } from '../reconcile/compile.ts';
import { bindFilters, expressionsOf } from '../reconcile/filters.ts';
import { compileKeys } from '../reconcile/keys.ts';
import { throttleInWords } from '../reconcile/limits.ts';
import { consumerRevision } from '../reconcile/revision.ts';
import { createMetrics } from '../telemetry/metrics.ts';
import { changesBetween, stateOf } from './changes.ts';
import type { EventShown, Explanation, Failed, OutcomeShown, RouteShown, Sent, StageShown } from './explanation.ts';

/** Milliseconds between looks at whether the attempt ran out of time. */
const SWEEP = 100;

/**
 * Explains what a consumer would do with an event.
 *
 * @throws OuzelError NOT_FOUND when there is no such consumer
 */
export async function explain(loaded: LoadedConfig, name: string, event: Event): Promise<Explanation> {
  const settings = loaded.config.consumers[name];
  if (settings === undefined) throw unknownConsumer(loaded, name);
  return new Explainer(loaded, name, settings, event).explain();
}

/** The error of a name that no consumer bears. */
export const unknownConsumer = ({ config, file }: LoadedConfig, name: string): OuzelError =>
  new OuzelError(
    'NOT_FOUND',
    `no consumer "${name}" in ${file}; there are: ${Object.keys(config.consumers).join(', ') || 'none'}`,
  );

interface Watched {
  readonly stage: StageShown;
  readonly before: ReturnType<typeof stateOf>;
}

class Explainer {
  readonly #loaded: LoadedConfig;
  readonly #config: Config;
  readonly #name: string;
  readonly #settings: ConsumerConfig;
  readonly #event: Event;
  readonly #filters: NamedFilters;
  readonly #stages: StageShown[] = [];
  /** What was delivered to, by route. */
  readonly #sent = new Map<string, Sent>();
  #open: Watched | undefined;

  constructor(loaded: LoadedConfig, name: string, settings: ConsumerConfig, event: Event) {
    this.#loaded = loaded;
    this.#config = loaded.config;
    this.#name = name;
    this.#settings = settings;
    this.#event = event;
    this.#filters = { bound: bindFilters(loaded.config), sources: expressionsOf(loaded.config) };
  }

  async explain(): Promise<Explanation> {
    const { stream, subjects } = this.#settings;
    const { source, plugins, tables, schemas } = this.#loaded;
    const revision = consumerRevision(source, this.#config, this.#name, plugins, tables, schemas);
    const { plan, run, ended } = this.#begin(revision);
    const { subject } = this.#event.carrier;
    const lane = laneShown(this.#settings, subject);
    const head = { consumer: this.#name, stream, revision, event: this.#shown(run), ...lane };
    try {
      const notTaken = this.#notTaken(subjects);
      if (notTaken !== undefined) return { ...head, stages: [], outcome: notTaken };
      await plan.ready?.();
      const outcome = await ended();
      return { ...head, stages: this.#stages, outcome };
    } finally {
      plan.close();
    }
  }

  /** Prepares the run; `ended` lets it go and answers with how it ended. */
  #begin(revision: string) {
    const { config, plugins, folderOf } = this.#loaded;
    const metrics = createMetrics();
    const { max, by } = this.#settings.concurrency ?? {};
    const { plan, stages } = compileExplained({
      name: this.#name,
      config,
      revision,
      metrics,
      publisher: NO_PUBLISHER,
      requester: this.#requester,
      files: NO_FILES,
      breakers: new Breakers({ changed: () => undefined }),
      plugins,
      tables: this.#loaded.tables,
      schemas: this.#loaded.schemas,
      shows: (asked) => {
        if (this.#open !== undefined) this.#open.stage.asked = sentOf(asked);
      },
      folderOf,
      logger: pino({ enabled: false }),
      admission: max === undefined || by !== undefined ? undefined : new Admission(max),
      standIn: (target) => this.#standIn(target),
    });
    const { promise, resolve } = Promise.withResolvers<OutcomeShown>();
    const watched: Plan = { ...plan, steps: plan.steps.map((step, index) => this.#watch(step, stages[index])) };
    const consumer = new Consumer(this.#name, watched, {
      acks: NO_ACKS,
      letters: NO_LETTERS,
      attempts: NO_ATTEMPTS,
      parking: NO_PARKING,
      suspects: new Suspects(),
      pauses: new Pauses(),
      observer: this.#observer(plan, resolve),
      turns: new Turns(),
      cells: cellsOf(this.#name, metrics),
    });
    const ended = async (): Promise<OutcomeShown> => {
      const sweep = setInterval(() => consumer.sweep(performance.now()), SWEEP);
      try {
        consumer.receive(this.#event);
        return await promise;
      } finally {
        clearInterval(sweep);
      }
    };
    // A run of its own only to look at the event: it never begins.
    return { plan, run: new Run(consumer, watched, this.#event, 0), ended };
  }

  #notTaken(subjects: readonly string[] | undefined): OutcomeShown | undefined {
    const { subject } = this.#event.carrier;
    if (this.#event.stream !== this.#settings.stream)
      return {
        kind: 'not_taken',
        reason: 'stream',
        explanation: `the event is in ${this.#event.stream}, and this consumer takes from ${this.#settings.stream}`,
      };
    if (subjects === undefined || subjects.some((pattern) => overlaps(pattern, subject))) return undefined;
    return {
      kind: 'not_taken',
      reason: 'subject',
      explanation: `the server hands it ${subjects.join(', ')}, and this is ${subject}`,
    };
  }

  #shown(run: Run): EventShown {
    const { event } = run;
    const position = { stream: event.stream, sequence: run.sequence, subject: run.subject };
    try {
      const { id, type, source, time, specversion, subject, datacontenttype, dataschema, extensions } = event;
      const key = compileKeys(this.#config)(run);
      const attributes = { specversion, id, type, source, time, subject, datacontenttype, dataschema };
      const size = event.carrier.body.length;
      return { ...position, attributes, extensions, key, size, ...dataOf(event) };
    } catch (error) {
      return { ...position, size: event.carrier.body.length, error: failedOf(error) };
    }
  }

  /** The step as it is, with a look at the event before it and after it. */
  #watch(step: Step, info: StageInfo | undefined): Step {
    return {
      name: step.name,
      run: (run): Verdict => {
        this.#close();
        const stage = this.#stageOf(step, info, run);
        this.#stages.push(stage);
        this.#open = { stage, before: stateOf(run.event) };
        try {
          if (info?.says !== undefined) stage.says = info.says(run);
          if (info?.dry === true) return undefined;
          const verdict = step.run(run);
          // Whom it would ask was not asked, and will never call back: the event goes on without the reply.
          if (stage.asked !== undefined) return undefined;
          if (verdict !== undefined && verdict !== PENDING) stage.result = 'ended';
          return verdict;
        } catch (error) {
          stage.result = 'failed';
          stage.error = failedOf(error);
          throw error;
        }
      },
    };
  }

  #stageOf(step: Step, info: StageInfo | undefined, run: Run): StageShown {
    const { kind = 'filter', component, options } = info ?? {};
    const stage: StageShown = { stage: kind, name: step.name, result: 'passed' };
    if (component !== undefined) stage.component = component;
    if (kind === 'types') stage.types = this.#settings.types ?? [];
    if (info?.version !== undefined) stage.version = versionShown(info.version, run);
    if (kind === 'admit' && info?.dry !== true) stage.max = this.#settings.concurrency?.max ?? 0;
    if (options instanceof Expression) stage.condition = this.#clause(options, run);
    if (kind === 'deliver') stage.routes = this.#routes(run);
    return stage;
  }

  readonly #clause = (expression: Expression, run: Run): Clause => explainExpression(expression, this.#filters, run);

  #routes(run: Run): RouteShown[] {
    return (this.#settings.deliver ?? []).map((entry) => {
      const { name, target } = namesOf(entry);
      const route: RouteShown = { name, target, taken: false, why: entry.when === undefined ? 'always' : 'when' };
      const throttle = typeof entry.to === 'string' ? this.#config.targets[entry.to]?.throttle : undefined;
      if (throttle !== undefined) route.throttle = throttleInWords(throttle);
      if (entry.else) route.why = 'else';
      if (entry.when !== undefined) route.condition = this.#clause(entry.when, run);
      return route;
    });
  }

  /** Says of the stage that was open what came of it. */
  #close(): void {
    const open = this.#open;
    this.#open = undefined;
    if (open === undefined) return;
    const { stage, before } = open;
    if ((stage.stage === 'transformer' || stage.stage === 'upcast') && stage.result === 'passed') {
      const after = stateOf(this.#event);
      stage.changes = before === undefined || after === undefined ? [] : changesBetween(before, after);
    }
    if (stage.routes !== undefined) this.#closeRoutes(stage.routes);
  }

  #closeRoutes(routes: readonly RouteShown[]): void {
    let stopped = '';
    for (const [index, route] of routes.entries()) {
      const sent = this.#sent.get(route.name);
      if (sent !== undefined) Object.assign(route, { taken: true, sent });
      else if (stopped !== '') Object.assign(route, { why: 'stopped', stoppedBy: stopped });
      if (sent !== undefined && this.#settings.deliver?.[index]?.stop === true) stopped = route.name;
    }
  }

  /** A service may change something when it is asked, so nobody is: what would be asked is shown. */
  readonly #requester: Requester = {
    request: (subject, headers, body) => {
      const open = this.#open?.stage;
      if (open === undefined) return;
      const block = headerEntries(new TextEncoder().encode(headers));
      open.asked = sentOf({ action: `request to ${subject}`, headers: block, body });
    },
  };

  /** Takes a target's place: shows what it would send, and confirms. */
  #standIn(target: PreparedTarget): PreparedTarget {
    return {
      deliver: (delivery) => {
        const { name } = delivery.route;
        try {
          const preview = target.preview?.(delivery);
          this.#sent.set(name, preview === undefined ? { action: 'no preview' } : sentOf(preview));
        } catch (error) {
          this.#sent.set(name, { action: 'fail', error: failedOf(error) });
          throw error;
        }
        delivery.confirm();
      },
    };
  }

  /** Hears how the run ended. */
  #observer(plan: Plan, ended: (outcome: OutcomeShown) => void): Observer {
    let failed: Pick<OutcomeShown, 'error' | 'route'> = {};
    const note: Observer['deadLettered'] = (_run, { error, route }) => {
      failed = { error: failedOf(error), ...(route === undefined ? {} : { route: route.name }) };
      const open = this.#open?.stage;
      this.#close();
      if (open === undefined) return;
      open.result = 'failed';
      if (route === undefined) open.error ??= failedOf(error);
    };
    return {
      deadLettered: note,
      retried: (run, failure) => {
        note(run, failure, '');
        const policy = failure.route?.retry ?? plan.retry;
        const { attempts } = policy;
        ended({
          kind: 'retried',
          reason: retryReason(failure.error),
          attempts,
          delay: backoff(policy, 1, 0.5),
          ...failed,
        });
      },
      refused: () => undefined,
      settled: (_run, { kind, reason }) => {
        this.#close();
        ended({ kind, reason, ...failed });
      },
    };
  }
}

/** Null where the type is not known. An event whose version cannot be told fails in the step itself, which says why. */
function versionShown(version: NonNullable<StageInfo['version']>, run: Run): StageShown['version'] {
  try {
    return version(run) ?? null;
  } catch {
    return undefined;
  }
}

const NO_ACKS: Acknowledger = { ack: () => undefined, nak: () => undefined, working: () => true };
const NO_LETTERS: DeadLetterStore = {
  store: (_run, _failure, _reason, done) => done(),
  remove: (_sequence, done) => done(),
};
const NO_ATTEMPTS: AttemptStore = {
  get: (_run, done) => done(undefined),
  put: (_run, _record, done) => done(),
  remove: () => undefined,
};
const NO_PARKING: Parking = { park: (_run, _record, _kind, done) => done() };

/** Whoever publishes without a preview would be found out here. */
const NO_PUBLISHER: Publisher = {
  publish: (subject) => {
    throw new OuzelError('INTERNAL', `explain must not publish (${subject})`);
  },
  publishCore: (subject) => {
    throw new OuzelError('INTERNAL', `explain must not publish (${subject})`);
  },
};

const NO_FILES: Files = {
  append: (path) => {
    throw new OuzelError('INTERNAL', `explain must not write (${path})`);
  },
};

/** Keys of a target that are not its kind. */
const OF_ALL_TARGETS: ReadonlySet<string> = new Set(['retry', 'timeout', 'throttle']);

/** A route's name, and that of its target: the kind of it, or its plugin, where it has none of its own. */
function namesOf({ name, to }: RouteConfig): { name: string; target: string } {
  const kind = typeof to === 'string' ? to : Object.keys(to).find((key) => !OF_ALL_TARGETS.has(key));
  const target = typeof to === 'string' ? to : (to.plugin ?? kind ?? '');
  return { name: name ?? target, target };
}

function failedOf(reason: unknown): Failed {
  const { code, message, place } = asOuzelError(reason, 'EVENT_FAILED');
  return { code, message, ...(place === undefined ? {} : { place: formatPlace(place) }) };
}

function dataOf(event: Event): Pick<EventShown, 'data' | 'dataError'> {
  try {
    const { data } = event;
    return { data: data instanceof Uint8Array ? `${data.length} bytes` : toJson(data) };
  } catch (error) {
    return { dataError: failedOf(error) };
  }
}

function sentOf({ action, headers, body }: Preview): Sent {
  return {
    action,
    ...(headers === undefined ? {} : { headers }),
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : textOf(body), size: sizeOf(body) }),
  };
}

const sizeOf = (body: Uint8Array | string): number =>
  typeof body === 'string' ? new TextEncoder().encode(body).length : body.length;

function textOf(body: Uint8Array): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(body);
  } catch {
    return `${body.length} bytes that are no text`;
  }
}
