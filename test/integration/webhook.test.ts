/** Webhooks through a real daemon, to real HTTP servers: every sort of answer, and of no answer. */
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { HttpClient, type HttpClientOptions } from '../../src/deliver/http/client.ts';
import { OuzelError } from '../../src/errors.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { type HttpAnswer, type HttpRequest, startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json, level: debug } }
defaults: { retry: { attempts: 3, backoff: { first: 50ms, max: 2s, jitter: 0 } } }
`;

const kindOf = ({ body }: HttpRequest): string => (JSON.parse(body) as { data: { kind: string } }).data.kind;

/** What each kind of event is answered, the n-th time it comes (from 0). */
const ANSWERS: Readonly<Record<string, (n: number) => HttpAnswer>> = {
  good: () => ({ body: 'thanks' }),
  created: () => ({ status: 201 }),
  later: (n) => (n === 0 ? { status: 503, headers: { 'retry-after': '1' } } : {}),
  bad: () => ({ status: 422, body: 'total is missing; you sent Bearer s3cret-token' }),
  forbidden: () => ({ status: 403 }),
  reset: (n) => (n === 0 ? { fault: 'reset' } : {}),
  hang: (n) => (n === 0 ? { fault: 'hang' } : {}),
  // The status is the word of the target; what becomes of the body takes nothing back.
  trickle: () => ({ fault: 'trickle' }),
  cut: () => ({ fault: 'cut', body: 'half of it' }),
  large: () => ({ body: 'x'.repeat(200_000) }),
  // The status is known, and the body of no interest by then.
  'refused-slowly': () => ({ status: 400, fault: 'trickle' }),
};

test('each answer means what it says', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const elsewhere = await startHttpTarget();
  const times = new Map<string, number>();
  const target = await startHttpTarget((request) => {
    const kind = kindOf(request);
    const n = times.get(kind) ?? 0;
    times.set(kind, n + 1);
    if (kind === 'moved') return { status: 307, headers: { location: `${elsewhere.url}/in?token=t0ken` } };
    return ANSWERS[kind]?.(n) ?? { status: 500 };
  });
  const kinds = [...Object.keys(ANSWERS), 'moved'];
  const daemon = await startDaemon(
    `${HEAD}targets:
  partner:
    webhook: { url: '${target.url}/in/{{ event.data.kind }}', allow_private: true, timeout: 3s, headers: { authorization: Bearer s3cret-token } }
consumers:
  a: { stream: IN, start: all, deliver: [{ to: partner }] }
`,
    { server },
  );
  for (const kind of kinds) await publish(client, { subject: 'in.a', body: { kind } });
  await untilEnded(daemon, 'a', kinds.length, 25_000);

  const of = (kind: string) => target.requests.filter((request) => kindOf(request) === kind);
  expect(Object.fromEntries(kinds.map((kind) => [kind, of(kind).length]))).toEqual({
    good: 1,
    created: 1,
    later: 2,
    bad: 1,
    forbidden: 3,
    reset: 2,
    hang: 2,
    trickle: 1,
    cut: 1,
    large: 1,
    'refused-slowly': 1,
    moved: 3,
  });
  // Every attempt at one delivery has one id, and no two deliveries share one.
  const ids = kinds.map((kind) => new Set(of(kind).map(({ headers }) => headers['webhook-id'])));
  for (const each of ids) expect(each.size).toBe(1);
  expect(new Set(ids.flatMap((each) => [...each])).size).toBe(kinds.length);
  // `Retry-After` is a bound from below.
  const [first, second] = of('later').map(({ at }) => at);
  expect((second ?? 0) - (first ?? 0)).toBeGreaterThan(950);
  const [good] = of('good');
  expect(good).toMatchObject({ method: 'POST', path: '/in/good' });
  expect(good?.headers).toMatchObject({ 'content-type': 'application/cloudevents+json', 'ouzel-hops': '1' });
  expect(JSON.parse(good?.body ?? '')).toMatchObject({ specversion: '1.0', type: 'in.a', data: { kind: 'good' } });

  const letters = (await readStream(client, 'OUZEL_DLQ')).map(({ body, headers }) => ({
    kind: (JSON.parse(body) as { kind: string }).kind,
    attempts: headers['Ouzel-Attempts'],
    reason: headers['Ouzel-Reason'],
    error: headers['Ouzel-Error'] ?? '',
  }));
  expect(
    letters.map(({ kind, attempts, reason }) => `${kind} ${attempts} ${reason}`).toSorted((a, b) => a.localeCompare(b)),
  ).toEqual(['bad 1 rejected', 'forbidden 3 rejected', 'moved 3 rejected', 'refused-slowly 1 rejected']);
  const errors = Object.fromEntries(letters.map(({ kind, error }) => [kind, error]));
  expect(errors['bad']).toContain(
    `POST ${target.url}: answered 422 Unprocessable Entity: total is missing; you sent ***`,
  );
  expect(errors['moved']).toContain(`points to ${elsewhere.url}; redirects are not followed`);
  expect(elsewhere.requests).toEqual([]);
  expect(daemon.log()).toContain(`POST ${target.url}: no answer within 3000 ms`);
  expect(daemon.log()).not.toMatch(/s3cret-token|t0ken/);
  // What hung or trickled was let go of when its time was over.
  for (const kind of ['hang', 'trickle', 'refused-slowly', 'large'])
    await waitFor(() => !target.openConnections.has(of(kind)[0]?.connection ?? 0), {
      what: `the connection of ${kind} to be let go of`,
    });
});

test('a private address and a name that does not resolve wait until they are put right', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const target = await startHttpTarget();
  const config = (local: string, nowhere: string): string => `${HEAD}consumers:
  local: { stream: IN, start: all, deliver: [{ to: { webhook: ${local} } }] }
  nowhere: { stream: IN, start: all, deliver: [{ to: { webhook: ${nowhere} } }] }
`;
  const localhost = `http://localhost:${target.port}/local`;
  const daemon = await startDaemon(
    config(`{ url: '${localhost}' }`, `{ url: 'http://nothing.invalid/', allow_private: true }`),
    { server },
  );
  await publish(client, { subject: 'in.a', body: {} });
  for (const consumer of ['local', 'nowhere'])
    await waitFor(
      async () => (await daemon.total('ouzel_event_retries_total', { consumer, reason: 'unavailable' })) >= 2,
      { what: `${consumer} to be tried again`, timeout: 20_000 },
    );
  expect(daemon.log()).toMatch(/localhost resolves to \S+, a loopback address; .*set `allow_private: true`/);
  expect(daemon.log()).toMatch(/POST http:\/\/nothing\.invalid: the name nothing\.invalid cannot be resolved \(E\w+\)/);
  expect(await daemon.total('ouzel_events_total')).toBe(0);
  expect(target.connections).toBe(0);

  const fixed = `{ url: '${target.url}/nowhere', allow_private: true }`;
  await daemon.write(config(`{ url: '${localhost}', allow_private: true }`, fixed));
  for (const consumer of ['local', 'nowhere'])
    expect(await untilEnded(daemon, consumer, 1)).toMatchObject({ delivered: 1 });
  expect(target.requests.map(({ path }) => path).toSorted((a, b) => a.localeCompare(b))).toEqual([
    '/local',
    '/nowhere',
  ]);
});

test('connections are kept, bounded, and closed with the plan without cutting what runs', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const gates: (() => void)[] = [];
  const target = await startHttpTarget(async ({ path }) => {
    if (path === '/old') await new Promise<void>((resolve) => gates.push(resolve));
    return {};
  });
  const config = (path: string): string => `${HEAD}consumers:
  a: { stream: IN, start: all, deliver: [{ to: { webhook: { url: '${target.url}${path}', allow_private: true, connections: 2 } } }] }
`;
  const daemon = await startDaemon(config('/many'), { server });
  const untilReloads = async (count: number) =>
    waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result: 'applied' })) >= count, {
      what: `reload ${count}`,
    });
  for (let index = 0; index < 30; index++) await publish(client, { subject: 'in.a', body: { index } });
  await untilEnded(daemon, 'a', 30);
  expect(target.requests).toHaveLength(30);
  expect(target.connections).toBeLessThanOrEqual(2);

  await daemon.write(config('/old'));
  await untilReloads(1);
  for (let index = 0; index < 3; index++) await publish(client, { subject: 'in.a', body: { index } });
  await waitFor(() => gates.length === 2, { what: 'two deliveries to run' });
  await daemon.write(config('/new'));
  await untilReloads(2);
  await publish(client, { subject: 'in.a', body: { index: 'new' } });
  await waitFor(() => target.requests.some(({ path }) => path === '/new'), { what: 'the new plan to deliver' });
  // The two that run and the one that waits for a connection end on the plan that they began with.
  expect(gates).toHaveLength(2);
  for (let released = 0; released < 3; released++) {
    await waitFor(() => gates.length > 0, { what: 'a delivery on the old plan' });
    gates.shift()?.();
  }
  expect(await untilEnded(daemon, 'a', 34)).toMatchObject({ delivered: 34, retries: 0 });
  expect(target.requests.filter(({ path }) => path === '/old')).toHaveLength(3);
  expect(await daemon.terminate()).toBe(0);
  await waitFor(() => target.openConnections.size === 0, { what: 'every connection to be closed' });
});

const REQUEST = { method: 'POST', path: '/', headers: {}, body: '' } as const;
const LIMITS = { connections: 1, timeout: 10_000, maxResponse: 1000, allowPrivate: true };

test('a client says what is wrong on the way, and checks an address that needs no resolution', async () => {
  const target = await startHttpTarget();
  const closed = await startHttpTarget();
  await closed.stop();
  const failure = async (origin: string, allowPrivate = true): Promise<string> => {
    const client = new HttpClient({ ...LIMITS, origin, allowPrivate });
    const error: unknown = await client.send(REQUEST, new AbortController().signal).catch((reason: unknown) => reason);
    client.close();
    return error instanceof OuzelError ? `${error.code} ${error.message}` : 'no error';
  };
  expect(await failure(target.url)).toBe('no error');
  expect(await failure(`https://127.0.0.1:${target.port}`)).toMatch(
    /^TARGET_UNAVAILABLE .*TLS: [\w ]+ \(ERR_SSL_\w+\)$/,
  );
  expect(await failure(closed.url)).toMatch(/^TARGET_UNAVAILABLE .*ECONNREFUSED/);
  const { connections } = target;
  for (const host of ['127.0.0.1', '[::ffff:127.0.0.1]', 'localhost'])
    expect(await failure(`http://${host}:${target.port}`, false)).toMatch(/^TARGET_ADDRESS .*allow_private: true/);
  expect(target.connections).toBe(connections);
});

test('an aborted delivery aborts its request, and frees its connection for the next', async () => {
  const target = await startHttpTarget(({ index }) => (index === 0 ? { fault: 'hang' } : {}));
  const client = new HttpClient({ ...LIMITS, origin: target.url });
  const abort = new AbortController();
  const sending = client.send(REQUEST, abort.signal).catch((reason: unknown) => reason);
  await target.untilRequests(1);
  const next = client.send(REQUEST, new AbortController().signal);
  abort.abort(new OuzelError('TARGET_TIMEOUT', 'the attempt is over'));
  expect(await sending).toMatchObject({ code: 'TARGET_TIMEOUT', message: 'the attempt is over' });
  await waitFor(() => !target.openConnections.has(1), { what: 'the connection to be closed' });
  expect((await next).status).toBe(200);
  client.close();
  await waitFor(() => target.openConnections.size === 0, { what: 'the client to close' });
});

test('connecting and the status have times of their own; a TLS handshake that hangs is no connection', async () => {
  const target = await startHttpTarget(() => ({ fault: 'hang' }));
  const failure = async (origin: string, limits: Partial<HttpClientOptions>): Promise<unknown> => {
    const client = new HttpClient({ ...LIMITS, timeout: 60_000, origin, ...limits });
    const error: unknown = await client.send(REQUEST, new AbortController().signal).catch((reason: unknown) => reason);
    client.close();
    return error;
  };
  expect(await failure(target.url, { headersTimeout: 200 })).toMatchObject({
    code: 'TARGET_TIMEOUT',
    message: `POST ${target.url}: no status within 200 ms`,
  });
  const silent = createServer((socket) => void socket.on('error', () => undefined).resume()).listen(0, '127.0.0.1');
  onTestFinished(() => void silent.close());
  await once(silent, 'listening');
  const origin = `https://127.0.0.1:${(silent.address() as AddressInfo).port}`;
  expect(await failure(origin, { connectTimeout: 200 })).toMatchObject({
    code: 'TARGET_TIMEOUT',
    message: `POST ${origin}: no connection within 200 ms`,
  });
});
