/** What becomes of events that fail: attempts, dead letters, and what must not be repeated or lost. */
import { RetentionPolicy } from '@nats-io/jetstream';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, readStream, type StoredMessage } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

let server: TestServer;
let client: Client;
let daemon: Daemon;

/** A publish that the stream refuses each time: it expects to arrive at another one. */
const REFUSED = '{ publish: { subject: out.refused, headers: { Nats-Expected-Stream: ELSEWHERE } } }';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 3, backoff: { first: 60ms, factor: 3, jitter: 0 } } }
streams:
  IN: { subjects: ["in.>"], storage: memory, key: event.data.id }
targets:
  refused: ${REFUSED}
  heard: { publish: { subject: heard.once, core: true } }
  missing: { publish: { subject: missing.out } }
consumers:
  refused: { stream: IN, subjects: [in.refused], start: all, deliver: [{ to: refused }] }
  small: { stream: IN, subjects: [in.small], start: all, deliver: [{ to: { publish: { subject: tiny.out } } }] }
  fan-out: { stream: IN, subjects: [in.fan], start: all, deliver: [{ to: heard }, { to: refused }] }
  fan-wait: { stream: IN, subjects: [in.wait], start: all, deliver: [{ to: heard }, { to: missing }] }
  given-up:
    stream: IN
    subjects: [in.given-up]
    start: all
    retry: { give_up: 'error.kind == "rejected" && error.message.contains("expected stream")' }
    deliver: [{ to: refused }]
  target-retry:
    stream: IN
    subjects: [in.target-retry]
    start: all
    deliver: [{ to: { publish: { subject: out.refused, headers: { Nats-Expected-Stream: ELSEWHERE } }, retry: { attempts: 1 } } }]
  bounded:
    stream: IN
    subjects: [in.bounded]
    start: all
    retry: { for: 300ms }
    deliver: [{ to: { publish: { subject: nowhere.out } } }]
  undecodable: { stream: IN, subjects: [in.undecodable], start: all, pipeline: [{ filter: event.data.n > 0 }] }
  erring:
    stream: IN
    subjects: [in.erring]
    start: all
    pipeline: [{ set: { data.half: 100 / event.data.n } }]
  missing: { stream: IN, subjects: [in.missing], start: all, pipeline: [{ set: { data.copy: event.data.gone } }] }
  work: { stream: WORK, start: all, deliver: [{ to: refused }] }
  stalling:
    stream: IN
    subjects: [in.stalling]
    start: all
    prefetch: 8
    retry: { backoff: { first: 10m, max: 10m } }
    deliver:
      - { name: bad, when: event.data.bad, to: { publish: { subject: nowhere.out } } }
      - { name: good, when: "!event.data.bad", to: { publish: { subject: out.good } } }
`;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  await addStream(client, 'OUT', ['out.>']);
  await addStream(client, 'TINY', ['tiny.>'], { max_msg_size: 100 });
  await addStream(client, 'WORK', ['work.>'], { retention: RetentionPolicy.Workqueue });
  daemon = await startDaemon(CONFIG, { server });
});

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const lettersOf = async (consumer: string): Promise<StoredMessage[]> =>
  (await readStream(client, 'OUZEL_DLQ')).filter(({ headers }) => headers['Ouzel-Consumer'] === consumer);

/** Publishes one event for a consumer, waits until it is a dead letter, and returns that. */
async function failing(consumer: string, subject: string, body: unknown): Promise<StoredMessage['headers']> {
  await publish(client, { subject, body });
  expect(await untilEnded(daemon, consumer, 1)).toMatchObject({ deadLettered: 1 });
  const found = await lettersOf(consumer);
  expect(found.length).toBe(1);
  expect(found[0]?.subject).toBe(`ouzel.dlq.${consumer}`);
  return found[0]?.headers ?? {};
}

// dapr/dapr#5511: the dead letter comes after the last attempt, and the last attempt's failure reaches it.
test('an event that its target refuses is a dead letter after the last attempt, not the first', async () => {
  const consumer = 'refused';
  await publish(client, { subject: 'in.other', body: 'moves the sequence' });
  const headers = await failing(consumer, 'in.refused', { id: 'k-1' });
  expect(headers).toMatchObject({
    'Ouzel-Consumer': consumer,
    'Ouzel-Routes': 'refused',
    'Ouzel-Reason': 'rejected',
    'Ouzel-Attempts': '3',
    'Ouzel-Stream': 'IN',
    'Ouzel-Subject': 'in.refused',
    'Ouzel-Sequence': '2',
    'Ouzel-Key': 'k-1',
    'Ouzel-Run': 'first',
  });
  expect(headers['Ouzel-Error']).toMatch(/^TARGET_REJECTED: publish to out\.refused: expected stream does not match/);
  const [published, first, last] = ['Ouzel-Time', 'Ouzel-First-Failed', 'Ouzel-Failed'].map((name) =>
    Date.parse(headers[name] ?? ''),
  );
  expect(first).toBeGreaterThanOrEqual(published ?? Infinity);
  // Two delays lie between the first and the last failure: 60 and 180 ms.
  expect((last ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(240);
  const metrics = await daemon.metrics();
  expect(metrics.total('ouzel_event_retries_total', { consumer, reason: 'rejected' })).toBe(2);
  expect(metrics.total('ouzel_deliveries_total', { consumer, target: 'refused', result: 'rejected' })).toBe(3);
  expect(metrics.total('ouzel_events_total', { consumer, outcome: 'dead_lettered', reason: 'rejected' })).toBe(1);
  expect(metrics.total('ouzel_events_received_total', { consumer })).toBe(3);
});

test('an event that is too large for the stream is a dead letter at once', async () => {
  const headers = await failing('small', 'in.small', { pad: 'x'.repeat(200) });
  expect(headers).toMatchObject({ 'Ouzel-Reason': 'too_large', 'Ouzel-Attempts': '1', 'Ouzel-Routes': 'publish' });
  expect(headers['Ouzel-Error']).toMatch(/^TARGET_TOO_LARGE: publish to tiny\.out: .*10054/);
});

test('a delivery that was confirmed is not repeated when its sibling is refused', async () => {
  const heard: string[] = [];
  const subscription = client.nc.subscribe('heard.once', {
    callback: (_error, { headers }) => void heard.push(headers?.get('ce-type') ?? ''),
  });
  await client.nc.flush();
  const headers = await failing('fan-out', 'in.fan', { id: 'f' });
  expect(headers).toMatchObject({ 'Ouzel-Routes': 'refused', 'Ouzel-Attempts': '3' });
  await client.nc.flush();
  expect(heard).toEqual(['in.fan']);
  const metrics = await daemon.metrics();
  const deliveries = (target: string, result: string) =>
    metrics.total('ouzel_deliveries_total', { consumer: 'fan-out', target, result });
  expect([deliveries('heard', 'confirmed'), deliveries('refused', 'rejected')]).toEqual([1, 3]);

  await publish(client, { subject: 'in.wait', body: {} });
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'fan-wait').retries >= 2, {
    what: 'the sibling to fail twice',
  });
  await addStream(client, 'MISSING', ['missing.>']);
  expect(await untilEnded(daemon, 'fan-wait', 1)).toMatchObject({ delivered: 1 });
  await client.nc.flush();
  expect(heard).toEqual(['in.fan', 'in.wait']);
  subscription.unsubscribe();
});

test('give_up ends the attempts at once, and a target may have attempts of its own', async () => {
  expect(await failing('given-up', 'in.given-up', {})).toMatchObject({
    'Ouzel-Reason': 'given_up',
    'Ouzel-Attempts': '1',
  });
  expect(await failing('target-retry', 'in.target-retry', {})).toMatchObject({
    'Ouzel-Reason': 'rejected',
    'Ouzel-Attempts': '1',
  });
});

test('a target that stays away longer than retry.for is a reason of its own, and used up no attempts', async () => {
  const headers = await failing('bounded', 'in.bounded', {});
  expect(headers).toMatchObject({ 'Ouzel-Reason': 'unavailable_too_long', 'Ouzel-Attempts': '1' });
  expect(headers['Ouzel-Error']).toMatch(/^TARGET_NO_STREAM: /);
});

// HorizonRepublic/nestjs-jetstream PR 180: an undecodable event reaches the dead letters too.
test('what no further attempt can mend is not tried again', async () => {
  const undecodable = await failing('undecodable', 'in.undecodable', 'no JSON');
  expect(undecodable).toMatchObject({ 'Ouzel-Reason': 'undecodable', 'Ouzel-Attempts': '1', 'Ouzel-Routes': '' });
  expect(undecodable['Ouzel-Key']).toBeUndefined();
  const erring = await failing('erring', 'in.erring', { n: 'two' });
  expect(erring['Ouzel-Reason']).toBe('expression_error');
  expect(erring['Ouzel-Error']).toMatch(/^EVENT_EXPRESSION at .*ouzel\.yaml:\d+:\d+: .* in `100 \/ event\.data\.n`$/);
  const missing = await failing('missing', 'in.missing', {});
  expect(missing['Ouzel-Reason']).toBe('missing_field');
  expect(missing['Ouzel-Error']).toMatch(/^EVENT_MISSING_FIELD at .*event\.data\.gone/);
  for (const consumer of ['undecodable', 'erring', 'missing'])
    expect(outcomesOf(await daemon.metrics(), consumer)).toMatchObject({ received: 1, retries: 0 });
  expect(await daemon.total('ouzel_missing_fields_total', { consumer: 'missing', path: 'event.data.gone' })).toBe(1);
});

// nats-io/nats-server#5564.
test('an exhausted event does not stay in a work-queue stream', async () => {
  await failing('work', 'work.x', { id: 'w' });
  const { state } = await waitFor(
    async () => {
      const info = await client.jsm.streams.info('WORK');
      return info.state.messages === 0 && info;
    },
    { what: 'the work queue to be empty' },
  );
  expect(state.last_seq).toBe(1);
  expect((await lettersOf('work'))[0]?.body).toBe('{"id":"w"}');
});

// nats-io/nats-server#6093.
test('events that wait for another attempt do not stall new ones', async () => {
  const consumer = 'stalling';
  const bad = 60;
  for (let n = 0; n < bad; n++) await publish(client, { subject: 'in.stalling', body: { bad: true } });
  await waitFor(
    async () => {
      const { parked, inFlight } = outcomesOf(await daemon.metrics(), consumer);
      return parked + inFlight === bad;
    },
    { what: 'all to wait for another attempt' },
  );
  for (let n = 0; n < 20; n++) await publish(client, { subject: 'in.stalling', body: { bad: false } });
  await waitFor(async () => outcomesOf(await daemon.metrics(), consumer).delivered === 20, { what: 'the new ones' });
  const { parked, inFlight, retries } = outcomesOf(await daemon.metrics(), consumer);
  expect(retries).toBe(0);
  // A few wait in hand for the target, all others hold no ack slot.
  expect(inFlight).toBeLessThanOrEqual(2);
  expect((await client.jsm.consumers.info('IN', consumer)).num_ack_pending).toBe(inFlight);
  expect((await client.jsm.streams.info('OUZEL_TIMERS')).state.messages).toBe(parked);
  await waitFor(async () => (await daemon.total('ouzel_timers_pending', { consumer })) >= parked, {
    what: 'the timers to be counted',
  });
});

test('dlq list and show tell what happened', async () => {
  const list = await runCli(['dlq', 'list', '--consumer', 'refused', '-c', daemon.configFile]);
  expect(list).toMatchObject({ code: 0, stderr: '' });
  expect(list.stdout).toMatch(
    /\d+ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d +refused +rejected +in\.refused +k-1 +TARGET_REJECTED/,
  );
  expect(list.stdout).toMatch(/^COUNT +CONSUMER +REASON +OLDEST +NEWEST\n +1 +refused +rejected /);
  const json = await runCli(['dlq', 'list', '--reason', 'missing_field', '--json', '-c', daemon.configFile]);
  expect(JSON.parse(json.stdout)).toMatchObject({
    groups: [{ consumer: 'missing', reason: 'missing_field', count: 1 }],
    letters: [{ consumer: 'missing', reason: 'missing_field', attempts: 1, size: 2 }],
  });
  const byKey = await runCli(['dlq', 'list', '--key', 'k-1', '--json', '-c', daemon.configFile]);
  expect(JSON.parse(byKey.stdout)).toMatchObject({ letters: [{ consumer: 'refused', key: 'k-1' }] });
  const all = await runCli(['dlq', 'list', '--json', '--limit', '3', '-c', daemon.configFile]);
  expect((JSON.parse(all.stdout) as { letters: unknown[] }).letters.length).toBe(3);
  const none = await runCli(['dlq', 'show', '9999', '-c', daemon.configFile]);
  expect(none).toMatchObject({ code: 1, stdout: '' });
  expect(none.stderr).toBe('there is no dead letter 9999\n');
});

test('while the dead letters are full an event is kept and tried again; nothing is acked before its letter', async () => {
  await using own = await startServer();
  await using producer = await connectTo(own);
  await addStream(producer, 'OUZEL_DLQ', ['ouzel.dlq.>'], { max_msgs: 1, discard: 'new' });
  await addStream(producer, 'IN', ['in.>']);
  for (const id of ['a', 'b', 'c']) await publish(producer, { subject: 'in.x', body: `no JSON: ${id}` });
  const consumer = 'full';
  await using full = await startDaemon(
    `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
consumers:
  full: { stream: IN, start: all, pipeline: [{ filter: event.data.x == 1 }] }
`,
    { server: own, until: 'live' },
  );
  const blocked = { consumer, state: 'blocked' };
  await waitFor(async () => (await full.total('ouzel_consumer_state', blocked)) === 1, {
    what: 'the consumer to be blocked',
  });
  expect(outcomesOf(await full.metrics(), consumer)).toMatchObject({ ended: 1, deadLettered: 1, inFlight: 2 });
  const ready = await fetch(`${full.http}/readyz`);
  expect(ready.status).toBe(503);
  expect(await ready.text()).toContain(
    'consumer full: dead letter cannot be stored: publish to ouzel.dlq.full: maximum messages exceeded',
  );
  await publish(producer, { subject: 'in.x', body: 'no JSON: d' });
  const info = await producer.jsm.consumers.info('IN', consumer);
  expect(info.ack_floor.stream_seq).toBe(1);
  expect(info.num_ack_pending).toBeGreaterThanOrEqual(2);
  expect(full.log()).toContain('dead letter could not be stored; the event is kept, and its consumer takes no others');

  const { config } = await producer.jsm.streams.info('OUZEL_DLQ');
  await producer.jsm.streams.update('OUZEL_DLQ', { ...config, max_msgs: 10 });
  expect(await untilEnded(full, consumer, 4)).toMatchObject({ deadLettered: 4, retries: 0 });
  const bodies = (await readStream(producer, 'OUZEL_DLQ')).map(({ body }) => body);
  expect(bodies.toSorted()).toEqual(['no JSON: a', 'no JSON: b', 'no JSON: c', 'no JSON: d']);
  // Somebody else made the stream of dead letters, and it is not what Ouzel would make.
  const line = full.logLines().find((each) => each['stream'] === 'OUZEL_DLQ');
  expect(line).toMatchObject({ level: 'warn', differs: [{ field: 'max_age' }, { field: 'description' }] });
});
