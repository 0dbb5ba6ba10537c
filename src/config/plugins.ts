/** The section `plugins`, and the keys that name a plugin: `{ plugin: geo, options: { … } }`. */
import { z } from 'zod';
import { filePath, type IssueDetails, name } from './fields.ts';

export const plugins = z
  .strictObject({
    dir: filePath()
      .default('../plugins')
      .describe('The folder with the plugins: `geo.ts` in it is the plugin `geo`. Relative to the file that names it.'),
  })
  .prefault({})
  .describe('Plugins: filters, transformers and targets of your own. Only those that are used are loaded.');

const pluginName = () => name().describe('The name of a plugin: its file in `plugins.dir`, without the extension.');

/** The keys that stand where a filter, transformer or target comes from a plugin. */
export const pluginShape = {
  plugin: pluginName().optional(),
  options: z.record(z.string(), z.json()).optional().describe("The plugin's options, which the plugin itself defines."),
};

/** What `present` is told of it. */
export const PLUGIN_KEY = { name: 'plugin' } as const;

interface Sink {
  addIssue(issue: { code: 'custom'; message: string; path?: string[]; params: Record<string, unknown> }): void;
}

/** Adds an issue where `plugin` and `options` do not stand alone together. */
export function alone(value: object, context: Sink, others: readonly string[]): void {
  const refuse = (key: string, message: string, hint: string): void => {
    const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE', hint };
    context.addIssue({ code: 'custom', message, path: [key], params: { ...params } });
  };
  const has = (key: string): boolean => Object.hasOwn(value, key);
  if (has('options') && !has('plugin')) refuse('options', '`options` are those of a plugin', 'write plugin: NAME too');
  const [other] = others.filter(has);
  if (has('plugin') && other !== undefined)
    refuse('plugin', `a plugin stands alone, without \`${other}\``, 'write two, in the order in which they apply');
}

/** A filter that a plugin makes. */
export const pluginFilter = () => z.strictObject({ ...pluginShape, plugin: pluginName() });
