/** The steps and targets that plugins make, set up for one plan. */
import type { z } from 'zod';
import type { Outcome, Step } from '../core/plan.ts';
import type { TargetComponent } from '../deliver/component.ts';
import { messageIds } from '../deliver/ids.ts';
import { OuzelError } from '../errors.ts';
import { isFilter, isTarget, isTransformer, type PluginContext, type PluginLog } from '../plugins/define.ts';
import { runPlugin } from '../plugins/isolate.ts';
import type { LoadedPlugin } from '../plugins/load.ts';
import { filterStep, transformerStep } from '../plugins/steps.ts';
import { preparedTarget } from '../plugins/target.ts';
import type { Logger } from '../telemetry/log.ts';

type Level = keyof PluginLog;

/** A definition of whatever kind. */
interface SetUp<Handler> {
  readonly options: z.ZodType;
  setup(context: PluginContext<unknown>): Handler;
}

export class PluginCompiler {
  readonly #consumer: string;
  readonly #plugins: ReadonlyMap<string, LoadedPlugin>;
  readonly #logger: Logger;
  #closing: AbortController | undefined;

  constructor(consumer: string, plugins: ReadonlyMap<string, LoadedPlugin>, logger: Logger) {
    this.#consumer = consumer;
    this.#plugins = plugins;
    this.#logger = logger;
  }

  /** Tells the plugins that were set up that they are not used any more. */
  readonly close = (): void => {
    // Whoever listens is a plugin's: what it throws is reported as uncaught, and laid at the plugin's door.
    this.#closing?.abort(new OuzelError('PLUGIN_FAILED', 'the plugin is not used any more'));
  };

  /** @throws OuzelError PLUGIN_FAILED when the plugin's `setup` throws */
  step(name: string, options: unknown, shownAs: string, refused: Outcome): Step {
    const { definition } = this.#plugin(name);
    if (isFilter(definition)) return filterStep(shownAs, name, this.#setUp(name, definition, options), refused);
    if (isTransformer(definition)) return transformerStep(shownAs, name, this.#setUp(name, definition, options));
    throw new OuzelError('INTERNAL', `plugin ${name} is no filter or transformer`);
  }

  /** A target's component, as those of `deliver/targets/` are. */
  target(name: string): TargetComponent {
    const { definition } = this.#plugin(name);
    if (!isTarget(definition)) throw new OuzelError('INTERNAL', `plugin ${name} is no target`);
    return {
      name,
      summary: '',
      example: '',
      options: definition.options,
      prepare: (options, { stream, consumer, route }) =>
        preparedTarget(name, this.#setUp(name, definition, options), messageIds(stream, consumer, route)),
    };
  }

  #plugin(name: string): LoadedPlugin {
    const plugin = this.#plugins.get(name);
    if (plugin === undefined) throw new OuzelError('CONFIG_UNKNOWN_NAME', `no plugin "${name}"`);
    return plugin;
  }

  #setUp<Handler>(name: string, definition: SetUp<Handler>, given: unknown): Handler {
    this.#closing ??= new AbortController();
    const { signal } = this.#closing;
    const context = { consumer: this.#consumer, log: this.#log(name), signal };
    try {
      const handler = runPlugin(name, () =>
        definition.setup({ ...context, options: definition.options.parse(given ?? {}) }),
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
        this.#logger[level]({ ...more, ...fields }, String(message));
    return { debug: line('debug'), info: line('info'), warn: line('warn'), error: line('error') };
  }
}
