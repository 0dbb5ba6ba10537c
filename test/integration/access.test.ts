/** Who is let in by a running daemon, what they see, and what the audit says of it. */
import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { expect, it } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { openEvents } from '../helpers/sse.ts';
import { waitFor } from '../helpers/wait.ts';

const token = (name: string): string => `${name}-token-that-is-long-enough-to-be-one`;
const hash = (name: string): string => `sha256:${createHash('sha256').update(token(name)).digest('hex')}`;
const who = (name: string): string => `who: { token: "${hash(name)}" }`;

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id, storage: memory } }
consumers:
  billing: { stream: EVENTS, pipeline: [{ set: { data.x: event.data.missing } }] }
  shipping: { stream: EVENTS, pipeline: [{ set: { data.x: event.data.missing } }] }
`;
const ACCESS = `access:
  - { name: reader, ${who('reader')}, may: read }
  - { name: publisher, ${who('publisher')}, may: publish }
  - { name: operator, ${who('operator')}, may: operate }
  - { name: ci, who: { token: "\${CI_TOKEN}" }, may: admin }
  - { name: billing, ${who('billing')}, may: operate, consumers: ["bill*"] }
  - { name: orders, ${who('orders')}, may: operate, types: ["orders.*"] }
`;

interface Asked {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

const asking =
  (daemon: Daemon) =>
  async (path: string, name?: string, body?: unknown, headers: Record<string, string> = {}): Promise<Asked> => {
    const response = await fetch(`${daemon.http}/api/v1${path}`, {
      method: body === undefined ? 'GET' : 'POST',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      headers: {
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(name === undefined ? {} : { authorization: `Bearer ${token(name)}` }),
        ...headers,
      },
    });
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };

const acts = async (client: Client): Promise<Record<string, unknown>[]> =>
  (await readStream(client, 'OUZEL_AUDIT')).map(({ body }) => JSON.parse(body) as Record<string, unknown>);

const REMOTE = { 'x-forwarded-for': '203.0.113.9' };

it('lets in who shows a token, as far as its entry goes, and keeps a record of every write', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG + ACCESS, { server, env: { CI_TOKEN: token('ci') } });
  const ask = asking(daemon);
  for (const type of ['orders.created', 'users.created'])
    await publish(client, { subject: `events.${type}`, body: { id: type } });
  const letters = async (name?: string): Promise<string[]> => {
    const { body } = await ask('/dead-letters', name);
    return ((body['letters'] ?? []) as { consumer: string; key: string }[])
      .map(({ consumer, key }) => `${consumer} ${key}`)
      .sort();
  };
  await waitFor(async () => (await letters()).length === 4, { what: 'four dead letters' });

  // Each scope and each route.
  const dry = { all: true, dry_run: true };
  const discard = { ...dry, why: 'a test', who: 'somebody else' };
  const expected: Readonly<Record<string, readonly [read: number, write: number]>> = {
    reader: [200, 403],
    publisher: [403, 403],
    operator: [200, 200],
    ci: [200, 200],
    billing: [200, 200],
    orders: [200, 200],
    nobody: [401, 401],
  };
  for (const [name, [read, write]] of Object.entries(expected)) {
    expect((await ask('/dead-letters', name)).status, `${name} list`).toBe(read);
    expect((await openEvents(`${daemon.http}/api/v1/tap`, { authorization: `Bearer ${token(name)}` })).status).toBe(
      read,
    );
    expect((await ask('/dead-letters/redrive', name, dry)).status, `${name} redrive`).toBe(write);
    expect((await ask('/dead-letters/discard', name, discard)).status, `${name} discard`).toBe(write);
  }
  expect(await ask('/dead-letters')).toMatchObject({ status: 200 });
  expect(await ask('/dead-letters', undefined, undefined, REMOTE)).toMatchObject({ status: 401 });
  expect(await ask('/dead-letters/redrive', undefined, dry)).toMatchObject({ status: 401 });
  expect((await fetch(`${daemon.http}/metrics`, { headers: REMOTE })).status).toBe(200);

  // What belongs to others is as if it were not there.
  expect(await letters('billing')).toEqual(['billing orders.created', 'billing users.created']);
  expect(await letters('orders')).toEqual(['billing orders.created', 'shipping orders.created']);
  expect(await ask('/dead-letters?consumer=shipping', 'billing')).toMatchObject({ status: 403 });
  const all = (await ask('/dead-letters')).body['letters'] as { sequence: number; consumer: string }[];
  const shipping = all.find(({ consumer }) => consumer === 'shipping')?.sequence;
  expect(await ask(`/dead-letters/${shipping}`, 'billing')).toMatchObject({ status: 404 });
  const letter = { letters: [shipping], why: 'a test', who: 'somebody else' };
  expect(await ask('/dead-letters/discard', 'billing', letter)).toMatchObject({ status: 404 });
  expect((await ask('/dead-letters/redrive', 'billing', dry)).body).toMatchObject({ selected: 2 });

  // Nor is what became of them, however it is asked for.
  const outcomes = async (name?: string, query = ''): Promise<unknown> => {
    const { status, body } = await ask(`/audit${query}`, name);
    if (status !== 200) return status;
    const records = body['records'] as { consumer: string; type: string }[];
    return [...records.map(({ consumer, type }) => `${consumer} ${type}`).sort(), ...(body['more'] ? ['more'] : [])];
  };
  const everything = [
    'billing orders.created',
    'billing users.created',
    'shipping orders.created',
    'shipping users.created',
  ];
  await waitFor(async () => ((await outcomes()) as string[]).length === 4, { what: 'four records' });
  for (const name of ['reader', 'operator', 'ci']) expect(await outcomes(name)).toEqual(everything);
  expect(await outcomes('publisher')).toBe(403);
  expect(await outcomes('nobody')).toBe(401);
  expect(await outcomes('billing')).toEqual(everything.slice(0, 2));
  expect(await outcomes('orders')).toEqual(['billing orders.created', 'shipping orders.created']);
  expect(await outcomes('billing', '?consumer=billing&type=orders.*')).toEqual(['billing orders.created']);
  expect(await outcomes('billing', '?consumer=shipping')).toBe(403);
  expect(await outcomes('billing', '?event=users.created')).toEqual(['billing users.created']);
  expect(await outcomes('orders', '?event=users.created')).toEqual([]);
  expect(await outcomes('orders', '?type=users.*')).toEqual([]);
  expect(await outcomes('orders', '?outcome=dead_lettered')).toEqual(await outcomes('orders'));
  // That there is more of others is not said.
  expect(await outcomes('billing', '?limit=2')).toEqual(everything.slice(0, 2));
  expect(await outcomes('billing', '?limit=1')).toEqual([expect.stringMatching(/^billing /), 'more']);

  // The audit of acts: dry runs are no writes, refusals are recorded, and so is what was done, under the name of its token.
  const refused = await acts(client);
  expect(refused.map(({ who: name, what, outcome, status }) => [name, what, outcome, status])).toEqual(
    expect.arrayContaining([
      ['reader', 'dead-letter.redrive', 'refused', 403],
      ['publisher', 'dead-letter.discard', 'refused', 403],
      [null, 'dead-letter.redrive', 'refused', 401],
      ['local', 'dead-letter.redrive', 'refused', 401],
    ]),
  );
  expect(refused.filter(({ outcome }) => outcome !== 'refused')).toEqual([]);
  expect(await ask('/dead-letters/discard', 'ci', letter, REMOTE)).toMatchObject({
    status: 200,
    body: { discarded: 1 },
  });
  expect((await acts(client)).at(-1)).toMatchObject({
    version: 1,
    who: 'ci',
    from: '127.0.0.1',
    forwarded_for: '203.0.113.9',
    what: 'dead-letter.discard',
    resource: `dead-letters/${shipping}`,
    after: { asked: { letters: [shipping], why: 'a test' }, result: { discarded: 1 } },
    outcome: 'done',
    status: 200,
    instance: expect.any(String) as string,
  });
  const [incident] = (await readStream(client, 'OUZEL_EVENTS')).filter(({ subject }) => subject.includes('discard'));
  expect(incident?.body).toContain('"ci"');
  expect(daemon.logLines().some(({ audit }) => (audit as { who?: string } | undefined)?.who === 'ci')).toBe(true);
  expect(daemon.log() + JSON.stringify(await acts(client))).not.toContain('token-that-is-long');
});

it('follows a change of `access`, and shows a tap only what its token may see', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server });
  const ask = asking(daemon);
  expect(await ask('/dead-letters', 'billing')).toMatchObject({ status: 401 });
  expect(await ask('/dead-letters/redrive', undefined, { all: true })).toMatchObject({ status: 200 });
  await daemon.write(`${CONFIG}access: [{ ${who('billing')}, may: read, consumers: [billing] }]\n`);
  const untilGeneration = (number: number) =>
    waitFor(async () => (await daemon.total('ouzel_config_generation')) === number, { what: `generation ${number}` });
  await untilGeneration(2);
  expect(await ask('/dead-letters', 'billing')).toMatchObject({ status: 200 });
  expect(await ask('/dead-letters/redrive', undefined, { all: true })).toMatchObject({ status: 401 });

  const headers = { authorization: `Bearer ${token('billing')}` };
  const limited = await openEvents(`${daemon.http}/api/v1/tap`, headers);
  const all = await openEvents(`${daemon.http}/api/v1/tap`);
  expect((await openEvents(`${daemon.http}/api/v1/tap?consumer=shipping`, headers)).status).toBe(403);
  await publish(client, { subject: 'events.orders.created', body: { id: 'o-1' } });
  await waitFor(() => all.dataOf('event').length === 2, { what: 'both consumers to be seen' });
  await publish(client, { subject: 'events.orders.created', body: { id: 'o-2' } });
  await waitFor(() => limited.dataOf('event').length === 2, { what: 'both events of one consumer to be seen' });
  expect(new Set(limited.dataOf('event').map(({ consumer }) => consumer))).toEqual(new Set(['billing']));

  const made = await runCli(['token', 'new', '--name', 'tapper', '--json']);
  const { token: fresh, access } = JSON.parse(made.stdout) as { token: string; access: unknown };
  await daemon.write(`${CONFIG}access: [${JSON.stringify(access)}]\n`);
  const tapped = async (secret: string) =>
    runCli(['tap', '--url', daemon.http, '--limit', '1', '--json'], { env: { OUZEL_TOKEN: secret } });
  await untilGeneration(3);
  expect(await ask('/dead-letters', 'billing')).toMatchObject({ status: 401 });
  expect(await tapped('wrong-token')).toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/OUZEL_TOKEN/) as string,
  });
  let ended = false;
  const tap = tapped(fresh).finally(() => (ended = true));
  await waitFor(
    async () => {
      await publish(client, { subject: 'events.orders.created', body: { id: 'o-3' } });
      return ended;
    },
    { what: 'the tap to end', timeout: 20_000 },
  );
  expect(await tap).toMatchObject({ code: 0 });
});

it('answers /metrics however many connections send nothing, or slowly', async () => {
  const server = await startServer();
  const daemon = await startDaemon(CONFIG, { server });
  const { port } = new URL(daemon.http);
  const sockets: Socket[] = [];
  const closed = new Set<Socket>();
  let answers = '';
  const open = async (text: string): Promise<Socket> => {
    const socket = connect(Number(port), '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => undefined).on('close', () => closed.add(socket));
    socket.on('data', (chunk) => (answers += chunk.toString()));
    await waitFor(() => !socket.connecting, { what: 'a connection' });
    socket.write(text);
    return socket;
  };
  try {
    const first = await open('GET /api/v1/tap HTTP/1.1\r\nHost: localhost\r\nX-Slow: ');
    for (let index = 0; index < 200; index++)
      await open(index % 2 === 0 ? '' : 'POST /api/v1/dead-letters/redrive HTTP/1.1\r\nHost: localhost\r\nX-');
    expect((await fetch(`${daemon.http}/metrics`)).status).toBe(200);
    expect((await fetch(`${daemon.http}/healthz`)).status).toBe(200);
    // The oldest made room for those that came after it: nobody told them that their time is over.
    await waitFor(() => closed.has(first) && closed.size >= 201 - 128, { what: 'the oldest connections to be closed' });
    expect(answers).toBe('');
  } finally {
    for (const socket of sockets) socket.destroy();
  }
});

it('refuses what is too large or too much', async () => {
  const server = await startServer();
  const daemon = await startDaemon(CONFIG, { server });
  const status = async (path: string, init: RequestInit): Promise<number> =>
    (await fetch(`${daemon.http}${path}`, init)).status;
  const post = { method: 'POST', headers: { 'content-type': 'application/json' } };
  const large = JSON.stringify({ text: 'x'.repeat(1_048_577) });
  expect(await status('/api/v1/dead-letters/redrive', { ...post, body: large })).toBe(413);
  expect(await status('/healthz', { headers: { 'x-large': 'x'.repeat(20_000) } })).toBe(431);
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x-${index}`, '1']));
  // A proxy's header that came last would be beyond what Node keeps by itself.
  expect(await status('/api/v1/dead-letters', { headers: { ...many, 'x-forwarded-for': '203.0.113.9' } })).toBe(431);
});

it('does not let a flood of refusals into the audit, and counts them', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG + ACCESS, { server, env: { CI_TOKEN: token('ci') } });
  const ask = asking(daemon);
  for (let index = 0; index < 40; index++) await ask('/dead-letters/redrive', 'reader', { all: true });
  const kept = (await acts(client)).length;
  expect(kept).toBeGreaterThanOrEqual(20);
  expect(await daemon.total('ouzel_audit_dropped_total', { kind: 'flood' })).toBe(40 - kept);

  // A stream that somebody deleted is made again, and no record is lost by it.
  await client.jsm.streams.delete('OUZEL_AUDIT');
  expect(await ask('/dead-letters/redrive', 'ci', { all: true })).toMatchObject({ status: 200 });
  expect(await acts(client)).toMatchObject([{ who: 'ci', outcome: 'done' }]);
  expect(await daemon.total('ouzel_audit_dropped_total', { kind: 'act' })).toBe(0);
});
