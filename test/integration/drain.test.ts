/** How a daemon ends, gently and otherwise, and what the next one finds. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { openSocket } from '../helpers/ingress.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { freePort } from '../helpers/ports.ts';
import { addStream, connectTo, publishMany, readStream } from '../helpers/publish.ts';
import { respondOn } from '../helpers/responder.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

/** @param ackWait So long that only what was given back comes again within a test; short where a crash is meant. */
const config = (subject: string, ackWait: string, more = ''): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
consumers:
  relay:
    stream: EV
    start: all
    ack_wait: ${ackWait}
    ${more}
    deliver: [{ to: { publish: { subject: ${subject}, timeout: 25s } } }]
`;

const numberOf = (body: string): number => (JSON.parse(body) as { n: number }).n;

test('a request that comes in slowly does not keep the consumers from their drain', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  const ingress = `127.0.0.1:${await freePort()}`;
  const yaml = config('out.x', '10m').replace(
    '"@HTTP@" }',
    `"@HTTP@", ingress: "${ingress}" }
sources: { open: { webhook: { path: /in, verify: none }, publish: { subject: ev.in } } }`,
  );
  await using daemon = await startDaemon(yaml, { server });
  const { socket } = await openSocket(`http://${ingress}`);
  socket.write('POST /in HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"half":');
  await waitFor(async () => (await fetch(`http://${ingress}/in`)).status === 405, { what: 'the listener' });
  daemon.signal('SIGTERM');
  await waitFor(async () => (await daemon.total('ouzel_consumer_state', { state: 'stopped' })) === 1, {
    what: 'the consumer to have stopped',
  });
  socket.destroy();
  expect(await daemon.exited()).toBe(0);
});

test('SIGTERM: what runs is finished, what waits goes back at once, and the next daemon gets each of it once', async () => {
  const count = 40;
  const running = 4;
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  const target = await respondOn(client, 'slow.out');
  const yaml = config('slow.out', '10m', `concurrency: { max: ${running} }`);
  await using daemon = await startDaemon(yaml, { server });
  await publishMany(client, count, (n) => ({ subject: 'ev.x', body: { n } }));
  await target.untilOpen(running);
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'relay').received === count, { what: 'the prefetch' });
  const first = target.open.map(({ data }) => numberOf(Buffer.from(data).toString()));

  daemon.signal('SIGTERM');
  await waitFor(async () => (await (await fetch(`${daemon.http}/readyz`)).text()).includes('draining'), {
    what: '/readyz to say that it drains',
  });
  expect((await fetch(`${daemon.http}/healthz`)).status).toBe(200);
  // What came too late for a start is back on the server while the others still run.
  await waitFor(
    async () => {
      const metrics = await daemon.metrics();
      return outcomesOf(metrics, 'relay').returned === count - running;
    },
    { what: 'the unstarted events to be given back' },
  );
  expect(outcomesOf(await daemon.metrics(), 'relay')).toMatchObject({ inFlight: running, ended: 0, retries: 0 });
  for (let each = 0; each < running; each++) target.release();
  expect(await daemon.exited()).toBe(0);
  expect(target.received).toBe(running);
  // The server still counts what was given back, as what is to be delivered again, and nothing else.
  const info = await client.jsm.consumers.info('EV', 'relay');
  expect(info).toMatchObject({ num_ack_pending: count - running, num_pending: 0 });
  expect(daemon.log()).toContain('"msg":"stopped"');
  expect(daemon.log()).not.toContain('stopped with events in hand');

  target.releaseAll();
  const rest: number[] = [];
  client.nc.subscribe('slow.out', { callback: (_error, message) => void rest.push(numberOf(message.string())) });
  await client.nc.flush();
  await using next = await startDaemon(yaml, { server });
  expect(await untilEnded(next, 'relay', count - running)).toMatchObject({ received: count - running });
  expect([...first, ...rest].toSorted((a, b) => a - b)).toEqual(Array.from({ length: count }, (_, n) => n));
}, 120_000);

test.each([
  ['SIGTERM', 143],
  ['SIGINT', 130],
] as const)(
  'a second %s ends it at once',
  async (signal, code) => {
    await using server = await startServer();
    await using client = await connectTo(server);
    await addStream(client, 'EV', ['ev.>']);
    const target = await respondOn(client, 'slow.out');
    await using daemon = await startDaemon(config('slow.out', '3s'), { server });
    await publishMany(client, 1, (n) => ({ subject: 'ev.x', body: { n } }));
    await target.untilOpen(1);
    daemon.signal(signal);
    await waitFor(() => daemon.log().includes('draining'), { what: 'the drain to begin' });
    daemon.signal(signal);
    // Well before the delivery could end by itself.
    expect(await daemon.exited(10_000)).toBe(code);
    expect((await client.jsm.consumers.info('EV', 'relay')).num_ack_pending).toBe(1);
    // The next one gets it when ack_wait is over.
    target.releaseAll();
    await using next = await startDaemon(config('slow.out', '3s'), { server });
    expect(await untilEnded(next, 'relay', 1)).toMatchObject({ delivered: 1 });
  },
  60_000,
);

test('SIGTERM under load: an exit of 0, and the stream goes on where it was', async () => {
  const count = 6000;
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  await addStream(client, 'OUT', ['out.>']);
  await publishMany(client, count, (n) => ({ subject: 'ev.x', body: { n } }));
  await using daemon = await startDaemon(config('out.x', '10m', 'prefetch: 200'), { server });
  await waitFor(async () => (await client.jsm.streams.info('OUT')).state.messages > count / 10, {
    every: 2,
    what: 'load',
  });
  expect(await daemon.terminate()).toBe(0);
  await using next = await startDaemon(config('out.x', '10m'), { server });
  await waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info('EV', 'relay');
      return unacked === 0 && pending === 0;
    },
    { timeout: 20_000, what: 'nothing to be left on the server' },
  );
  const numbers = (await readStream(client, 'OUT')).map(({ body }) => numberOf(body));
  expect(numbers.length).toBe(count);
  expect(new Set(numbers).size).toBe(count);
  expect(outcomesOf(await next.metrics(), 'relay').retries).toBe(0);
}, 120_000);

test('SIGTERM to one of two instances: the other takes over at once, and nothing comes twice', async () => {
  const count = 8000;
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  await addStream(client, 'OUT', ['out.>']);
  // Few at a time for each, so that both have their share.
  const yaml = config('out.x', '10m', 'prefetch: 100');
  await using leaving = await startDaemon(yaml, { server });
  await using staying = await startDaemon(yaml, { server });
  await publishMany(client, count / 2, (n) => ({ subject: 'ev.x', body: { n } }));
  await waitFor(
    async () =>
      (await leaving.total('ouzel_events_received_total')) > 0 &&
      (await staying.total('ouzel_events_received_total')) > 0,
    { what: 'both to have a share' },
  );
  const exit = leaving.terminate();
  await publishMany(client, count / 2, (n) => ({ subject: 'ev.x', body: { n: n + count / 2 } }));
  expect(await exit).toBe(0);
  await waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info('EV', 'relay');
      return unacked === 0 && pending === 0;
    },
    { timeout: 20_000, what: 'nothing to be left on the server' },
  );
  const numbers = (await readStream(client, 'OUT')).map(({ body }) => numberOf(body));
  expect([numbers.length, new Set(numbers).size]).toEqual([count, count]);
  expect(outcomesOf(await staying.metrics(), 'relay')).toMatchObject({ retries: 0, deadLettered: 0, inFlight: 0 });
}, 120_000);

test('kill -9 under load, three times over: every event comes through, and once', async () => {
  const count = 9000;
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  await addStream(client, 'OUT', ['out.>']);
  await publishMany(client, count, (n) => ({ subject: 'ev.x', body: { n } }));
  const arrived = async (): Promise<number> => (await client.jsm.streams.info('OUT')).state.messages;
  for (let round = 1; round <= 3; round++) {
    await using daemon = await startDaemon(config('out.x', '3s', 'prefetch: 500'), { server });
    await waitFor(async () => (await arrived()) > (count / 10) * round, { every: 2, what: `load in round ${round}` });
    await daemon.kill();
  }
  await using last = await startDaemon(config('out.x', '3s', 'prefetch: 500'), { server });
  await waitFor(async () => (await arrived()) >= count, { timeout: 30_000, what: 'all events' });
  await waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info('EV', 'relay');
      return unacked === 0 && pending === 0;
    },
    { timeout: 30_000, what: () => `nothing to be left on the server. Its log:\n${last.log().slice(-2000)}` },
  );
  const numbers = (await readStream(client, 'OUT')).map(({ body }) => numberOf(body));
  expect(numbers.length).toBe(count);
  expect(new Set(numbers).size).toBe(count);
}, 120_000);
