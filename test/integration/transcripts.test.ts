/** The guides, run: each command of their transcripts against three daemons, and what it prints compared. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { fits, readPage, runSteps } from '../helpers/transcript.ts';

const hasCurl = spawnSync('curl', ['--version']).status === 0;

test.for(['fleet.md', 'api.md'])('docs/guides/%s does what it says', { timeout: 180_000 }, async (name, context) => {
  if (name === 'api.md' && !hasCurl) context.skip('curl is not installed');
  const page = await readPage(fileURLToPath(new URL(`../../docs/guides/${name}`, import.meta.url)));
  expect(page.steps.length).toBeGreaterThan(8);
  const config = page.config
    .replace('127.0.0.1:${PORT:-9464}', '@HTTP@')
    .replace('nats://127.0.0.1:4222', '@NATS@')
    .replaceAll('"] }', '"], storage: memory }');
  expect(config).toMatch(/@HTTP@[^]*storage: memory/);
  const server = await startServer();
  const client = await connectTo(server);
  const first = await startDaemon(config, { server, timeout: 60_000 });
  const [second, third] = await Promise.all([
    startDaemon(config, { server, timeout: 60_000 }),
    startDaemon(config, { server, timeout: 60_000 }),
  ]);
  await runSteps(name, page.steps, {
    directory: first.directory,
    env: { NATS_URL: server.url },
    names: [first, second, third].map(({ http }, index) => [`127.0.0.1:${9464 + index}`, http.replace('http://', '')]),
    nats: async ([verb, subject = '', body = '', ...others]) => {
      if (verb !== 'pub' || others.length > 0)
        throw new Error(`only "nats pub SUBJECT BODY" is known here, not ${verb}`);
      client.nc.publish(subject, body);
      await client.nc.flush();
      return `12:00:00 Published ${Buffer.byteLength(body)} bytes to "${subject}"\n`;
    },
  });
});

test('what a page leaves out is one part of a line, or lines', () => {
  expect(fits('a 17 b\n', 'a … b\n')).toBe(true);
  expect(fits('a 17 c\n', 'a … b\n')).toBe(false);
  expect(fits('a\nb\n', 'a … b\n')).toBe(false);
  expect(fits('a\nb\nc\n', 'a\n…\n')).toBe(true);
  expect(fits('a\n\nb\n', 'a\n…\nb\n')).toBe(true);
  expect(fits('b\nc\n', 'a\n…\n')).toBe(false);
  expect(fits('a.b\n', 'a?b\n')).toBe(false);
});
