/** `order_by` over three instances: the order of a key, whoever is active, and what is seen of that. */
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { addStream, connectTo, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

interface Shown {
  readonly state: string;
  readonly role: string | null;
  readonly active: { readonly instance: string } | null;
}

const shown = async (daemon: Daemon): Promise<Shown> =>
  (await (await fetch(`${daemon.http}/api/v1/consumers/ordered`)).json()) as Shown;

/** The one that is active. */
const activeOf = async (daemons: readonly Daemon[]): Promise<Daemon> =>
  waitFor(
    async () => {
      for (const daemon of daemons) if ((await shown(daemon)).role === 'active') return daemon;
      return undefined;
    },
    { what: 'an instance to be active', timeout: 60_000 },
  );

test('a key keeps its order when the active instance dies under load, and when it drains', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const KEYS = 30;
  /** Numbers in the order in which they were accepted first. */
  const accepted = new Set<number>();
  const refused = new Set<number>();
  const target = await startHttpTarget(async ({ headers }) => {
    const number = Number(headers['x-n']);
    await new Promise((resolve) => setTimeout(resolve, 5));
    if (number % 40 === 7 && !refused.has(number)) {
      refused.add(number);
      return { status: 409 };
    }
    accepted.add(number);
    return { status: 200 };
  });
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 4, backoff: { first: 100ms, factor: 1, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  ordered: { stream: IN, start: all, order_by: event.data.key, ack_wait: 5s, deliver: [{ to: partner }] }
`;
  const daemons = await Promise.all([1, 2, 3].map(async () => startDaemon(config, { server })));
  const publish = async (from: number, count: number): Promise<void> =>
    publishMany(client, count, (index) => ({ subject: 'in.x', body: { key: (from + index) % KEYS, n: from + index } }));
  const arrived = async (count: number): Promise<unknown> =>
    waitFor(() => accepted.size >= count, {
      what: () => `${count} events, of which ${accepted.size} came`,
      timeout: 90_000,
    });

  await publish(0, 1500);
  await arrived(200);
  const first = await activeOf(daemons);
  const standbys = daemons.filter((daemon) => daemon !== first);
  await waitFor(async () => (await Promise.all(standbys.map(shown))).every(({ state }) => state === 'standby'), {
    what: 'the others to stand by',
  });
  await first.kill();
  await publish(1500, 500);
  await arrived(2000);

  const second = await activeOf(standbys);
  const [third] = standbys.filter((daemon) => daemon !== second) as [Daemon];
  // What an instance shows of the others is a few seconds old.
  const { stdout } = await runCli(['consumers', 'show', 'ordered', '--config', third.configFile]);
  const active = /^active +(\S+), since /m.exec(stdout)?.[1];
  expect(active, stdout).toBeDefined();
  await waitFor(async () => (await shown(third)).active?.instance === active, { what: 'the active one to be named' });
  await publish(2000, 1000);
  await arrived(2200);
  expect(await second.terminate()).toBe(0);
  await arrived(3000);
  expect((await shown(third)).role).toBe('active');

  const last = new Map<number, number>();
  for (const number of accepted) {
    expect(number, `key ${number % KEYS}`).toBeGreaterThan(last.get(number % KEYS) ?? -1);
    last.set(number % KEYS, number);
  }
  expect(accepted.size).toBe(3000);
  expect(refused.size).toBe(75);
  await client.nc.close();
}, 240_000);

test('a hot key leaves room for the others, and keeps its order over a crash and a long retry', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const HOT = 400;
  const COLD = 100;
  const accepted: number[] = [];
  const refused = new Set<number>();
  let slow = true;
  const target = await startHttpTarget(async ({ headers }) => {
    const number = Number(headers['x-n']);
    if (slow && number < HOT) await new Promise((resolve) => setTimeout(resolve, 25));
    if (number === 150 && !refused.has(number)) {
      refused.add(number);
      return { status: 409 };
    }
    accepted.push(number);
    return { status: 200 };
  });
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 3, backoff: { first: 6s, factor: 1, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  ordered: { stream: IN, start: all, order_by: event.data.key, ack_wait: 3s, prefetch: 64, deliver: [{ to: partner }] }
`;
  const daemon = await startDaemon(config, { server });
  await publishMany(client, HOT, (n) => ({ subject: 'in.x', body: { key: 'hot', n } }));
  await publishMany(client, COLD, (n) => ({ subject: 'in.x', body: { key: `cold ${n % 20}`, n: HOT + n } }));
  const cold = (): number => accepted.filter((number) => number >= HOT).length;
  const hot = (): number[] => [...new Set(accepted.filter((number) => number < HOT))];
  await waitFor(() => cold() >= COLD, { what: () => `the others, of which ${cold()} came`, timeout: 60_000 });
  expect(hot().length).toBeLessThan(HOT);
  // What waits is on the server, and its source is acked.
  expect((await client.jsm.streams.info('OUZEL_LANES')).state.messages).toBeGreaterThan(0);
  await waitFor(() => hot().length >= 60, { what: 'the hot key to go on', timeout: 60_000 });
  await daemon.kill();
  slow = false;

  const again = await startDaemon(config, { server });
  await waitFor(() => hot().length === HOT, {
    what: () => `all of the hot key, of which ${hot().length} came`,
    timeout: 90_000,
  });
  expect(hot()).toEqual(hot().toSorted((left, right) => left - right));
  expect(refused.size).toBe(1);
  await waitFor(async () => (await client.jsm.streams.info('OUZEL_LANES')).state.messages === 0, {
    what: 'nothing to be left',
  });
  expect(await again.terminate()).toBe(0);
  await client.nc.close();
}, 240_000);
