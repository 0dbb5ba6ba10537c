/** Streams and durables that are deleted under load: what the server keeps is handled, and the daemon goes on. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { linesWith, startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { addStream, connectTo, readStream } from '../helpers/publish.ts';
import { untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
streams:
  EV: { subjects: ["ev.>"] }
  OUT: { subjects: ["out.>"] }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, deliver: [{ to: { publish: { subject: out.relay } } }] }
`;

// nats.node#570.
test('the durable is deleted under load, time and again: every event comes through', async () => {
  await using server = await startServer();
  await using daemon = await startDaemon(CONFIG, { server });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev');
  for (const round of [1, 2, 3]) {
    await load.more(500);
    await client.jsm.consumers.delete('EV', 'relay');
    await waitFor(async () => (await daemon.total('ouzel_consumer_recreated_total')) === round, {
      what: () => `the durable to be made anew for the ${round}. time. Its log:\n${daemon.log().slice(-2000)}`,
    });
    await untilReady(daemon, 200);
  }
  await load.more(500);
  const count = await load.stop();
  // What was in hand comes again, with the id it had; the stream keeps one of it.
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  expect(linesWith(daemon, 'the durable was gone and has been made anew')).toBe(3);
  expect(linesWith(daemon, 'the pull ended')).toBe(3);
}, 120_000);

test('the stream is deleted under load and made again: all that the new one holds comes through', async () => {
  await using server = await startServer();
  await using daemon = await startDaemon(CONFIG, { server });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev');
  for (const wait of [true, false]) {
    await load.more(500);
    await client.jsm.streams.delete('EV');
    if (wait) expect(await untilReady(daemon, 503)).toContain('there is no stream EV on the server');
    await addStream(client, 'EV', ['ev.>']);
    await untilReady(daemon, 200);
    await load.more(500);
  }
  await load.stop();
  const kept = (await readStream(client, 'EV')).map(({ body }) => (JSON.parse(body) as { n: number }).n);
  await untilAtRest(client, 'EV', daemon, 'relay');
  const through = new Set((await readStream(client, 'OUT')).map(({ body }) => (JSON.parse(body) as { n: number }).n));
  expect(kept.filter((n) => !through.has(n))).toEqual([]);
  expect(linesWith(daemon, 'there is no stream EV on the server')).toBeLessThanOrEqual(2);
}, 120_000);

test("a target's stream is deleted under load and made again: nothing is acked meanwhile", async () => {
  await using server = await startServer();
  await using daemon = await startDaemon(CONFIG, { server });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev');
  await load.more(500);
  await client.jsm.streams.delete('OUT');
  const deletedAt = performance.now();
  await waitFor(() => linesWith(daemon, 'TARGET_NO_STREAM') > 0, { what: 'a publish to find no stream' });
  // What was confirmed went with the stream; what is published from here on can only be in the new one.
  const { last_seq: from } = (await client.jsm.streams.info('EV')).state;
  await load.more(500);
  await addStream(client, 'OUT', ['out.>']);
  await load.stop();
  await untilAtRest(client, 'EV', daemon, 'relay');
  const seconds = (performance.now() - deletedAt) / 1000;
  const all = (await readStream(client, 'EV')).filter(({ sequence }) => sequence > from);
  expect(all.length).toBeGreaterThanOrEqual(400);
  const through = new Set((await readStream(client, 'OUT')).map(({ body }) => (JSON.parse(body) as { n: number }).n));
  expect(all.filter(({ body }) => !through.has((JSON.parse(body) as { n: number }).n))).toEqual([]);
  // Hundreds fail: the log has a line a second of each reason, and there are two at most.
  expect(linesWith(daemon, 'event failed and will be tried again')).toBeLessThan(10 + 2 * seconds);
}, 120_000);

// redpanda-data/connect#3312: nobody answers, and then somebody does.
test('a service that nobody offers under load is waited for', async () => {
  await using server = await startServer();
  const asking = CONFIG.replace(
    'publish: { subject: out.relay }',
    'request: { subject: svc.x, reply: { publish: { subject: out.relay } } }',
  );
  await using daemon = await startDaemon(asking, { server });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev', 4);
  await waitFor(() => linesWith(daemon, 'nobody answers to this subject') > 0, { what: 'a request without an answer' });
  await load.more(500);
  client.nc.subscribe('svc.x', { callback: (_error, message) => void message.respond(message.data) });
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
}, 120_000);
