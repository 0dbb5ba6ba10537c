/** `priority` and `lanes`: who overtakes whom, and that nothing is lost or doubled on the way. */
import { expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type HttpAnswer, startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = 'version: 1\nnats: { servers: "@NATS@" }\nhttp: { listen: "@HTTP@" }\n';

const arrivals = async (client: Client, consumer: string): Promise<{ n: number; vip: boolean }[]> =>
  (await readStream(client, 'OUT'))
    .filter(({ subject }) => subject === `out.${consumer}`)
    .map(({ body }) => JSON.parse(body) as { n: number; vip: boolean });

const count = async (client: Client, subject: string): Promise<number> =>
  (await client.jsm.streams.info('OUT', { subjects_filter: subject })).state.subjects?.[subject] ?? 0;

test('what is urgent overtakes a backlog: by priority that in hand, by lanes all of it, over a kill -9', async () => {
  const LOW = 20_000;
  const URGENT = 100;
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  await publishMany(client, LOW, (n) => ({ subject: 'in.low', body: { n } }));
  await publishMany(client, URGENT, (n) => ({ subject: 'in.urgent', body: { n: LOW + n, vip: true } }));
  const config = `${HEAD}
consumers:
  flat:
    stream: IN
    start: all
    prefetch: 2000
    concurrency: { max: 8 }
    priority: [{ when: event.data.vip, ahead: 1h }]
    deliver: [{ to: { publish: { subject: out.flat } } }]
  laned:
    stream: IN
    start: all
    prefetch: 2000
    concurrency: { max: 8 }
    lanes: [{ name: urgent, subjects: [in.urgent], weight: 9 }, { name: low }]
    deliver: [{ to: { publish: { subject: out.laned } } }]
`;
  const first = await startDaemon(config, { server });
  await waitFor(async () => (await count(client, 'out.laned')) > 2_000, { what: 'some to be delivered' });
  await first.kill();
  const again = await startDaemon(config, { server });
  for (const consumer of ['flat', 'laned'])
    await waitFor(async () => (await count(client, `out.${consumer}`)) === LOW + URGENT, {
      timeout: 60_000,
      what: () => `all of ${consumer} to be delivered\n${again.log().slice(-2000)}`,
    });
  await waitFor(async () => (await again.total('ouzel_events_in_flight')) === 0, { what: 'nothing to be in hand' });

  const flat = await arrivals(client, 'flat');
  const laned = await arrivals(client, 'laned');
  // Each once: ids are the same on both sides of the kill.
  for (const all of [flat, laned]) expect(new Set(all.map(({ n }) => n)).size).toBe(LOW + URGENT);
  // They came last, and overtake those that wait when they come into the window.
  expect(flat.length - 1 - flat.findLastIndex(({ vip }) => vip)).toBeGreaterThan(500);
  // With a durable of their own they are there at once, whatever lies before them.
  expect(laned.findLastIndex(({ vip }) => vip)).toBeLessThan(2_000);
  expect(await again.total('ouzel_consumer_lane_pending', { consumer: 'laned', lane: 'urgent' })).toBe(0);
}, 180_000);

/** A partner that answers nobody before it is let to, and says what came in which order. */
async function startPartner() {
  let open: () => void = () => undefined;
  let opened = new Promise<void>((resolve) => (open = resolve));
  const target = await startHttpTarget(async (): Promise<HttpAnswer> => {
    await opened;
    return { status: 200 };
  });
  return {
    target,
    open: () => open(),
    close: () => {
      opened = new Promise<void>((resolve) => (open = resolve));
    },
    order: () => target.requests.map(({ headers }) => String(headers['x-n'])),
  };
}

const partnerOf = (url: string): string =>
  `targets: { partner: { webhook: { url: '${url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }\n`;

const inHand = (daemon: Daemon, consumer: string, events: number): Promise<unknown> =>
  waitFor(async () => (await daemon.total('ouzel_events_in_flight', { consumer })) === events, {
    what: () => `${events} events of ${consumer} in hand\n${daemon.log().slice(-2000)}`,
  });

test('lanes are let in by their weights, each in its order, and none waits for another', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const partner = await startPartner();
  for (const lane of ['rest', 'b', 'a'])
    await publishMany(client, 60, (n) => ({ subject: `in.${lane}`, body: { n: `${lane}${n}` } }));
  const daemon = await startDaemon(
    `${HEAD}${partnerOf(partner.target.url)}
consumers:
  fair:
    stream: IN
    start: all
    prefetch: 50
    timeout: 25s
    concurrency: { max: 1 }
    lanes: [{ name: a, subjects: [in.a], weight: 3 }, { name: b, subjects: [in.b] }]
    deliver: [{ to: partner }]
`,
    { server },
  );
  // Each lane has its share of what is in hand: 30, 10, 10.
  await inHand(daemon, 'fair', 50);
  partner.open();
  await untilEnded(daemon, 'fair', 180, 60_000);
  const order = partner.order();
  const taken = (lane: string): string[] => order.slice(1, 21).filter((n) => n.startsWith(lane));
  expect(taken('a')).toHaveLength(12);
  expect(taken('b')).toHaveLength(4);
  expect(taken('rest')).toHaveLength(4);
  for (const lane of ['a', 'b', 'rest'])
    expect(order.filter((n) => n.startsWith(lane))).toEqual(Array.from({ length: 60 }, (_, n) => `${lane}${n}`));
  const shown = (await (await fetch(`${daemon.http}/api/v1/consumers/fair`)).json()) as { lanes: unknown };
  expect(shown.lanes).toMatchObject([
    { name: 'a', durable: 'fair-a', weight: 3, prefetch: 30, held: 0, leaving: false },
    { name: 'b', durable: 'fair-b', weight: 1, prefetch: 10 },
    { name: 'rest', durable: 'fair', weight: 1, prefetch: 10 },
  ]);
}, 120_000);

test('lanes come and go while events wait, and are made anew: each event is handled once', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const partner = await startPartner();
  const config = (lanes: string): string => `${HEAD}${partnerOf(partner.target.url)}
consumers:
  c:
    stream: IN
    start: all
    prefetch: 20
    timeout: 25s
    concurrency: { max: 1 }
    on_remove: delete
    ${lanes}
    deliver: [{ to: partner }]
`;
  const lane = (name: string, subject: string): string => `{ name: ${name}, subjects: [${subject}] }`;
  const sent: string[] = [];
  const send = async (subject: string, events: number): Promise<void> => {
    const from = sent.length;
    await publishMany(client, events, (n) => ({ subject, body: { n: String(from + n) } }));
    for (let n = from; n < from + events; n++) sent.push(String(n));
  };
  const generation = (daemon: Daemon): Promise<number> => daemon.total('ouzel_config_generation');
  const reload = async (daemon: Daemon, text: string): Promise<void> => {
    const before = await generation(daemon);
    await daemon.write(text);
    await waitFor(async () => (await generation(daemon)) > before, {
      what: () => `a reload\n${daemon.log().slice(-2000)}`,
    });
  };
  const durables = async (): Promise<string[]> => {
    const names: string[] = [];
    for await (const { name } of client.jsm.consumers.list('IN')) names.push(name);
    return names.toSorted();
  };

  const daemon = await startDaemon(config(`lanes: [${lane('urgent', 'in.urgent')}]`), { server });
  await send('in.low', 60);
  await send('in.urgent', 60);
  await inHand(daemon, 'c', 20);
  // It leaves with most of its events not yet handed out; another one takes its share of a backlog.
  await reload(daemon, config(`lanes: [${lane('bulk', 'in.low')}]`));
  await send('in.urgent', 20);
  await send('in.low', 20);
  expect(await durables()).toEqual(['c', 'c-bulk', 'c-urgent']);
  partner.open();
  await untilEnded(daemon, 'c', sent.length, 60_000);
  expect(partner.order().toSorted()).toEqual(sent.toSorted());

  // Its time is over as soon as the server says so, and then it goes.
  const { config: durable } = await client.jsm.consumers.info('IN', 'c-urgent');
  const until = await waitFor(
    async () => (await client.jsm.consumers.info('IN', 'c-urgent')).config.metadata?.['ouzel.until'],
    { what: 'the notice' },
  );
  expect(Date.parse(until)).toBeGreaterThan(Date.now());
  const metadata = { ...durable.metadata, 'ouzel.until': new Date(Date.now() - 1).toISOString() };
  await client.jsm.consumers.update('IN', 'c-urgent', { metadata });
  await waitFor(async () => (await durables()).length === 2, { timeout: 40_000, what: 'c-urgent to be gone' });
  await send('in.urgent', 5);

  // Somebody deletes one that is in use.
  await client.jsm.consumers.delete('IN', 'c-bulk');
  await send('in.low', 5);
  await untilEnded(daemon, 'c', sent.length, 60_000);
  expect(partner.order().toSorted()).toEqual(sent.toSorted());
  expect(await daemon.total('ouzel_consumer_recreated_total', { consumer: 'c' })).toBe(1);

  // Other subjects under an old name are refused, and all stays as it was.
  await daemon.write(config(`lanes: [${lane('bulk', 'in.urgent')}]`));
  await waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result: 'rejected' })) === 1, {
    what: 'the reload to be rejected',
  });
  expect(daemon.log()).toMatch(/Give the changed lane another name/);
  expect(await durables()).toEqual(['c', 'c-bulk']);
  await publish(client, { subject: 'in.low', body: { n: 'last' } });
  await untilEnded(daemon, 'c', sent.length + 1);
  await reload(daemon, `${HEAD}`);
  await waitFor(async () => (await durables()).length === 0, { what: 'all durables to be deleted' });
}, 180_000);
