/** One event from pull to settle, many times over: counts, subjects, types, starts and routes. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { expectIdentity, outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, type Outgoing, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const COUNT = 20_000;

let server: TestServer;
let client: Client;
let daemon: Daemon;

const config = (time: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  LOAD: { subjects: ["load.>"], storage: memory }
  KINDS: { subjects: ["kinds.>"], strip: "kinds.", storage: memory }
  ROUTED: { subjects: ["routed.>"], strip: "routed.", storage: memory }
filters:
  even: event.data.n % 2 == 0
consumers:
  load-nowhere: { stream: LOAD, start: all }
  load-half: { stream: LOAD, start: all, pipeline: [even] }
  load-tenth:
    stream: LOAD
    start: all
    deliver:
      - { when: event.data.n % 10 == 0, to: { publish: { subject: "out.load" } } }

  start-default: { stream: STARTS }
  start-new: { stream: STARTS, start: new }
  start-all: { stream: STARTS, start: all }
  start-last: { stream: STARTS, start: last }
  start-sequence: { stream: STARTS, start: { sequence: 3 } }
  start-time: { stream: STARTS, start: { time: "${time}" } }

  kinds-all: { stream: KINDS, start: all }
  kinds-subjects: { stream: KINDS, start: all, subjects: ["kinds.orders.created", "kinds.payments.*"] }
  kinds-type: { stream: KINDS, start: all, types: [orders.created] }
  kinds-one-part: { stream: KINDS, start: all, types: ["orders.*"] }
  kinds-rest: { stream: KINDS, start: all, types: ["orders.>", payments.received] }
  kinds-both: { stream: KINDS, start: all, subjects: ["kinds.orders.>"], types: ["*.created"] }

  routed:
    stream: ROUTED
    start: all
    deliver:
      - { name: first, when: event.data.n == 1, stop: true, to: { publish: { subject: out.first } } }
      - { name: small, when: event.data.n < 10, to: { publish: { subject: out.small } } }
      - { name: missing, when: event.data.nothing.there == 1, to: { publish: { subject: out.missing } } }
      - { name: tiny, when: event.data.n < 3, to: { publish: { subject: out.tiny } } }
      - { else: true, to: { publish: { subject: out.rest } } }
  unrouted:
    stream: ROUTED
    start: all
    deliver:
      - { when: event.data.n == 1, to: log }
`;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  await addStream(client, 'OUT', ['out.>']);
  await addStream(client, 'STARTS', ['starts.>']);
  for (let n = 1; n <= 5; n++) await publish(client, { subject: 'starts.x', body: { n } });
  const fourth = await client.jsm.streams.getMessage('STARTS', { seq: 4 });
  daemon = await startDaemon(config(fourth?.timestamp ?? ''), { server });
});

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const outputs = async (subject: string): Promise<number[]> =>
  (await readStream(client, 'OUT'))
    .filter((message) => message.subject === subject)
    .map(({ body }) => (JSON.parse(body) as { n: number }).n);

test(`${COUNT} events end in outcomes that add up exactly, for every consumer over their stream`, async () => {
  await publishMany(client, COUNT, (n) => ({ subject: `load.${n % 7}`, body: { n } }));
  const nowhere = await untilEnded(daemon, 'load-nowhere', COUNT);
  expect(nowhere).toMatchObject({ received: COUNT, delivered: COUNT, retries: 0, returned: 0 });
  const half = await untilEnded(daemon, 'load-half', COUNT);
  expect(half).toMatchObject({ delivered: COUNT / 2, filtered: COUNT / 2 });
  const tenth = await untilEnded(daemon, 'load-tenth', COUNT);
  expect(tenth).toMatchObject({ delivered: COUNT / 10, filtered: (COUNT / 10) * 9 });
  const metrics = await daemon.metrics();
  expect(metrics.total('ouzel_events_total', { consumer: 'load-half', reason: 'even' })).toBe(COUNT / 2);
  expect(metrics.total('ouzel_events_total', { consumer: 'load-tenth', reason: 'no_route' })).toBe((COUNT / 10) * 9);
  expect(metrics.total('ouzel_deliveries_total', { consumer: 'load-tenth', result: 'confirmed' })).toBe(COUNT / 10);
  expect(new Set(await outputs('out.load'))).toEqual(new Set(Array.from({ length: COUNT / 10 }, (_, n) => n * 10)));
  for (const consumer of ['load-nowhere', 'load-half', 'load-tenth'])
    await waitFor(
      async () => {
        const { num_pending: pending, num_ack_pending: unacked } = await client.jsm.consumers.info('LOAD', consumer);
        return pending === 0 && unacked === 0;
      },
      { what: `all acks of ${consumer} to arrive` },
    );
});

test('the gauges of what is left on the server follow', async () => {
  const consumer = 'load-nowhere';
  const metrics = await waitFor(
    async () => {
      const scraped = await daemon.metrics();
      const gauges = [...scraped.select('ouzel_consumer_pending', { consumer }), ...scraped.select('ouzel_consumer_ack_pending', { consumer })];
      return gauges.length === 2 && gauges.every(({ value }) => value === 0) && scraped;
    },
    { what: 'consumer_pending and consumer_ack_pending to be 0' },
  );
  expect(metrics.total('ouzel_consumer_state', { consumer, state: 'running' })).toBe(1);
  expect(metrics.total('ouzel_consumer_state', { consumer })).toBe(1);
});

test('a durable starts where its consumer says', async () => {
  await publish(client, { subject: 'starts.x', body: { n: 6 } });
  const expected = { default: 1, new: 1, all: 6, last: 2, sequence: 4, time: 3 };
  for (const [start, count] of Object.entries(expected)) await untilEnded(daemon, `start-${start}`, count);
});

// redpanda-data/connect#2576: a stream without subjects is a valid consumer; connect#3013: several filters are.
test('subjects and types choose the events', async () => {
  const subjects = ['orders.created', 'orders.paid', 'orders.created.late', 'payments.received', 'payments.x.y', 'other'];
  const events: Outgoing[] = subjects.map((subject) => ({ subject: `kinds.${subject}`, body: { subject } }));
  // The type is the event's own where it says one, whatever its subject.
  const headers = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': 's', 'ce-type': 'orders.created' };
  events.push({ subject: 'kinds.imported', body: {}, headers });
  for (const event of events) await publish(client, event);
  await untilEnded(daemon, 'kinds-all', 7);
  const expectations: [consumer: string, received: number, delivered: number][] = [
    ['kinds-subjects', 2, 2],
    ['kinds-type', 7, 2],
    ['kinds-one-part', 7, 3],
    ['kinds-rest', 7, 5],
    ['kinds-both', 3, 1],
  ];
  for (const [consumer, received, delivered] of expectations) {
    const outcomes = await untilEnded(daemon, consumer, received);
    expect({ consumer, received: outcomes.received, delivered: outcomes.delivered }).toEqual({
      consumer,
      received,
      delivered,
    });
    const byType = await daemon.total('ouzel_events_total', { consumer, outcome: 'filtered', reason: 'type' });
    expect(byType).toBe(received - delivered);
  }
});

test('an event takes every route whose condition holds, up to one that stops; else when there is none', async () => {
  for (const n of [1, 2, 5, 50]) await publish(client, { subject: 'routed.x', body: { n } });
  expect(await untilEnded(daemon, 'routed', 4)).toMatchObject({ delivered: 4 });
  expect(await outputs('out.first')).toEqual([1]);
  expect(await outputs('out.small')).toEqual([2, 5]);
  expect(await outputs('out.tiny')).toEqual([2]);
  expect(await outputs('out.rest')).toEqual([50]);
  expect(await outputs('out.missing')).toEqual([]);
  const metrics = await daemon.metrics();
  // A condition on a field that is not there is false, and shown; it is not asked where an earlier route stopped.
  expect(metrics.total('ouzel_missing_fields_total', { consumer: 'routed' })).toBe(3);
  expect(await untilEnded(daemon, 'unrouted', 4)).toMatchObject({ delivered: 1, filtered: 3 });
  expect(outcomesOf(metrics, 'unrouted').retries).toBe(0);
});

test('every consumer that ran accounts for all it received', async () => {
  const metrics = await daemon.metrics();
  const names = new Set(metrics.select('ouzel_events_received_total').map(({ labels }) => labels['consumer'] ?? ''));
  expect(names.size).toBe(17);
  for (const name of names) expectIdentity(metrics, name);
  expect(metrics.total('ouzel_nats_connected')).toBe(1);
});
