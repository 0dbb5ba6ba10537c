/** The plugins that the guide shows, as files. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

const GUIDE = join(import.meta.dirname, '..', '..', 'docs', 'guides', 'plugins.md');

/** By file name, relative to the folder of the plugins; the table of `geoip` too. */
export async function guidePlugins(): Promise<Readonly<Record<string, string>>> {
  const guide = await readFile(GUIDE, 'utf8');
  const blocks = [...guide.matchAll(/```ts\n(.*?)```/gs)].map(([, text = '']) => text);
  const files = blocks.map((text) => [`${/^export const (\w+)/m.exec(text)?.[1]}.ts`, text] as const);
  const table = /```csv\n(.*?)```/s.exec(guide)?.[1] ?? '';
  return { ...Object.fromEntries(files), 'lib/networks.csv': table };
}
