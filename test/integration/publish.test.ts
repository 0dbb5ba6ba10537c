/** The target `publish`: what is confirmed, what goes out, and what does not. */
import { headers as createHeaders } from '@nats-io/transport-node';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, readStream, type StoredMessage } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const MAX_PAYLOAD = 1024 * 1024;

let server: TestServer;
let client: Client;
let daemon: Daemon;

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 2, backoff: { first: 100ms, factor: 2, max: 800ms, jitter: 0 } } }
consumers:
  late: { stream: IN, subjects: [in.late], start: all, deliver: [{ to: { publish: { subject: late.out } } }] }
  core: { stream: IN, subjects: [in.core], start: all, deliver: [{ to: { publish: { subject: core.out, core: true } } }] }
  forwarding:
    stream: IN
    subjects: [in.forwarding]
    start: all
    deliver:
      - { to: { publish: { subject: out.forwarding } } }
  adding:
    stream: IN
    subjects: [in.adding]
    start: all
    deliver:
      - to:
          publish:
            subject: out.adding
            headers: { X-Order: "{{ event.data.id }}", Content-Type: text/x-order, ce-type: other, X-Tenant: fixed }
  looping: { stream: IN, subjects: [in.looping], start: all, deliver: [{ to: { publish: { subject: in.looping } } }] }
  templated:
    stream: IN
    subjects: [in.templated]
    start: all
    deliver: [{ to: { publish: { subject: "out.templated.{{ event.data.to }}.end" } } }]
  structured:
    stream: IN
    subjects: [in.modes]
    start: all
    deliver: [{ to: { publish: { subject: out.structured, cloudevents: structured } } }]
  raw:
    stream: IN
    subjects: [in.modes]
    start: all
    deliver: [{ to: { publish: { subject: out.raw, cloudevents: raw } } }]
  unwrapping:
    stream: OUT
    subjects: [out.structured]
    start: all
    deliver: [{ to: { publish: { subject: out.unwrapped } } }]
  large: { stream: IN, subjects: [in.large], start: all, deliver: [{ to: { publish: { subject: out.large } } }] }
  undecodable: { stream: IN, subjects: [in.undecodable], start: all, pipeline: [{ filter: event.data.x == 1 }] }
`;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  await addStream(client, 'IN', ['in.>'], { allow_rollup_hdrs: true });
  await addStream(client, 'OUT', ['out.>'], { allow_rollup_hdrs: true });
  daemon = await startDaemon(CONFIG, { server });
});

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const outputs = async (subject: string): Promise<StoredMessage[]> =>
  (await readStream(client, 'OUT')).filter((message) => message.subject === subject);
const letters = async (consumer: string): Promise<StoredMessage[]> =>
  (await readStream(client, 'OUZEL_DLQ')).filter(({ headers }) => headers['Ouzel-Consumer'] === consumer);

// redpanda-data/connect#2556: failing at once must not mean redelivery at once.
test('without a stream for the subject nothing is acked, the events wait, and no attempt is used up', async () => {
  const consumer = 'late';
  for (const n of [1, 2, 3]) await publish(client, { subject: 'in.late', body: { n } });
  // Each fails once; then the target is probed with one of them at a time.
  const retries = await waitFor(
    async () => {
      const { retries: count } = outcomesOf(await daemon.metrics(), consumer);
      return count >= 5 && count;
    },
    { what: 'three events to fail, and two probes' },
  );
  expect(retries).toBeLessThan(12);
  expect(await daemon.total('ouzel_target_breaker_open', { target: 'late/publish' })).toBe(1);
  const info = await client.jsm.consumers.info('IN', consumer);
  expect(info.num_ack_pending).toBe(3);
  expect(info.ack_floor.consumer_seq).toBe(0);
  const failures = daemon
    .logLines()
    .filter(
      (line) => line['consumer'] === consumer && line['code'] === 'TARGET_NO_STREAM' && line['seq'] !== undefined,
    );
  expect(failures[0]).toMatchObject({ attempt: 1, delay_ms: 100 });
  expect(new Set(failures.map((line) => line['attempt']))).toEqual(new Set([1]));

  await addStream(client, 'LATE', ['late.>']);
  expect(await untilEnded(daemon, consumer, 3)).toMatchObject({ delivered: 3, deadLettered: 0 });
  expect((await readStream(client, 'LATE')).map(({ body }) => body).toSorted()).toEqual([
    '{"n":1}',
    '{"n":2}',
    '{"n":3}',
  ]);
  const metrics = await daemon.metrics();
  expect(metrics.total('ouzel_event_retries_total', { consumer, reason: 'rejected' })).toBe(0);
  expect(metrics.total('ouzel_deliveries_total', { consumer, result: 'confirmed' })).toBe(3);
});

test('core: true goes to whoever listens, without a stream', async () => {
  const heard: string[] = [];
  const subscription = client.nc.subscribe('core.out', {
    callback: (_error, message) => void heard.push(`${message.headers?.get('ce-type')} ${message.string()}`),
  });
  await client.nc.flush();
  await publish(client, { subject: 'in.core', body: '{"core": 1}' });
  expect(await untilEnded(daemon, 'core', 1)).toMatchObject({ delivered: 1 });
  await waitFor(() => heard.length > 0, { what: 'the message to be heard' });
  subscription.unsubscribe();
  expect(heard).toEqual(['in.core {"core": 1}']);
});

test("the server's own headers stay behind, everybody else's go on", async () => {
  const subject = 'in.forwarding';
  await publish(client, { subject, body: { n: 1 } });
  const headers = {
    'Nats-Rollup': 'sub',
    'Nats-Expected-Stream': 'IN',
    'nats-custom': 'x',
    'Ouzel-Hops': '3',
    'Ouzel-Reason': 'forged',
    'X-Tenant': 'grün: "blue"',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  };
  await publish(client, { subject, body: '{ "n":2 }', headers, id: 'm-2' });
  await untilEnded(daemon, 'forwarding', 2);
  const [first, second, ...more] = await outputs('out.forwarding');
  // A rollup that went on would have taken the first one away.
  expect(more).toEqual([]);
  expect(first?.body).toBe('{"n":1}');
  expect(second?.body).toBe('{ "n":2 }');
  expect(second?.headers).toEqual({
    'Nats-Msg-Id': expect.stringMatching(/^[\w-]{22}\.[0-9a-z.]+$/) as string,
    'Ouzel-Hops': '4',
    'ce-specversion': '1.0',
    'ce-id': 'm-2',
    'ce-source': 'nats:IN',
    'ce-type': 'in.forwarding',
    'ce-time': expect.stringMatching(/^\d{4}-\d\d-\d\dT/) as string,
    'Content-Type': 'application/json',
    'X-Tenant': 'grün: "blue"',
    traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01',
  });
  expect(first?.headers['Ouzel-Hops']).toBe('1');
  expect(first?.headers['ce-id']).toMatch(/^IN:\d+$/);
});

test('headers of the configuration take the place of others, and no value can add one', async () => {
  await publish(client, {
    subject: 'in.adding',
    body: { id: 'a\r\nNats-Rollup: all\r\nx' },
    headers: { 'x-tenant': 'theirs' },
  });
  await untilEnded(daemon, 'adding', 1);
  const [message] = await outputs('out.adding');
  expect(message?.headers).toMatchObject({
    'X-Order': 'a  Nats-Rollup: all  x',
    'Content-Type': 'text/x-order',
    'ce-type': 'other',
    'X-Tenant': 'fixed',
  });
  const names = Object.keys(message?.headers ?? {}).map((name) => name.toLowerCase());
  expect(names.toSorted()).toEqual([...new Set(names)].toSorted());
  expect(names).not.toContain('nats-rollup');
});

test('a loop of consumers ends after eight hops', async () => {
  await publish(client, { subject: 'in.looping', body: '{}' });
  expect(await untilEnded(daemon, 'looping', 9)).toMatchObject({ delivered: 8, deadLettered: 1, retries: 0 });
  const [letter] = await letters('looping');
  expect(letter?.headers).toMatchObject({
    'Ouzel-Reason': 'too_many_hops',
    'Ouzel-Hops': '8',
    'Ouzel-Routes': 'publish',
  });
});

test('what an expression puts into a subject is one token, or the event is a dead letter', async () => {
  const good = ['plain', 'ünicode', 'a-b_c', 7, true];
  const bad = [
    'a.b',
    '.',
    '*',
    '>',
    'a>',
    'a b',
    ' ',
    '',
    '$JS',
    '$SYS',
    'a\r\nPUB x 0',
    '\u0000',
    '\u2028',
    'x'.repeat(5000),
  ];
  for (const to of [...good, ...bad]) await publish(client, { subject: 'in.templated', body: { to } });
  await publish(client, { subject: 'in.templated', body: { other: 1 } });
  const outcomes = await untilEnded(daemon, 'templated', good.length + bad.length + 1);
  expect(outcomes).toMatchObject({ delivered: good.length, deadLettered: bad.length + 1, retries: 0 });
  const subjects = (await readStream(client, 'OUT')).map(({ subject }) => subject);
  expect(subjects.filter((subject) => subject.startsWith('out.templated'))).toEqual(
    good.map((to) => `out.templated.${to}.end`),
  );
  const consumer = 'templated';
  const metrics = await daemon.metrics();
  expect(metrics.total('ouzel_events_total', { consumer, reason: 'invalid_subject' })).toBe(bad.length);
  expect(metrics.total('ouzel_events_total', { consumer, reason: 'missing_field' })).toBe(1);
  expect(metrics.total('ouzel_missing_fields_total', { consumer, path: 'event.data.to' })).toBe(1);
});

test('structured and raw say with the content type what they are', async () => {
  const subject = 'in.modes';
  await publish(client, { subject, body: '{ "n" : 1 }', id: 'm-1' });
  await publish(client, { subject, body: 'plain', headers: { 'Content-Type': 'text/plain' } });
  const bytes = Uint8Array.of(0, 255, 128, 13, 10);
  await publish(client, {
    subject,
    body: bytes,
    headers: {
      'Content-Type': 'image/x',
      'ce-specversion': '1.0',
      'ce-id': 'b',
      'ce-source': 's',
      'ce-type': 'picture',
      'ce-size': '5',
    },
  });
  for (const consumer of ['structured', 'raw', 'unwrapping'])
    expect(await untilEnded(daemon, consumer, 3)).toMatchObject({ delivered: 3 });

  const structured = await outputs('out.structured');
  expect(structured.map(({ headers }) => headers['Content-Type'])).toEqual(
    Array(3).fill('application/cloudevents+json'),
  );
  expect(structured.flatMap(({ headers }) => Object.keys(headers)).filter((name) => name.startsWith('ce-'))).toEqual(
    [],
  );
  const documents = structured.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  expect(documents).toMatchObject([
    {
      specversion: '1.0',
      id: 'm-1',
      source: 'nats:IN',
      type: 'in.modes',
      datacontenttype: 'application/json',
      data: { n: 1 },
    },
    { datacontenttype: 'text/plain', data: 'plain' },
    {
      id: 'b',
      source: 's',
      type: 'picture',
      size: '5',
      datacontenttype: 'image/x',
      data_base64: Buffer.from(bytes).toString('base64'),
    },
  ]);

  const raw = await outputs('out.raw');
  expect(raw.map(({ body }) => body)).toEqual(['{ "n" : 1 }', 'plain', Buffer.from(bytes).toString()]);
  expect(raw.map(({ headers }) => headers['Content-Type'])).toEqual([undefined, 'text/plain', 'image/x']);
  expect(raw.flatMap(({ headers }) => Object.keys(headers)).filter((name) => name.startsWith('ce-'))).toEqual([]);

  // What was wrapped comes out of the envelope as the event that it was.
  const unwrapped = await outputs('out.unwrapped');
  expect(unwrapped.map(({ headers }) => [headers['ce-id'], headers['ce-type'], headers['Content-Type']])).toEqual([
    ['m-1', 'in.modes', 'application/json'],
    [documents[1]?.['id'], 'in.modes', 'text/plain'],
    ['b', 'picture', 'image/x'],
  ]);
  expect(unwrapped.map(({ body }) => body)).toEqual(['{"n":1}', 'plain', Buffer.from(bytes).toString()]);
});

/** `ouzel dlq show` of the newest letter of a consumer. */
async function shownLetter(consumer: string): Promise<Record<string, unknown>> {
  const sequence = (await letters(consumer)).at(-1)?.sequence;
  const { code, stdout, stderr } = await runCli(['dlq', 'show', String(sequence), '--json', '-c', daemon.configFile]);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  return JSON.parse(stdout) as Record<string, unknown>;
}

// fluent/fluent-bit#12159: larger than max_payload must not loop.
test('an event that is too large to go on is a dead letter with the sizes, and nothing of it is lost', async () => {
  const consumer = 'large';
  const body = `"${'x'.repeat(MAX_PAYLOAD - 2)}"`;
  await client.js.publish('in.large', body);
  expect(await untilEnded(daemon, consumer, 1)).toMatchObject({ deadLettered: 1, retries: 0 });
  const [letter] = await letters(consumer);
  expect(letter?.headers['Ouzel-Reason']).toBe('too_large');
  expect(letter?.headers['Ouzel-Error']).toMatch(/ 1048\d{3} bytes with headers, and the server takes 1048576/);
  expect(letter?.body).toBe('');
  const shown = await shownLetter(consumer);
  expect(shown).toMatchObject({ consumer, reason: 'too_large', attempts: 1, subject: 'in.large' });
  expect(shown['body']).toBe(body);
});

test('an event with as many headers as the server takes is a dead letter too, with all of them', async () => {
  const consumer = 'large';
  const value = 'v'.repeat(65_400);
  await publish(client, { subject: 'in.large', body: '{"n": 1}', headers: { 'X-Large': value } });
  expect(await untilEnded(daemon, consumer, 2)).toMatchObject({ deadLettered: 2, retries: 0 });
  const shown = await shownLetter(consumer);
  expect(shown).toMatchObject({ reason: 'too_large', body: '{"n": 1}', headers: [['X-Large', value]] });
});

test('a body of exactly max_payload that is no JSON comes back from the dead letters byte for byte', async () => {
  const consumer = 'undecodable';
  const body = Buffer.alloc(MAX_PAYLOAD, 'no JSON \u0000\n');
  body[5] = 0xff;
  await client.js.publish('in.undecodable', body);
  const head = createHeaders();
  head.append('X-Many', 'one');
  head.append('X-Many', 'two');
  await client.js.publish('in.undecodable', 'small', { headers: head });
  expect(await untilEnded(daemon, consumer, 2)).toMatchObject({ deadLettered: 2, retries: 0 });
  expect((await letters(consumer)).map(({ headers }) => headers['Ouzel-Reason'])).toEqual([
    'undecodable',
    'undecodable',
  ]);
  const sequence = (await letters(consumer)).find(({ headers }) => headers['Ouzel-Body'] !== undefined)?.sequence;
  const { stdout } = await runCli(['dlq', 'show', String(sequence), '--json', '-c', daemon.configFile]);
  const shown = JSON.parse(stdout) as { body_base64: string };
  expect(Buffer.from(shown.body_base64, 'base64').equals(body)).toBe(true);
  const small = (await letters(consumer)).find(({ body: text }) => text === 'small')?.sequence;
  const text = await runCli(['dlq', 'show', String(small), '-c', daemon.configFile]);
  expect(text.stdout).toMatch(/header {10}X-Many: one\nheader {10}X-Many: two\n\nsmall\n$/);
});

test('an event that is delivered again bears the id that it had, so the stream keeps one', async () => {
  const before = await outputs('out.structured');
  await daemon.kill();
  await client.jsm.consumers.delete('IN', 'structured');
  await using again = await startDaemon(CONFIG, { server });
  expect(await untilEnded(again, 'structured', before.length)).toMatchObject({ delivered: before.length, retries: 0 });
  expect(await outputs('out.structured')).toEqual(before);
});
