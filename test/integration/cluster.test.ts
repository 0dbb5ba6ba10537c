/** Three servers as a cluster, with streams and durables of three replicas: leaders change and nodes go under load. */
import { expect, test } from 'vitest';
import { type ClusterNode, startCluster, type TestCluster } from '../helpers/cluster.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { type Client, connectTo } from '../helpers/publish.ts';
import { untilReady } from '../helpers/readiness.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@", system: { replicas: 3 } }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
streams:
  EV: { subjects: ["ev.>"], replicas: 3 }
  OUT: { subjects: ["out.>"], replicas: 3 }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, deliver: [{ to: { publish: { subject: out.relay } } }] }
`;

/** The node that the daemon is connected to, as its log says. */
function nodeOf({ nodes }: TestCluster, daemon: Daemon): number {
  const { server } = daemon.logLines().findLast(({ msg }) => /^(?:re)?connected to NATS/.test(String(msg))) ?? {};
  return nodes.findIndex(({ port }: ClusterNode) => String(server).endsWith(`:${port}`));
}

/** Every event came through, once, and nothing is left. */
async function expectWhole(client: Client, daemon: Daemon, count: number): Promise<void> {
  const seen = await untilThrough(client, 'OUT', count);
  expect(seen.length).toBe(count);
  expect((await untilAtRest(client, 'EV', daemon, 'relay')).delivered).toBeGreaterThanOrEqual(count);
  await untilReady(daemon, 200);
  // An event that comes twice is no news; a consumer that was lost would be.
  expect(await daemon.total('ouzel_consumer_recreated_total')).toBe(0);
}

test('the leaders of streams and durable step down under load', async () => {
  await using cluster = await startCluster();
  await using daemon = await startDaemon(CONFIG, { server: cluster, timeout: 60_000 });
  await using client = await connectTo({ url: cluster.nodes.map(({ url }) => url) });
  const info = await client.jsm.consumers.info('EV', 'relay');
  expect(info.cluster?.replicas).toHaveLength(2);
  const load = startLoad(client, 'ev');
  await load.more(500);
  for (const [stream, consumer] of [['EV', 'relay'], ['EV'], ['OUT'], ['EV', 'relay']] as const) {
    await cluster.stepDown(stream, consumer);
    await load.more(300);
  }
  await expectWhole(client, daemon, await load.stop());
  expect(await daemon.total('ouzel_nats_reconnects_total')).toBe(0);
}, 180_000);

// nats-io/nats.node#649, redpanda-data/connect#3312: the next server of the list is taken.
test('the node that the daemon is connected to is killed under load, and another leads', async () => {
  await using cluster = await startCluster();
  await using daemon = await startDaemon(CONFIG, { server: cluster, timeout: 60_000 });
  await using client = await connectTo({ url: cluster.nodes.map(({ url }) => url) });
  const load = startLoad(client, 'ev');
  for (const round of [1, 2]) {
    await load.more(500);
    const node = nodeOf(cluster, daemon);
    await cluster.kill(node);
    await waitFor(async () => (await daemon.total('ouzel_nats_reconnects_total')) >= round, { what: 'a reconnect' });
    await untilReady(daemon, 200);
    // Two of three are enough to go on.
    await load.more(500);
    await cluster.restart(node);
  }
  await expectWhole(client, daemon, await load.stop());
}, 240_000);

test('without a majority nothing is lost, and the daemon goes on when it is back', async () => {
  await using cluster = await startCluster();
  await using daemon = await startDaemon(CONFIG, { server: cluster, timeout: 60_000 });
  await using client = await connectTo({ url: cluster.nodes.map(({ url }) => url) });
  const load = startLoad(client, 'ev');
  await load.more(500);
  const kept = nodeOf(cluster, daemon);
  const others = [0, 1, 2].filter((index) => index !== kept);
  for (const index of others) await cluster.kill(index);
  // The server that is left leads nothing, and says so or nothing at all.
  expect(await untilReady(daemon, 503)).toContain('consumer relay');
  expect(await daemon.total('ouzel_nats_connected')).toBe(1);
  await Promise.all(others.map((index) => cluster.restart(index)));
  await untilReady(daemon, 200, undefined, 60_000);
  // That it was away is no refusal.
  expect(daemon.log()).not.toContain('_REFUSED');
  await load.more(500);
  await expectWhole(client, daemon, await load.stop());
}, 240_000);

// vectordotdev/vector#24932: no stale pull is left behind.
test('a node in lame duck mode is left for another under load, and no pull stays behind', async () => {
  await using cluster = await startCluster();
  await using daemon = await startDaemon(CONFIG, { server: cluster, timeout: 60_000 });
  await using client = await connectTo({ url: cluster.nodes.map(({ url }) => url) });
  const load = startLoad(client, 'ev');
  await load.more(500);
  const node = nodeOf(cluster, daemon);
  await cluster.lameDuck(node);
  await waitFor(() => nodeOf(cluster, daemon) !== node, { what: 'another node' });
  await untilReady(daemon, 200);
  await load.more(500);
  await cluster.restart(node);
  await expectWhole(client, daemon, await load.stop());
  // Asked for again and again, but never twice over: one request is open for a consumer at rest.
  await waitFor(async () => (await client.jsm.consumers.info('EV', 'relay')).num_waiting <= 1, {
    what: 'no more than one pull to be open',
  });
}, 240_000);
