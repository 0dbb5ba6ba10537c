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

test('a dead letter holds its key over a restart, until it was driven again or discarded', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const accepted: number[] = [];
  let mended = false;
  const target = await startHttpTarget(({ headers }) => {
    const number = Number(headers['x-n']);
    if (number < 10 && !mended) return { status: 422 };
    accepted.push(number);
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
  // The first of two keys becomes a letter; a third goes on.
  const numbers = [1, 2, 20, 21, 30, 10, 11, 12];
  await publishMany(client, numbers.length, (index) => {
    const n = numbers[index] ?? 0;
    return { subject: 'in.x', body: { key: n === 30 ? 'c' : n % 2 === 0 ? 'even' : 'odd', n } };
  });
  await waitFor(async () => (await client.jsm.streams.info('OUZEL_DLQ')).state.messages === 2, { what: 'two letters' });
  await waitFor(() => accepted.includes(30), { what: 'the third key to go on' });
  await waitFor(async () => (await client.jsm.consumers.info('IN', 'ordered')).num_ack_pending === 0, {
    what: 'what is held to be on the server',
  });
  expect(await daemon.terminate()).toBe(0);
  const again = await startDaemon(config, { server });
  await publishMany(client, 2, (index) => ({
    subject: 'in.x',
    body: { key: index === 0 ? 'even' : 'c', n: 40 + index },
  }));
  await waitFor(() => accepted.includes(41), { what: 'the third key to go on' });
  expect(accepted.toSorted((left, right) => left - right)).toEqual([30, 41]);

  // Without the order nobody would take what waits: the change is refused, and all goes on as before.
  await again.write(config.replace('order_by: event.data.key, on_dead_letter: hold, ', ''));
  await waitFor(async () => (await again.total('ouzel_config_reloads_total', { result: 'rejected' })) === 1, {
    what: 'the change to be refused',
  });
  expect(again.log()).toMatch(/[56] of its events wait .* and 2 of its keys are held/);
  await again.write(config);
  mended = true;
  const driven = await runCli(['dlq', 'redrive', '--where', 'event.data.key == "odd"', '--config', again.configFile]);
  expect(driven.stderr + driven.stdout).toMatch(/1 /);
  await waitFor(() => accepted.includes(11), { what: 'the key to go on behind the letter' });
  expect(accepted.slice(2)).toEqual([1, 21, 11]);
  await runCli(['dlq', 'discard', '--consumer', 'ordered', '--why', 'a test', '--config', again.configFile]);
  await waitFor(() => accepted.includes(40), { what: 'the key to go on without the letter' });
  expect(accepted.slice(5)).toEqual([20, 10, 12, 40]);
  await waitFor(async () => (await client.jsm.streams.info('OUZEL_LANES')).state.messages === 0, {
    what: 'nothing to be left',
  });
  await client.nc.close();
}, 240_000);

test('an event that timers hold back goes on, though its key has stopped meanwhile each time', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const accepted: number[] = [];
  const target = await startHttpTarget(({ headers }) => {
    const number = Number(headers['x-n']);
    if (number >= 10) return { status: 422 };
    accepted.push(number);
    return { status: 200 };
  });
  const daemon = await startDaemon(
    `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  ordered:
    stream: IN
    order_by: event.data.key
    on_dead_letter: hold
    debounce: { by: event.data.n, quiet: 500ms }
    delay: { until: timestamp(event.data.until) }
    deliver: [{ to: partner }]
`,
    { server },
  );
  const send = async (n: number, wait: number): Promise<void> =>
    publishMany(client, 1, () => ({
      subject: 'in.x',
      body: { key: 'one', n, until: new Date(Date.now() + wait).toISOString() },
    }));
  const stored = async (tier: string): Promise<number> => {
    const { state } = await client.jsm.streams.info('OUZEL_LANES', { subjects_filter: `ouzel.lane.ordered.*.${tier}` });
    return Object.values(state.subjects ?? {}).reduce((sum, count) => sum + count, 0);
  };
  const isStopped = async (): Promise<void> => {
    await waitFor(async () => (await stored('hold')) === 1, { what: 'the key to be stopped' });
  };
  const goOn = async (): Promise<void> => {
    await runCli(['dlq', 'discard', '--consumer', 'ordered', '--why', 'a test', '--config', daemon.configFile]);
  };

  await send(10, 0);
  await isStopped();
  // Debounce lets go of it into a key that stands still.
  await send(1, 12_000);
  await waitFor(async () => (await stored('rest')) === 1, { what: 'it to be stored' });
  await goOn();
  await waitFor(async () => (await stored('*')) === 0, { what: 'it to be held back by delay' });
  // And so does delay.
  await send(11, 0);
  await isStopped();
  await waitFor(async () => (await stored('rest')) === 1, { what: 'it to be stored once more', timeout: 30_000 });
  expect(accepted).toEqual([]);
  await goOn();
  await waitFor(() => accepted.length === 1, { what: 'it to be delivered' });
  await waitFor(async () => (await stored('*')) === 0, { what: 'nothing to be left' });
  expect(await daemon.terminate()).toBe(0);
  await client.nc.close();
}, 240_000);

test.each([
  ['refused', 409],
  ['not taken, and the target is probed', 503],
])(
  'the first events of all keys are %s at once: those in hand behind them leave room for them',
  async (_name, status) => {
    const server = await startServer();
    const client = await connectTo(server);
    await addStream(client, 'IN', ['in.>']);
    const KEYS = 100;
    const firsts = Promise.withResolvers<void>();
    const accepted: number[] = [];
    const target = await startHttpTarget(async ({ headers, index }) => {
      if (index === KEYS - 1) firsts.resolve();
      if (index < KEYS) await firsts.promise;
      if (index < KEYS) return { status };
      accepted.push(Number(headers['x-n']));
      return {};
    });
    await publishMany(client, 8 * KEYS, (index) => ({ subject: 'in.x', body: { key: index % KEYS, n: index } }));
    const daemon = await startDaemon(
      `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 4, backoff: { first: 300ms, factor: 1, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, connections: ${2 * KEYS}, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  ordered: { stream: IN, start: all, order_by: event.data.key, prefetch: 256, deliver: [{ to: partner }] }
`,
      { server },
    );
    await waitFor(() => accepted.length === 8 * KEYS, {
      what: () => `all to be accepted, of which ${accepted.length} came`,
      timeout: 60_000,
    });
    for (let key = 0; key < KEYS; key++) {
      const of = accepted.filter((n) => n % KEYS === key);
      expect(of).toEqual(of.toSorted((a, b) => a - b));
    }
    expect(await daemon.terminate()).toBe(0);
  },
);
