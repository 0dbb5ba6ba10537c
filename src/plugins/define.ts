/** What a plugin is written with. `src/index.ts` hands it on as the package `ouzel`. */
import { z } from 'zod';
import type { EditableEvent, PluginEvent } from './event.ts';
import type { PluginFetch } from './fetch.ts';
import type { PluginState } from './state.ts';

/** Marks what `define…` made, whichever copy of this package made it. */
const KIND = Symbol.for('ouzel.plugin.kind');

/** Writes to Ouzel's log, with the plugin and the consumer named in each line. */
export interface PluginLog {
  debug(message: string, fields?: Readonly<Record<string, unknown>>): void;
  info(message: string, fields?: Readonly<Record<string, unknown>>): void;
  warn(message: string, fields?: Readonly<Record<string, unknown>>): void;
  error(message: string, fields?: Readonly<Record<string, unknown>>): void;
}

/** What a plugin is set up with: once for each place of the configuration that names it, and again after a reload. */
export interface PluginContext<Options> {
  /** The options from the configuration, checked and with their defaults. */
  readonly options: Options;
  /** The consumer that it works for. */
  readonly consumer: string;
  readonly log: PluginLog;
  /** What the plugin keeps between events, shared by all instances: entries with a JSON value each. */
  readonly kv: PluginState;
  /**
   * `fetch`, kept from private addresses unless the entry says `allow_private: true`, ended with the attempt that asks,
   * and with a bound on what it reads.
   */
  readonly fetch: PluginFetch;
  /** Aborted when this setup is no longer used: the place for closing connections and clearing timers. */
  readonly signal: AbortSignal;
}

/** About the attempt that an event is in. */
export interface PluginCall {
  /** Aborted when the attempt has run out of time. Hand it to whatever waits (`fetch(url, { signal })`). */
  readonly signal: AbortSignal;
  /** 1 for the first. */
  readonly attempt: number;
}

/** About the delivery that a target makes. */
export interface PluginDelivery extends PluginCall {
  /** The same for this event on this route, however often it is tried: what a receiver can tell repetitions by. */
  readonly id: string;
  /** The entry of `deliver`. */
  readonly route: string;
  /** Behind a `group`, for a target with `batches: true`: the events of the batch. Else the event alone. */
  readonly events: readonly PluginEvent[];
  /** What the events of a batch have in common, the value of `group.by`; null without it. */
  readonly key: unknown;
}

/** True lets the event pass. */
export type FilterHandler = (event: PluginEvent, call: PluginCall) => boolean | Promise<boolean>;

/** Changes the event through `set` and `remove`. */
export type TransformerHandler = (event: EditableEvent, call: PluginCall) => void | Promise<void>;

/** The delivery is confirmed when it returns, or when its promise is kept. */
export type TargetHandler = (event: PluginEvent, delivery: PluginDelivery) => void | Promise<void>;

interface Definition<Schema extends z.ZodType, Handler> {
  /** A zod schema of what may stand under `options`; without one there are none. */
  readonly options?: Schema;
  /** Makes the function that is called for each event. It answers at once: what takes time belongs into the function. */
  setup(context: PluginContext<z.output<Schema>>): Handler;
}

interface TargetDefinition<Schema extends z.ZodType> extends Definition<Schema, TargetHandler> {
  /**
   * Whether it takes the batches of a `group`: it is called once for a batch, and finds its events in
   * `delivery.events`. What it throws is of all of them; unless it is an `UnavailableError`, the batch is halved.
   */
  readonly batches?: boolean;
}

interface Defined<Kind extends string, Handler> {
  readonly [KIND]: Kind;
  readonly options: z.ZodType;
  setup(context: PluginContext<unknown>): Handler;
}

export type FilterPlugin = Defined<'filter', FilterHandler>;
export type TransformerPlugin = Defined<'transformer', TransformerHandler>;
export type TargetPlugin = Defined<'target', TargetHandler> & { readonly batches: boolean };
export type Plugin = FilterPlugin | TransformerPlugin | TargetPlugin;
export type PluginKind = 'filter' | 'transformer' | 'target';

const NO_OPTIONS = z.strictObject({});
type NoOptions = typeof NO_OPTIONS;

/** A key that nobody asks for is a misspelling, unless the schema says what to do with it. */
const strict = (schema: z.ZodType): z.ZodType =>
  schema instanceof z.ZodObject && schema.def.catchall === undefined ? schema.strict() : schema;

function define<Kind extends PluginKind, Schema extends z.ZodType, Handler>(
  kind: Kind,
  definition: Definition<Schema, Handler>,
): Defined<Kind, Handler> {
  const { options } = definition;
  if (typeof definition.setup !== 'function') throw new TypeError(`a ${kind} needs a function \`setup\``);
  if (options !== undefined && typeof (options as Partial<z.ZodType>).safeParse !== 'function')
    throw new TypeError('`options` is a zod schema: z.object({ … })');
  return {
    [KIND]: kind,
    options: strict(options ?? NO_OPTIONS),
    setup: (context) => definition.setup(context as never),
  };
}

/** A filter: decides whether an event goes on. */
export const defineFilter = <Schema extends z.ZodType = NoOptions>(
  definition: Definition<Schema, FilterHandler>,
): FilterPlugin => define('filter', definition);

/** A transformer: changes an event. */
export const defineTransformer = <Schema extends z.ZodType = NoOptions>(
  definition: Definition<Schema, TransformerHandler>,
): TransformerPlugin => define('transformer', definition);

/** A target: delivers an event. */
export const defineTarget = <Schema extends z.ZodType = NoOptions>(
  definition: TargetDefinition<Schema>,
): TargetPlugin => ({ ...define('target', definition), batches: definition.batches === true });

/** The kind of a plugin; undefined for anything else. */
export function kindOfPlugin(value: unknown): PluginKind | undefined {
  return typeof value === 'object' && value !== null && KIND in value ? (value[KIND] as PluginKind) : undefined;
}

export const isPlugin = (value: unknown): value is Plugin => kindOfPlugin(value) !== undefined;
export const isFilter = (value: Plugin): value is FilterPlugin => value[KIND] === 'filter';
export const isTransformer = (value: Plugin): value is TransformerPlugin => value[KIND] === 'transformer';
export const isTarget = (value: Plugin): value is TargetPlugin => value[KIND] === 'target';
