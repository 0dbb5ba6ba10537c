/** What is remembered of events that failed or were cut off: over restarts, over instances, and over the process's end. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { respondOn } from '../helpers/responder.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
plugins: { dir: plugins }
defaults: { retry: { attempts: 3, backoff: { first: 200ms, factor: 2, jitter: 0 } } }
consumers:
`;
/** A publish that the stream refuses each time: it expects to arrive at another one. */
const REFUSED = '{ publish: { subject: out.refused, headers: { Nats-Expected-Stream: ELSEWHERE } } }';

async function world(): Promise<{ server: TestServer; client: Client }> {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  return { server, client };
}

const headersOfLetters = async (client: Client) =>
  (await readStream(client, 'OUZEL_DLQ')).map(({ headers }) => headers);

const atRest = (client: Client, stream: string, durable: string): Promise<boolean> =>
  waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info(stream, durable);
      return unacked === 0 && pending === 0;
    },
    { timeout: 30_000, what: `nothing of ${durable} to be left on the server` },
  );

/** Ends its process without a word when it meets an event that says so. */
const DEADLY = `import { defineFilter } from 'ouzel';
export const deadly = defineFilter({
  setup: () => (event) => {
    if (event.get('data.deadly') === true) process.kill(process.pid, 'SIGKILL');
    return true;
  },
});
`;

test('an event whose handling kills the process ends as poison, and takes no other event with it', async () => {
  const { server, client } = await world();
  const yaml = `${HEAD}  c: { stream: IN, start: all, ack_wait: 3s, pipeline: [{ plugin: deadly }], deliver: [{ to: { publish: { subject: out.x } } }] }\n`;
  const deadly = 17;
  const count = 40;
  await publishMany(client, count, (n) => ({ subject: 'in.x', body: { n, deadly: n === deadly } }));
  let deaths = 0;
  for (;;) {
    const daemon = await startDaemon(yaml, { server, files: { 'plugins/deadly.ts': DEADLY }, until: 'spawned' });
    const ended = await Promise.race([
      daemon.exited(60_000).then(() => 'died' as const),
      waitFor(async () => (await client.jsm.streams.info('OUZEL_DLQ')).state.messages > 0, {
        timeout: 60_000,
        what: 'the dead letter',
      }).then(() => 'buried' as const),
    ]);
    if (ended === 'buried') {
      await atRest(client, 'IN', 'c');
      expect(outcomesOf(await daemon.metrics(), 'c').deadLettered).toBe(1);
      break;
    }
    deaths++;
    // The first death is noted nowhere, the second makes all that was at work suspect; then it dies three times alone.
    expect(deaths).toBeLessThanOrEqual(5);
  }
  expect(deaths).toBe(5);
  const [letter, ...others] = await headersOfLetters(client);
  expect(others).toEqual([]);
  expect(letter).toMatchObject({ 'Ouzel-Reason': 'poison', 'Ouzel-Sequence': String(deadly + 1) });
  expect(letter?.['Ouzel-Error']).toMatch(
    /^EVENT_POISON: its handling began 3 times with no other suspect at work and never ended/,
  );
  const numbers = (await readStream(client, 'OUT')).map(({ body }) => (JSON.parse(body) as { n: number }).n);
  expect(numbers.toSorted((a, b) => a - b)).toEqual(
    Array.from({ length: count }, (_, n) => n).filter((n) => n !== deadly),
  );
  // Nothing is left of what was noted.
  const { state } = await client.jsm.streams.info('KV_OUZEL_ATTEMPTS', { subjects_filter: '>' });
  const left = await Promise.all(
    Object.keys(state.subjects ?? {}).map((subject) =>
      client.jsm.streams.getMessage('KV_OUZEL_ATTEMPTS', { last_by_subj: subject }),
    ),
  );
  expect(left.filter((message) => message?.header.get('KV-Operation') !== 'PURGE')).toEqual([]);
}, 150_000);

// frain-dev/convoy#1833: the attempt counter survives a restart.
test('attempts are counted over restarts and instances, and a kill is none', async () => {
  const { server, client } = await world();
  const yaml = `${HEAD}  c: { stream: IN, start: all, ack_wait: 3s, retry: { attempts: 4, backoff: { first: 2s, factor: 1 } }, deliver: [{ to: ${REFUSED} }] }\n`;
  await publish(client, { subject: 'in.x', body: {} });
  for (const attempt of [1, 2]) {
    const daemon = await startDaemon(yaml, { server });
    // It is noted by then: the event goes back after that.
    await waitFor(async () => outcomesOf(await daemon.metrics(), 'c').retries > 0, { what: `attempt ${attempt}` });
    await daemon.kill();
  }
  await using one = await startDaemon(yaml, { server });
  await using two = await startDaemon(yaml, { server });
  await waitFor(async () => (await client.jsm.streams.info('OUZEL_DLQ')).state.messages === 1, {
    timeout: 20_000,
    what: 'the dead letter',
  });
  await atRest(client, 'IN', 'c');
  // Each attempt that ended was noted; one that a kill cut off before it could be noted may count, and no more than that.
  const [letter] = await headersOfLetters(client);
  expect(letter).toMatchObject({ 'Ouzel-Attempts': '4' });
  const all = one.log() + two.log();
  expect(all).toContain('event went into the dead letters');
}, 120_000);

test('a route that confirmed is not repeated by the next process', async () => {
  const { server, client } = await world();
  const heard: string[] = [];
  client.nc.subscribe('heard.once', { callback: (_error, message) => void heard.push(message.string()) });
  const fails = `deliver: [{ name: sure, to: { publish: { subject: heard.once, core: true } } }, { name: bad, to: ${REFUSED} }]`;
  const yaml = `${HEAD}  c: { stream: IN, start: all, ack_wait: 3s, retry: { backoff: { first: 4s } }, ${fails} }\n`;
  await publish(client, { subject: 'in.x', body: { n: 1 } });
  const first = await startDaemon(yaml, { server });
  await waitFor(async () => outcomesOf(await first.metrics(), 'c').parked === 1, { what: 'the first failure' });
  await first.kill();
  await using next = await startDaemon(yaml, { server });
  expect(await untilEnded(next, 'c', 1)).toMatchObject({ deadLettered: 1 });
  await client.nc.flush();
  expect(heard).toEqual(['{"n":1}']);
  expect(await headersOfLetters(client)).toMatchObject([{ 'Ouzel-Routes': 'bad', 'Ouzel-Attempts': '3' }]);
}, 120_000);

test('a retry that waits in a timer comes back though its process is gone, with the event as it was', async () => {
  const { server, client } = await world();
  const yaml = (target: string): string =>
    `${HEAD}  c: { stream: IN, start: all, ack_wait: 3s, retry: { backoff: { first: 4s } }, deliver: [{ to: ${target} }] }\n`;
  await publish(client, {
    subject: 'in.x',
    body: '{"n":  1}',
    headers: { 'X-Own': 'ü' },
    id: 'msg-1',
  });
  const first = await startDaemon(yaml(REFUSED), { server });
  await waitFor(async () => outcomesOf(await first.metrics(), 'c').parked === 1, { what: 'the event to be parked' });
  expect(outcomesOf(await first.metrics(), 'c')).toMatchObject({ received: 1, inFlight: 0, retries: 0 });
  expect((await client.jsm.consumers.info('IN', 'c')).num_ack_pending).toBe(0);
  await first.kill();
  await using next = await startDaemon(yaml('{ publish: { subject: out.good } }'), { server });
  expect(await untilEnded(next, 'c', 1)).toMatchObject({ delivered: 1, retries: 0, parked: 0 });
  const [message] = await readStream(client, 'OUT');
  expect(message).toMatchObject({ body: '{"n":  1}', headers: { 'ce-id': 'msg-1', 'X-Own': 'ü' } });
  await waitFor(async () => (await client.jsm.streams.info('OUZEL_TIMERS')).state.messages === 0, {
    what: 'the timer to be gone',
  });
}, 120_000);

// connect#1106: what a process does with events that it has lost meanwhile.
test('a process that was stopped beyond ack_wait starts nothing of what the others have by now', async () => {
  const { server, client } = await world();
  const target = await respondOn(client, 'slow.out');
  const yaml = `${HEAD}  c: { stream: IN, start: all, ack_wait: 2s, concurrency: { max: 2 }, deliver: [{ to: { publish: { subject: slow.out, timeout: 25s } } }] }\n`;
  await using stopped = await startDaemon(yaml, { server });
  const count = 10;
  await publishMany(client, count, (n) => ({ subject: 'in.x', body: { n } }));
  await target.untilOpen(2);
  await waitFor(async () => outcomesOf(await stopped.metrics(), 'c').received === count, { what: 'the prefetch' });
  stopped.signal('SIGSTOP');
  await using other = await startDaemon(yaml, { server });
  // It takes over all of them, two at a time.
  await target.untilOpen(4);
  await waitFor(async () => outcomesOf(await other.metrics(), 'c').received === count, {
    timeout: 20_000,
    what: 'the other to have all',
  });
  stopped.signal('SIGCONT');
  await waitFor(async () => outcomesOf(await stopped.metrics(), 'c').returned >= count - 2, {
    what: 'what had not started to be let go',
  });
  target.releaseAll();
  await atRest(client, 'IN', 'c');
  // The two that were at work are done twice, with the same ids; nothing else is.
  expect(target.received).toBe(count + 2);
  const [mine, theirs] = [await stopped.metrics(), await other.metrics()];
  expect(outcomesOf(mine, 'c')).toMatchObject({ delivered: 2, retries: 0, deadLettered: 0 });
  expect(outcomesOf(theirs, 'c')).toMatchObject({ delivered: count, retries: 0, deadLettered: 0 });
}, 120_000);

test('a drain that runs out of time notes what was confirmed and gives the event back at once', async () => {
  const { server, client } = await world();
  const heard: string[] = [];
  client.nc.subscribe('heard.once', { callback: (_error, message) => void heard.push(message.string()) });
  const target = await respondOn(client, 'slow.out');
  const yaml = `${HEAD}  c:
    stream: IN
    start: all
    ack_wait: 10m
    timeout: 3s
    deliver: [{ name: sure, to: { publish: { subject: heard.once, core: true } } }, { to: { publish: { subject: slow.out, timeout: 3s } } }]
`
    .replace('http: { listen: "@HTTP@" }', 'http: { listen: "@HTTP@", drain: 3500ms }')
    .replace('defaults: {', 'defaults: { timeout: 3s,');
  await publish(client, { subject: 'in.x', body: { n: 1 } });
  const first = await startDaemon(yaml, { server });
  await target.untilOpen(1);
  expect(await first.terminate()).toBe(0);
  await using next = await startDaemon(yaml, { server });
  await target.untilOpen(2);
  target.releaseAll();
  // Without being given back it would come in ten minutes.
  expect(await untilEnded(next, 'c', 1)).toMatchObject({ delivered: 1 });
  await client.nc.flush();
  expect(heard).toEqual(['{"n":1}']);
  expect(next.log()).not.toContain('"attempt":2');
}, 120_000);
