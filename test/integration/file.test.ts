/** The target `file` in a running daemon: what is acked is on the disk, also when the process is killed. */
import { appendFile, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const config = (file: string): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { retry: { backoff: { first: 50ms, max: 200ms, jitter: 0 } } }
consumers:
  a: { stream: IN, start: all, ack_wait: 1s, deliver: [{ to: { file: ${file} } }] }
`;

const numbers = async (path: string): Promise<number[]> =>
  (await readFile(path, 'utf8'))
    .trimEnd()
    .split('\n')
    .map((line) => (JSON.parse(line) as { n: number }).n);

test('every event is a line, a file for each customer, cut by size', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await publishMany(client, 2000, (n) => ({ subject: 'in.a', body: { n, customer: `c-${n % 4}` } }));
  const file = '{ path: "data/{{ event.data.customer }}.ndjson", format: data, rotate: { size: 5KiB } }';
  const daemon = await startDaemon(config(file), { server });
  await untilEnded(daemon, 'a', 2000);
  const folder = join(daemon.directory, 'data');
  const names = await readdir(folder);
  for (const customer of [0, 1, 2, 3]) {
    const own = names.filter((name) => name.startsWith(`c-${customer}.ndjson`)).toSorted();
    expect(own.length).toBeGreaterThan(1);
    const found = (await Promise.all(own.map((name) => numbers(join(folder, name))))).flat();
    expect(found.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 500 }, (_, n) => n * 4 + customer));
  }
});

test('a process that is killed loses nothing that it acked, and what it left half-written is mended', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const yaml = config('{ path: out.ndjson, format: data }');
  const daemon = await startDaemon(yaml, { server });
  const published = publishMany(client, 5000, (n) => ({ subject: 'in.a', body: { n } }));
  await waitFor(async () => (await daemon.total('ouzel_events_total', { outcome: 'delivered' })) > 500, {
    what: 'the first lines',
  });
  await daemon.kill();
  await published;
  const path = join(daemon.directory, 'out.ndjson');
  const info = await client.jsm.consumers.info('IN', 'a');
  const acked = info.ack_floor.stream_seq;
  const text = await readFile(path, 'utf8');
  const whole = new Set(
    text
      .slice(0, text.lastIndexOf('\n'))
      .split('\n')
      .map((line) => (JSON.parse(line) as { n: number }).n),
  );
  expect(acked).toBeGreaterThan(0);
  for (let n = 0; n < acked; n++) expect(whole.has(n), `event ${n}`).toBe(true);

  await appendFile(path, '{"n":49');
  const again = await startDaemon(yaml.replace('path: out.ndjson', `path: "${path}"`), { server });
  await waitFor(async () => (await client.jsm.consumers.info('IN', 'a')).ack_floor.stream_seq === 5000, {
    what: 'the rest',
    timeout: 25_000,
  });
  expect(again.log()).toMatch(/ended in a line that was not written whole/);
  expect(new Set(await numbers(path)).size).toBe(5000);
});

test('a path that leads nowhere keeps the events until it can be written', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const daemon = await startDaemon(config('{ path: ouzel.yaml/out.ndjson, format: data }'), { server });
  await publish(client, { subject: 'in.a', body: { n: 1 } });
  // Given back, parked in a timer or waiting in hand: it is tried at least three times.
  await waitFor(async () => (await daemon.total('ouzel_deliveries_total', { result: 'unavailable' })) > 2, {
    what: 'the event to be kept',
  });
  await daemon.write(config('{ path: out.ndjson, format: data }'));
  await untilEnded(daemon, 'a', 1);
  expect(await numbers(join(daemon.directory, 'out.ndjson'))).toEqual([1]);
});
