/** What waits elsewhere than in its stream goes on though the stream has nothing: the server pins nobody then. */
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

/** Milliseconds after which an instance is active for sure that nobody is pinned beside: a pin ends, and is seen to. */
const TAKES_OVER = 60_000;

const role = async (daemon: Daemon): Promise<string | null> => {
  const answer = await fetch(`${daemon.http}/api/v1/consumers/ordered`);
  return ((await answer.json()) as { readonly role: string | null }).role;
};

const leases = async ({ jsm }: Client): Promise<number> => {
  const subject = '$KV.OUZEL_ATTEMPTS.ordered.lease';
  const message = await jsm.streams.getMessage('KV_OUZEL_ATTEMPTS', { last_by_subj: subject });
  return message === null || message.header.has('KV-Operation') ? 0 : 1;
};

test('events that are due go on when the active instance is killed, and those that come then keep the order', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const accepted: number[] = [];
  let open = 0;
  let most = 0;
  let slow = 1;
  const target = await startHttpTarget(async ({ headers }) => {
    most = Math.max(most, ++open);
    await new Promise((resolve) => setTimeout(resolve, slow));
    open--;
    accepted.push(Number(headers['x-n']));
    return { status: 200 };
  });
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  ordered:
    { stream: IN, start: all, order_by: event.data.key, ack_wait: 5s, delay: { until: timestamp(event.data.until) }, deliver: [{ to: partner }] }
`;
  const daemons = await Promise.all([1, 2].map(async () => startDaemon(config, { server })));
  const send = async (from: number, count: number, wait: number): Promise<void> => {
    const until = new Date(Date.now() + wait).toISOString();
    await publishMany(client, count, (index) => ({ subject: 'in.x', body: { key: 'one', n: from + index, until } }));
  };
  await send(0, 20, 5_000);
  const active = await waitFor(
    async () => {
      for (const daemon of daemons) if ((await role(daemon)) === 'active') return daemon;
      return undefined;
    },
    { what: 'an instance to be active' },
  );
  await waitFor(async () => (await client.jsm.consumers.info('IN', 'ordered')).num_ack_pending === 0, {
    what: 'all to wait for their timers',
  });
  await active.kill();
  const [other] = daemons.filter((daemon) => daemon !== active);
  if (other === undefined) throw new Error('there are two');
  // The stream has no event for anybody.
  await waitFor(() => accepted.length > 0, { what: 'the others to go on', timeout: TAKES_OVER });
  expect(await leases(client)).toBe(1);
  expect(await role(other)).toBe('active');
  const shown = await runCli(['consumers', 'show', 'ordered', '--config', other.configFile]);
  expect(shown.stdout).toMatch(/active +\S+, since 20/);
  // One more instance, and events of the stream: whoever is pinned waits for what has begun.
  slow = 300;
  const third = await startDaemon(config, { server });
  await send(20, 5, 0);
  await waitFor(() => accepted.length >= 25, { what: 'all to go on', timeout: TAKES_OVER });
  expect(accepted.toSorted((left, right) => left - right)).toEqual(Array.from({ length: 25 }, (_, n) => n));
  expect(accepted.filter((n) => n >= 20)).toEqual([20, 21, 22, 23, 24]);
  expect(most).toBe(1);
  await waitFor(async () => (await leases(client)) === 0, { what: 'the lease to go' });
  expect(await other.terminate()).toBe(0);
  expect(await third.terminate()).toBe(0);
  await client.nc.close();
}, 240_000);

test('a key that was held goes on after a restart when its letter is discarded', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const accepted: number[] = [];
  const target = await startHttpTarget(({ headers }) => {
    const n = Number(headers['x-n']);
    if (n === 0) return { status: 422 };
    accepted.push(n);
    return { status: 200 };
  });
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  ordered: { stream: IN, start: all, order_by: event.data.key, on_dead_letter: hold, deliver: [{ to: partner }] }
`;
  const daemon = await startDaemon(config, { server });
  await publishMany(client, 4, (n) => ({ subject: 'in.x', body: { key: 'one', n } }));
  const left = async (): Promise<number> => (await client.jsm.streams.info('OUZEL_LANES')).state.messages;
  await waitFor(async () => (await left().catch(() => 0)) === 4, { what: 'the key to be held, and the rest stored' });
  await untilEnded(daemon, 'ordered', 1);
  expect(await daemon.terminate()).toBe(0);
  const again = await startDaemon(config, { server });
  await runCli(['dlq', 'discard', '--consumer', 'ordered', '--why', 'a test', '--config', again.configFile]);
  await waitFor(() => accepted.length === 3, { what: 'the key to go on', timeout: TAKES_OVER });
  expect(accepted).toEqual([1, 2, 3]);
  await waitFor(async () => (await left()) === 0, { what: 'nothing to be left' });
  // Nothing waits any more: nobody needs to be active.
  expect(await again.terminate()).toBe(0);
  expect(await leases(client)).toBe(0);
  await client.nc.close();
}, 240_000);
