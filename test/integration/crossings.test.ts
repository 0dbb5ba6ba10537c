/** Stages of flow control that stand together in one consumer: what each promises still holds. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const KEYS = 10;

interface Sent {
  readonly key: number;
  readonly n: number;
}

const CONFIG = (url: string): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, factor: 1, jitter: 0 } } }
targets:
  partner: { webhook: { url: '${url}/{{ msg.subject }}', cloudevents: raw, allow_private: true } }
  batches: { webhook: { url: '${url}/batches', cloudevents: raw, allow_private: true } }
consumers:
  deduped:
    { stream: IN, subjects: [in.deduped], ack_wait: 2s, order_by: event.data.key, dedupe: { by: event.data.n, within: 1h }, deliver: [{ to: partner }] }
  delayed:
    stream: IN
    subjects: [in.delayed]
    ack_wait: 1s
    order_by: event.data.key
    expire: { after: 1h, from: timestamp(event.data.at) }
    delay: { for: 500ms }
    retry: { attempts: 3, backoff: { first: 2s, factor: 1, jitter: 0 } }
    deliver: [{ to: partner }]
  quiet:
    { stream: IN, subjects: [in.quiet], order_by: event.data.key, debounce: { by: event.data.key, quiet: 1s }, deliver: [{ to: partner }] }
  paced:
    stream: IN
    subjects: [in.paced]
    group: { by: event.data.key, max: 5, within: 60s }
    expire: { after: 1h, from: timestamp(event.data.at) }
    throttle: { limit: 20, per: 1s, burst: 1 }
    deliver: [{ to: batches }]
`;

test('order, dedupe, delay, debounce, expire, throttle and group keep what they promise beside each other', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  /** What was accepted by each consumer, in order; and requests of a key that are at work, with the most at once. */
  const accepted = new Map<string, Sent[]>();
  const open = new Map<string, number>();
  let most = 0;
  const refused = new Set<number>();
  const batches: Sent[][] = [];
  const target = await startHttpTarget(async ({ path, body }) => {
    const events = [JSON.parse(body) as Sent | Sent[]].flat();
    if (path === '/batches') {
      batches.push(events);
      return {};
    }
    const [event = { key: -1, n: -1 }] = events;
    const key = `${path} ${event.key}`;
    open.set(key, (open.get(key) ?? 0) + 1);
    most = Math.max(most, open.get(key) ?? 0);
    await new Promise((resolve) => setTimeout(resolve, 2));
    open.set(key, (open.get(key) ?? 0) - 1);
    if (path.endsWith('delayed') && event.n % 10 === 3 && !refused.has(event.n)) {
      refused.add(event.n);
      return { status: 409 };
    }
    accepted.set(path, [...(accepted.get(path) ?? []), event]);
    return {};
  });
  const daemon = await startDaemon(CONFIG(target.url), { server });
  const at = Date.now();
  const send = async (consumer: string, from: number, count: number, age = 0): Promise<void> =>
    publishMany(client, count, (index) => ({
      subject: `in.${consumer}`,
      body: { key: (from + index) % KEYS, n: from + index, at: new Date(at - age).toISOString() },
    }));
  const of = (consumer: string): number[] => (accepted.get(`/in.${consumer}`) ?? []).map(({ n }) => n);
  const LONG_AGO = 2 * 3_600_000;

  await send('quiet', 0, 100);
  await send('delayed', 0, 50);
  await send('delayed', 50, 10, LONG_AGO);
  await send('paced', 0, 30);
  await send('paced', 30, 10, LONG_AGO);
  await send('paced', 40, 20);

  // What dedupe remembers in is gone for a moment, so that it fails for some of a key and not for those behind them.
  for (let part = 0; part < 6; part++) {
    const sent = send('deduped', part * 250, 250);
    if (part === 1) await client.jsm.streams.delete('OUZEL_SEEN');
    await sent;
    await waitFor(() => of('deduped').length > part * 200, { what: 'some to come' });
  }
  await waitFor(() => of('deduped').length === 1500, {
    what: () => `1500 events, of which ${of('deduped').length} came`,
    timeout: 60_000,
  });
  await send('deduped', 1490, 10);
  await untilEnded(daemon, 'deduped', 1510);
  expect(await daemon.total('ouzel_event_retries_total', { consumer: 'deduped' })).toBeGreaterThan(0);
  expect(await daemon.total('ouzel_events_total', { consumer: 'deduped', reason: 'duplicate' })).toBe(10);
  for (let key = 0; key < KEYS; key++) {
    const numbers = of('deduped').filter((n) => n % KEYS === key);
    expect(numbers).toEqual(numbers.toSorted((left, right) => left - right));
  }

  expect(await untilEnded(daemon, 'delayed', 60)).toMatchObject({ delivered: 50, dropped: 10 });
  expect(of('delayed').toSorted((left, right) => left - right)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  expect(refused.size).toBe(5);
  expect(await untilEnded(daemon, 'quiet', 100)).toMatchObject({ delivered: KEYS, dropped: 100 - KEYS });
  expect(of('quiet').toSorted((left, right) => left - right)).toEqual(Array.from({ length: KEYS }, (_, n) => 90 + n));
  expect(most).toBe(1);

  expect(await untilEnded(daemon, 'paced', 60)).toMatchObject({ delivered: 50, dropped: 10 });
  expect(batches.map((batch) => batch.length)).toEqual(Array.from({ length: 10 }, () => 5));
  expect(batches.every((batch) => batch.every(({ key }) => key === batch[0]?.key))).toBe(true);
  // Each batch is paced as one.
  expect(await daemon.total('ouzel_throttled_seconds_total', { consumer: 'paced' })).toBeGreaterThan(0);
  expect(await daemon.terminate()).toBe(0);
  await client.nc.close();
}, 180_000);
