/** A plugin of each kind, in the process and in a thread of its own, enrolled like a component. */

export interface PluginSubject {
  readonly kind: 'filter' | 'transformer' | 'target';
  /** Of its file, too. */
  readonly name: string;
  /** Its key in the configuration. */
  readonly key: 'plugin';
  readonly example: string;
}

export const PLUGINS: readonly PluginSubject[] = [
  { kind: 'filter', name: 'plugin-filter', key: 'plugin', example: 'plugin-filter, options: { least: 1000 }' },
  { kind: 'transformer', name: 'plugin-transformer', key: 'plugin', example: 'plugin-transformer' },
  { kind: 'target', name: 'plugin-target', key: 'plugin', example: 'plugin-target' },
  {
    kind: 'filter',
    name: 'thread-filter',
    key: 'plugin',
    example: 'thread-filter, options: { least: 1000 }, isolate: true',
  },
  { kind: 'transformer', name: 'thread-transformer', key: 'plugin', example: 'thread-transformer, isolate: true' },
  { kind: 'target', name: 'thread-target', key: 'plugin', example: 'thread-target, isolate: true' },
];

const FILES = {
  filter: `import { defineFilter, z } from 'ouzel';
export const plugin = defineFilter({
  options: z.object({ least: z.number() }),
  setup: ({ options }) => (event) => Number(event.get('data.total')) > options.least,
});
`,
  transformer: `import { defineTransformer } from 'ouzel';
export const plugin = defineTransformer({
  setup: () => async (event) => {
    await Promise.resolve();
    event.set('data.seen', { by: 'plugin', id: event.get('data.id') ?? null });
  },
});
`,
  target: `import { defineTarget } from 'ouzel';
export const plugin = defineTarget({
  setup: () => async (event) => {
    await Promise.resolve(event.data);
  },
});
`,
};

/** Their files, beside the configuration. */
export const PLUGIN_FILES: Readonly<Record<string, string>> = Object.fromEntries(
  PLUGINS.map(({ kind, name }) => [`plugins/${name}.ts`, FILES[kind]]),
);
