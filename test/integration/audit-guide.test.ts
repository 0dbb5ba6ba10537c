/** The guide to the audit, run as it stands. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';

test('docs/guides/audit.md does what it says', { timeout: 180_000 }, async (context) => {
  if (spawnSync('curl', ['--version']).status !== 0) context.skip('curl is not installed');
  const page = await readPage(fileURLToPath(new URL('../../docs/guides/audit.md', import.meta.url)));
  expect(page.steps.length).toBeGreaterThan(6);
  const config = page.config
    .replace('127.0.0.1:${PORT:-9464}', '@HTTP@')
    .replace('${NATS_URL:-nats://127.0.0.1:4222}', '@NATS@');
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(config, { server, timeout: 60_000 });
  await runSteps('audit.md', page.steps, {
    directory: daemon.directory,
    env: { NATS_URL: server.url },
    names: [['127.0.0.1:9464', daemon.http.replace('http://', '')]],
    nats: async ([, subject = '', body = '']) => {
      client.nc.publish(subject, body);
      await client.nc.flush();
      return 'Published\n';
    },
  });
});
