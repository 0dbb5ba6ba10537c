/** The guide to timing, run: what waits, what goes on, and what does not. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';

const PAGE = 'timing.md';

test(`docs/guides/${PAGE} does what it says`, { timeout: 120_000 }, async () => {
  const page = await readPage(fileURLToPath(new URL(`../../docs/guides/${PAGE}`, import.meta.url)));
  expect(page.steps).toHaveLength(12);
  const config = page.config
    .replace('127.0.0.1:9464', '"@HTTP@"')
    .replace('nats://127.0.0.1:4222', '"@NATS@"')
    // Each `nats pub` may take seconds on a busy machine.
    .replace('quiet: 2s', 'quiet: 10s');
  const server = await startServer();
  const daemon = await startDaemon(config, { server, timeout: 60_000 });
  const client = await connectTo(server);
  await runSteps(PAGE, page.steps, {
    directory: daemon.directory,
    env: { NATS_URL: server.url },
    names: [['127.0.0.1:9464', daemon.http.replace('http://', '')]],
    nats: async ([verb, subject = '', body = '']) => {
      if (verb !== 'pub') throw new Error(`only "nats pub SUBJECT BODY" is known here, not ${verb}`);
      client.nc.publish(subject, body);
      await client.nc.flush();
      return `12:00:00 Published ${Buffer.byteLength(body)} bytes to "${subject}"\n`;
    },
  });
  expect(await untilEnded(daemon, 'remind', 9)).toMatchObject({ delivered: 1, dropped: 1, filtered: 7 });
  expect(await untilEnded(daemon, 'index', 9)).toMatchObject({ delivered: 1, dropped: 2, filtered: 6 });
  expect(await untilEnded(daemon, 'alarm', 9)).toMatchObject({ delivered: 1, dropped: 3, filtered: 5 });
  const found = (await readStream(client, 'OUT')).map(({ subject, body }) => `${subject} ${body}`);
  expect(found.toSorted()).toEqual([
    'out.alarms {"user":"eve","n":4}',
    'out.documents {"id":"d-1","text":"Ouzel"}',
    'out.reminders {"id":"o-1","at":"2099-01-01T12:00:00Z"}',
  ]);
});
