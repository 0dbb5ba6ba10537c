/** Targets that go away and come back: nothing is lost, nothing is used up, and it can be seen meanwhile. */
import { expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type HttpRequest, type HttpTarget, startHttpTarget } from '../helpers/http-target.ts';
import { expectIdentity, outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publishMany, readStream } from '../helpers/publish.ts';
import { readyz, untilReady } from '../helpers/readiness.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

/** Events that a consumer of these tests has in hand, at most. */
const PREFETCH = 20;

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { retry: { attempts: 3, backoff: { first: 200ms, max: 2s } } }
`;

/** A webhook that says which attempt at which event it is. */
const webhook = (target: HttpTarget, more = ''): string =>
  `webhook: { url: '${target.url}', allow_private: true, timeout: 1s, headers: { x-attempt: '{{ msg.attempt }}', x-n: '{{ event.data.n }}' } }${more}`;

async function world(): Promise<{ server: TestServer; client: Client }> {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  return { server, client };
}

const publishNumbers = (client: Client, from: number, count: number, subject = 'in.x'): Promise<void> =>
  publishMany(client, count, (index) => ({ subject, body: { n: from + index } }));

const numberOf = ({ headers }: HttpRequest): string => String(headers['x-n']);
const numbers = (from: number, count: number): string[] => Array.from({ length: count }, (_, n) => String(from + n));
const sorted = (found: readonly string[]): string[] => found.toSorted((a, b) => Number(a) - Number(b));

const incidentsOf = async (client: Client, kind: string): Promise<string[]> =>
  (await readStream(client, 'OUZEL_EVENTS'))
    .filter(({ headers }) => headers['ce-type'] === kind)
    .map(({ body }) => (JSON.parse(body) as { target: string }).target);

/** Waits until a target is known to be away, or to be there. */
const untilOpen = (daemon: Daemon, target: string, open: 0 | 1 = 1): Promise<boolean> =>
  waitFor(
    async () => {
      const found = (await daemon.metrics()).select('ouzel_target_breaker_open', { target });
      return found.length === 1 && found[0]?.value === open;
    },
    { timeout: 30_000, what: () => `the breaker of ${target} to be ${open}. The log:\n${daemon.log().slice(-3000)}` },
  );

const unavailable = (daemon: Daemon): Promise<number> =>
  daemon.total('ouzel_deliveries_total', { result: 'unavailable' });

/** Waits until what was sent when a target went away has failed, and returns how many deliveries failed by then. */
async function untilOnlyProbes(daemon: Daemon, target: HttpTarget): Promise<number> {
  return waitFor(
    async () => {
      const [failed, confirmed] = [
        await unavailable(daemon),
        await daemon.total('ouzel_deliveries_total', { result: 'confirmed' }),
      ];
      return failed + confirmed >= target.requests.length && failed;
    },
    { what: 'what was on its way to fail' },
  );
}

const blocked = { consumer: 'c', state: 'blocked' };

/** What must hold while the only target of consumer `c` is away. */
async function expectBlocked(daemon: Daemon, client: Client, target: string, published: number): Promise<void> {
  await waitFor(async () => (await daemon.total('ouzel_consumer_state', blocked)) === 1, { what: 'it to be blocked' });
  const { code, body } = await readyz(daemon);
  expect(code).toBe(200);
  expect((JSON.parse(body) as { degraded: unknown }).degraded).toMatchObject([{ target }]);
  // In hand, and what failed first and waits for its next try.
  const { num_ack_pending: unacked } = await client.jsm.consumers.info('IN', 'c');
  expect(unacked).toBeLessThanOrEqual(2 * PREFETCH);
  expect(published).toBeGreaterThan(3 * PREFETCH);
}

const OUTAGES: readonly (readonly [how: string, begin: (target: HttpTarget) => Promise<void>])[] = [
  ['refuses connections', (target) => target.stop()],
  ['answers 503', async (target) => void (target.answer = () => ({ status: 503 }))],
  ['hangs', async (target) => void (target.answer = () => ({ fault: 'hang' }))],
];

test.each(OUTAGES)(
  'a webhook that %s is probed with changing events, and no event pays for it',
  async (_how, begin) => {
    const { server, client } = await world();
    const target = await startHttpTarget();
    const daemon = await startDaemon(
      `${HEAD}targets: { partner: { ${webhook(target)} } }
consumers: { c: { stream: IN, start: all, prefetch: ${PREFETCH}, deliver: [{ to: partner }] } }
`,
      { server },
    );
    await publishNumbers(client, 0, 10);
    await untilEnded(daemon, 'c', 10);
    const count = 150;
    await begin(target);
    await publishNumbers(client, 10, count);
    await untilOpen(daemon, 'partner');
    await expectBlocked(daemon, client, 'partner', count);
    const sent = await untilOnlyProbes(daemon, target);
    expect(sent).toBeLessThanOrEqual(PREFETCH);
    const seen = target.requests.length;
    await waitFor(async () => (await unavailable(daemon)) >= sent + 2, { timeout: 30_000, what: 'two probes' });
    await expectBlocked(daemon, client, 'partner', count);
    const probes = target.requests.slice(seen);
    if (seen > 10) expect(new Set(probes.map(numberOf)).size).toBe(probes.length);

    target.answer = () => ({});
    const down = target.requests.length;
    await target.start().catch(() => undefined);
    expect(await untilEnded(daemon, 'c', count + 10, 60_000)).toMatchObject({ delivered: count + 10 });
    await untilOpen(daemon, 'partner', 0);
    expect(sorted(target.requests.slice(down).map(numberOf))).toEqual(numbers(10, count));
    expect(new Set(target.requests.map(({ headers }) => headers['x-attempt']))).toEqual(new Set(['1']));
    expect(await readStream(client, 'OUZEL_DLQ')).toEqual([]);
    await waitFor(async () => (await incidentsOf(client, 'target.recovered')).length > 0, { what: 'the incident' });
    expect(await incidentsOf(client, 'target.unavailable')).toEqual(['partner']);
    expect(await incidentsOf(client, 'target.recovered')).toEqual(['partner']);
    await untilReady(daemon, 200, /"degraded":\[\]/);
    const lines = (text: string): number => daemon.logLines().filter(({ msg }) => msg === text).length;
    expect(lines('target is unavailable; it is probed')).toBe(1);
    expect(lines('target is available again')).toBe(1);
    expect(daemon.logLines().length).toBeLessThan(60);
  },
  120_000,
);

test('an output stream that is full blocks its consumer until there is room', async () => {
  const { server, client } = await world();
  await addStream(client, 'OUT', ['out.>'], { max_msgs: 10, discard: 'new' });
  const daemon = await startDaemon(
    `${HEAD}targets: { out: { publish: { subject: out.x } } }
consumers: { c: { stream: IN, start: all, prefetch: ${PREFETCH}, deliver: [{ to: out }] } }
`,
    { server },
  );
  const count = 150;
  await publishNumbers(client, 0, count);
  await untilOpen(daemon, 'out');
  const failed = await unavailable(daemon);
  await waitFor(async () => (await unavailable(daemon)) >= failed + 2, { timeout: 20_000, what: 'two probes' });
  await expectBlocked(daemon, client, 'out', count);
  expect(await unavailable(daemon)).toBeLessThan(3 * PREFETCH);
  const { config } = await client.jsm.streams.info('OUT');
  await client.jsm.streams.update('OUT', { ...config, max_msgs: 1000 });
  expect(await untilEnded(daemon, 'c', count, 60_000)).toMatchObject({ delivered: count });
  const found = (await readStream(client, 'OUT')).map(({ body }) => String((JSON.parse(body) as { n: number }).n));
  expect(sorted(found)).toEqual(numbers(0, count));
  expect(await readStream(client, 'OUZEL_DLQ')).toEqual([]);
  await waitFor(async () => (await incidentsOf(client, 'target.recovered')).length > 0, { what: 'the incident' });
  expect(await incidentsOf(client, 'target.unavailable')).toEqual(['out']);
  expect(await incidentsOf(client, 'target.recovered')).toEqual(['out']);
}, 120_000);

test('a target that is away holds up nothing for another one, and is repeated nothing that the other has', async () => {
  const { server, client } = await world();
  const [here, away] = [await startHttpTarget(), await startHttpTarget(() => ({ fault: 'hang' }))];
  const daemon = await startDaemon(
    `${HEAD}targets:
  here: { ${webhook(here)} }
  away: { ${webhook(away).replace('timeout: 1s', 'timeout: 500ms')} }
consumers:
  c:
    stream: IN
    start: all
    prefetch: ${PREFETCH}
    deliver:
      - { when: 'msg.subject != "in.away"', to: here }
      - { when: 'msg.subject != "in.here"', to: away }
`,
    { server },
  );
  await publishNumbers(client, 0, 5, 'in.away');
  await untilOpen(daemon, 'away');
  const before = away.requests.length;
  let published = 5;
  // Events go on coming while the target is probed; none of them is taken for its probe.
  while (away.requests.length < before + 3) {
    for (const subject of ['in.here', 'in.both', 'in.away']) await publishNumbers(client, published++, 1, subject);
    await here.untilRequests(((published - 5) / 3) * 2);
  }
  const [, second, third] = away.requests.slice(before).map(({ at }) => at);
  // The third pause is four seconds, less a tenth; what is held back meanwhile does not cut it short.
  expect((third ?? 0) - (second ?? 0)).toBeGreaterThan(3_000);
  expect(await daemon.total('ouzel_consumer_state', blocked)).toBe(0);

  const hung = away.requests.length;
  away.answer = () => ({});
  expect(await untilEnded(daemon, 'c', published, 90_000)).toMatchObject({ delivered: published });
  const took = (kinds: readonly number[]): string[] =>
    numbers(5, published - 5).filter((n) => kinds.includes((Number(n) - 5) % 3));
  expect(sorted(here.requests.map(numberOf))).toEqual(took([0, 1]));
  expect(sorted(away.requests.slice(hung).map(numberOf))).toEqual([...numbers(0, 5), ...took([1, 2])]);
  expect(new Set(away.requests.map(({ headers }) => headers['x-attempt']))).toEqual(new Set(['1']));
  expect(await readStream(client, 'OUZEL_DLQ')).toEqual([]);
}, 150_000);

test('retry.for bounds the wait, of a consumer or of a target, and is used to its end', async () => {
  const { server, client } = await world();
  const target = await startHttpTarget(() => ({ status: 503 }));
  const daemon = await startDaemon(
    `${HEAD}targets:
  partner: { ${webhook(target)} }
  strict: { ${webhook(target, ', retry: { for: 3s }')} }
consumers:
  short: { stream: IN, start: all, prefetch: ${PREFETCH}, retry: { for: 3s }, deliver: [{ to: partner }] }
  strict: { stream: IN, start: all, prefetch: ${PREFETCH}, deliver: [{ to: strict }] }
  long: { stream: IN, start: all, prefetch: ${PREFETCH}, deliver: [{ to: partner }] }
`,
    { server },
  );
  // What the consumer has in hand waits all at once; further ones would come one by one.
  const count = PREFETCH;
  await publishNumbers(client, 0, count);
  for (const consumer of ['short', 'strict'])
    expect(await untilEnded(daemon, consumer, count, 60_000)).toMatchObject({ deadLettered: count });
  expect(outcomesOf(await daemon.metrics(), 'long')).toMatchObject({ ended: 0 });
  target.answer = () => ({});
  expect(await untilEnded(daemon, 'long', count, 60_000)).toMatchObject({ delivered: count });
  const letters = await readStream(client, 'OUZEL_DLQ');
  expect(letters).toHaveLength(2 * count);
  for (const { headers } of letters) {
    expect(headers).toMatchObject({ 'Ouzel-Reason': 'unavailable_too_long', 'Ouzel-Attempts': '1' });
    expect(headers['Ouzel-Error']).toContain('503');
    const [first, last] = ['Ouzel-First-Failed', 'Ouzel-Failed'].map((name) => Date.parse(headers[name] ?? ''));
    expect((last ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(3_000);
  }
}, 150_000);

test('a target is one for all consumers; a reload mends it, and takes its series along when it goes', async () => {
  const { server, client } = await world();
  const [gone, there] = [await startHttpTarget(), await startHttpTarget()];
  await gone.stop();
  const config = (name: string, target: HttpTarget, consumers: readonly string[]): string =>
    `${HEAD}targets: { ${name}: { ${webhook(target)} } }
consumers:
${consumers.map((each) => `  ${each}: { stream: IN, start: all, prefetch: ${PREFETCH}, deliver: [{ to: ${name} }] }\n`).join('')}`;
  const daemon = await startDaemon(config('partner', gone, ['c', 'd', 'e']), { server });
  const count = 60;
  await publishNumbers(client, 0, count);
  await untilOpen(daemon, 'partner');
  for (const consumer of ['c', 'd', 'e'])
    await waitFor(async () => (await daemon.total('ouzel_consumer_state', { consumer, state: 'blocked' })) === 1, {
      what: `${consumer} to be blocked`,
    });
  // Its pauses have become long by now.
  await waitFor(async () => (await unavailable(daemon)) >= 5, { timeout: 30_000, what: 'some probes' });
  expect(await incidentsOf(client, 'target.unavailable')).toEqual(['partner']);

  // One of those that wait there leaves; the others are none the worse.
  await daemon.write(config('partner', gone, ['c', 'd']));
  await waitFor(() => daemon.log().includes('consumer removed'), { what: 'a consumer to be removed' });
  await daemon.write(config('partner', there, ['c', 'd']));
  for (const consumer of ['c', 'd'])
    expect(await untilEnded(daemon, consumer, count, 30_000)).toMatchObject({ delivered: count });
  expect(there.requests).toHaveLength(2 * count);
  await untilOpen(daemon, 'partner', 0);

  await daemon.write(config('other', there, ['c', 'd']));
  await untilOpen(daemon, 'other', 0);
  await waitFor(async () => (await daemon.metrics()).samples.every(({ labels }) => labels['target'] !== 'partner'), {
    what: 'no series of the old target to be left',
  });
  // A change that is rejected leaves no series of its own behind.
  await daemon.write(config('third', there, ['c', 'd']).replace('stream: IN,', 'stream: NOWHERE,'));
  await waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result: 'rejected' })) === 1, {
    what: 'the change to be rejected',
  });
  expect((await daemon.metrics()).select('ouzel_target_breaker_open').map(({ labels }) => labels['target'])).toEqual([
    'other',
  ]);
  for (const consumer of ['c', 'd']) expectIdentity(await daemon.metrics(), consumer);
}, 120_000);

test('daemons that are killed again and again in an outage use up nothing and lose nothing', async () => {
  const { server, client } = await world();
  const target = await startHttpTarget(() => ({ status: 503 }));
  const yaml = `${HEAD}targets: { partner: { ${webhook(target)} } }
consumers: { c: { stream: IN, start: all, ack_wait: 1s, prefetch: ${PREFETCH}, deliver: [{ to: partner }] } }
`;
  const count = 100;
  await publishNumbers(client, 0, count);
  for (let kills = 0; kills < 2; kills++) {
    const daemon = await startDaemon(yaml, { server });
    await untilOpen(daemon, 'partner');
    // Those of the process before come again, and wait.
    await waitFor(
      async () => {
        const { inFlight, received } = outcomesOf(await daemon.metrics(), 'c');
        return received >= PREFETCH && inFlight > 0;
      },
      { timeout: 30_000, what: 'events to be in hand' },
    );
    await daemon.kill();
  }
  target.answer = () => ({});
  await using daemon = await startDaemon(yaml, { server });
  await waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info('IN', 'c');
      const { state } = await client.jsm.streams.info('OUZEL_TIMERS');
      return unacked + pending + state.messages === 0;
    },
    { timeout: 60_000, what: 'nothing to be left' },
  );
  expectIdentity(await daemon.metrics(), 'c');
  expect((await readStream(client, 'OUZEL_DLQ')).map(({ headers }) => headers)).toEqual([]);
  expect(sorted([...new Set(target.requests.map(numberOf))])).toEqual(numbers(0, count));
}, 180_000);
