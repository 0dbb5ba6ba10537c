/** Events of a stream, handed to chosen consumers once more. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { MAIN, processEnv, runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { type Client, connectTo, publishMany, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const MANY = 5_000;
const KEYS = 7;

const config = (more = ''): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory, key: event.data.key }
  OUT: { subjects: ["out.>"], storage: memory }
consumers:
  billing:
    stream: EVENTS
    start: all
    pipeline: [{ set: { data.replay: msg.replay, data.run: msg.run } }]
    deliver: [{ name: main, to: { publish: { subject: "out.billing.{{ event.data.key }}" } } }]
  search:
    stream: EVENTS
    start: all
    deliver: [{ name: main, to: { publish: { subject: out.search } } }]
  orders:
    stream: EVENTS
    start: all
    subjects: [events.orders.>]
    types: [orders.created]
${more}`;

/** Event `index`: every third is another type, and every one has one of seven keys. */
const event = (index: number, of = 'first') => ({
  subject: index % 3 === 0 ? 'events.orders.created' : index % 3 === 1 ? 'events.orders.paid' : 'events.other',
  body: { n: index, key: `k${index % KEYS}`, of },
  id: `${of}-${index}`,
});

interface Replayed {
  readonly name: string;
  readonly state: string;
  readonly reason?: string;
  readonly read: number;
  readonly selected: number;
  readonly handed: Readonly<Record<string, number>>;
}

/** One world a test: a server, its client, and a daemon that has handled `count` events. */
async function world(count: number, more = '') {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(config(more), { server });
  await publishMany(client, count, (index) => event(index));
  for (const consumer of ['billing', 'search']) await untilEnded(daemon, consumer, count, 60_000);
  return { server, client, daemon };
}

const replay = (daemon: Daemon, ...args: readonly string[]) => runCli(['replay', ...args, '-c', daemon.configFile]);

async function replayJson<T = Replayed>(daemon: Daemon, ...args: readonly string[]): Promise<T> {
  const { code, stdout, stderr } = await replay(daemon, ...args, '--json');
  // One that takes longer says how far it is.
  expect({ code, stderr: stderr.replaceAll(/^\d+ %, .*\n/gm, '') }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as T;
}

/** What a replay sent, in the order in which it came. */
async function sentBy(client: Client, name: string) {
  const all = await readStream(client, 'OUT');
  return all
    .filter(({ headers }) => headers['Ouzel-Replay'] === name)
    .map(({ body, subject }) => ({ subject, ...(JSON.parse(body) as { n: number; key: string; of: string }) }));
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('a replay', () => {
  let server: TestServer;
  let client: Client;
  let daemon: Daemon;

  beforeAll(async () => {
    ({ server, client, daemon } = await world(MANY));
  }, 120_000);

  afterAll(async () => {
    await daemon?.kill();
    await client?.[Symbol.asyncDispose]();
    await server?.[Symbol.asyncDispose]();
  });

  test('shows in a dry run what it would hand over, and does nothing', async () => {
    const found = await replayJson<Record<string, unknown>>(
      daemon,
      'EVENTS',
      '--to',
      'billing',
      '--to',
      'orders',
      '--dry-run',
    );
    const third = Math.ceil(MANY / 3);
    expect(found).toMatchObject({
      read: MANY,
      total: MANY,
      selected: MANY,
      by_consumer: { billing: MANY, orders: third },
      by_type: { 'orders.created': third, 'orders.paid': third, other: MANY - 2 * third },
      more: false,
    });
    const { code, stdout } = await replay(daemon, 'EVENTS', '--to', 'billing', '--limit', '10', '--dry-run');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^CONSUMER +EVENTS\nbilling +10\n\nTYPE +EVENTS\n[^]*10 of 10 events would be handed over/);
    expect(stdout).toContain('more are selected than --limit 10\nA dry run: nothing was done.\n');
    expect(await replayJson(daemon, 'list')).toEqual({ replays: [] });
    expect((await client.jsm.streams.info('OUZEL_TIMERS')).state.last_seq).toBe(0);
  });

  test('hands events to the consumer that is named alone, once each, in order, while new ones flow', async () => {
    const news = 500;
    const flowing = (async () => {
      for (let from = 0; from < news; from += 20) await publishMany(client, 20, (index) => event(from + index, 'new'));
    })();
    const done = await replayJson(
      daemon,
      'EVENTS',
      '--to',
      'billing',
      '--until',
      new Date().toISOString(),
      '--run',
      'january',
    );
    await flowing;
    expect(done).toMatchObject({ name: 'january', state: 'done', failed: 0 });
    const { selected } = done;
    expect(selected).toBeGreaterThanOrEqual(MANY);
    expect(done.handed).toEqual({ billing: selected });
    await untilEnded(daemon, 'billing', MANY + news + selected, 60_000);
    await untilEnded(daemon, 'search', MANY + news);

    const sent = await sentBy(client, 'january');
    const old = sent.filter(({ of }) => of === 'first');
    expect(old.map(({ n }) => n).toSorted((left, right) => left - right)).toEqual(numbers(MANY));
    for (let key = 0; key < KEYS; key++) {
      const ofKey = old.filter((each) => each.key === `k${key}`).map(({ n }) => n);
      expect(ofKey).toEqual(ofKey.toSorted((left, right) => left - right));
    }
    expect(sent.every(({ subject }) => subject.startsWith('out.billing.'))).toBe(true);
    expect(sent[0]).toMatchObject({ replay: true, run: 'replay-january' });

    const first = (await readStream(client, 'OUT')).filter(
      ({ subject, headers }) => subject.startsWith('out.billing.') && headers['Ouzel-Replay'] === undefined,
    );
    expect(first).toHaveLength(MANY + news);
    expect(JSON.parse(first[0]?.body ?? '')).toMatchObject({ replay: false, run: 'first' });

    const again = await replay(daemon, '--resume', 'january');
    expect(again.code).not.toBe(0);
    expect(again.stderr).toContain('replay "january" is done: to replay the same again, choose another name');
  }, 120_000);

  test('selects by key, type, condition, time and number, and what its consumers take', async () => {
    const read = async (...args: readonly string[]): Promise<Record<string, number>> =>
      (await replayJson<{ by_consumer: Record<string, number> }>(daemon, 'EVENTS', '--dry-run', ...args)).by_consumer;
    const keyed = numbers(MANY).filter((n) => n % KEYS === 3).length;
    const until = new Date(Number((await client.jsm.streams.getMessage('EVENTS', { seq: MANY }))?.time)).toISOString();
    expect(await read('--to', 'billing', '--key', 'k3', '--until', until)).toEqual({ billing: keyed });
    expect(await read('--to', 'billing', '--where', 'event.data.n < 10 && event.data.of == "first"')).toEqual({
      billing: 10,
    });
    expect(
      await read(
        '--to',
        'orders,billing',
        '--type',
        'orders.*',
        '--where',
        'event.data.n < 6 && event.data.of == "first"',
      ),
    ).toEqual({ orders: 2, billing: 4 });
    expect(await read('--to', 'billing', '--until', '2020-01-01T00:00:00Z')).toEqual({ billing: 0 });
    expect(await read('--to', 'billing', '--since', '1h', '--limit', '17')).toEqual({ billing: 17 });
    const middle = await client.jsm.streams.getMessage('EVENTS', { seq: MANY - 99 });
    const since = new Date(Number(middle?.time)).toISOString();
    const counted = await read('--to', 'billing', '--since', since, '--until', until);
    expect(counted['billing']).toBeGreaterThanOrEqual(100);
    expect(counted['billing']).toBeLessThan(MANY);
  });

  test('refuses what cannot be meant', async () => {
    const refused = async (...args: readonly string[]): Promise<string> => {
      const { code, stderr } = await replay(daemon, ...args);
      expect(code).not.toBe(0);
      return `${code} ${stderr}`;
    };
    expect(await refused('EVENTS')).toMatch(/^64 to whom\?/);
    expect(await refused('--to', 'billing')).toMatch(/^64 which stream\?/);
    expect(await refused('EVENTS', '--to', 'biling')).toMatch(
      /^1 no consumer "biling" is configured.*billing, search, orders/,
    );
    expect(await refused('OUT', '--to', 'billing')).toMatch(/^64 "billing" takes its events from EVENTS, not from OUT/);
    expect(await refused('EVENTS', '--to', 'billing', '--since', 'yesterday')).toMatch(
      /^64 --since: "yesterday" is no instant/,
    );
    expect(await refused('EVENTS', '--to', 'billing', '--where', 'event.nope')).toMatch(/^64 --where: .*\n.*\n *\^/);
    expect(await refused('EVENTS', '--to', 'billing', '--rate', 'fast')).toMatch(/^64 --rate/);
    expect(await refused('EVENTS', '--to', 'billing', '--run', 'a.b')).toMatch(/^64 "a\.b"/);
    expect(await refused('--resume', 'nobody')).toMatch(/^1 there is no replay "nobody"/);
    expect(await refused('EVENTS', '--resume', 'nobody')).toMatch(/^64 --resume goes on/);
  });

  test('over the API runs in the daemon, is recorded, and is stopped from anywhere', async () => {
    const call = async (method: string, path: string, body?: unknown) => {
      const init =
        body === undefined ? {} : { body: JSON.stringify(body), headers: { 'content-type': 'application/json' } };
      const response = await fetch(`${daemon.http}/api/v1/replays${path}`, { method, ...init });
      return { status: response.status, answer: (await response.json()) as Replayed & { code?: string } };
    };
    // The second one is due when nobody waits for it any more.
    const asked = { stream: 'EVENTS', to: ['search'], rate: '1/h', name: 'api' };
    expect(await call('POST', '', { ...asked, dry_run: true, limit: 3 })).toMatchObject({
      status: 200,
      answer: { selected: 3 },
    });
    expect(await call('POST', '', asked)).toMatchObject({ status: 202, answer: { state: 'running' } });
    expect(await call('POST', '', asked)).toMatchObject({ status: 409, answer: { code: 'CONFLICT' } });
    await waitFor(async () => (await call('GET', '/api')).answer.selected > 0, { what: 'the first event' });
    expect((await replay(daemon, 'stop', 'api')).code).toBe(0);
    await waitFor(() => daemon.logLines().some(({ msg }) => msg === 'replay stopped'), { what: 'its end' });
    const stopped = (await call('GET', '/api')).answer;
    expect(stopped.state).toBe('stopped');
    expect(stopped.selected).toBe(1);
    expect(stopped.reason).toMatch(/^stopped by /);
    expect(await call('DELETE', '/api')).toMatchObject({ status: 409 });
    expect(await call('POST', '/api/resume')).toMatchObject({ status: 202 });
    expect(await call('DELETE', '/api')).toMatchObject({ status: 200, answer: { state: 'stopped' } });
    expect(await call('GET', '/other')).toMatchObject({ status: 404 });
    const acts = (await readStream(client, 'OUZEL_AUDIT')).map(
      ({ body }) => JSON.parse(body) as Record<string, unknown>,
    );
    const ours = acts
      .filter(({ resource }) => resource === 'replays/api')
      .map(({ what, outcome }) => `${String(what)} ${String(outcome)}`);
    expect(ours).toEqual([
      'replay.start done',
      'replay.start refused',
      'replay.stop done',
      'replay.stop refused',
      'replay.resume done',
      'replay.stop done',
    ]);
    expect(acts.filter(({ resource }) => resource === 'replays/january').map(({ what }) => what)).toEqual([
      'replay.start',
    ]);
  }, 60_000);
});

test('killed in the middle and resumed: each event has one outcome of that run', async () => {
  const { client, daemon } = await world(MANY);
  const child = spawn(
    process.execPath,
    [MAIN, 'replay', 'EVENTS', '--to', 'billing', '--run', 'cut', '--rate', '1500/s', '-c', daemon.configFile],
    { env: processEnv(), stdio: 'ignore' },
  );
  await waitFor(async () => (await sentBy(client, 'cut')).length > 500, { what: 'the first events', timeout: 30_000 });
  child.kill('SIGKILL');
  await once(child, 'exit');
  const listed = await replayJson<{ replays: Replayed[] }>(daemon, 'list');
  expect(listed.replays).toMatchObject([{ name: 'cut', state: 'running' }]);
  expect(listed.replays[0]?.selected).toBeLessThan(MANY);
  const twice = await replay(daemon, 'EVENTS', '--to', 'billing', '--run', 'cut');
  expect(twice.stderr).toContain('replay "cut" is running. If it was killed, go on with it: --resume cut');

  const done = await replayJson(daemon, '--resume', 'cut', '--rate', '100000/s');
  expect(done).toMatchObject({ state: 'done', selected: MANY, handed: { billing: MANY } });
  await untilEnded(daemon, 'billing', 2 * MANY, 60_000);
  const sent = await sentBy(client, 'cut');
  expect(sent.map(({ n }) => n).toSorted((left, right) => left - right)).toEqual(numbers(MANY));
}, 120_000);

test('interrupted by Ctrl-C, it says how to go on, and the same command goes on', async () => {
  const { client, daemon } = await world(400);
  const args = ['replay', 'EVENTS', '--to', 'billing', '--run', 'slow', '--rate', '50/s', '-c', daemon.configFile];
  const child = spawn(process.execPath, [MAIN, ...args], { env: processEnv(), stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  await waitFor(async () => (await sentBy(client, 'slow')).length > 0, { what: 'the first event', timeout: 30_000 });
  child.kill('SIGINT');
  const [code] = (await once(child, 'close')) as [number];
  expect(code).toBe(1);
  expect(output).toContain(`Interrupted. To go on: ouzel replay --resume slow -c ${daemon.configFile}\n`);
  const other = await replay(daemon, 'EVENTS', '--to', 'search', '--run', 'slow');
  expect(other.stderr).toContain('there is a replay "slow" already, of something else');
  const done = await replayJson(daemon, 'EVENTS', '--to', 'billing', '--run', 'slow');
  expect(done).toMatchObject({ state: 'done', selected: 400, handed: { billing: 400 } });
  await untilEnded(daemon, 'billing', 800);
  expect((await sentBy(client, 'slow')).map(({ n }) => n)).toEqual(numbers(400));
}, 120_000);

test('waits for a consumer that has 10,000 events due, and warns of one that is paused', async () => {
  const count = 10_300;
  const server = await startServer();
  const client = await connectTo(server);
  const paused = (is: boolean): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EVENTS: { subjects: ["events.>"], storage: memory } }
consumers: { slow: { stream: EVENTS, paused: ${is} } }`;
  const daemon = await startDaemon(paused(true), { server });
  await publishMany(client, count, (index) => ({ subject: 'events.a', body: { index } }));
  const child = spawn(
    process.execPath,
    [MAIN, 'replay', 'EVENTS', '--to', 'slow', '--run', 'full', '-c', daemon.configFile],
    {
      env: processEnv(),
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  );
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  await waitFor(() => output.includes('waits for slow, which has as many due as it may'), {
    what: () => `the replay to wait: ${output}`,
    timeout: 60_000,
  });
  expect(output).toContain('Warning: slow is paused: it takes the events when it runs again\n');
  expect((await client.jsm.streams.info('OUZEL_TIMERS')).state.messages).toBe(10_000);
  await daemon.write(paused(false));
  const [code] = (await once(child, 'close')) as [number];
  expect({ code, output }).toMatchObject({ code: 0 });
  await waitFor(async () => (await client.jsm.streams.info('OUZEL_TIMERS')).state.messages === 0, {
    what: 'the end of what is due',
    timeout: 60_000,
  });
  expect(await daemon.total('ouzel_events_total', { consumer: 'slow', outcome: 'delivered' })).toBeGreaterThanOrEqual(
    count,
  );
}, 180_000);
