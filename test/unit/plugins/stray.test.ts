/** What becomes of errors that nobody caught, in a process of its own: a test's process has other plans with them. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const STRAY = join(import.meta.dirname, '../../../src/plugins/stray.ts');

/** Runs code with `plugin(code)` and `report()` at hand; what it printed, and how it ended. */
function ended(code: string): { readonly code: number | null; readonly lines: readonly string[] } {
  const script = `
import { reportStrayErrors, runPlugin } from ${JSON.stringify(STRAY)};
const line = (level) => (fields, message) => console.log(level, fields.plugin ?? '-', fields.error, '/', message);
const report = () => reportStrayErrors({ logger: { error: line('error'), fatal: line('fatal') }, count: (name) => console.log('count', name) });
const plugin = (code) => runPlugin('geo', code);
setTimeout(() => { console.log('still there'); process.exit(0); }, 100);
${code}`;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  return { code: status, lines: `${stdout}${stderr}`.trim().split('\n') };
}

it.each<[what: string, code: string, message: string, kind: string]>([
  ['a timer', `setTimeout(() => { throw new Error('late'); }, 1);`, 'late', 'uncaught exception'],
  ['a promise', `Promise.reject(new Error('late'));`, 'late', 'unhandled rejection'],
  ['a promise, with no error', `setTimeout(() => Promise.reject('text'), 1);`, 'text', 'unhandled rejection'],
  ['an async function', `(async () => { await null; throw new Error('late'); })();`, 'late', 'unhandled rejection'],
])('%s of a plugin is counted and logged, and the process goes on', (_what, code, message, kind) => {
  expect(ended(`report(); plugin(() => { ${code} });`)).toEqual({
    code: 0,
    lines: ['count geo', `error geo ${message} / ${kind} in a plugin`, 'still there'],
  });
});

it('what no plugin did ends the process', () => {
  expect(ended(`report(); plugin(() => undefined); setTimeout(() => { throw new Error('ours'); }, 1);`)).toEqual({
    code: 70,
    lines: ['fatal - ours / uncaught exception'],
  });
});

it('without a daemon it goes to standard error', () => {
  const { code, lines } = ended(`plugin(() => { Promise.reject(new Error('early')); });`);
  expect(code).toBe(0);
  expect(lines).toContain('plugin geo: unhandled rejection: early');
});
