/** How events of a replay are told from others, wherever they show; and the guide. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { startCollector } from '../helpers/otlp.ts';
import { connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { openEvents } from '../helpers/sse.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';
import { waitFor } from '../helpers/wait.ts';

test('an event of a replay is marked in requests, messages, spans, taps and dead letters', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await using target = await startHttpTarget();
  await using collector = await startCollector();
  const config = (condition: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { traces: { endpoint: "${collector.url}" } }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
consumers:
  all:
    stream: EVENTS
    start: all
    retry: { attempts: 1 }
    pipeline: [{ set: { data.sum: '${condition} ? 1 : event.data.n + 1' } }]
    deliver:
      - { name: hook, to: { webhook: { url: "${target.url}/in", allow_private: true } } }
      - { name: out, to: { publish: { subject: out.all } } }
`;
  const daemon = await startDaemon(config('!msg.replay'), { server, env: { OTEL_BSP_SCHEDULE_DELAY: '50' } });
  const tap = await openEvents(`${daemon.http}/api/v1/tap`);
  // The second one fails, in a replay alone: its number is a text.
  await publish(client, { subject: 'events.a', body: { n: 1 } });
  await publish(client, { subject: 'events.a', body: { n: 'x' } });
  await untilEnded(daemon, 'all', 2);

  const ouzel = (...args: readonly string[]) => runCli([...args, '-c', daemon.configFile]);
  expect(await ouzel('replay', 'EVENTS', '--to', 'all', '--run', 'jan')).toMatchObject({ code: 0 });
  await untilEnded(daemon, 'all', 4);
  const [letter] = await readStream(client, 'OUZEL_DLQ');
  expect(letter?.headers).toMatchObject({ 'Ouzel-Run': 'replay-jan', 'Ouzel-Sequence': '2' });

  // Once mended, what failed in a replay is still of that replay.
  expect(await ouzel('dlq', 'redrive', '--all', '--set', 'data.n=5', '--wait')).toMatchObject({ code: 0 });
  await untilEnded(daemon, 'all', 5);
  const redriven = expect.stringMatching(/^replay-jan\.redrive-1-/) as string;

  const out = (await readStream(client, 'OUT')).map(({ headers }) => headers);
  expect(out.map((each) => each['Ouzel-Replay'])).toEqual([undefined, undefined, 'jan', 'jan']);
  expect(new Set(out.map((each) => each['Nats-Msg-Id'])).size).toBe(4);
  const requests = target.requests.map(({ headers }) => headers);
  expect(requests.map((each) => each['ouzel-replay'])).toEqual([undefined, undefined, 'jan', 'jan']);
  expect(new Set(requests.map((each) => each['webhook-id'])).size).toBe(4);

  await waitFor(() => tap.dataOf('event').length === 5, { what: 'five events in the tap' });
  expect(tap.dataOf('event').map(({ run }) => run)).toEqual([
    undefined,
    undefined,
    'replay-jan',
    'replay-jan',
    redriven,
  ]);
  const attempts = () => collector.spans.filter(({ name }) => name.startsWith('process'));
  await waitFor(() => attempts().length === 5, { what: 'five spans' });
  expect(attempts().map(({ attributes }) => attributes['ouzel.run'])).toEqual([
    undefined,
    undefined,
    'replay-jan',
    'replay-jan',
    redriven,
  ]);
}, 120_000);

test('docs/guides/replay.md does what it says', async () => {
  const page = await readPage(fileURLToPath(new URL('../../docs/guides/replay.md', import.meta.url)));
  expect(page.steps.length).toBeGreaterThan(6);
  const config = page.config.replace('127.0.0.1:${PORT:-9464}', '@HTTP@').replace('nats://127.0.0.1:4222', '@NATS@');
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(config, { server });
  await runSteps('replay.md', page.steps, {
    directory: daemon.directory,
    env: { NATS_URL: server.url },
    names: [['127.0.0.1:9464', daemon.http.replace('http://', '')]],
    nats: async ([, subject = '', body = '']) => {
      client.nc.publish(subject, body);
      await client.nc.flush();
      return `12:00:00 Published ${Buffer.byteLength(body)} bytes to "${subject}"\n`;
    },
  });
  await untilEnded(daemon, 'billing', 4);
  expect((await readStream(client, 'BOOKS')).map(({ headers }) => headers['Ouzel-Replay'])).toEqual([
    undefined,
    undefined,
    'january',
  ]);
}, 120_000);
