/** The section `plugins`, and the keys that name a plugin: `{ plugin: geo, options: { … } }`. */
import { z } from 'zod';
import { duration, filePath, type IssueDetails, name, size } from './fields.ts';

export const plugins = z
  .strictObject({
    dir: filePath()
      .default('../plugins')
      .describe('The folder with the plugins: `geo.ts` in it is the plugin `geo`. Relative to the file that names it.'),
  })
  .prefault({})
  .describe('Plugins: filters, transformers and targets of your own. Only those that are used are loaded.');

/** Bytes. */
const MIN_MEMORY = 33_554_432;

const pluginName = () => name().describe('The name of a plugin: its file in `plugins.dir`, without the extension.');

const limits = z.strictObject({
  deadline: duration({ min: 50, max: 600_000 })
    .prefault('5s')
    .describe(
      'How long it may hold its thread without a turn of the event loop. Waiting is not holding: that is bounded by `timeout`.',
    ),
  memory: size()
    .refine((bytes) => bytes >= MIN_MEMORY, 'at least 32MiB: below that, the thread itself does not start')
    .prefault('256MiB')
    .describe('What its thread may keep, buffers included.'),
});

/** The bounds of an isolated plugin. */
export type IsolationLimits = z.output<typeof limits>;

/** The bounds that an entry asks for; undefined for a plugin that is not isolated. */
export const isolationOf = (isolate: boolean | IsolationLimits | undefined): IsolationLimits | undefined => {
  if (isolate === undefined || isolate === false) return undefined;
  return isolate === true ? limits.parse({}) : isolate;
};

/** The keys that stand where a filter, transformer or target comes from a plugin. */
export const pluginShape = {
  plugin: pluginName().optional(),
  options: z.record(z.string(), z.json()).optional().describe("The plugin's options, which the plugin itself defines."),
  isolate: z
    .union([z.boolean(), limits])
    .optional()
    .describe(
      'Runs the plugin in a thread of its own: an endless loop, a leak or `process.exit()` costs the event an attempt, and nothing else.',
    ),
  allow_private: z
    .boolean()
    .optional()
    .describe("Whether the plugin's `fetch` may ask private, loopback and special addresses."),
};

/** The keys that mean nothing without `plugin`. */
const BESIDE = ['options', 'isolate', 'allow_private'] as const;

/** What `present` is told of it. */
export const PLUGIN_KEY = { name: 'plugin' } as const;

interface Sink {
  addIssue(issue: { code: 'custom'; message: string; path?: string[]; params: Record<string, unknown> }): void;
}

/** Adds an issue where `plugin` and what belongs to it do not stand alone together. */
export function alone(value: object, context: Sink, others: readonly string[]): void {
  const refuse = (key: string, message: string, hint: string): void => {
    const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
    context.addIssue({ code: 'custom', message, path: [key], params: { ...params } });
  };
  const has = (key: string): boolean => Object.hasOwn(value, key);
  const orphan = has('plugin') ? undefined : BESIDE.find(has);
  if (orphan !== undefined)
    refuse(
      orphan,
      orphan === 'options' ? '`options` are those of a plugin' : `\`${orphan}\` is for plugins`,
      'write plugin: NAME too',
    );
  const [other] = others.filter(has);
  if (has('plugin') && other !== undefined)
    refuse('plugin', `a plugin stands alone, without \`${other}\``, 'write two, in the order in which they apply');
}

/** A filter that a plugin makes. */
export const pluginFilter = () => z.strictObject({ ...pluginShape, plugin: pluginName() });
