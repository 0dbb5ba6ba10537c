/** The ingress listener: it follows the configuration while requests run, and takes posted events of those who may. */
import { expect, test } from 'vitest';
import { callApi } from '../helpers/api.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { githubHeaders, openSocket, sendingTo } from '../helpers/ingress.ts';
import { freePort } from '../helpers/ports.ts';
import { startCollector } from '../helpers/otlp.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const PUBLISHER = 'publisher-token-that-is-long-enough';
const READER = 'reader-token-that-is-long-enough-too';

const base = (http: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@"${http} }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
`;
const source = (name: string, secret = 'one'): string =>
  `  ${name}: { webhook: { path: /hooks/${name}, verify: { github: { secret: "${secret}" } } }, publish: { subject: events.${name} } }\n`;

const applied = async (daemon: Daemon, result = 'applied', times = 1): Promise<void> => {
  const what = (): string => `the change to be ${result}:\n${daemon.log().slice(-2000)}`;
  await waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result })) >= times, { what });
};

test('a source comes, changes its secret and goes by reloads, and no request of the others is lost', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const port = await freePort();
  const head = `${base(`, ingress: "127.0.0.1:${port}"`)}sources:\n`;
  const daemon = await startDaemon(head + source('steady'), { server, timeout: 60_000 });
  const send = sendingTo(`http://127.0.0.1:${port}`);
  const hook = (name: string, secret: string, id: string) =>
    send(`/hooks/${name}`, { body: `"${id}"`, headers: githubHeaders(secret, `"${id}"`, id) });

  const statuses: number[] = [];
  let going = true;
  const steady = (async (): Promise<void> => {
    for (let index = 0; going; index++) statuses.push((await hook('steady', 'one', `s-${index}`)).status);
  })();
  expect(await hook('other', 'one', 'o-1')).toMatchObject({ status: 404 });
  await daemon.write(head + source('steady') + source('other'));
  await applied(daemon);
  expect(await hook('other', 'one', 'o-1')).toMatchObject({ status: 200 });
  await daemon.write(head + source('steady') + source('other', 'two'));
  await applied(daemon, 'applied', 2);
  expect(await hook('other', 'one', 'o-2')).toMatchObject({ status: 401 });
  expect(await hook('other', 'two', 'o-2')).toMatchObject({ status: 200 });
  // A change of the source does not make it forget what it took.
  expect(await hook('other', 'two', 'o-1')).toMatchObject({ status: 200, body: { duplicate: true } });
  await daemon.write(head + source('steady'));
  await applied(daemon, 'applied', 3);
  expect(await hook('other', 'two', 'o-3')).toMatchObject({ status: 404 });
  expect((await daemon.metrics()).select('ouzel_ingress_requests_total', { source: 'other' })).toEqual([]);
  going = false;
  await steady;
  expect(statuses.length).toBeGreaterThan(3);
  expect(new Set(statuses)).toEqual(new Set([200]));
  const stored = await readStream(client, 'EVENTS');
  expect(stored.filter(({ subject }) => subject === 'events.steady')).toHaveLength(statuses.length);
  expect(stored.filter(({ subject }) => subject === 'events.other')).toHaveLength(2);
});

test('nothing listens before there is a webhook; the fleet can have one', async () => {
  const server = await startServer();
  const port = await freePort();
  const daemon = await startDaemon(base(''), { server, timeout: 60_000 });
  expect(daemon.log()).not.toContain('"ingress"');
  await daemon.terminate();
  const again = await startDaemon(base(`, ingress: "127.0.0.1:${port}"`), { server, timeout: 60_000 });
  const url = `http://127.0.0.1:${port}`;
  expect(again.log()).toContain(`"ingress":"${url}"`);
  const entry = {
    webhook: { path: '/hooks/fleet', verify: { token: { secret: 'a-fleet-secret' } } },
    publish: { subject: 'events.fleet' },
  };
  expect(await callApi(again, 'PUT', '/sources/fleet', { body: entry })).toMatchObject({ status: 201 });
  const shown = await callApi(again, 'GET', '/sources/fleet');
  expect(shown).toMatchObject({ status: 200, body: { owner: 'fleet' } });
  expect(shown.text).not.toContain('a-fleet-secret');
  const send = sendingTo(url);
  const post = () => send('/hooks/fleet', { body: '{}', headers: { authorization: 'Bearer a-fleet-secret' } });
  expect(await post()).toMatchObject({ status: 200 });
  const clash = await callApi(again, 'PUT', '/sources/second', { body: entry });
  expect(clash).toMatchObject({ status: 422, body: { code: 'CONFIG_DUPLICATE_NAME' } });
  expect(await callApi(again, 'DELETE', '/sources/fleet')).toMatchObject({ status: 204 });
  expect(await post()).toMatchObject({ status: 404 });
});

test('an address that is taken keeps a daemon from starting, and a change from being made', async () => {
  const server = await startServer();
  const port = await freePort();
  const first = await startDaemon(base(`, ingress: "127.0.0.1:${port}"`), { server, timeout: 60_000 });
  const second = await startDaemon(base(`, ingress: "127.0.0.1:${port}"`), { server, until: 'spawned' });
  expect(await second.exited()).toBe(69);
  expect(second.log()).toMatch(new RegExp(`listening on 127.0.0.1:${port} is already in use.*http.ingress`));
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  expect(await first.terminate()).toBe(0);
});

test('what is in work is answered before a daemon stops', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const port = await freePort();
  const yaml = `${base(`, ingress: "127.0.0.1:${port}"`)}sources:\n${source('late')}`;
  const daemon = await startDaemon(yaml, { server, timeout: 60_000 });
  const body = '{"late":true}';
  const { socket, received } = await openSocket(`http://127.0.0.1:${port}`);
  const headers = Object.entries({ ...githubHeaders('one', body, 'l-1'), 'content-type': 'application/json' });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(
    `POST /hooks/late HTTP/1.1\r\nHost: x\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body.slice(0, 5)}`,
  );
  // A request behind it was answered, so this one is being read.
  expect((await fetch(`http://127.0.0.1:${port}/`)).status).toBe(404);
  daemon.signal('SIGTERM');
  await waitFor(() => daemon.log().includes('draining'), { what: 'the drain' });
  socket.write(body.slice(5));
  await waitFor(() => received().includes('"duplicate":false'), { what: 'its answer' });
  expect(await daemon.exited()).toBe(0);
  expect(await readStream(client, 'EVENTS')).toMatchObject([{ body }]);
});

test('posted events: of whoever may publish them, with what is wrong said by its place', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const port = await freePort();
  const yaml = `${base(`, ingress: "127.0.0.1:${port}"`)}  OTHER: { subjects: ["other.>"], storage: memory }
access:
  - { name: shop, who: { token: ${PUBLISHER} }, may: publish, types: ["orders.*"] }
  - { name: reader, who: { token: ${READER} }, may: read }
`;
  const daemon = await startDaemon(yaml, { server, timeout: 60_000 });
  const send = sendingTo(`http://127.0.0.1:${port}`);
  const event = { specversion: '1.0', id: 'o-1', source: '/shop', type: 'orders.created', data: { total: 1 } };
  const post = (
    body: unknown,
    { token = PUBLISHER, type = 'application/cloudevents+json', query = '', more = {} } = {},
  ) =>
    send(`/events${query}`, {
      body: JSON.stringify(body),
      headers: { 'content-type': type, ...(token === '' ? {} : { authorization: `Bearer ${token}` }), ...more },
    });
  // Also to who sits at this machine: a proxy there speaks for others.
  expect(await post(event, { token: '' })).toMatchObject({ status: 401, body: { code: 'UNAUTHORIZED' } });
  expect(await post(event, { token: 'x'.repeat(40) })).toMatchObject({ status: 401 });
  expect(await post(event, { token: READER })).toMatchObject({ status: 403 });
  expect(await post({ ...event, type: 'users.created' })).toMatchObject({ status: 403, body: { code: 'FORBIDDEN' } });
  expect(await post(event)).toMatchObject({
    status: 201,
    body: { stream: 'EVENTS', duplicate: false, subject: 'events.orders.created' },
  });
  expect(await post(event)).toMatchObject({ status: 200, body: { duplicate: true } });
  const batch = 'application/cloudevents-batch+json';
  expect(await post([event, { ...event, id: 'o-2' }], { type: batch })).toMatchObject({
    status: 201,
    body: { events: [{ duplicate: true }, { duplicate: false }] },
  });
  expect(await post([], { type: batch })).toMatchObject({ status: 200, body: { events: [] } });
  const ce = { 'ce-specversion': '1.0', 'ce-id': 'o-3', 'ce-source': '/shop', 'ce-type': 'orders.paid' };
  expect(await post({ total: 2 }, { type: 'application/json', more: ce })).toMatchObject({ status: 201 });
  const broken = {
    specversion: '1.1',
    id: 3,
    source: 'a b',
    type: 'orders.created',
    time: 'now',
    data_base64: '*',
    X: 1,
    'a/b': [],
  };
  const { status, body } = await post(broken);
  expect(status).toBe(422);
  expect((body['errors'] as { pointer: string }[]).map(({ pointer }) => pointer)).toEqual([
    '/specversion',
    '/id',
    '/source',
    '/time',
    '/data_base64',
    '/X',
    '/a~1b',
  ]);
  expect(await post(event, { type: 'application/json' })).toMatchObject({ status: 415 });
  expect(await post({ ...event, id: 'o-4' }, { query: '?subject=$JS.API.X' })).toMatchObject({ status: 422 });
  expect(await post({ ...event, id: 'o-4' }, { query: '?stream=NONE' })).toMatchObject({ status: 422 });
  expect(await post(event, { query: '?strem=EVENTS' })).toMatchObject({ status: 400 });
  expect(await post({ ...event, id: 'o-5' }, { query: '?subject=other.x' })).toMatchObject({
    status: 201,
    body: { stream: 'OTHER' },
  });
  expect(await send('/events', { method: 'GET' })).toMatchObject({ status: 404 });
  const stored = await readStream(client, 'EVENTS');
  expect(stored.map(({ headers }) => headers['Nats-Msg-Id'])).toEqual(['/shop#o-1', '/shop#o-2', '/shop#o-3']);
  expect(await daemon.total('ouzel_ingress_requests_total', { source: '/events', result: 'accepted' })).toBe(4);
  // Nothing of the admin listener is here.
  for (const path of ['/metrics', '/healthz', '/readyz', '/api/v1/status'])
    expect(await send(path, { method: 'GET' }), path).toMatchObject({ status: 404 });
});

const TRACEPARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

test("a request is a span of the sender's trace, and its event goes on in it", async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const collector = await startCollector();
  const port = await freePort();
  const yaml = `${base(`, ingress: "127.0.0.1:${port}"`)}sources:\n${source('hook')}`;
  const traces = `telemetry: { traces: { endpoint: "${collector.url}" } }\n`;
  const send = sendingTo(`http://127.0.0.1:${port}`);
  const hook = (id: string, traceparent: string) =>
    send('/hooks/hook', { body: '{}', headers: { ...githubHeaders('one', '{}', id), traceparent, tracestate: 'v=1' } });
  const off = await startDaemon(yaml, { server, timeout: 60_000 });
  expect(await hook('t-1', TRACEPARENT)).toMatchObject({ status: 200 });
  expect(await hook('t-2', 'no trace')).toMatchObject({ status: 200 });
  await off.terminate();
  const on = await startDaemon(yaml + traces, { server, timeout: 60_000 });
  expect(await hook('t-3', TRACEPARENT)).toMatchObject({ status: 200 });
  expect(await send('/hooks/hook', { body: '{}' })).toMatchObject({ status: 401 });
  await waitFor(() => collector.spans.length >= 2, { what: 'two spans' });
  const [taken, refused] = collector.spans;
  expect(taken).toMatchObject({
    name: 'POST /hooks/hook',
    kind: 'SERVER',
    traceId: TRACEPARENT.slice(3, 35),
    parentSpanId: TRACEPARENT.slice(36, 52),
    status: 'UNSET',
    attributes: {
      'http.request.method': 'POST',
      'http.route': '/hooks/hook',
      'http.response.status_code': 200,
      'ouzel.source': 'hook',
      'ouzel.result': 'accepted',
    },
  });
  expect(refused).toMatchObject({ status: 'UNSET', attributes: { 'ouzel.result': 'unverified' } });
  const [first, second, third] = await readStream(client, 'EVENTS');
  expect(first?.headers).toMatchObject({ traceparent: TRACEPARENT, tracestate: 'v=1' });
  expect(second?.headers).not.toHaveProperty('traceparent');
  expect(third?.headers['traceparent']).toBe(`${TRACEPARENT.slice(0, 36)}${taken?.spanId ?? ''}-01`);
  expect(on.log()).not.toContain('unexpected');
});
