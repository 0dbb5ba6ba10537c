/**
 * The transcripts of docs/explain.md are what the command prints. When the command or the sample configuration has
 * changed, `UPDATE_DOCS=1 npx vitest run test/unit/explain/docs.test.ts` writes them anew.
 */
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const PAGE = `${ROOT}docs/explain.md`;
const TRANSCRIPT = /```console\n\$ echo '(.*)' \| ouzel (.*)\n([\s\S]*?)```/g;

/** What is another at each run: times and the ids made of them. */
const steady = (text: string): string =>
  text
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, '2026-03-01T09:30:00.000Z')
    .replace(/(Nats-Msg-Id: \S+?\.1\.)\w+\.0/g, '$1mm7f3xc0.0');

function printed(input: string, args: string): string {
  const options = { cwd: ROOT, input, encoding: 'utf8', env: { ...process.env, OUZEL_CONFIG: '' } } as const;
  const { stdout, stderr } = spawnSync(process.execPath, ['src/main.ts', ...args.split(' ')], options);
  expect(stderr).toBe('');
  return steady(stdout);
}

it('shows what is printed', { timeout: 30_000 }, () => {
  const page = readFileSync(PAGE, 'utf8');
  let transcripts = 0;
  const fresh = page.replace(TRANSCRIPT, (_whole, input: string, args: string) => {
    transcripts++;
    return `\`\`\`console\n$ echo '${input}' | ouzel ${args}\n${printed(input, args)}\`\`\``;
  });
  expect(transcripts).toBe(2);
  if (process.env['UPDATE_DOCS'] === '1') writeFileSync(PAGE, fresh);
  else expect(fresh).toBe(page);
});
