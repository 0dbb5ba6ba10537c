/** Targets that take their time: nothing is delivered twice, and no more is in hand than was said. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publishMany } from '../helpers/publish.ts';
import { respondOn } from '../helpers/responder.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

let server: TestServer;
let client: Client;
let daemon: Daemon;

const consumer = (name: string, more: string): string => `
  ${name}:
    stream: IN
    subjects: [in.${name}]
    start: all
    deliver: [{ to: { publish: { subject: slow.${name}, timeout: 25s } } }]
    ${more}`;

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 2, backoff: { first: 100ms, jitter: 0 } } }
consumers:
  ${consumer('patient', 'ack_wait: 2s')}
  ${consumer('queued', 'ack_wait: 2s\n    concurrency: { max: 1 }')}
  ${consumer('limited', 'concurrency: { max: 3 }')}
  ${consumer('bounded', 'prefetch: 5')}
  ${consumer('impatient', 'timeout: 400ms')}
  target-timeout:
    stream: IN
    subjects: [in.target-timeout]
    start: all
    deliver:
      - { to: { publish: { subject: slow.target-timeout, timeout: 25s }, timeout: 400ms } }
`;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  daemon = await startDaemon(CONFIG, { server });
});

afterAll(async () => {
  await daemon?.kill();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

/** Waits until the oldest event of a consumer has been in hand for so many seconds. */
const untilAge = async (name: string, seconds: number): Promise<unknown> =>
  waitFor(
    async () => (await daemon.total('ouzel_consumer_oldest_unsettled_age_seconds', { consumer: name })) > seconds,
    { timeout: (seconds + 10) * 1000, what: `an event of ${name} to be ${seconds} s in hand` },
  );

// redpanda-data/connect#1106, watermill-nats PR 37: neither what runs nor what waits in the prefetch is redelivered.
test('what takes longer than ack_wait is not delivered again while it runs or waits', async () => {
  const count = 20;
  const [running, waiting] = [await respondOn(client, 'slow.patient'), await respondOn(client, 'slow.queued')];
  await publishMany(client, count, (n) => ({ subject: 'in.patient', body: { n } }));
  await publishMany(client, count, (n) => ({ subject: 'in.queued', body: { n } }));
  await running.untilOpen(count);
  await waiting.untilOpen(1);
  for (const name of ['patient', 'queued']) {
    await untilAge(name, 6);
    expect(outcomesOf(await daemon.metrics(), name)).toMatchObject({ received: count, inFlight: count, ended: 0 });
    const info = await client.jsm.consumers.info('IN', name);
    expect(info).toMatchObject({ num_redelivered: 0, num_ack_pending: count });
  }
  expect(waiting.most).toBe(1);
  running.releaseAll();
  waiting.releaseAll();
  for (const name of ['patient', 'queued'])
    expect(await untilEnded(daemon, name, count)).toMatchObject({ received: count, delivered: count });
  expect([running.received, waiting.received]).toEqual([count, count]);
});

// ag2ai/faststream#2563.
test('no more is at work than `concurrency` allows, and as much as that is', async () => {
  const count = 30;
  const target = await respondOn(client, 'slow.limited');
  await publishMany(client, count, (n) => ({ subject: 'in.limited', body: { n } }));
  for (let done = 0; done < count; done++) {
    await target.untilOpen(Math.min(3, count - done));
    target.release();
  }
  expect(await untilEnded(daemon, 'limited', count)).toMatchObject({ received: count, delivered: count });
  expect(target.most).toBe(3);
});

test('a consumer that holds all it may fetch is backpressured, and goes on when there is room', async () => {
  const name = 'bounded';
  const count = 40;
  const target = await respondOn(client, 'slow.bounded');
  const inState = async (state: string): Promise<boolean> =>
    (await daemon.total('ouzel_consumer_state', { consumer: name, state })) === 1;
  expect(await inState('running')).toBe(true);
  await publishMany(client, count, (n) => ({ subject: 'in.bounded', body: { n } }));
  await target.untilOpen(5);
  await waitFor(() => inState('backpressured'), { what: 'the state to be backpressured' });
  expect(await inState('running')).toBe(false);
  // A daemon under pressure is ready: it does what it can.
  expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
  await untilAge(name, 2);
  expect(target.open.length).toBe(5);
  const info = await client.jsm.consumers.info('IN', name);
  expect(info).toMatchObject({ num_ack_pending: 5, num_pending: count - 5 });
  target.releaseAll();
  expect(await untilEnded(daemon, name, count)).toMatchObject({ received: count, delivered: count });
  expect(target.most).toBe(5);
  expect(await inState('running')).toBe(true);
});

test.each(['impatient', 'target-timeout'])('%s: an attempt that runs out of time is tried again', async (name) => {
  const target = await respondOn(client, `slow.${name}`);
  await publishMany(client, 1, () => ({ subject: `in.${name}`, body: {} }));
  // More rounds than there are attempts: time that ran out says nothing about the event.
  await target.untilOpen(3);
  expect(outcomesOf(await daemon.metrics(), name)).toMatchObject({ ended: 0 });
  target.releaseAll();
  const outcomes = await untilEnded(daemon, name, 1);
  expect(outcomes).toMatchObject({ delivered: 1, deadLettered: 0 });
  expect(outcomes.retries).toBeGreaterThanOrEqual(2);
  const metrics = await daemon.metrics();
  expect(metrics.total('ouzel_event_retries_total', { consumer: name, reason: 'unavailable' })).toBe(outcomes.retries);
  expect(metrics.total('ouzel_deliveries_total', { consumer: name, result: 'unavailable' })).toBe(outcomes.retries);
  expect(daemon.logLines()).toContainEqual(
    expect.objectContaining({ consumer: name, code: 'TARGET_TIMEOUT', error: 'no answer within 400 ms' }),
  );
});
