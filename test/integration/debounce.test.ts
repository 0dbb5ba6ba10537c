/** `debounce`: of the events of a key that come close together the newest goes on, whatever happens meanwhile. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const consumer = (debounce: string): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
consumers:
  latest:
    stream: IN
    subjects: [in.x]
    start: all
    ack_wait: 1s
    debounce: ${debounce}
    deliver: [{ to: { publish: { subject: 'out.{{ event.data.k }}' } } }]
  large: { stream: IN, subjects: [in.large], start: all, debounce: ${debounce} }
`;

async function setUp() {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  const out = async (): Promise<{ k: number; n: number }[]> =>
    (await readStream(client, 'OUT')).map(({ body }) => JSON.parse(body) as { k: number; n: number });
  const timers = async (): Promise<number> => (await client.jsm.streams.info('OUZEL_TIMERS')).state.messages;
  /** Nothing waits any more; what went on is still remembered. */
  const atRest = async (): Promise<boolean> =>
    (await timers()) === 0 &&
    (await readStream(client, 'OUZEL_HELD')).every(({ headers }) => headers['Ouzel-State'] === 'gone');
  return { server, client, atRest, out };
}

test('the newest of a burst goes on, the others are superseded, and nothing stays behind', async () => {
  const { server, client, atRest, out } = await setUp();
  const daemon = await startDaemon(consumer('{ by: event.data.k, quiet: 1s }'), { server });
  await publishMany(client, 60, (n) => ({ subject: 'in.x', body: { k: n % 3, n } }));
  await publish(client, { subject: 'in.x', body: { n: 'without' } });
  // That has no key of its own, and no subject to be published to.
  expect(await untilEnded(daemon, 'latest', 61)).toMatchObject({ delivered: 3, dropped: 57, deadLettered: 1 });
  expect(await daemon.total('ouzel_events_total', { outcome: 'dropped', reason: 'superseded' })).toBe(57);
  const sorted = (await out()).toSorted((a, b) => a.n - b.n);
  expect(sorted).toEqual([57, 58, 59].map((n) => ({ k: n % 3, n })));
  await waitFor(atRest, { what: 'nothing to be held' });
  // A body that leaves no room for the headers is kept apart.
  await publish(client, { subject: 'in.large', body: { k: 1, text: 'x'.repeat(1024 * 1024 - 100) } });
  expect(await untilEnded(daemon, 'large', 1)).toMatchObject({ delivered: 1, parked: 1, deadLettered: 0 });
}, 60_000);

test('two instances, of which one is killed again and again: the newest of each key goes on', async () => {
  const { server, client, atRest, out } = await setUp();
  const config = consumer('{ by: event.data.k, quiet: 700ms, at_most: 3s }');
  const keys = 20;
  const stays = await startDaemon(config, { server });
  let other = await startDaemon(config, { server });
  let n = 0;
  for (let round = 0; round < 4; round++) {
    const total = (await other.total('ouzel_events_parked_total')) + 20;
    let isKilled = false;
    const killed = waitFor(async () => (await other.total('ouzel_events_parked_total')) >= total, {
      what: 'events to be held by the other one',
    }).then(async () => {
      await other.kill();
      isKilled = true;
    });
    // Bursts, until it is dead in the middle of one.
    while (!isKilled) await publishMany(client, keys, () => ({ subject: 'in.x', body: { k: n % keys, n: n++ } }));
    await killed;
    other = await startDaemon(config, { server });
  }
  const newest = new Map(Array.from({ length: keys }, (_, index) => [(n - 1 - index) % keys, n - 1 - index]));
  const isThere = async (): Promise<boolean> => {
    const found = new Set((await out()).map(({ n: each }) => each));
    return [...newest.values()].every((each) => found.has(each));
  };
  await waitFor(isThere, { what: 'the newest of each key', timeout: 20_000 });
  await waitFor(atRest, { what: 'nothing to be held', timeout: 20_000 });
  // Far more came than went on: they were held, and superseded each other over all instances.
  expect((await out()).length).toBeLessThan(n / 10);
  expect((await client.jsm.consumers.info('IN', 'latest')).num_ack_pending).toBe(0);
  for (const daemon of [stays, other])
    expect(await daemon.total('ouzel_events_total', { outcome: 'dead_lettered' })).toBe(0);
}, 120_000);
