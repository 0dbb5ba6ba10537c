/** What the guide and the samples show is what works. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { loadConfig } from '../../../src/config/load.ts';
import { loadPlugins } from '../../../src/plugins/load.ts';
import { guidePlugins } from '../../helpers/guide.ts';
import { folderOf } from './helpers.ts';

const ROOT = join(import.meta.dirname, '..', '..', '..');

it('every plugin of the guide loads', async () => {
  const folder = await folderOf(await guidePlugins());
  const { plugins, failures } = await loadPlugins(folder, ['shout', 'sample', 'crm', 'profile', 'geoip']);
  expect(failures).toEqual([]);
  expect([...plugins.values()].map(({ kind }) => kind)).toEqual([
    'transformer',
    'filter',
    'target',
    'transformer',
    'transformer',
  ]);
});

it('the sample configuration uses every sample', async () => {
  const { plugins } = await loadConfig({ file: 'config/ouzel.yaml', env: {}, cwd: ROOT });
  const samples = (await readdir(join(ROOT, 'plugins'))).map((file) => file.replace(/\.ts$/, ''));
  expect([...plugins.keys()].toSorted()).toEqual(samples.toSorted());
});

it('the samples do what they say', async () => {
  const { plugins } = await loadPlugins(join(ROOT, 'plugins'), ['geo', 'business-hours']);
  const handlerOf = (name: string, options: unknown) => {
    const definition = plugins.get(name)?.definition;
    return definition?.setup({ options: definition.options.parse(options) } as never);
  };
  const written: unknown[] = [];
  const set = (path: string, value: unknown): void => void written.push([path, value]);
  const geo = handlerOf('geo', { precision: 1 });
  for (const zip of ['10115', 8001, 'unknown', undefined]) await geo?.({ get: () => zip, set } as never, {} as never);
  expect(written).toEqual([
    ['data.geo', { city: 'Berlin', lat: 52.5, lon: 13.4 }],
    ['data.geo', { city: 'Zürich', lat: 47.4, lon: 8.5 }],
  ]);
  const open = handlerOf('business-hours', { timezone: 'Europe/Berlin' });
  const at = (time: string): unknown => open?.({ time } as never, {} as never);
  // A Friday in winter, where Berlin is an hour ahead; the Saturday after it; summer, two hours ahead.
  expect(
    ['2026-01-30T07:59:59Z', '2026-01-30T08:00:00Z', '2026-01-30T15:59:59Z', '2026-01-30T16:00:00Z'].map(at),
  ).toEqual([false, true, true, false]);
  expect(['2026-01-31T10:00:00Z', '2026-07-31T07:00:00Z'].map(at)).toEqual([false, true]);
});
