/** The API: events are posted into streams, and targets tried with one. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type ApiOptions, callApi } from '../helpers/api.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { type Client, connectTo, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
targets:
  out: { publish: { subject: "out.{{ event.data.to }}" } }
`;

let server: TestServer;
let client: Client;
let daemon: Daemon;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  daemon = await startDaemon(CONFIG, { server, timeout: 90_000 });
}, 120_000);

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const call = (method: string, path: string, options?: ApiOptions) => callApi(daemon, method, path, options);
const CLOUD_EVENT = { 'content-type': 'application/cloudevents+json' };

test('an event is stored as it was posted, and not twice', async () => {
  const plain = { subject: 'events.orders.created', data: { id: 'o-1' }, headers: { 'X-Team': 'a b' }, id: 'm-1' };
  expect(await call('POST', '/events', { body: plain })).toMatchObject({
    status: 201,
    body: { stream: 'EVENTS', sequence: 1, duplicate: false, subject: 'events.orders.created' },
  });
  expect(await call('POST', '/events', { body: plain })).toMatchObject({
    status: 200,
    body: { sequence: 1, duplicate: true },
  });
  // Larger than a number of JavaScript: it goes as it came.
  const large = '{"subject":"events.large","data":{"n":12345678901234567890}}';
  const json = { 'content-type': 'application/json' };
  expect((await call('POST', '/events', { body: large, headers: json })).status).toBe(201);
  const envelope = '{ "specversion": "1.0", "id": "o-1", "source": "/shop", "type": "orders.paid", "data": 1 }';
  expect(await call('POST', '/events', { body: envelope, headers: CLOUD_EVENT })).toMatchObject({
    status: 201,
    body: { sequence: 3, subject: 'events.orders.paid' },
  });
  expect(await call('POST', '/events', { body: envelope, headers: CLOUD_EVENT })).toMatchObject({ status: 200 });
  const elsewhere = envelope.replace('/shop', '/till');
  expect(await call('POST', '/events?subject=out.x', { body: elsewhere, headers: CLOUD_EVENT })).toMatchObject({
    status: 201,
    body: { stream: 'OUT' },
  });
  const [first, second, third] = await readStream(client, 'EVENTS');
  expect(first).toMatchObject({ body: '{"id":"o-1"}', headers: { 'X-Team': 'a b', 'Nats-Msg-Id': 'm-1' } });
  expect(second?.body).toBe('{"n":12345678901234567890}');
  expect(third).toMatchObject({ body: envelope, headers: { 'Content-Type': 'application/cloudevents+json' } });
});

test('subjects that are not for events, or that no stream takes, are refused', async () => {
  const post = (subject: string) => call('POST', '/events', { body: { subject, data: 1 } });
  for (const subject of ['$JS.API.STREAM.LIST', 'ouzel.dlq.x', '_INBOX.x', 'events.*', 'events.>', 'a b', 'a..b'])
    expect(await post(subject)).toMatchObject({ status: 422, body: { code: 'EVENT_INVALID_SUBJECT' } });
  expect(await post('nowhere')).toMatchObject({ status: 422, body: { code: 'TARGET_NO_STREAM' } });
  const headers = { 'Nats-Rollup': 'all' };
  expect(await call('POST', '/events', { body: { subject: 'events.x', headers } })).toMatchObject({ status: 400 });
  const broken = { 'X-A\r\nNats-Rollup': 'all' };
  expect(await call('POST', '/events', { body: { subject: 'events.x', headers: broken } })).toMatchObject({
    status: 400,
  });
  const value = { 'X-A': 'b\r\nNats-Rollup: all' };
  expect(await call('POST', '/events', { body: { subject: 'events.x', headers: value } })).toMatchObject({
    status: 201,
  });
  const last = (await readStream(client, 'EVENTS')).at(-1);
  expect(last?.headers).toEqual({ 'X-A': 'b  Nats-Rollup: all' });
});

test('a target is tried with one event, and says what it thinks of it; nothing is counted', async () => {
  const http = await startHttpTarget(() => ({ status: 409, body: 'no such customer' }));
  const hook = { webhook: { url: `${http.url}/in`, allow_private: true }, retry: { attempts: 9 } };
  expect((await call('PUT', '/targets/hook', { body: hook })).status).toBe(201);
  const tried = await call('POST', '/targets/hook/test');
  expect(tried).toMatchObject({
    status: 200,
    body: { confirmed: false, error: { code: 'TARGET_REJECTED', kind: 'rejected', status: 409 } },
  });
  expect(JSON.stringify(tried.body)).toContain('no such customer');
  http.answer = () => ({ status: 200 });
  const event = { type: 'orders.created', data: { id: 'o-1' } };
  expect(await call('POST', '/targets/hook/test', { body: { event } })).toMatchObject({
    body: { confirmed: true, error: null },
  });
  expect(http.requests).toHaveLength(2);
  expect(JSON.parse(http.requests[1]?.body ?? '')).toMatchObject({ ...event, specversion: '1.0' });
  await http.stop();
  // The breaker of a target that is away opens after three failures; a test goes past it.
  for (let index = 0; index < 4; index++)
    expect(await call('POST', '/targets/hook/test')).toMatchObject({ body: { error: { code: 'TARGET_UNAVAILABLE' } } });
  await http.start();
  expect(await call('POST', '/targets/hook/test')).toMatchObject({ body: { confirmed: true } });
  const { status, body } = await call('POST', '/targets/out/test', { body: { event: { data: { to: 'x' } } } });
  expect({ status, body }).toMatchObject({ status: 200, body: { confirmed: true } });
  expect((await readStream(client, 'OUT')).map(({ subject }) => subject)).toContain('out.x');
  const missing = await call('POST', '/targets/out/test');
  expect(missing).toMatchObject({ status: 200, body: { confirmed: false, error: { code: 'EVENT_MISSING_FIELD' } } });
  expect(await call('POST', '/targets/none/test')).toMatchObject({ status: 404 });
  const metrics = await (await fetch(`${daemon.http}/metrics`)).text();
  expect(metrics).not.toMatch(/ouzel_(?:deliveries|events)_total\{/);
  expect(metrics).not.toContain('ouzel.test');
});

test('while NATS is away the configuration is shown, and what needs NATS is answered with 503', async () => {
  await server.stop();
  const post = (path: string, body?: unknown) => call('POST', path, body === undefined ? {} : { body });
  expect(await post('/events', { subject: 'events.x' })).toMatchObject({
    status: 503,
    type: 'application/problem+json',
  });
  expect(await call('PUT', '/filters/f', { body: 'true' })).toMatchObject({
    status: 503,
    body: { code: 'NATS_UNAVAILABLE' },
  });
  expect(await call('GET', '/dead-letters')).toMatchObject({ status: 503 });
  expect((await call('GET', '/targets')).status).toBe(200);
  expect((await call('GET', '/config')).status).toBe(200);
  expect(await call('GET', '/status')).toMatchObject({ status: 200, body: { connected: false, ready: false } });
  await server.restart();
});
