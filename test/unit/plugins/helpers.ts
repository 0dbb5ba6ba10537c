/** Plugins in a folder of their own, and runs through what they make. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { onTestFinished } from 'vitest';
import { ConfigError, loadConfig, type LoadedConfig } from '../../../src/config/load.ts';

/** A new folder, removed when the test ends. */
export async function folderOf(files: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'ouzel-plugins-'));
  onTestFinished(() => rm(folder, { recursive: true, force: true }));
  await write(folder, files);
  return folder;
}

export async function write(folder: string, files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), text);
  }
}

/** A filter that lets pass what an expression of JavaScript over `event` says. */
export const filterOf = (expression: string): string =>
  `import { defineFilter } from 'ouzel';\nexport const plugin = defineFilter({ setup: () => (event) => ${expression} });\n`;

/** Loads `ouzel.yaml` of a folder, whose plugins stand in `plugins/` below it. */
export const load = (folder: string, env: Readonly<Record<string, string>> = {}): Promise<LoadedConfig> =>
  loadConfig({ file: 'ouzel.yaml', env, cwd: folder });

/** What is shown of a configuration that does not load. */
export async function refusalOf(folder: string): Promise<string> {
  try {
    await load(folder);
  } catch (error) {
    if (error instanceof ConfigError) return error.message;
    throw error;
  }
  throw new Error('it loads');
}
