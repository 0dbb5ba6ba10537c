/** `group` and `concurrency` by key over three instances: whoever is active, and whoever was before. */
import { expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { addStream, connectTo, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const KEYS = 12;
/** Events of a key at work at once, and of a batch, at most. */
const AT_ONCE = 2;
const BATCH = 8;

interface Sent {
  readonly key: number;
  readonly n: number;
}

const roleOf = async (daemon: Daemon, consumer: string): Promise<string | null> => {
  const response = await fetch(`${daemon.http}/api/v1/consumers/${consumer}`);
  return ((await response.json()) as { role: string | null }).role;
};

test('batches and the events of a key at work keep their bounds when the active instance dies, and when it drains', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const arrived = { grouped: new Set<number>(), keyed: new Set<number>() };
  /** Requests of each key that are not answered yet, and the most that there were of one at once. */
  const open = new Map<number, number>();
  let most = 0;
  /** Requests that take long: those at work while an instance drains. */
  let slow = 0;
  const wrong: Sent[][] = [];
  const target = await startHttpTarget(async ({ path, body }) => {
    const events = [JSON.parse(body) as Sent | Sent[]].flat();
    const [{ key } = { key: -1 }] = events;
    if (path === '/grouped') {
      if (events.length > BATCH || events.some((each) => each.key !== key)) wrong.push(events);
      for (const { n } of events) arrived.grouped.add(n);
      return {};
    }
    const now = (open.get(key) ?? 0) + 1;
    open.set(key, now);
    most = Math.max(most, now);
    await new Promise((resolve) => setTimeout(resolve, slow-- > 0 ? 2_000 : 15));
    open.set(key, (open.get(key) ?? 0) - 1);
    for (const { n } of events) arrived.keyed.add(n);
    return {};
  });
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
targets:
  grouped: { webhook: { url: '${target.url}/grouped', cloudevents: raw, allow_private: true } }
  keyed: { webhook: { url: '${target.url}/keyed', cloudevents: raw, allow_private: true } }
consumers:
  grouped:
    stream: IN
    start: all
    ack_wait: 5s
    group: { by: event.data.key, max: ${BATCH}, within: 300ms }
    deliver: [{ to: grouped }]
  keyed:
    stream: IN
    start: all
    ack_wait: 5s
    concurrency: { max: ${AT_ONCE}, by: event.data.key }
    deliver: [{ to: keyed }]
`;
  let published = 0;
  const publish = async (count: number): Promise<void> => {
    const from = published;
    published += count;
    await publishMany(client, count, (index) => ({
      subject: 'in.x',
      body: { key: (from + index) % KEYS, n: from + index },
    }));
  };
  const arrive = async (count: number): Promise<unknown> =>
    waitFor(() => Math.min(arrived.grouped.size, arrived.keyed.size) >= count, {
      what: () => `${count} events twice, of which ${arrived.grouped.size} and ${arrived.keyed.size} came`,
      timeout: 90_000,
    });

  // Alone, it is the active one of both.
  const first = await startDaemon(config, { server });
  await publish(12);
  await arrive(12);
  const others = await Promise.all([1, 2].map(async () => startDaemon(config, { server })));
  await publish(1200);
  await arrive(200);
  for (const consumer of ['grouped', 'keyed']) {
    expect(await roleOf(first, consumer)).toBe('active');
    for (const other of others) expect(await roleOf(other, consumer)).toBe('standby');
  }
  await first.kill();
  await publish(600);
  await arrive(published);

  const [second, third] = await waitFor(
    async () => {
      const roles = await Promise.all(others.map(async (daemon) => roleOf(daemon, 'keyed')));
      const at = roles.indexOf('active');
      return at === -1 ? undefined : ([others[at], others[1 - at]] as [Daemon, Daemon]);
    },
    { what: 'an instance to be active' },
  );
  slow = AT_ONCE * KEYS;
  await publish(1200);
  await waitFor(() => slow <= 0, { what: 'each key to be at work' });
  expect(await second.terminate()).toBe(0);
  await publish(100);
  await arrive(published);

  expect(wrong).toEqual([]);
  expect(most).toBe(AT_ONCE);
  for (const consumer of ['grouped', 'keyed']) {
    expect([consumer, await roleOf(third, consumer)]).toEqual([consumer, 'active']);
    await waitFor(
      async () => {
        const { num_pending: pending, num_ack_pending: unacked } = await client.jsm.consumers.info('IN', consumer);
        return pending === 0 && unacked === 0;
      },
      { what: `nothing to be left of ${consumer}` },
    );
  }
  await client.nc.close();
}, 240_000);
