/** What waits, as an operator sees it: listed, let go on, ended, and gone with its consumer. */
import { expect, test } from 'vitest';
import { waitingTimers } from '../../src/nats/timers.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

interface Listed {
  readonly waiting: number;
  readonly next: string | null;
  readonly timers: readonly {
    readonly id: string;
    readonly why: string;
    readonly key: string | null;
    readonly seq: number;
  }[];
}

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
`;
const DELAYED = `  delayed: { stream: IN, subjects: [in.delayed], start: all, delay: { for: 1h }, on_remove: delete, deliver: [{ to: { publish: { subject: out.delayed } } }] }
`;
const HELD = `  held: { stream: IN, subjects: [in.held], start: all, debounce: { by: event.data.k, quiet: 1h }, deliver: [{ to: { publish: { subject: out.held } } }] }
`;

const NO_TIMERS = { retry: 0, throttle: 0, delay: 0, debounce: 0 };

test('events that wait are listed, go on at once, or end; and those of a removed consumer are gone', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  const daemon = await startDaemon(`${HEAD}consumers:\n${DELAYED}${HELD}`, { server });
  const ouzel = async (...args: string[]) => runCli([...args, '--config', daemon.configFile]);
  const api = async (consumer: string, rest: string, method = 'GET') => {
    const response = await fetch(`${daemon.http}/api/v1/consumers/${consumer}/timers${rest}`, { method });
    return { status: response.status, body: (await response.json()) as { readonly detail?: string } };
  };
  const list = async (consumer: string, query = ''): Promise<Listed> => {
    const { status, body } = await api(consumer, query);
    expect(status).toBe(200);
    return body as unknown as Listed;
  };
  const decide = async (consumer: string, id: string | undefined, verb: 'fire' | 'cancel') =>
    api(consumer, `/${id}/${verb}`, 'POST');
  for (const n of [1, 2, 3]) await publish(client, { subject: 'in.delayed', body: { n } });
  for (const k of ['a', 'b', 'c']) await publish(client, { subject: 'in.held', body: { k } });
  await waitFor(async () => (await daemon.total('ouzel_events_parked_total')) === 6, { what: 'all to wait' });
  await waitFor(async () => (await daemon.total('ouzel_timers_pending', { consumer: 'delayed' })) === 3, {
    what: 'the metric',
  });
  for (const counted of [0, 100_000]) {
    const waiting = await waitingTimers(client.jsm, ['delayed', 'held', 'other'], counted);
    const all = ['delayed', 'held', 'other'].map((name) => ({ ...NO_TIMERS, ...waiting?.get(name) }));
    expect(all).toEqual([{ ...NO_TIMERS, delay: 3 }, { ...NO_TIMERS, debounce: 3 }, NO_TIMERS]);
  }

  const delayed = await list('delayed');
  expect(delayed).toMatchObject({ waiting: 3, next: null });
  expect(delayed.timers.map(({ why, key, seq }) => ({ why, key, seq }))).toEqual(
    [1, 2, 3].map((seq) => ({ why: 'delay', key: null, seq })),
  );
  const first = await list('delayed', '?limit=2');
  const rest = await list('delayed', `?limit=2&after=${first.next}`);
  expect([...first.timers, ...rest.timers]).toEqual(delayed.timers);
  const { timers: unsorted } = await list('held');
  const held = unsorted.toSorted((one, other) => String(one.key).localeCompare(String(other.key)));
  expect(held.map(({ why, key }) => ({ why, key }))).toEqual(['a', 'b', 'c'].map((key) => ({ why: 'debounce', key })));
  expect((await ouzel('consumers', 'show', 'delayed')).stdout).toContain('3: delay 3; the first until ');

  const [one, two, three] = delayed.timers.map(({ id }) => id);
  const [a, b] = held.map(({ id }) => id);
  expect(await decide('delayed', one, 'fire')).toMatchObject({ status: 200, body: { seq: 1 } });
  expect(await decide('held', a, 'fire')).toMatchObject({ status: 200, body: { key: 'a' } });
  expect(await decide('held', b, 'cancel')).toMatchObject({ status: 200, body: { key: 'b' } });
  expect((await ouzel('timers', 'cancel', 'delayed', two ?? '')).stdout).toBe(`${two}: IN:2 is cancelled\n`);
  expect(await untilEnded(daemon, 'delayed', 2)).toMatchObject({ delivered: 1, dropped: 1 });
  expect(await untilEnded(daemon, 'held', 2)).toMatchObject({ delivered: 1, dropped: 1 });
  expect(await daemon.total('ouzel_events_total', { outcome: 'dropped', reason: 'cancelled' })).toBe(2);
  expect((await readStream(client, 'OUT')).map(({ body }) => body)).toEqual(['{"n":1}', '{"k":"a"}']);
  expect(await decide('delayed', two, 'cancel')).toMatchObject({ status: 404 });
  // Of another consumer.
  expect(await decide('held', three, 'fire')).toMatchObject({ status: 404 });
  const acts = (await readStream(client, 'OUZEL_AUDIT')).map(
    ({ body }) => JSON.parse(body) as { what: string; outcome: string },
  );
  expect(acts.filter(({ outcome }) => outcome === 'done').map(({ what }) => what)).toEqual([
    'timer.fire',
    'timer.fire',
    'timer.cancel',
    'timer.cancel',
  ]);

  const left = async (stream: string, filter: string): Promise<number> =>
    Object.values((await client.jsm.streams.info(stream, { subjects_filter: filter })).state.subjects ?? {}).length;
  expect(await left('OUZEL_TIMERS', 'ouzel.timer.delayed.>')).toBe(1);
  await daemon.write(`${HEAD}consumers:\n${HELD}`);
  await waitFor(async () => (await left('OUZEL_TIMERS', 'ouzel.timer.delayed.>')) === 0, {
    what: 'its timers to be gone',
  });
  await daemon.write(`${HEAD}consumers: {}\n`);
  await waitFor(() => daemon.log().includes('"durable":"kept"'), { what: 'the other to be removed' });
  expect(await left('OUZEL_HELD', 'ouzel.held.held.*')).toBeGreaterThan(0);
  await waitFor(async () => (await client.jsm.consumers.info('OUZEL_TIMERS', 'held')).num_waiting === 0, {
    what: 'its last pull to end',
  });
  await waitFor(async () => (await client.jsm.consumers.info('IN', 'held')).num_waiting === 0, {
    what: 'its last pull to end',
  });
  expect((await ouzel('consumers', 'prune', '--yes')).code).toBe(0);
  expect(await left('OUZEL_HELD', 'ouzel.held.held.*')).toBe(0);
  expect(await left('OUZEL_TIMERS', 'ouzel.timer.held.>')).toBe(0);
}, 240_000);
