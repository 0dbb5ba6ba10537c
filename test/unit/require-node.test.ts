import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const check = fileURLToPath(new URL('../../src/require-node.mjs', import.meta.url));

/** Runs the check in a process that believes to be another version of Node. */
function under(version: string) {
  const script = `Object.defineProperty(process.versions, 'node', { value: '${version}' });
    await import(${JSON.stringify(check)});`;
  return spawnSync(process.execPath, ['--input-type=module', '--eval', script], { encoding: 'utf8' });
}

test('an old Node is told what to do, and ends with 69', () => {
  for (const version of ['16.20.2', '20.20.2', '22.21.9']) {
    const { status, stderr } = under(version);
    expect(status, version).toBe(69);
    expect(stderr).toContain(`ouzel needs Node 22.22 or newer; this is Node ${version}`);
    expect(stderr).toContain('npm rebuild node');
  }
});

test('a Node that will do passes in silence', () => {
  for (const version of ['22.22.0', '24.0.0', '25.1.0'])
    expect(under(version)).toMatchObject({ status: 0, stderr: '' });
  execFileSync(process.execPath, ['--import', check, '--eval', '0']);
});
