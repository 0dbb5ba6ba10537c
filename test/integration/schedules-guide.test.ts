/** The guide to schedules, run. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';

const PAGE = 'schedules.md';

test(`docs/guides/${PAGE} does what it says`, { timeout: 120_000 }, async () => {
  const page = await readPage(fileURLToPath(new URL(`../../docs/guides/${PAGE}`, import.meta.url)));
  const config = page.config.replace('127.0.0.1:9464', '"@HTTP@"').replace('nats://127.0.0.1:4222', '"@NATS@"');
  const server = await startServer();
  const daemon = await startDaemon(config, { server, timeout: 60_000 });
  await runSteps(PAGE, page.steps, {
    directory: daemon.directory,
    names: [['127.0.0.1:9464', daemon.http.replace('http://', '')]],
    nats: () => Promise.reject(new Error('the page has no nats')),
  });
  await using client = await connectTo(server);
  const [fired] = await readStream(client, 'EVENTS');
  expect(fired?.subject).toBe('events.reports.due');
  expect(JSON.parse(fired?.body ?? '')).toMatchObject({ kind: 'nightly' });
});
