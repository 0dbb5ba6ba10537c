/** The helpers that make trouble do what they say: a fault that is none would let every test of it pass. */
import { expect, test } from 'vitest';
import { startCluster } from '../helpers/cluster.ts';
import { addStream, connectTo, publish } from '../helpers/publish.ts';
import { startProxy } from '../helpers/proxy.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

test('a proxy passes, cuts, holds back, delays and throttles, and heals from each', async () => {
  const server = await startServer();
  const proxy = await startProxy(server);
  const { nc } = await connectTo(proxy, { reconnectTimeWait: 20 });
  let disconnected = 0;
  const watching = (async () => {
    for await (const { type } of nc.status()) if (type === 'disconnect') disconnected++;
  })();
  const roundTrip = async (): Promise<number> => {
    const from = performance.now();
    await nc.flush();
    return performance.now() - from;
  };
  await roundTrip();
  expect(proxy.open).toBe(1);
  expect(proxy.counters.up).toBeGreaterThan(0);

  await proxy.cut();
  expect(proxy.counters.reset).toBe(1);
  await waitFor(() => disconnected === 1, { what: 'the client to notice' });
  await expect(fetch(`http://127.0.0.1:${proxy.port}`)).rejects.toMatchObject({ cause: { code: 'ECONNREFUSED' } });
  await proxy.pass();
  await waitFor(async () => (await roundTrip()) > 0, { what: 'the client to be back' });

  await proxy.halfOpen();
  const { down } = proxy.counters;
  let answered = false;
  const held = nc.flush().then(() => (answered = true));
  // Somebody else's round trip past the proxy shows that the server had its time.
  const direct = await connectTo(server);
  await direct.nc.flush();
  expect([answered, proxy.counters.down]).toEqual([false, down]);
  await proxy.pass();
  await held;

  await proxy.latency(150);
  expect(await roundTrip()).toBeGreaterThanOrEqual(299);
  await proxy.throttle(10_000);
  nc.publish('any', new Uint8Array(2_000));
  expect(await roundTrip()).toBeGreaterThanOrEqual(199);
  await proxy.pass();
  await roundTrip();
  expect(disconnected).toBe(1);
  await nc.close();
  await watching;
  await waitFor(() => proxy.open === 0, { what: 'the connection to end' });
});

test('a cluster elects another leader when one is killed, steps down or goes lame, and is whole again', async () => {
  const cluster = await startCluster();
  const client = await connectTo({ url: cluster.url.split(',') });
  await addStream(client, 'R3', ['r3.>'], { num_replicas: 3 });
  await publish(client, { subject: 'r3.a' });

  const first = await cluster.leaderOf('R3');
  await cluster.stepDown('R3');
  const second = await cluster.leaderOf('R3');
  expect(second).not.toBe(first);
  await cluster.kill(second);
  const third = await cluster.leaderOf('R3');
  expect(third).not.toBe(second);
  expect(await waitFor(() => publish(client, { subject: 'r3.a', id: 'b' }), { what: 'a publish' })).toBe(2);
  await cluster.restart(second);
  expect(cluster.nodes.every(({ running }) => running)).toBe(true);

  const lame = cluster.lameDuck(third);
  expect(await waitFor(() => publish(client, { subject: 'r3.a', id: 'c' }), { what: 'a publish' })).toBe(3);
  await lame;
  expect(cluster.nodes[third]?.log()).toContain('lame duck');
}, 120_000);
