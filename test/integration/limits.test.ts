/** An account that has no more room: nothing is lost, and it goes on when there is some. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { linesWith, startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publishMany, readStream } from '../helpers/publish.ts';
import { readyz, untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

/** One account with as much room on the disk; memory is not limited, so that events can still be published. */
const account = (disk: string): string => `accounts { A: {
  jetstream: { max_file: ${disk}, max_mem: -1 }
  users: [{ user: u, password: p }]
} }
`;
const USER = { user: 'u', pass: 'p' };

const config = (more: string): string => `
version: 1
nats: { servers: "@NATS@", user: u, password: p }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
${more}`;

test('the stream of a target has no room: no attempt is used up', async () => {
  await using server = await startServer({ config: account('40KB') });
  await using client = await connectTo(server, USER);
  await addStream(client, 'EV', ['ev.>']);
  await using daemon = await startDaemon(
    config(`
streams: { OUT: { subjects: ["out.>"] } }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, deliver: [{ to: { publish: { subject: out.relay } } }] }
`),
    { server },
  );
  const load = startLoad(client, 'ev', 4);
  await waitFor(() => linesWith(daemon, 'TARGET_UNAVAILABLE') > 0, { what: 'a publish to be refused' });
  await load.more(200);
  expect(outcomesOf(await daemon.metrics(), 'relay').deadLettered).toBe(0);
  // Either the target is away, or what Ouzel itself has to store finds no room: the account is one.
  await waitFor(
    async () => /"target":"relay\/publish"|consumer relay: .*is refused/.test((await readyz(daemon)).body),
    {
      what: '/readyz to say so',
    },
  );
  const line = daemon.logLines().find(({ code }) => code === 'TARGET_UNAVAILABLE');
  expect(line).toMatchObject({
    consumer: 'relay',
    target: 'publish',
    error: expect.stringMatching(/JetStream error 10002|JetStream error 10023/) as string,
  });
  await server.reload(account('100MB'));
  await untilReady(daemon, 200);
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  // At most a line a second, however many events failed.
  expect(linesWith(daemon, 'event failed and will be tried again')).toBeLessThan(60);
}, 120_000);

test('the dead letters have no room: each event is kept until its letter is stored', async () => {
  await using server = await startServer({ config: account('20KB') });
  await using client = await connectTo(server, USER);
  await addStream(client, 'EV', ['ev.>']);
  await using daemon = await startDaemon(
    config(`
consumers:
  broken: { stream: EV, start: all, ack_wait: 3s, pipeline: [{ filter: event.data.x == 1 }] }
`),
    { server },
  );
  const count = 100;
  await publishMany(client, count, (n) => ({ subject: 'ev.x', body: `no JSON: ${n}` }));
  await waitFor(() => linesWith(daemon, 'dead letter could not be stored; the event is kept') > 0, {
    what: 'a refusal',
  });
  await server.reload(account('100MB'));
  expect(await untilEnded(daemon, 'broken', count, 60_000)).toMatchObject({ deadLettered: count });
  const letters = (await readStream(client, 'OUZEL_DLQ')).map(({ body }) => body);
  expect(new Set(letters).size).toBe(count);
  expect(letters.length).toBe(count);
}, 120_000);

test('no room at the start: the daemon says so and waits', async () => {
  await using server = await startServer({ config: account('1MB') });
  await using client = await connectTo(server, USER);
  await addStream(client, 'EV', ['ev.>']);
  await client.jsm.streams.add({ name: 'FULL', subjects: ['full'], max_bytes: 1024 * 1024 });
  await using daemon = await startDaemon(
    config(`
streams: { OUT: { subjects: ["out.>"], max_bytes: 100KB } }
consumers:
  relay: { stream: EV, start: all, deliver: [{ to: { publish: { subject: out.relay } } }] }
`),
    { server, until: 'live' },
  );
  expect(await untilReady(daemon, 503, /stream/)).toMatch(/insufficient|exceed|resource/);
  await server.reload(account('1GB'));
  await untilReady(daemon, 200);
  expect(linesWith(daemon, '"level":"error"')).toBe(1);
}, 120_000);
