/**
 * Puts a configuration in force: build, check on the server, then swap; or roll back and leave all as it was. What a
 * change does not touch is not touched.
 */
import type { LoadedConfig } from '../config/load.ts';
import { asOuzelError, OuzelError } from '../errors.ts';
import { deleteDurable, ensureStream, type StreamSpec } from '../nats/provision.ts';
import { familiesOf } from '../telemetry/metrics.ts';
import { type Blueprint, blueprintOf, buildRuntime, revisionsOf, type Services, streamSpecs } from './build.ts';
import { type Comparable, type ConsumerDiff, diffConsumers } from './diff.ts';
import { modeOf } from './exclusive.ts';
import type { Confirm } from './reload.ts';
import type { ConsumerRuntime } from './runtime.ts';

type Undo = () => Promise<unknown>;

export class Reconciler {
  readonly #services: Services;
  readonly #domain: string | undefined;
  readonly #runtimes = new Map<string, ConsumerRuntime>();
  /** Consumers that left and are still draining. */
  readonly #leaving = new Set<ConsumerRuntime>();
  /** Consumers that could not be compiled at the start, and why. A reload tries them again. */
  readonly #failed = new Map<string, string>();
  #streams = new Map<string, string>();

  constructor(services: Services, domain: string | undefined) {
    this.#services = services;
    this.#domain = domain;
  }

  /** The consumers that could not even be built at the start, with the reasons. */
  get failed(): ReadonlyMap<string, string> {
    return this.#failed;
  }

  /** The consumers that run. */
  get runtimes(): ReadonlyMap<string, ConsumerRuntime> {
    return this.#runtimes;
  }

  /**
   * Starts what is configured. A consumer that cannot run is `failed` with its reason, and the others run.
   *
   * @throws OuzelError when a stream cannot be made
   */
  async start(loaded: LoadedConfig): Promise<void> {
    this.#services.inFlight.resize(loaded.config.runtime.max_in_flight);
    for (const spec of streamSpecs(loaded.config)) await this.#provisionStream(spec);
    await Promise.all(
      [...revisionsOf(loaded)].map(async ([name, revision]) => {
        let made: Blueprint | undefined;
        try {
          made = blueprintOf(name, revision, loaded, this.#services);
          await made.plan.ready?.();
          this.#add(made);
        } catch (error) {
          made?.plan.close();
          this.#cannotStart(name, asOuzelError(error));
        }
      }),
    );
    await Promise.all([...this.#runtimes.values()].map((runtime) => runtime.start()));
  }

  /**
   * Puts another configuration in force. While NATS is away it is checked as far as that goes, put in force, and
   * provisioned on the reconnect.
   *
   * @param confirm Asked when all is built and checked, before anything is swapped.
   * @throws OuzelError when it cannot come up, or what `confirm` throws; then all is as it was before.
   */
  async apply(loaded: LoadedConfig, confirm?: Confirm): Promise<ConsumerDiff> {
    const revisions = revisionsOf(loaded);
    const diff = diffConsumers(this.#comparable(), comparable(revisions, loaded));
    const { connected } = this.#services.wire;
    const made: Blueprint[] = [];
    const blueprint = (name: string): Blueprint => {
      const { admission, keyed, lanes } = this.#runtimes.get(name)?.blueprint ?? {};
      const kept = diff.moved.includes(name) ? { admission, keyed } : { admission, keyed, lanes };
      const each = blueprintOf(name, revisions.get(name) ?? '', loaded, this.#services, kept);
      made.push(each);
      return each;
    };
    let updated: readonly Blueprint[];
    let begun: readonly { readonly blueprint: Blueprint; readonly runtime: ConsumerRuntime }[];
    try {
      updated = diff.updated.map(blueprint);
      // All are compiled before the first is built: what does not compile leaves nothing behind.
      begun = [...diff.added, ...diff.moved]
        .map(blueprint)
        .map((each) => ({ blueprint: each, runtime: buildRuntime(each, this.#services, this.#domain) }));
      await Promise.all(made.map(async ({ plan }) => plan.ready?.()));
      if (connected) await this.#check(loaded, updated, begun, confirm);
      else await confirm?.();
    } catch (error) {
      for (const { plan } of made) plan.close();
      this.#forgetTargets();
      throw error;
    }

    this.#services.inFlight.resize(loaded.config.runtime.max_in_flight);
    for (const each of updated) await this.#update(each, connected);
    await Promise.all([...diff.removed, ...diff.moved].map((name) => this.#remove(name, diff.removed.includes(name))));
    for (const { blueprint: each, runtime } of begun) this.#runtimes.set(each.name, runtime);
    for (const name of this.#failed.keys()) if (!this.#runtimes.has(name)) this.#forget(name);
    this.#failed.clear();
    await Promise.all(begun.map(({ runtime }) => runtime.start(connected)));
    this.#forgetTargets();
    return diff;
  }

  async #update(blueprint: Blueprint, provisioned: boolean): Promise<void> {
    const runtime = this.#runtimes.get(blueprint.name);
    await runtime?.update(blueprint, provisioned);
    // What the change mended is found out now, by events that know of it.
    runtime?.consumer.giveBackOutdated();
    this.#services.breakers.probeSoon(blueprint.plan.targets);
  }

  /** Drains every consumer, within a deadline. */
  async stop(deadline: Promise<void>): Promise<void> {
    await Promise.all([...this.#runtimes.values(), ...this.#leaving].map((runtime) => runtime.stop(deadline)));
  }

  /** Makes streams and durables ready on the server, and takes it back when one is refused. */
  async #check(
    loaded: LoadedConfig,
    updated: readonly Blueprint[],
    begun: readonly { readonly blueprint: Blueprint; readonly runtime: ConsumerRuntime }[],
    confirm: Confirm | undefined,
  ): Promise<void> {
    const undo: Undo[] = [];
    try {
      for (const spec of streamSpecs(loaded.config)) await this.#provisionStream(spec);
      for (const blueprint of updated) {
        const runtime = this.#runtimes.get(blueprint.name);
        if (runtime === undefined || blueprint.paused) continue;
        const before = runtime.blueprint;
        const { stream } = before.spec;
        undo.push(() => runtime.provision(before));
        const { lanesMade } = await runtime.provision(blueprint);
        for (const lane of lanesMade) undo.push(() => deleteDurable(this.#services.manager, stream, lane));
      }
      for (const { blueprint, runtime } of begun) {
        if (blueprint.paused) continue;
        const before = this.#runtimes.get(blueprint.name);
        const sameDurable = before?.blueprint.spec.stream === blueprint.spec.stream;
        if (before !== undefined && sameDurable) undo.push(() => before.provision(before.blueprint));
        const { made, lanesMade } = await runtime.provision(blueprint);
        for (const durable of [...(made ? [blueprint.name] : []), ...lanesMade])
          undo.push(() => deleteDurable(this.#services.manager, blueprint.spec.stream, durable));
      }
      await confirm?.();
    } catch (error) {
      for (const step of undo.toReversed())
        await step().catch((failed: unknown) =>
          this.#services.logger.error({ error: String(failed) }, 'a step of the rejected change could not be undone'),
        );
      for (const { blueprint, runtime } of begun) {
        runtime.discard();
        if (!this.#runtimes.has(blueprint.name)) this.#forget(blueprint.name);
      }
      throw error;
    }
  }

  async #provisionStream(spec: StreamSpec): Promise<void> {
    const { manager, logger } = this.#services;
    const wanted = JSON.stringify(spec);
    // A stream is looked at when its entry is new or changed, so that a reload costs nothing for the others.
    if (this.#streams.get(spec.name) === wanted) return;
    const { made, changed, kept } = await ensureStream(manager, spec);
    if (made) logger.info({ stream: spec.name, subjects: spec.subjects }, 'stream made');
    if (changed.length > 0) logger.info({ stream: spec.name, changed }, 'stream changed');
    if (kept.length > 0)
      logger.warn(
        { stream: spec.name, differs: kept },
        'stream differs from the configuration; `manage: true` would change it',
      );
    this.#streams.set(spec.name, wanted);
  }

  #add(blueprint: Blueprint): void {
    this.#runtimes.set(blueprint.name, buildRuntime(blueprint, this.#services, this.#domain));
  }

  /** Lets a consumer go: it drains in the background, and what it made goes as its configuration says. */
  async #remove(name: string, forGood: boolean): Promise<void> {
    const runtime = this.#runtimes.get(name);
    if (runtime === undefined) return;
    const { logger, manager } = this.#services;
    const { spec } = runtime.blueprint;
    this.#runtimes.delete(name);
    this.#leaving.add(runtime);
    const drained = runtime.stop(new Promise(() => undefined)).then(async () => {
      this.#leaving.delete(runtime);
      if (spec.onRemove === 'delete')
        for (const durable of runtime.durables) await deleteDurable(manager, spec.stream, durable);
      // A consumer of this name may have come back meanwhile.
      if (forGood && !this.#runtimes.has(name)) this.#forget(name);
      this.#forgetTargets();
      const durable = spec.onRemove === 'delete' ? 'deleted' : 'kept';
      logger.info({ consumer: name, durable }, forGood ? 'consumer removed' : 'consumer drained, to begin anew');
    });
    const settled = drained.catch((error: unknown) =>
      logger.error({ consumer: name, error: String(error) }, 'a removed consumer could not be cleared away'),
    );
    // A consumer that only moves must have left before it begins elsewhere: it counts in the same series.
    if (!forGood) await settled;
  }

  /** A plugin that cannot be set up concerns only the consumers that use it. */
  #cannotStart(name: string, { code, message }: OuzelError): void {
    const { logger, metrics } = this.#services;
    this.#failed.set(name, message);
    metrics.consumerState.with(name, 'failed').set(1);
    logger.error({ consumer: name, code }, message);
  }

  /** The series of what is gone go. */
  #forget(name: string): void {
    for (const family of familiesOf(this.#services.metrics)) family.remove('consumer', name);
  }

  /** Breakers and series of targets that nobody delivers to any more, and of those of a rejected change, go. */
  #forgetTargets(): void {
    const { breakers, metrics } = this.#services;
    const inUse = [...this.#runtimes.values(), ...this.#leaving].flatMap(({ consumer }) => consumer.plan.targets);
    for (const target of breakers.keepOnly(new Set(inUse)))
      for (const family of familiesOf(metrics)) family.remove('target', target);
  }

  #comparable(): Map<string, Comparable> {
    return new Map(
      [...this.#runtimes].map(([name, { blueprint }]) => [
        name,
        { revision: blueprint.revision, stream: blueprint.spec.stream, mode: blueprint.mode },
      ]),
    );
  }
}

function comparable(revisions: ReadonlyMap<string, string>, { config }: LoadedConfig): Map<string, Comparable> {
  return new Map(
    [...revisions].map(([name, revision]) => {
      const settings = config.consumers[name];
      if (settings === undefined) throw new OuzelError('INTERNAL', `no consumer ${name} in the configuration`);
      return [name, { revision, stream: settings.stream, mode: modeOf(settings) }];
    }),
  );
}
