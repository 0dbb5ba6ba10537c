/** `group`: batches into real targets, over a crash and a drain; and what the guide shows. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

interface Order {
  readonly n: number;
  readonly customer?: string;
}

const orders = (body: string): Order[] => JSON.parse(body) as Order[];

test('batches go into HTTP, NATS, SQL, a file and the log, and one that is refused is halved', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  const target = await startHttpTarget(({ path, body }) => ({
    status: path === '/picky' && body.includes('"bad"') ? 409 : 200,
  }));
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 2, backoff: { first: 100ms, factor: 1, jitter: 0 } } }
targets:
  partner: { webhook: { url: '${target.url}/in/{{ key }}', allow_private: true, headers: { x-count: '{{ size(events) }}' } } }
  picky: { webhook: { url: '${target.url}/picky', cloudevents: raw, allow_private: true } }
  orders-db: { sql: { url: 'sqlite:orders.db', table: orders, key: [n], values: { n: '{{ event.data.n }}' }, create: true } }
consumers:
  web:
    { stream: IN, subjects: [in.web], group: { by: event.data.customer, max: 5, within: 60s }, deliver: [{ to: partner }] }
  time:
    stream: IN
    subjects: [in.time]
    group: { max: 100, within: 300ms }
    deliver:
      - { when: 'events.exists(e, e.data.n == 2)', to: { publish: { subject: 'out.{{ size(events) }}' } } }
      - { to: orders-db }
      - { to: { file: { path: orders.ndjson, format: data } } }
      - { to: { log: { message: 'order {{ event.data.n }}' } } }
  halves: { stream: IN, subjects: [in.halves], group: { max: 8, within: 60s }, deliver: [{ to: picky }] }
`;
  const guide = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'guides', 'batches.md'), 'utf8');
  const shown = /```yaml\nversion: 1\nnats: [^\n]*\n(.*?)```/s.exec(guide)?.[1] ?? '';
  const warehouse = shown.replace(
    /url: 'https:\/\/warehouse.example/,
    `allow_private: true\n      url: '${target.url}`,
  );
  const daemon = await startDaemon(config, { server, files: { 'conf.d/guide.yaml': warehouse } });
  for (const [, subject = '', body] of guide.matchAll(/^nats pub (\S+) '(.*)'$/gm))
    await publish(client, { subject, body });
  await untilEnded(daemon, 'orders', 4);
  const said = /```json\n(.*?)```/s.exec(guide)?.[1]?.trim().split('\n');
  expect(target.requests.map(({ body }) => JSON.parse(body) as unknown)).toEqual(
    said?.map((line) => JSON.parse(line) as unknown),
  );
  expect(target.requests.map(({ path }) => path)).toEqual(['/customers/c-7/orders', '/customers/c-8/orders']);
  expect(daemon.logLines().filter(({ route }) => route === 'large')).toHaveLength(3);

  // By customer, each batch as soon as it is full.
  for (let n = 1; n <= 5; n++)
    for (const customer of ['c-1', 'c-2']) await publish(client, { subject: 'in.web', body: { n, customer } });
  await untilEnded(daemon, 'web', 10);
  const web = target.requests
    .slice(2)
    .map(({ path, headers, body }) => ({ path, headers, body: JSON.parse(body) as unknown }));
  expect(web.map(({ path, headers }) => [path, headers['x-count'], headers['content-type']])).toEqual([
    ['/in/c-1', '5', 'application/cloudevents-batch+json'],
    ['/in/c-2', '5', 'application/cloudevents-batch+json'],
  ]);
  expect(web[0]?.body).toMatchObject(
    [1, 2, 3, 4, 5].map((n) => ({ specversion: '1.0', data: { n, customer: 'c-1' } })),
  );
  expect(new Set(web.map(({ headers }) => headers['webhook-id'])).size).toBe(2);
  // One request, and an outcome and a delivery for each event.
  expect(await daemon.total('ouzel_deliveries_total', { consumer: 'web', result: 'confirmed' })).toBe(10);
  expect(await daemon.total('ouzel_delivery_duration_seconds_count', { consumer: 'web' })).toBe(2);

  await publishMany(client, 3, (n) => ({ subject: 'in.time', body: { n: n + 1 } }));
  await untilEnded(daemon, 'time', 3);
  const out = await readStream(client, 'OUT');
  expect(out.map(({ body }) => orders(body)).flat()).toEqual([{ n: 1 }, { n: 2 }, { n: 3 }]);
  expect(out[0]?.headers).toMatchObject({ 'Content-Type': 'application/json', 'Ouzel-Hops': '1' });
  const rows = new DatabaseSync(join(daemon.directory, 'orders.db')).prepare('select n from orders order by n').all();
  expect(rows.map(({ n }) => Number(n))).toEqual([1, 2, 3]);
  expect(daemon.logLines().filter(({ msg }) => /^order \d$/.test(String(msg)))).toHaveLength(3);

  target.answer = ({ body }) => ({ status: body.includes('"bad"') ? 409 : 200 });
  await publishMany(client, 8, (n) => ({ subject: 'in.halves', body: { n, ...(n === 5 ? { customer: 'bad' } : {}) } }));
  const outcomes = await untilEnded(daemon, 'halves', 8);
  expect(outcomes).toMatchObject({ delivered: 7, deadLettered: 1, retries: 1 });
  const halves = target.requests.slice(4).map(({ body }) => orders(body).length);
  // The whole, its halves down to the one; and that one alone the second time.
  expect(halves).toEqual([8, 4, 4, 2, 2, 1, 1, 1]);
  const [letter] = await readStream(client, 'OUZEL_DLQ');
  expect(letter?.headers).toMatchObject({ 'Ouzel-Attempts': '2', 'Ouzel-Reason': 'rejected' });
  expect(letter?.body).toBe('{"n":5,"customer":"bad"}');
}, 120_000);

test('a process that is killed loses no event of its batches, and one that drains gives back what it collected', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const target = await startHttpTarget(() => ({ fault: 'hang' }));
  const config = (within: string): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
consumers:
  web:
    stream: IN
    start: all
    ack_wait: 1s
    group: { max: 4, within: ${within} }
    deliver: [{ to: { webhook: { url: '${target.url}', cloudevents: raw, allow_private: true } } }]
`;
  const first = await startDaemon(config('1h'), { server });
  await publishMany(client, 7, (n) => ({ subject: 'in.web', body: { n } }));
  // One batch is on its way, and another is collected, when the process dies.
  await target.untilRequests(1);
  await waitFor(async () => (await first.total('ouzel_events_in_flight', { consumer: 'web' })) === 7, { what: 'all' });
  await first.kill();

  target.answer = () => ({});
  const second = await startDaemon(config('1h'), { server });
  // The server hands out all of it again: the full one goes at once, the others wait, until the drain.
  await waitFor(async () => (await second.total('ouzel_events_total', { consumer: 'web' })) === 4, {
    what: 'the full batch',
  });
  await waitFor(async () => (await second.total('ouzel_events_in_flight', { consumer: 'web' })) === 3, {
    what: 'the others',
  });
  expect(await second.terminate()).toBe(0);
  expect(target.requests).toHaveLength(2);

  const third = await startDaemon(config('200ms'), { server });
  await untilEnded(third, 'web', 3);
  const delivered = target.requests.slice(1).map(({ body }) => orders(body));
  expect(
    delivered
      .flat()
      .map(({ n }) => n)
      .toSorted((a, b) => a - b),
  ).toEqual([0, 1, 2, 3, 4, 5, 6]);
  expect((await client.jsm.consumers.info('IN', 'web')).num_ack_pending).toBe(0);
}, 120_000);
