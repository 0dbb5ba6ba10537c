/** `ouzel init plugin` and `ouzel plugins list`, as a person runs them. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { temporaryDirectory } from '../helpers/resources.ts';

const KINDS = ['filter', 'transformer', 'target'] as const;

test('what `init plugin` writes loads as it is shown, and is listed', { timeout: 120_000 }, async () => {
  const cwd = await temporaryDirectory('plugins-cli');
  await writeFile(join(cwd, 'ouzel.yaml'), 'version: 1\nplugins: { dir: plugins }\n');
  const consumers: string[] = [];
  for (const kind of KINDS) {
    const { code, stdout } = await runCli(['init', 'plugin', `my-${kind}`, '--kind', kind, '--isolate'], { cwd });
    expect(code).toBe(0);
    // The example stands as it is shown in a consumer.
    const example = stdout.split('\n').filter((line) => line.startsWith('    '));
    expect(example).toHaveLength(2);
    consumers.push(`  c-${kind}:\n    stream: S\n${example.join('\n')}\n`);
  }
  await writeFile(join(cwd, 'ouzel.yaml'), `version: 1\nplugins: { dir: plugins }\nconsumers:\n${consumers.join('')}`);
  expect(await runCli(['validate', 'ouzel.yaml'], { cwd })).toMatchObject({ code: 0 });

  const before = await readFile(join(cwd, 'plugins', 'my-filter.ts'), 'utf8');
  const again = await runCli(['init', 'plugin', 'my-filter', '--kind', 'target'], { cwd });
  expect(again).toMatchObject({ code: 64 });
  expect(again.stderr).toMatch(/plugins\/my-filter\.ts is there already/);
  expect(await readFile(join(cwd, 'plugins', 'my-filter.ts'), 'utf8')).toBe(before);
  expect(await runCli(['init', 'plugin', '../evil'], { cwd })).toMatchObject({ code: 64 });

  await mkdir(join(cwd, 'plugins', 'lib'));
  // Looking at it is no risk: it ends its thread, and nothing else.
  await writeFile(join(cwd, 'plugins', 'bad.ts'), 'process.exit(0);\n');
  const listed = await runCli(['plugins', 'list', '--json'], { cwd });
  expect(listed.code).toBe(1);
  expect(JSON.parse(listed.stdout)).toMatchObject([
    { name: 'bad', used: [], problem: expect.stringMatching(/its thread ended/) as unknown },
    { name: 'my-filter', kind: 'filter', used: [{ at: 'consumers.c-filter.pipeline[0]', isolated: true }] },
    { name: 'my-target', kind: 'target', options: { required: ['url'] } },
    { name: 'my-transformer', kind: 'transformer' },
  ]);
  const shown = await runCli(['plugins', 'list'], { cwd });
  expect(shown.stdout).toMatch(
    /^my-target +target +consumers\.c-target\.deliver\[0\]\.to +yes +plugins\/my-target\.ts$/m,
  );
});
