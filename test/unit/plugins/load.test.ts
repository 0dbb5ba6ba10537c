import { rename, symlink, unlink } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadPlugins, MAX_LOADS } from '../../../src/plugins/load.ts';
import { filterOf, folderOf, write } from './helpers.ts';

describe('plugins are loaded', () => {
  it('from files of every kind, by the name of the file; others are left alone', async () => {
    const folder = await folderOf({
      'a.ts': filterOf('event.id as unknown as boolean'),
      'b.js': filterOf('true'),
      'c.mts': filterOf('true'),
      'd.mjs': filterOf('true').replace('export const plugin =', 'export default'),
      'broken.ts': 'this is no TypeScript',
      'types.d.ts': 'export type X = 1;',
      'README.md': '# Plugins',
      'lib/helper.ts': 'export const x = 1;',
    });
    const { plugins, failures, available } = await loadPlugins(folder, ['a', 'b', 'c', 'd']);
    expect(failures).toEqual([]);
    expect([...plugins].map(([name, { kind }]) => `${name} ${kind}`)).toEqual([
      'a filter',
      'b filter',
      'c filter',
      'd filter',
    ]);
    expect(available).toEqual(['a', 'b', 'broken', 'c', 'd']);
  });

  it('once, as long as none of their files changes; and anew with what they import when one does', async () => {
    const folder = await folderOf({
      'a.ts': `import { defineFilter } from 'ouzel';
import { limit } from './lib/limit.ts';
import table from './table.json' with { type: 'json' };
export const made = defineFilter({ setup: () => () => limit > table.least });`,
      'lib/limit.ts': "export { limit } from './number.ts';",
      'lib/number.ts': 'export const limit: number = 1;',
      'table.json': '{ "least": 5 }',
      'b.ts': filterOf('true'),
    });
    const first = await loadPlugins(folder, ['a', 'b']);
    const files = ['a.ts', 'lib/limit.ts', 'lib/number.ts', 'table.json'].map((name) => join(folder, name));
    expect(first.plugins.get('a')?.files.toSorted()).toEqual(files);
    expect(first.files.toSorted()).toEqual([folder, ...files, join(folder, 'b.ts')].toSorted());
    const same = await loadPlugins(folder, ['a', 'b']);
    expect(same.plugins.get('a')).toBe(first.plugins.get('a'));

    const answer = (load: typeof first): unknown => {
      const handler = load.plugins.get('a')?.definition?.setup({ options: {} } as never);
      return handler?.({} as never, {} as never);
    };
    expect(answer(first)).toBe(false);
    await write(folder, { 'lib/number.ts': 'export const limit: number = 10;' });
    const second = await loadPlugins(folder, ['a', 'b']);
    expect(answer(second)).toBe(true);
    expect(second.plugins.get('a')?.revision).not.toBe(first.plugins.get('a')?.revision);
    expect(second.plugins.get('b')).toBe(first.plugins.get('b'));
    await write(folder, { 'table.json': '{ "least": 20 }' });
    expect(answer(await loadPlugins(folder, ['a']))).toBe(false);
    // What is as it was before has the revision that it had.
    await write(folder, { 'table.json': '{ "least": 5 }', 'lib/number.ts': 'export const limit: number = 1;' });
    expect((await loadPlugins(folder, ['a'])).plugins.get('a')?.revision).toBe(first.plugins.get('a')?.revision);
  });

  it('anew when a symbolic link leads elsewhere, as in a ConfigMap', async () => {
    const folder = await folderOf({ 'v1/a.ts': filterOf('true'), 'v2/a.ts': filterOf('false') });
    await symlink('v1', join(folder, '..data'));
    await symlink('..data/a.ts', join(folder, 'a.ts'));
    const first = await loadPlugins(folder, ['a']);
    await symlink('v2', join(folder, '..next'));
    await rename(join(folder, '..next'), join(folder, '..data'));
    const second = await loadPlugins(folder, ['a']);
    expect(first.plugins.get('a')?.revision).not.toBe(second.plugins.get('a')?.revision);
    // The revision is that of what is in the files, wherever they lie.
    await unlink(join(folder, 'a.ts'));
    await write(folder, { 'a.ts': filterOf('false') });
    expect((await loadPlugins(folder, ['a'])).plugins.get('a')?.revision).toBe(second.plugins.get('a')?.revision);
  });

  it('each with a copy of its own of what several import', async () => {
    const plugin = `import { defineFilter } from 'ouzel';
import { next } from './lib/counter.ts';
export const made = defineFilter({ setup: () => () => next() === 1 });`;
    const folder = await folderOf({
      'a.ts': plugin,
      'b.ts': plugin,
      'lib/counter.ts': 'let n = 0;\nexport const next = (): number => ++n;',
    });
    const { plugins } = await loadPlugins(folder, ['a', 'b']);
    for (const { definition } of plugins.values())
      expect(definition?.setup({ options: {} } as never)({} as never, {} as never)).toBe(true);
  });

  it('is not done where there is no such folder', async () => {
    expect(await loadPlugins('/nowhere/plugins', ['a'])).toMatchObject({ available: undefined, failures: [] });
  });

  it('a module that waits for ever does not hold it up', { timeout: 20_000 }, async () => {
    const folder = await folderOf({ 'a.ts': 'await new Promise(() => undefined);' });
    const { failures } = await loadPlugins(folder, ['a']);
    expect(failures[0]?.message).toMatch(/its import took longer than 10 s/);
  });

  it('as often as a process can bear; an isolated one is replaced for ever', { timeout: 120_000 }, async () => {
    const folder = await folderOf({ 'often.ts': filterOf('true') });
    let load = await loadPlugins(folder, ['often']);
    let versions = 1;
    for (; load.failures.length === 0; versions++) {
      if (versions > MAX_LOADS) throw new Error('there is no bound');
      await write(folder, { 'often.ts': `${filterOf('true')}// ${versions}\n` });
      load = await loadPlugins(folder, ['often']);
    }
    expect(load.failures[0]?.message).toMatch(/^plugin often has changed, and this process has loaded 500 versions/);
    expect(load.failures[0]?.hint).toMatch(/restart Ouzel, or write `isolate: true`/);
    // What is loaded is still there, and what runs in a thread does not count.
    const { plugins, failures } = await loadPlugins(folder, [{ plugin: 'often', isolated: true, options: {} }]);
    expect(failures).toEqual([]);
    expect(plugins.get('often')).toMatchObject({ kind: 'filter', definition: undefined });
  });
});
