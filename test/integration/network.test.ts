/** A network that is slow, silent or cut between the daemon and its server. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { linesWith, startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { outcomesOf } from '../helpers/outcomes.ts';
import { connectTo, publishMany } from '../helpers/publish.ts';
import { startProxy } from '../helpers/proxy.ts';
import { untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
streams:
  EV: { subjects: ["ev.>"] }
  OUT: { subjects: ["out.>"] }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, prefetch: 200, deliver: [{ to: { publish: { subject: out.relay } } }] }
`;

// wombatwisdom/wombat#132, nats-io/nats.js#213.
test('connections that are cut under load, time and again', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server);
  await using daemon = await startDaemon(CONFIG, { server: proxy });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev');
  for (const round of [1, 2, 3, 4, 5]) {
    await load.more(300);
    proxy.reset();
    await waitFor(async () => (await daemon.total('ouzel_nats_reconnects_total')) === round, { what: 'a reconnect' });
  }
  await proxy.cut();
  expect(await untilReady(daemon, 503)).toContain('NATS: disconnected');
  expect(await daemon.total('ouzel_nats_connected')).toBe(0);
  await load.more(300);
  await proxy.pass();
  await untilReady(daemon, 200);
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  expect(linesWith(daemon, 'disconnected from NATS')).toBe(6);
  expect(await daemon.total('ouzel_nats_connected')).toBe(1);
}, 120_000);

// nats-io/nats.node#649: the silence is noticed; nothing is taken for done that nobody answered.
test('a connection that is half open is given up, and the events in hand are handled again', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server);
  await using daemon = await startDaemon(CONFIG, { server: proxy });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev');
  await load.more(500);
  await proxy.halfOpen();
  await waitFor(() => linesWith(daemon, 'missed heartbeats') > 0, { what: 'the silence to be noticed' });
  const reason = await untilReady(daemon, 503, undefined, 60_000);
  expect(reason).toMatch(/NATS: disconnected|consumer relay: /);
  await waitFor(() => linesWith(daemon, 'the connection is stale') === 1, { timeout: 60_000, what: 'stale' });
  expect(await daemon.total('ouzel_nats_connected')).toBe(0);
  await proxy.pass();
  await untilReady(daemon, 200, undefined, 60_000);
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  expect(daemon.log().split('\n').length).toBeLessThan(40);
}, 180_000);

test('two seconds each way: it is slow, and nothing else', async () => {
  await using server = await startServer();
  await using proxy = await startProxy(server);
  await using daemon = await startDaemon(CONFIG.replace('ack_wait: 3s', 'ack_wait: 30s'), { server: proxy });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev', 2);
  await load.more(100);
  await proxy.latency(2_000);
  await load.more(300);
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count, 100_000)).length).toBe(count);
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'relay').delivered === count, { what: 'all outcomes' });
  await untilReady(daemon, 200);
  await proxy.pass();
  expect(await untilAtRest(client, 'EV', daemon, 'relay')).toMatchObject({ received: count, retries: 0 });
  expect(await daemon.total('ouzel_nats_reconnects_total')).toBe(0);
  expect(daemon.logLines().filter(({ level }) => level !== 'info')).toEqual([]);
}, 180_000);

test('a daemon that does not read is cut off by the server as a slow consumer, and goes on', async () => {
  await using server = await startServer({ config: 'write_deadline: "2s"\n' });
  await using daemon = await startDaemon(CONFIG.replace('prefetch: 200', 'prefetch: 2000'), { server });
  await using client = await connectTo(server);
  const count = 400;
  const pad = 'x'.repeat(50_000);
  await waitFor(async () => (await client.jsm.consumers.info('EV', 'relay')).num_waiting > 0, { what: 'it to pull' });
  daemon.signal('SIGSTOP');
  await publishMany(client, count, (n) => ({ subject: 'ev.x', body: { n, pad } }));
  await waitFor(() => server.log().includes('Slow Consumer'), { what: 'the server to cut it off' });
  daemon.signal('SIGCONT');
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  await untilReady(daemon, 200);
  expect(await daemon.total('ouzel_nats_reconnects_total')).toBeGreaterThanOrEqual(1);
}, 120_000);
