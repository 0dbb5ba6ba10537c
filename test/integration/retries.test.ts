/** How one event is tried again: which failures count, when it comes back, and what others feel of it. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { type HttpAnswer, type HttpRequest, startHttpTarget } from '../helpers/http-target.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json, level: debug } }
`;
const HEADERS = `headers: { x-attempt: '{{ msg.attempt }}', x-kind: '{{ event.data.kind }}' }`;

async function world(): Promise<{ server: TestServer; client: Client }> {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  return { server, client };
}

const kindOf = ({ headers }: HttpRequest): string => String(headers['x-kind']);
const attemptsOf = (requests: readonly HttpRequest[]): string[] =>
  requests.map(({ headers }) => String(headers['x-attempt']));

test('one event that always gets a 500 while others succeed is a dead letter after its attempts', async () => {
  const { server, client } = await world();
  const target = await startHttpTarget((request) => (kindOf(request) === 'poison' ? { status: 500 } : {}));
  const daemon = await startDaemon(
    `${HEAD}defaults: { retry: { attempts: 4, backoff: { first: 300ms, factor: 1, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, ${HEADERS} } } }
consumers: { c: { stream: IN, start: all, deliver: [{ to: partner }] } }
`,
    { server },
  );
  await publish(client, { subject: 'in.x', body: { kind: 'poison' } });
  let others = 0;
  const buried = async (): Promise<boolean> => outcomesOf(await daemon.metrics(), 'c').deadLettered > 0;
  // The others flow: each is there before the next one is published.
  while (!(await buried())) {
    const poisoned = target.requests.filter((request) => kindOf(request) === 'poison').length;
    expect(poisoned).toBeLessThanOrEqual(4);
    expect(await daemon.total('ouzel_target_breaker_open')).toBe(0);
    await publish(client, { subject: 'in.x', body: { kind: 'good' } });
    others++;
    await waitFor(() => target.requests.length - poisoned >= others, { what: `event ${others} to be delivered` });
  }
  expect(await untilEnded(daemon, 'c', others + 1)).toMatchObject({ delivered: others, deadLettered: 1 });
  // Each failure could have been the beginning of an outage; it counts when the next one shows that it was not.
  const poison = target.requests.filter((request) => kindOf(request) === 'poison');
  expect(attemptsOf(poison)).toEqual(['1', '1', '2', '3']);
  const [letter, ...more] = (await readStream(client, 'OUZEL_DLQ')).map(({ headers }) => headers);
  expect(more).toEqual([]);
  expect(letter).toMatchObject({ 'Ouzel-Reason': 'rejected', 'Ouzel-Attempts': '4', 'Ouzel-Routes': 'partner' });
  const incidents = (await readStream(client, 'OUZEL_EVENTS')).map(({ headers }) => headers['ce-type']);
  expect(incidents).not.toContain('target.unavailable');
}, 120_000);

test('Retry-After is a bound from below, and backoff.max one from above', async () => {
  const { server, client } = await world();
  const asked: Readonly<Record<string, string>> = { soon: '2', never: '86400' };
  const answer = (request: HttpRequest): HttpAnswer => {
    const earlier = target.requests.filter((each) => kindOf(each) === kindOf(request)).length;
    return earlier > 1 ? {} : { status: 429, headers: { 'retry-after': asked[kindOf(request)] ?? '' } };
  };
  const target = await startHttpTarget(answer);
  const daemon = await startDaemon(
    `${HEAD}defaults: { retry: { backoff: { first: 50ms, max: 3s, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, ${HEADERS} } } }
consumers: { c: { stream: IN, start: all, deliver: [{ to: partner }] } }
`,
    { server },
  );
  for (const kind of ['soon', 'never']) await publish(client, { subject: 'in.x', body: { kind } });
  expect(await untilEnded(daemon, 'c', 2)).toMatchObject({ delivered: 2 });
  const gap = (kind: string): number => {
    const [first, second] = target.requests.filter((request) => kindOf(request) === kind).map(({ at }) => at);
    return (second ?? 0) - (first ?? 0);
  };
  expect(gap('soon')).toBeGreaterThanOrEqual(1_990);
  expect(gap('never')).toBeGreaterThanOrEqual(2_990);

  // A whole target that asks for it is left alone for as long, and no longer.
  let refusing = true;
  target.answer = () => (refusing ? { status: 503, headers: { 'retry-after': '86400' } } : {});
  const before = target.requests.length;
  for (let n = 0; n < 10; n++) await publish(client, { subject: 'in.x', body: { kind: 'all' } });
  const open = { target: 'partner' };
  await waitFor(async () => (await daemon.total('ouzel_target_breaker_open', open)) === 1, { what: 'it to be away' });
  const last = Math.max(...target.requests.slice(before, before + 3).map(({ at }) => at));
  refusing = false;
  expect(await untilEnded(daemon, 'c', 12)).toMatchObject({ delivered: 12 });
  const [probe] = target.requests.filter(({ at }) => at > last + 1_000);
  expect((probe?.at ?? 0) - last).toBeGreaterThanOrEqual(2_900);
}, 120_000);

const slowPlugin = (url: string): string => `import { defineTarget } from 'ouzel';
export const slow = defineTarget({
  setup: () => async (event, delivery) => {
    const response = await fetch('${url}', { method: 'POST', body: '{}', signal: delivery.signal, headers: { 'x-kind': 'slow', 'x-attempt': String(delivery.attempt) } });
    await response.text();
  },
});
`;

test('a target may have attempts and a time-out of its own, and one of a plugin obeys its signal', async () => {
  const { server, client } = await world();
  const refusing = await startHttpTarget(() => ({ status: 403 }));
  const hanging = await startHttpTarget(({ index }) => (index === 0 ? { fault: 'hang' } : {}));
  const web = (url: string): string => `webhook: { url: '${url}', allow_private: true, ${HEADERS} }`;
  const daemon = await startDaemon(
    `${HEAD}plugins: { dir: plugins }
defaults: { retry: { attempts: 3, backoff: { first: 50ms } } }
targets:
  strict: { ${web(refusing.url)}, retry: { attempts: 2, backoff: { first: 1s, jitter: 0 } } }
  usual: { ${web(refusing.url)} }
  slow: { plugin: slow, timeout: 1s }
consumers:
  strict: { stream: IN, subjects: [in.strict], start: all, deliver: [{ to: strict }] }
  usual: { stream: IN, subjects: [in.usual], start: all, retry: { attempts: 4 }, deliver: [{ to: usual }] }
  slow: { stream: IN, subjects: [in.slow], start: all, deliver: [{ to: slow }] }
`,
    { server, files: { 'plugins/slow.ts': slowPlugin(hanging.url) } },
  );
  for (const kind of ['strict', 'usual', 'slow']) await publish(client, { subject: `in.${kind}`, body: { kind } });
  await hanging.untilRequests(1);
  await waitFor(() => !hanging.openConnections.has(hanging.requests[0]?.connection ?? 0), {
    what: 'the plugin to let go of its request',
  });
  expect(await untilEnded(daemon, 'slow', 1)).toMatchObject({ delivered: 1 });
  // A time-out is no refusal: the second request is the first attempt still.
  expect(attemptsOf(hanging.requests)).toEqual(['1', '1']);
  expect(daemon.log()).toContain('no answer within 1000 ms');
  for (const consumer of ['strict', 'usual'])
    expect(await untilEnded(daemon, consumer, 1)).toMatchObject({ deadLettered: 1 });
  const of = (kind: string): HttpRequest[] => refusing.requests.filter((request) => kindOf(request) === kind);
  expect([attemptsOf(of('strict')), attemptsOf(of('usual'))]).toEqual([
    ['1', '2'],
    ['1', '2', '3', '4'],
  ]);
  const [first, second] = of('strict').map(({ at }) => at);
  expect((second ?? 0) - (first ?? 0)).toBeGreaterThanOrEqual(990);
  const letters = (await readStream(client, 'OUZEL_DLQ')).map(({ headers }) => headers);
  expect(letters.map((each) => `${each['Ouzel-Consumer']} ${each['Ouzel-Attempts']}`).toSorted()).toEqual([
    'strict 2',
    'usual 4',
  ]);
}, 120_000);

test('twenty thousand events that wait for their next attempt stall no new one', async () => {
  const { server, client } = await world();
  await addStream(client, 'OUT', ['out.>']);
  const refused = '{ publish: { subject: out.refused, headers: { Nats-Expected-Stream: ELSEWHERE } } }';
  const daemon = await startDaemon(
    `${HEAD.replace('level: debug', 'level: error')}defaults: { retry: { backoff: { first: 1h, max: 1h } } }
consumers:
  c:
    stream: IN
    start: all
    deliver:
      - { name: bad, when: 'event.data.kind == "bad"', to: ${refused} }
      - { name: good, else: true, to: { publish: { subject: out.good } } }
`,
    { server },
  );
  const count = 20_000;
  await publishMany(client, count, () => ({ subject: 'in.x', body: { kind: 'bad' } }));
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'c').parked === count, {
    timeout: 30_000,
    what: 'all to be parked',
  });
  await publishMany(client, 100, () => ({ subject: 'in.x', body: { kind: 'good' } }));
  expect(await untilEnded(daemon, 'c', 100)).toMatchObject({ delivered: 100, parked: count, retries: 0, inFlight: 0 });
  await waitFor(async () => (await client.jsm.consumers.info('IN', 'c')).num_ack_pending === 0, { what: 'all acks' });
  await waitFor(async () => (await daemon.total('ouzel_timers_pending', { consumer: 'c' })) === count, {
    what: 'the timers to be counted',
  });
}, 120_000);
