/** What the configuration says of plugins, and what is said when it is wrong. */
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ConfigError, type LoadedConfig } from '../../../src/config/load.ts';
import { consumerRevision } from '../../../src/reconcile/revision.ts';
import { filterOf, folderOf, load, refusalOf, write } from './helpers.ts';

const TRANSFORMER = `import { defineTransformer, z } from 'ouzel';
export const plugin = defineTransformer({
  options: z.object({ precision: z.number().int().max(9).default(2), table: z.record(z.string(), z.number()).optional() }),
  setup: ({ options }) => (event) => event.set('data.precision', options.precision),
});
`;
const TARGET = `import { defineTarget } from 'ouzel';
export const plugin = defineTarget({ setup: () => () => undefined });
`;

const folderWith = (yaml: string, plugins: Readonly<Record<string, string>> = {}): Promise<string> =>
  folderOf({
    'ouzel.yaml': `version: 1\nplugins: { dir: plugins }\n${yaml}`,
    'plugins/hours.ts': filterOf('true'),
    'plugins/geo.ts': TRANSFORMER,
    'plugins/out.ts': TARGET,
    ...Object.fromEntries(Object.entries(plugins).map(([name, text]) => [`plugins/${name}`, text])),
  });

const consumer = (pipeline: string): string => `consumers: { c: { stream: S, pipeline: ${pipeline} } }\n`;

describe('plugins in a configuration', () => {
  it('stand wherever filters, transformers and targets do', async () => {
    const folder = await folderWith(`filters: { h: { plugin: hours } }
transformers: { g: { plugin: geo, options: { precision: 3 } } }
targets: { o: { plugin: out, timeout: 5s } }
consumers:
  c:
    stream: S
    pipeline: [h, g, { plugin: hours }, { plugin: geo }]
    deliver: [{ to: o }, { to: { plugin: out, retry: { attempts: 2 } } }]
`);
    const { plugins, files, config } = await load(folder);
    expect([...plugins.keys()]).toEqual(['hours', 'geo', 'out']);
    expect(files).toContain(join(folder, 'plugins/geo.ts'));
    expect(config.plugins.dir).toBe(join(folder, 'plugins'));
  });

  it('take the batches of a group only if they say so', async () => {
    const batches = TARGET.replace('{ setup', '{ batches: true, setup');
    const deliver = (to: string): string =>
      `consumers: { c: { stream: S, group: { max: 5 }, deliver: [{ to: ${to} }] } }\n`;
    for (const yaml of [
      deliver('{ plugin: out }'),
      `targets: { o: { plugin: out } }\n${deliver('o')}`,
      deliver('{ plugin: many, isolate: true }'),
    ])
      expect(await refusalOf(await folderWith(yaml, { 'many.ts': batches }))).toMatch(/takes one event at a time/);
    const folder = await folderWith(deliver('{ plugin: many }'), { 'many.ts': batches });
    expect([...(await load(folder)).plugins.keys()]).toEqual(['many']);
  });

  it('start at the folder of the file that names them', async () => {
    const folder = await folderOf({
      'ouzel.yaml': 'version: 1\n',
      'conf.d/a.yaml': `plugins: { dir: mine }\n${consumer('[{ plugin: x }]')}`,
      'conf.d/mine/x.ts': filterOf('true'),
    });
    expect((await load(folder)).plugins.get('x')?.kind).toBe('filter');
  });

  it('take a number from a variable', async () => {
    const folder = await folderWith(`transformers: { g: { plugin: geo, options: { precision: "\${P}" } } }\n`);
    const { config } = await load(folder, { P: '7' });
    expect(config.transformers['g']?.options).toEqual({ precision: 7 });
  });

  it('change the revision of the consumers that use them, and of no other', async () => {
    const folder = await folderWith(`transformers: { g: { plugin: geo } }
consumers:
  named: { stream: S, pipeline: [g] }
  inline: { stream: S, pipeline: [{ plugin: geo }] }
  none: { stream: S, pipeline: [{ plugin: hours }] }
`);
    const revisions = ({ source, config, plugins }: LoadedConfig): string[] =>
      ['named', 'inline', 'none'].map((name) => consumerRevision(source, config, name, plugins));
    const first = await load(folder);
    await write(folder, { 'plugins/geo.ts': `${TRANSFORMER}// changed\n` });
    const second = await load(folder);
    expect(second.hash).not.toBe(first.hash);
    const [before, after] = [revisions(first), revisions(second)];
    expect(after.map((revision, index) => revision === before[index])).toEqual([false, false, true]);
  });
});

const REFUSALS: readonly (readonly [name: string, yaml: string, plugins: Record<string, string>, says: RegExp[]])[] = [
  [
    'an unknown one, with the nearest',
    consumer('[{ plugin: gep }]'),
    {},
    [/^ouzel\.yaml:3:51 {2}CONFIG_UNKNOWN_NAME {2}there is no plugin "gep" in plugins/, /did you mean "geo"\?/],
  ],
  ['an unknown one, with the list', consumer('[{ plugin: weather }]'), {}, [/one of: geo, hours, out/]],
  [
    'an option of the wrong kind',
    consumer('[{ plugin: geo, options: { precision: high } }]'),
    {},
    [/^ouzel\.yaml:3:78 {2}CONFIG_INVALID_VALUE {2}expected a whole number, found "high"/, /\^\^\^\^/],
  ],
  [
    'an option out of bounds, deep down',
    consumer('[{ plugin: geo, options: { precision: 12, table: { a: b } } }]'),
    {},
    [/3:78 .*at most 9/, /3:94 .*expected a number, found "b"/],
  ],
  [
    'an option that it does not have',
    consumer('[{ plugin: geo, options: { precison: 1 } }]'),
    {},
    [/CONFIG_UNKNOWN_KEY {2}unknown key "precison"/, /did you mean "precision"\?/],
  ],
  ['options that it does not have', consumer('[{ plugin: hours, options: { x: 1 } }]'), {}, [/unknown key "x"/]],
  [
    'a kind that does not fit',
    `filters: { f: { plugin: geo } }\ntransformers: { t: { plugin: out } }\ntargets: { o: { plugin: hours } }\n`,
    {},
    [
      /"geo" is a transformer, not a filter/,
      /"out" is a target, not a transformer/,
      /"hours" is a filter, not a target/,
    ],
  ],
  [
    'company',
    consumer('[{ plugin: geo, set: { data.x: 1 } }]'),
    {},
    [/3:51 .*a plugin stands alone, without `set`/, /write two/],
  ],
  [
    'options without a plugin',
    consumer('[{ set: { data.x: 1 }, options: {} }]'),
    {},
    [/`options` are those of a plugin/],
  ],
  [
    'its use in an expression',
    `filters: { h: { plugin: hours }, x: filters.h || true }\n`,
    {},
    [/the filter "h" is a plugin/, /it can stand in a pipeline only/],
  ],
  [
    'a syntax error of TypeScript, in its own file',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': 'const a = 1;\nexport const b: = 2;\n' },
    [
      /^plugins\/bad\.ts:2:17 {2}CONFIG_PLUGIN {2}plugin bad cannot be loaded: /,
      /2 \| export const b: = 2;/,
      /named at ouzel\.yaml:3:51/,
    ],
  ],
  [
    'a syntax error of JavaScript',
    consumer('[{ plugin: bad }]'),
    { 'bad.js': 'const a = 1;\nexport const = 2;\n' },
    [/^plugins\/bad\.js:2:14 {2}CONFIG_PLUGIN/],
  ],
  [
    'an error in what it imports',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': "import './lib/worse.ts';", 'lib/worse.ts': 'let x;\n\n  oops();\n' },
    [/^plugins\/lib\/worse\.ts:3:3 {2}CONFIG_PLUGIN {2}plugin bad cannot be loaded: oops is not defined/],
  ],
  [
    'an import that leads nowhere',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': "const x = 1;\nimport { y } from './nowhere.ts';\n" },
    [/^plugins\/bad\.ts:2:19 {2}CONFIG_PLUGIN .*Cannot find module/],
  ],
  [
    'a name that is not exported',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': "\nimport { nothing } from 'ouzel';\nnothing();" },
    [/^plugins\/bad\.ts:2:10 {2}CONFIG_PLUGIN .*does not provide an export named 'nothing'/],
  ],
  [
    'a throw at import',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': 'const a: number = 1;\nthrow new Error(`boom ${a}`);\n' },
    [/^plugins\/bad\.ts:2:7 {2}CONFIG_PLUGIN {2}plugin bad cannot be loaded: boom 1/],
  ],
  [
    'a throw of what is no error',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': 'throw "just text";\n' },
    [/^plugins\/bad\.ts:1:1 {2}CONFIG_PLUGIN .*just text/],
  ],
  [
    'a definition that is none',
    consumer('[{ plugin: bad }]'),
    { 'bad.js': "import { defineFilter } from 'ouzel';\nexport const x = defineFilter({});\n" },
    [/^plugins\/bad\.js:2:18 .*a filter needs a function `setup`/],
  ],
  [
    'a file without a definition',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': 'export const x = 1;' },
    [/this file exports no plugin/],
  ],
  [
    'a file with two',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': `${filterOf('true')}export const other = defineFilter({ setup: () => () => true });` },
    [/this file exports several plugins: other, plugin/],
  ],
  [
    'two files of one name',
    consumer('[{ plugin: bad }]'),
    { 'bad.ts': filterOf('true'), 'bad.js': filterOf('true') },
    [/two plugins bear the name "bad"/, /bad\.ts/],
  ],
  [
    'options that only a promise could check',
    consumer('[{ plugin: bad, options: { a: 1 } }]'),
    {
      'bad.ts': `import { defineFilter, z } from 'ouzel';
export const x = defineFilter({ options: z.object({ a: z.number().refine(async () => true) }), setup: () => () => true });`,
    },
    [/CONFIG_PLUGIN {2}plugin bad cannot check its options/],
  ],
  ['a name that is a path', consumer('[{ plugin: ../evil }]'), {}, [/"\.\.\/evil" cannot be a name/]],
];

describe('plugins are refused for', () => {
  it.each(REFUSALS.map(([name, yaml, plugins, says]) => ({ name, yaml, plugins, says })))(
    '$name',
    async ({ yaml, plugins, says }) => {
      const shown = await refusalOf(await folderWith(yaml, plugins));
      for (const each of says) expect(shown).toMatch(each);
    },
  );

  it('a folder that is not there', async () => {
    const folder = await folderOf({
      'ouzel.yaml': `version: 1\n${consumer('[{ plugin: x }]')}plugins: { dir: nowhere }\n`,
    });
    expect(await refusalOf(folder)).toMatch(/there is no plugin "x": the folder nowhere is not there/);
  });

  it('what they failed on, which is then to be watched', async () => {
    const folder = await folderWith(consumer('[{ plugin: bad }]'), {
      'bad.ts': "import './lib/worse.ts';",
      'lib/worse.ts': 'oops();',
    });
    const error = await load(folder).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ConfigError);
    expect((error as ConfigError).files).toEqual(
      ['plugins', 'plugins/bad.ts', 'plugins/lib/worse.ts'].map((name) => join(folder, name)),
    );
  });
});
