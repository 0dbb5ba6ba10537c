/** Webhooks that come in over real HTTP: what is taken, what is refused and how, and what is in the stream then. */
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { githubHeaders, openSocket, sendingTo, slackHeaders, stripeHeaders } from '../helpers/ingress.ts';
import { freePort } from '../helpers/ports.ts';
import { type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const GITHUB = 'github-secret-1';
const STRIPE = ['whsec_stripe_new', 'whsec_stripe_old'] as const;

const config = (port: number): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@", ingress: "127.0.0.1:${port}" }
telemetry: { log: { level: debug } }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory, duplicate_window: 100ms }
sources:
  github:
    webhook: { path: /hooks/github, verify: { github: { secret: "\${GITHUB_SECRET}" } }, max_body: 64KiB }
    publish:
      subject: "events.github.{{ request.headers['X-GitHub-Event'] }}"
      headers: { X-Event: "{{ request.headers['x-github-event'] }}" }
  stripe:
    webhook: { path: /hooks/stripe, verify: { stripe: { secrets: [${STRIPE.join(', ')}] } } }
    publish: { subject: events.stripe }
  slack:
    webhook: { path: /hooks/slack, verify: { slack: { secret: slack-secret } } }
    publish: { subject: events.slack }
  gitlab:
    webhook: { path: /hooks/gitlab, verify: { token: { header: X-Gitlab-Token, secret: gitlab-token } }, methods: [POST, PUT] }
    publish: { subject: events.gitlab }
  open:
    webhook: { path: /hooks/open, verify: none, content_types: [json, form, cloudevents, text, raw] }
    publish: { subject: "events.open.{{ request.query.?kind.orValue('none') }}", id: "{{ request.body.?id }}" }
  shaped:
    webhook: { path: /hooks/shaped, verify: none, rate: { limit: 3, per: 1h } }
    publish:
      subject: events.shaped
      data: { kind: "{{ request.body.kind }}", list: ["{{ request.body.n }}", "n is {{ request.body.n }}", true], note: "{{ request.body.?note }}" }
`;

let server: TestServer;
let client: Client;
let daemon: Daemon;
let url: string;
let send: ReturnType<typeof sendingTo>;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  const port = await freePort();
  url = `http://127.0.0.1:${port}`;
  send = sendingTo(url);
  daemon = await startDaemon(config(port), { server, timeout: 90_000, env: { GITHUB_SECRET: GITHUB } });
}, 120_000);

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const last = async () => (await readStream(client, 'EVENTS')).at(-1);
const count = async (): Promise<number> => (await client.jsm.streams.info('EVENTS')).state.messages;
const github = (body: string, delivery: string, headers: Record<string, string> = {}) =>
  send('/hooks/github', { body, headers: { ...githubHeaders(GITHUB, body, delivery), ...headers } });
const total = (source: string, result: string) => daemon.total('ouzel_ingress_requests_total', { source, result });

test('a delivery is in the stream when it is answered, as it came, and a redelivery is not stored again', async () => {
  // Spaces, an escape and a number of more digits than JavaScript has.
  const body = '{ "ref":"refs/heads/m\\u0061in",  "id": 12345678901234567890 }';
  expect(await github(body, 'd-1')).toMatchObject({ status: 200, body: { stream: 'EVENTS', duplicate: false } });
  const stored = await last();
  expect(stored).toMatchObject({ subject: 'events.github.push', body });
  expect(stored?.headers).toEqual({
    'Nats-Msg-Id': 'd-1',
    'Ouzel-Source': 'github',
    'Content-Type': 'application/json',
    'X-Event': 'push',
  });
  // Beyond the stream's duplicate window, which a message of its own shows to be over.
  await waitFor(
    async () => {
      const probe = { subject: 'events.probe', body: 1, id: 'd-1' };
      const before = await count();
      await publish(client, probe);
      return (await count()) > before;
    },
    { what: 'the duplicate window to be over' },
  );
  const sequence = stored?.sequence;
  expect(await github(body, 'd-1')).toMatchObject({ status: 200, body: { sequence, duplicate: true } });
  expect(await total('github', 'duplicate')).toBe(1);
  expect(await total('github', 'accepted')).toBe(1);
});

test('what is not verified is not stored, and nobody is told why; the log is', async () => {
  const before = await count();
  const body = '{"a":1}';
  const signed = githubHeaders(GITHUB, body, 'd-2');
  const refused = { status: 401, body: { code: 'WEBHOOK_UNVERIFIED', detail: 'the request could not be verified' } };
  expect(await send('/hooks/github', { body: '{"a":2}', headers: signed })).toMatchObject(refused);
  expect(await send('/hooks/github', { body })).toMatchObject(refused);
  const other = githubHeaders('another secret', body, 'd-2');
  expect(await send('/hooks/github', { body, headers: other })).toMatchObject(refused);
  const stripe = '{"id":"evt_0"}';
  for (const ago of [301, -301])
    expect(await send('/hooks/stripe', { body: stripe, headers: stripeHeaders(STRIPE[0], stripe, ago) })).toMatchObject(
      refused,
    );
  expect(await send('/hooks/gitlab', { body, headers: { 'x-gitlab-token': 'gitlab-toke' } })).toMatchObject(refused);
  expect(await count()).toBe(before);
  expect(await total('github', 'unverified')).toBe(3);
  for (const reason of ['its timestamp is 30', 'its signature is not of this body and secret'])
    await waitFor(() => daemon.log().includes(reason), { what: `the log to say: ${reason}` });
  expect(daemon.log()).not.toContain(GITHUB);
});

test('an address that is not verified again and again is told to wait; one that is, is not', async () => {
  const statuses: number[] = [];
  while (!statuses.includes(429) && statuses.length < 60) {
    const answer = await send('/hooks/gitlab', { body: '{}', headers: { 'x-gitlab-token': 'wrong' } });
    statuses.push(answer.status);
    if (answer.status === 429) expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
  }
  expect(statuses.at(-1)).toBe(429);
  expect(await send('/hooks/gitlab', { body: '{}', headers: { 'x-gitlab-token': 'gitlab-token' } })).toMatchObject({
    status: 200,
  });
});

test('both secrets hold while one takes the place of the other, and a Stripe event has its own id', async () => {
  for (const [index, secret] of STRIPE.entries()) {
    const body = `{"id":"evt_${index}"}`;
    expect(await send('/hooks/stripe', { body, headers: stripeHeaders(secret, body) })).toMatchObject({ status: 200 });
    expect((await last())?.headers).toMatchObject({ 'Nats-Msg-Id': `evt_${index}` });
  }
});

test("Slack's question whether somebody is there is answered, if it is Slack that asks", async () => {
  const body = '{"type":"url_verification","challenge":"3eZbrw1aB"}';
  const before = await count();
  const headers = slackHeaders('slack-secret', body);
  expect(await send('/hooks/slack', { body, headers })).toMatchObject({
    status: 200,
    body: { challenge: '3eZbrw1aB' },
  });
  expect(await send('/hooks/slack', { body })).toMatchObject({ status: expect.toBeOneOf([401, 429]) as number });
  expect(await count()).toBe(before);
  const event = '{"type":"event_callback","event_id":"Ev1"}';
  expect(await send('/hooks/slack', { body: event, headers: slackHeaders('slack-secret', event) })).toMatchObject({
    status: 200,
  });
  expect((await last())?.headers).toMatchObject({ 'Nats-Msg-Id': 'Ev1' });
});

test('bodies are read by their type, and what is not taken is refused', async () => {
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  expect(await send('/hooks/open', { body: 'a=1&b=2&b=%C3%A9&__proto__=x', headers: form })).toMatchObject({
    status: 200,
  });
  const stored = await last();
  expect(stored?.body).toBe('{"a":"1","b":["2","é"],"__proto__":"x"}');
  expect(stored?.headers['Content-Type']).toBe('application/json');
  expect(
    await send('/hooks/open', { body: 'hé', headers: { 'content-type': 'text/plain; charset=utf-8' } }),
  ).toMatchObject({
    status: 200,
  });
  expect((await last())?.body).toBe('hé');
  expect(await send('/hooks/open?kind=e')).toMatchObject({ status: 200 });
  expect(await last()).toMatchObject({ subject: 'events.open.e', body: '' });

  const shaped = (type: string, body = '{}') => send('/hooks/shaped', { body, headers: { 'content-type': type } });
  expect(await shaped('text/html')).toMatchObject({ status: 415 });
  expect(await shaped('application/json; charset=latin1')).toMatchObject({ status: 415 });
  const gzip = { 'content-encoding': 'gzip' };
  const zipped = await send('/hooks/shaped', { body: new Uint8Array(gzipSync('{}')), headers: gzip });
  expect(zipped).toMatchObject({ status: 415 });
  expect(zipped.headers.get('accept-encoding')).toBe('identity');
  expect(await send('/hooks/open', { body: '{"a":' })).toMatchObject({
    status: 400,
    body: { code: 'EVENT_UNDECODABLE' },
  });
  expect(await send('/hooks/open', { body: new Uint8Array([0x22, 0xff, 0x22]) })).toMatchObject({ status: 400 });
  expect(await send('/hooks/open', { body: '['.repeat(5000) })).toMatchObject({ status: 400 });
  const wrongMethod = await send('/hooks/gitlab', { method: 'DELETE' });
  expect(wrongMethod).toMatchObject({ status: 405 });
  expect(wrongMethod.headers.get('allow')).toBe('POST, PUT');
  expect(await send('/hooks/none', { body: '{}' })).toMatchObject({ status: 404 });
  expect(await send('/hooks/github/', { body: '{}' })).toMatchObject({ status: 404 });
});

test('a template shapes the data, a rate holds, and a field that is not there is said', async () => {
  const post = (body: unknown) => send('/hooks/shaped', { body: JSON.stringify(body) });
  expect(await post({ kind: 'a', n: 2 })).toMatchObject({ status: 200 });
  expect((await last())?.body).toBe('{"kind":"a","list":[2,"n is 2",true]}');
  expect(await post({ n: 2 })).toMatchObject({ status: 422, body: { code: 'EVENT_MISSING_FIELD' } });
  expect(await post({ kind: 'a', n: 2, note: null })).toMatchObject({ status: 200 });
  expect((await last())?.body).toContain('"note":null');
  const limited = await post({ kind: 'a', n: 2 });
  expect(limited).toMatchObject({ status: 429, body: { code: 'RATE_LIMITED' } });
  expect(Number(limited.headers.get('retry-after'))).toBeGreaterThan(60);
});

test('nothing of a request gets where it does not belong', async () => {
  const before = await count();
  for (const event of ['a.b', '*', '>', 'a b', '$JS', ''])
    expect(await github('{}', 'd-3', { 'x-github-event': event }), event).toMatchObject({
      status: 422,
      body: { code: 'EVENT_INVALID_SUBJECT' },
    });
  expect(await github('{}', 'x'.repeat(600))).toMatchObject({ status: 422 });
  expect(await github('{}', 'd-4', { 'ouzel-hops': '9' })).toMatchObject({ status: 422, body: { code: 'EVENT_HOPS' } });
  expect(await count()).toBe(before);
  const more = {
    'nats-rollup': 'all',
    'nats-expected-stream': 'X',
    'ouzel-source': 'x',
    'ouzel-hops': '8',
    'x-y': '1',
  };
  expect(await github('{}', 'd-4', more)).toMatchObject({ status: 200 });
  expect((await last())?.headers).toEqual({
    'Nats-Msg-Id': 'd-4',
    'Ouzel-Source': 'github',
    'Ouzel-Hops': '8',
    'Content-Type': 'application/json',
    'X-Event': 'push',
  });
});

test('a body that is too large is refused, said to be so or not, and one that breaks off is not an event', async () => {
  const before = await count();
  const large = JSON.stringify('x'.repeat(65_536));
  expect(await github(large, 'd-5')).toMatchObject({ status: 413, body: { code: 'TARGET_TOO_LARGE' } });
  const chunked = await openSocket(url);
  const head = 'POST /hooks/github HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n';
  chunked.socket.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
  for (let index = 0; index < 20; index++) chunked.socket.write(`1000\r\n${'x'.repeat(4096)}\r\n`);
  await waitFor(() => chunked.received().includes('413'), { what: 'a body of chunks to be refused' });
  await waitFor(() => chunked.socket.closed || chunked.socket.readableEnded, { what: 'its connection to be closed' });
  const invalid = await total('github', 'invalid');
  const slow = await openSocket(url);
  slow.socket.write(`${head}Content-Length: 100\r\n\r\n{"half":`);
  // Others are answered while it stands there.
  expect(await github('{"n":1}', 'd-6')).toMatchObject({ status: 200 });
  slow.socket.destroy();
  await waitFor(async () => (await total('github', 'invalid')) > invalid, { what: 'it to be given up' });
  expect(await count()).toBe(before + 1);
});

test('in chunks as in one piece', async () => {
  const body = '{"pieces":true}';
  const { socket, received } = await openSocket(url);
  const headers = Object.entries({ ...githubHeaders(GITHUB, body, 'd-7'), 'content-type': 'application/json' });
  const lines = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  socket.write(`POST /hooks/github HTTP/1.1\r\nHost: x\r\n${lines}Transfer-Encoding: chunked\r\n\r\n`);
  for (const character of body) socket.write(`1\r\n${character}\r\n`);
  socket.write('0\r\n\r\n');
  await waitFor(() => received().includes('"duplicate":false'), { what: 'the answer' });
  expect((await last())?.body).toBe(body);
  socket.destroy();
});

const EVENT = { specversion: '1.0', id: 'e-1', source: '/shop', type: 'orders.created', data: { total: 1 } };

test('CloudEvents: structured, binary and in batches, each told what is wrong with it', async () => {
  const post = (type: string, body: unknown, headers: Record<string, string> = {}) =>
    send('/hooks/open', { body: JSON.stringify(body), headers: { 'content-type': type, ...headers } });
  const structured = 'application/cloudevents+json';
  expect(await post(structured, { ...EVENT, id: '' })).toMatchObject({
    status: 422,
    body: { code: 'EVENT_INVALID', errors: [{ pointer: '/id', detail: 'must not be empty' }] },
  });
  const batch = 'application/cloudevents-batch+json';
  expect(await post(batch, [EVENT, { ...EVENT, time: 'today' }, 1])).toMatchObject({
    status: 422,
    body: { errors: [{ pointer: '/1/time' }, { pointer: '/2' }] },
  });
  expect(await post('application/json', {}, { 'ce-specversion': '1.0', 'ce-id': '1' })).toMatchObject({
    status: 422,
    body: { errors: [{ header: 'ce-source' }, { header: 'ce-type' }] },
  });
  // The id is the template's of this source: the event's own.
  expect(await post(structured, EVENT)).toMatchObject({ status: 200, body: { duplicate: false } });
  expect(await last()).toMatchObject({ body: JSON.stringify(EVENT), headers: { 'Content-Type': structured } });
  const both = await post(batch, [EVENT, { ...EVENT, id: 'e-2' }]);
  expect(both).toMatchObject({ status: 200, body: { events: [{ duplicate: true }, { duplicate: false }] } });
  const ce = { 'ce-specversion': '1.0', 'ce-id': 'e-3', 'ce-source': '/shop', 'ce-type': 'a%20b', 'ce-ext': 'x' };
  expect(await post('application/json', { total: 2 }, ce)).toMatchObject({ status: 200 });
  expect(await last()).toMatchObject({ body: '{"total":2}', headers: { ...ce, 'Content-Type': 'application/json' } });
});

test('while the stream or NATS is away, the sender is asked to come again', async () => {
  await client.jsm.streams.delete('EVENTS');
  expect(await github('{}', 'd-8')).toMatchObject({ status: 503, body: { code: 'TARGET_NO_STREAM' } });
  await client.jsm.streams.add({ name: 'EVENTS', subjects: ['events.>'] });
  expect(await github('{}', 'd-8')).toMatchObject({ status: 200, body: { duplicate: false } });
  await server.stop();
  await waitFor(async () => (await github('{}', 'd-9')).status === 503, { what: 'a webhook to be refused' });
  await server.restart();
  await waitFor(async () => (await github('{}', 'd-9')).status === 200, {
    what: 'a webhook to be taken',
    timeout: 30_000,
  });
  expect(await total('github', 'unavailable')).toBeGreaterThan(1);
});
