/** The steps and targets that plugins make, set up for one plan. */
import { isolationOf, type IsolationLimits } from '../config/plugins.ts';
import type { z } from 'zod';
import type { Outcome, Step } from '../core/plan.ts';
import type { TargetComponent } from '../deliver/component.ts';
import { messageIds } from '../deliver/ids.ts';
import { OuzelError } from '../errors.ts';
import { isFilter, isTarget, isTransformer, type PluginContext, type PluginLog } from '../plugins/define.ts';
import type { PluginPlace } from '../plugins/errors.ts';
import { guardedFetch } from '../plugins/fetch.ts';
import { IsolatedHost } from '../plugins/isolated/host.ts';
import { isolatedStep, isolatedTarget } from '../plugins/isolated/steps.ts';
import type { LoadedPlugin } from '../plugins/load.ts';
import { stateOf, type StateStore } from '../plugins/state.ts';
import { filterStep, transformerStep } from '../plugins/steps.ts';
import { runPlugin } from '../plugins/stray.ts';
import { preparedTarget } from '../plugins/target.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';

type Level = keyof PluginLog;

/** A definition of whatever kind. */
interface SetUp<Handler> {
  readonly options: z.ZodType;
  setup(context: PluginContext<unknown>): Handler;
}

/** The keys of an entry that a plugin makes. */
export interface PluginEntry {
  readonly plugin?: string | undefined;
  readonly options?: unknown;
  readonly isolate?: boolean | IsolationLimits | undefined;
  readonly allow_private?: boolean | undefined;
}

/** What the plugins of a consumer are set up with. */
export interface PluginServices {
  readonly plugins: ReadonlyMap<string, LoadedPlugin>;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** What plugins keep; undefined where there is no server. */
  readonly state?: StateStore | undefined;
}

export class PluginCompiler {
  readonly #consumer: string;
  /** Milliseconds that an attempt may take. */
  readonly #timeout: number;
  readonly #services: PluginServices;
  readonly #hosts: IsolatedHost[] = [];
  #closing: AbortController | undefined;

  constructor(consumer: string, timeout: number, services: PluginServices) {
    this.#consumer = consumer;
    this.#timeout = timeout;
    this.#services = services;
  }

  /** Tells the plugins that were set up that they are not used any more. */
  readonly close = (): void => {
    // Whoever listens is a plugin's: what it throws is reported as uncaught, and laid at the plugin's door.
    this.#closing?.abort(new OuzelError('PLUGIN_FAILED', 'the plugin is not used any more'));
    for (const host of this.#hosts) host.close();
  };

  /** Resolves when the isolated ones are set up; undefined where there are none. @throws OuzelError PLUGIN_FAILED */
  get ready(): (() => Promise<void>) | undefined {
    if (this.#hosts.length === 0) return undefined;
    return async () => void (await Promise.all(this.#hosts.map((host) => host.ready())));
  }

  /** @throws OuzelError PLUGIN_FAILED when the plugin's `setup` throws */
  step(entry: PluginEntry, shownAs: string, refused: Outcome): Step {
    const { name, definition } = this.#plugin(entry);
    const host = this.#host(entry, 'step');
    if (host !== undefined) return isolatedStep(shownAs, host, refused);
    if (definition !== undefined && isFilter(definition))
      return filterStep(shownAs, name, this.#setUp(entry, definition), refused);
    if (definition !== undefined && isTransformer(definition))
      return transformerStep(shownAs, name, this.#setUp(entry, definition));
    throw new OuzelError('INTERNAL', `plugin ${name} is no filter or transformer`);
  }

  /** A target's component, as those of `deliver/targets/` are. */
  target(entry: PluginEntry): TargetComponent {
    const { name, definition, kind, options } = this.#plugin(entry);
    if (kind !== 'target') throw new OuzelError('INTERNAL', `plugin ${name} is no target`);
    return {
      name,
      summary: '',
      example: '',
      options,
      batch: definition !== undefined && isTarget(definition) && definition.batches ? 'whole' : undefined,
      prepare: (_options, { stream, consumer, route }) => {
        const ids = messageIds(stream, consumer, route);
        const host = this.#host(entry, 'target');
        if (host !== undefined) return isolatedTarget(host, ids);
        if (definition === undefined || !isTarget(definition))
          throw new OuzelError('INTERNAL', `${name} is not loaded`);
        return preparedTarget(name, this.#setUp(entry, definition), ids);
      },
    };
  }

  #plugin({ plugin }: PluginEntry): LoadedPlugin {
    const found = this.#services.plugins.get(plugin ?? '');
    if (found === undefined) throw new OuzelError('CONFIG_UNKNOWN_NAME', `no plugin "${plugin}"`);
    return found;
  }

  /** The thread of an isolated plugin; undefined for one that runs here. */
  #host(entry: PluginEntry, where: PluginPlace): IsolatedHost | undefined {
    const limits = isolationOf(entry.isolate);
    if (limits === undefined) return undefined;
    const { name, isolated } = this.#plugin(entry);
    if (isolated === undefined) throw new OuzelError('INTERNAL', `plugin ${name} is not loaded for a thread`);
    const { metrics, state } = this.#services;
    const threads = metrics.pluginThreads.with(name);
    const host = new IsolatedHost({
      plugin: name,
      consumer: this.#consumer,
      code: isolated,
      where,
      options: entry.options ?? {},
      allowPrivate: entry.allow_private === true,
      // An attempt that runs out of time is tried again and uses up none: who holds the thread must be found before.
      deadline: Math.min(limits.deadline, this.#timeout / 2),
      memory: limits.memory,
      state: stateOf(name, state),
      log: this.#log(name),
      count: (difference) => threads.set(threads.value + difference),
      onEnded: (reason) => metrics.pluginThreadsEnded.with(name, reason).increment(),
    });
    this.#hosts.push(host);
    return host;
  }

  #setUp<Handler>(entry: PluginEntry, definition: SetUp<Handler>): Handler {
    const { name } = this.#plugin(entry);
    this.#closing ??= new AbortController();
    const { signal } = this.#closing;
    const context = {
      consumer: this.#consumer,
      log: this.#log(name),
      kv: stateOf(name, this.#services.state),
      fetch: guardedFetch(entry.allow_private === true, signal),
      signal,
    };
    try {
      const handler = runPlugin(name, () =>
        definition.setup({ ...context, options: definition.options.parse(entry.options ?? {}) }),
      );
      if (typeof handler === 'function') return handler;
      throw new TypeError('`setup` answers at once, with the function that is called for each event');
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new OuzelError('PLUGIN_FAILED', `plugin ${name} cannot be set up: ${message}`, { cause: error });
    }
  }

  #log(plugin: string): PluginLog {
    const fields = { plugin, consumer: this.#consumer };
    const line =
      (level: Level): PluginLog[Level] =>
      (message, more) =>
        this.#services.logger[level]({ ...more, ...fields }, String(message));
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}
