/** Streams and durables on the server: what is made, what is changed, what is refused, and what is left alone. */
import { AckPolicy, type ConsumerConfig, DeliverPolicy } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const SECOND = 1_000_000_000;

let server: TestServer;
let client: Client;
let daemon: Daemon;

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  MADE: { subjects: ["made.>"], storage: memory, max_age: 1h, max_msgs: 500, duplicate_window: 30s, discard: new }
  DIFFERENT: { subjects: ["different.>"], storage: memory, max_msgs: 200 }
  MANAGED: { subjects: ["managed.>", "also.managed"], storage: memory, max_msgs: 200, manage: true }
consumers:
  fine: { stream: EV, start: all, subjects: [ev.fine, ev.more.*], ack_wait: 7s, prefetch: 40, on_remove: delete }
  foreign: { stream: EV }
  adopted: { stream: EV, adopt: true, ack_wait: 11s, subjects: [ev.adopted] }
  no-acks: { stream: EV, adopt: true }
  pushed: { stream: EV, adopt: true }
  backing-off: { stream: EV, adopt: true }
  outdated: { stream: EV, start: all, subjects: [ev.outdated, ev.new], ack_wait: 12s }
  elsewhere: { stream: EV, subjects: [other.subject] }
  waiting: { stream: LATER, start: all }
  resting: { stream: EV, paused: true }
`;

const REFUSED = ['foreign', 'no-acks', 'pushed', 'backing-off', 'elsewhere', 'waiting'];

const durable = async (name: string, config: Partial<ConsumerConfig>): Promise<unknown> =>
  client.jsm.consumers.add('EV', { durable_name: name, ack_policy: AckPolicy.Explicit, ...config });
const info = async (name: string, stream = 'EV') => client.jsm.consumers.info(stream, name);

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  await addStream(client, 'DIFFERENT', ['different.>'], { max_msgs: 100, description: 'made by somebody else' });
  await addStream(client, 'MANAGED', ['managed.>'], { max_msgs: 100, description: 'made by somebody else' });
  await durable('foreign', {});
  await durable('adopted', { metadata: { team: 'blue' }, filter_subject: 'ev.old' });
  await durable('no-acks', { ack_policy: AckPolicy.None });
  await durable('pushed', { deliver_subject: 'push.here' });
  await durable('backing-off', { backoff: [SECOND, 2 * SECOND], max_deliver: 3 });
  await durable('outdated', {
    filter_subjects: ['ev.outdated', 'ev.gone'],
    ack_wait: 60 * SECOND,
    max_deliver: 5,
    deliver_policy: DeliverPolicy.All,
    metadata: { 'ouzel.owner': 'ouzel', 'ouzel.revision': 'old' },
  });
  daemon = await startDaemon(CONFIG, { server, until: 'live' });
  await waitFor(async () => (await states())['fine'] === 'running', { what: 'the consumers to start' });
});

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

interface Readiness {
  readonly status: string;
  readonly reasons: readonly string[];
  readonly consumers: readonly { readonly name: string; readonly state: string; readonly reason: string }[];
}

async function readiness(): Promise<Readiness & { readonly code: number }> {
  const response = await fetch(`${daemon.http}/readyz`);
  return { ...((await response.json()) as Readiness), code: response.status };
}

const states = async (): Promise<Record<string, string>> =>
  Object.fromEntries((await readiness()).consumers.map(({ name, state }) => [name, state]));

test("a durable bears its consumer's name, what was configured, and whose it is", async () => {
  const { config } = await info('fine');
  expect(config).toMatchObject({
    durable_name: 'fine',
    ack_policy: 'explicit',
    deliver_policy: 'all',
    ack_wait: 7 * SECOND,
    max_deliver: -1,
    max_ack_pending: 400,
    filter_subjects: ['ev.fine', 'ev.more.*'],
    metadata: { 'ouzel.owner': 'ouzel', 'ouzel.on_remove': 'delete' },
  });
  expect(config.metadata?.['ouzel.revision']).toMatch(/^[0-9a-f]{16}$/);
  await expect(info('resting')).rejects.toThrow('consumer not found');
});

test('a consumer that cannot run is failed with its reason, and the others run', async () => {
  const { code, status, reasons, consumers } = await readiness();
  expect([code, status]).toEqual([503, 'unavailable']);
  expect(reasons).toHaveLength(REFUSED.length);
  const reason = (name: string): string | undefined => consumers.find((each) => each.name === name)?.reason;
  expect(reason('foreign')).toMatch(/durable foreign on EV exists and was not made by Ouzel\. Set `adopt: true`/);
  // nats-io/nats.node#628: without acks, what fails is lost.
  expect(reason('no-acks')).toMatch(/its ack policy is "none", and Ouzel needs "explicit"/);
  expect(reason('pushed')).toMatch(/it pushes to push\.here, and Ouzel pulls/);
  expect(reason('backing-off')).toMatch(/it has a backoff on the server/);
  expect(reason('elsewhere')).toMatch(/stream EV holds ev\.> and so never other\.subject/);
  expect(reason('waiting')).toMatch(/there is no stream LATER on the server/);
  expect(Object.fromEntries(consumers.map(({ name, state }) => [name, state]))).toEqual({
    ...Object.fromEntries(REFUSED.map((name) => [name, 'failed'])),
    fine: 'running',
    adopted: 'running',
    outdated: 'running',
    resting: 'paused',
  });
  expect((await fetch(`${daemon.http}/healthz`)).status).toBe(200);
  const metrics = await daemon.metrics();
  for (const name of REFUSED)
    expect(metrics.total('ouzel_consumer_state', { consumer: name, state: 'failed' }), name).toBe(1);
  for (const [index, subject] of ['ev.fine', 'ev.more.x'].entries()) {
    await publish(client, { subject, body: {} });
    await untilEnded(daemon, 'fine', index + 1);
  }
});

test('what was refused is as it was', async () => {
  expect((await info('foreign')).config.metadata?.['ouzel.owner']).toBeUndefined();
  expect((await info('no-acks')).config.ack_policy).toBe('none');
  expect((await info('pushed')).config.deliver_subject).toBe('push.here');
  expect((await info('backing-off')).config).toMatchObject({ max_deliver: 3, backoff: [SECOND, 2 * SECOND] });
});

test('adopt: true takes a durable over and leaves what it does not own', async () => {
  const { config } = await info('adopted');
  expect(config).toMatchObject({ ack_wait: 11 * SECOND, max_deliver: -1 });
  expect(config.metadata).toMatchObject({ 'ouzel.owner': 'ouzel', team: 'blue' });
  await publish(client, { subject: 'ev.old', body: {} });
  await publish(client, { subject: 'ev.adopted', body: {} });
  expect(await untilEnded(daemon, 'adopted', 1)).toMatchObject({ received: 1 });
});

// nats.node#491, components-contrib#2162: the difference is shown, what can be updated is, and nothing is deleted.
test('a durable that Ouzel made is brought up to date in place', async () => {
  const { config, delivered } = await info('outdated');
  expect(config).toMatchObject({ ack_wait: 12 * SECOND, max_deliver: -1, filter_subjects: ['ev.outdated', 'ev.new'] });
  expect(config.metadata?.['ouzel.revision']).not.toBe('old');
  expect(delivered.consumer_seq).toBe(0);
  const line = daemon.logLines().find((each) => each['consumer'] === 'outdated' && 'changed' in each);
  expect(String(line?.['changed'])).toMatch(/ack_wait: 60000000000 → 12000000000/);
  expect(String(line?.['changed'])).toContain('filter_subjects: ["ev.outdated","ev.gone"] → ["ev.outdated","ev.new"]');
});

test('a stream is made when absent; one that differs is shown, and changed only with manage: true', async () => {
  expect((await client.jsm.streams.info('MADE')).config).toMatchObject({
    subjects: ['made.>'],
    storage: 'memory',
    max_age: 3600 * SECOND,
    max_msgs: 500,
    duplicate_window: 30 * SECOND,
    discard: 'new',
  });
  const description = 'made by somebody else';
  expect((await client.jsm.streams.info('DIFFERENT')).config).toMatchObject({ max_msgs: 100, description });
  expect((await client.jsm.streams.info('MANAGED')).config).toMatchObject({
    max_msgs: 200,
    subjects: ['managed.>', 'also.managed'],
    description,
  });
  const lines = daemon.logLines();
  expect(lines.find((line) => line['stream'] === 'DIFFERENT')).toMatchObject({
    level: 'warn',
    differs: [{ field: 'max_msgs', server: 100, config: 200 }],
  });
  expect(lines.find((line) => line['stream'] === 'MANAGED')).toMatchObject({ level: 'info', msg: 'stream changed' });
});

test('a consumer whose stream appears later starts by itself, and so does one whose obstacle goes', async () => {
  await addStream(client, 'LATER', ['later.>']);
  await publish(client, { subject: 'later.x', body: {} });
  await client.jsm.consumers.delete('EV', 'foreign');
  expect(await untilEnded(daemon, 'waiting', 1)).toMatchObject({ delivered: 1 });
  const ready = await waitFor(async () => (await states())['foreign'] === 'running' && (await readiness()), {
    timeout: 20_000,
    what: 'the consumer to run once the foreign durable is gone',
  });
  expect(ready.reasons.some((reason) => /waiting|foreign/.test(reason))).toBe(false);
});

test('consumers list and show tell whose durables they are', async () => {
  const list = await runCli(['consumers', 'list', '--json', '-c', daemon.configFile]);
  expect(list.code).toBe(0);
  const rows = JSON.parse(list.stdout) as { name: string; durable: string }[];
  expect(Object.fromEntries(rows.map(({ name, durable: whose }) => [name, whose]))).toMatchObject({
    fine: 'ours',
    adopted: 'ours',
    'no-acks': 'foreign',
    resting: 'absent',
  });
  const shown = await runCli(['consumers', 'show', 'fine', '-c', daemon.configFile]);
  expect(shown.stdout).toMatch(
    /^consumer +fine\nowner +file, \S*ouzel\.yaml:\d+:\d+\nstream +EV\nsubjects +ev\.fine, ev\.more\.\*\n/,
  );
  expect(shown.stdout).toMatch(/\ndurable +ours\n/);
});

// dapr/components-contrib#2243.
test("a durable survives the daemon's own shutdown", async () => {
  const before = await info('fine');
  expect(await daemon.terminate()).toBe(0);
  const after = await info('fine');
  expect(after.created).toBe(before.created);
  expect(after).toMatchObject({ num_ack_pending: 0, delivered: { consumer_seq: 2 } });
});
