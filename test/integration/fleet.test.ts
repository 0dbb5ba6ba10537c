/** The fleet's configuration in KV, as every instance follows it: resources and pauses that somebody puts there. */
import { expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { readyz, untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const FILE = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  IN: { subjects: ["in.>"], strip: "in.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
targets: { there: { publish: { subject: out.there } } }
consumers:
  own: { stream: IN, start: all, deliver: [{ to: there }] }
`;

const put = (client: Client, key: string, text: string): Promise<number> =>
  publish(client, { subject: `$KV.OUZEL_CONFIG.${key}`, body: text });

const remove = (client: Client, key: string): Promise<number> =>
  publish(client, { subject: `$KV.OUZEL_CONFIG.${key}`, headers: { 'KV-Operation': 'DEL' } });

interface Status {
  readonly consumers: readonly { readonly name: string; readonly state: string }[];
  readonly config: { readonly set_aside: readonly { readonly resource: string; readonly reason: string }[] };
}

const statusOf = async (daemon: Daemon): Promise<Status> => JSON.parse((await readyz(daemon)).body) as Status;

const stateOf = async (daemon: Daemon, consumer: string): Promise<string | undefined> =>
  (await statusOf(daemon)).consumers.find(({ name }) => name === consumer)?.state;

const until = (daemon: Daemon, consumer: string, state: string | undefined): Promise<unknown> =>
  waitFor(async () => (await stateOf(daemon, consumer)) === state, { what: `${consumer} to be ${state ?? 'gone'}` });

const asideOf = (daemon: Daemon, resource: string): Promise<string> =>
  waitFor(
    async () => (await statusOf(daemon)).config.set_aside.find((each) => each.resource === resource)?.reason ?? '',
    {
      what: `${resource} to be set aside`,
    },
  );

test('what is put there runs on every instance, is changed, survives a restart, and goes', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const first = await startDaemon(FILE, { server });
  const second = await startDaemon(FILE, { server });
  await put(client, 'targets.far', 'publish: { subject: out.far }');
  await put(client, 'consumers.late', '# of the fleet\nstream: IN\nstart: all\ndeliver: [{ to: far }]\n');
  for (const daemon of [first, second]) await until(daemon, 'late', 'running');
  await publish(client, { subject: 'in.a', body: { n: 1 } });
  await waitFor(async () => (await readStream(client, 'OUT')).length === 2, { what: 'both to be delivered' });

  await put(
    client,
    'consumers.late',
    'stream: IN\nstart: all\npipeline: [{ filter: event.data.n > 1 }]\ndeliver: [{ to: far }]',
  );
  const filtered = async (): Promise<number> => {
    const all = [first, second].map(async (each) => outcomesOf(await each.metrics(), 'late').filtered);
    return (await Promise.all(all)).reduce((sum, each) => sum + each, 0);
  };
  // Until both know of it, either version may take an event.
  await waitFor(
    async () => {
      await publish(client, { subject: 'in.a', body: { n: 0 } });
      return (await filtered()) > 2;
    },
    { what: 'events to be filtered' },
  );
  await first.kill();
  const again = await startDaemon(FILE, { server });
  await until(again, 'late', 'running');
  await remove(client, 'consumers.late');
  for (const daemon of [again, second]) await until(daemon, 'late', undefined);
  for (const daemon of [again, second]) expect(await stateOf(daemon, 'own')).toBe('running');
}, 120_000);

test('what does not load is set aside with its place, and neither stops the others nor a reload of the file', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(FILE, { server });
  await put(client, 'consumers.good', '{ stream: IN, start: all, deliver: [{ to: there }] }');
  await until(daemon, 'good', 'running');
  await put(client, 'consumers.bad', 'stream: IN\npipeline: [{ filter: "event.data.n >" }]\n');
  await put(client, 'consumers.own', 'stream: IN');
  expect(await asideOf(daemon, 'fleet:consumers/bad')).toMatch(/fleet:consumers\/bad:2:\d+ {2}CONFIG_EXPRESSION/);
  expect(await asideOf(daemon, 'fleet:consumers/own')).toMatch(/CONFIG_DUPLICATE_NAME.*\n.*\n.*\n.*ouzel\.yaml:10:3/);
  // A change that does not load leaves what was in force.
  await put(client, 'consumers.good', 'stream: IN\ndeliver: [{ to: nowhere }]\n');
  expect(await asideOf(daemon, 'fleet:consumers/good')).toContain('there is no target "nowhere"');
  await publish(client, { subject: 'in.a', body: { n: 1 } });
  expect(await untilEnded(daemon, 'good', 1)).toMatchObject({ delivered: 1 });

  await daemon.write(FILE.replace('consumers:', 'consumers:\n  further: { stream: IN, deliver: [{ to: there }] }'));
  await until(daemon, 'further', 'running');
  expect((await statusOf(daemon)).config.set_aside).toHaveLength(3);
  await untilReady(daemon, 200);
  // Nor does it keep a daemon from starting; what never was in force is left out then.
  const other = await startDaemon(FILE, { server });
  expect(await stateOf(other, 'own')).toBe('running');
  expect(await stateOf(other, 'good')).toBeUndefined();
  await put(client, 'consumers.bad', 'stream: IN\npipeline: [{ filter: "event.data.n > 0" }]\n');
  for (const each of [daemon, other]) await until(each, 'bad', 'running');
});

test('a file cannot use what only the fleet has', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(FILE, { server });
  await put(client, 'targets.far', 'publish: { subject: out.far }');
  await put(client, 'filters.big', 'event.data.n > 1');
  await put(client, 'consumers.late', '{ stream: IN, pipeline: [big], deliver: [{ when: filters.big, to: far }] }');
  await until(daemon, 'late', 'running');
  await daemon.write(
    FILE.replace('deliver: [{ to: there }]', 'pipeline: [big], deliver: [{ when: filters.big, to: far }]'),
  );
  await waitFor(() => daemon.log().includes('configuration rejected'), { what: 'it to be rejected' });
  for (const name of ['targets/far', 'filters/big']) expect(daemon.log()).toContain(`fleet:${name}`);
  expect(daemon.log()).toMatch(/ouzel\.yaml:10:\d+ {2}CONFIG_UNKNOWN_NAME/);
  for (const name of ['own', 'late']) expect(await stateOf(daemon, name)).toBe('running');
});

test("a pause holds the file's and the fleet's consumers, over a restart, until it is taken away", async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(FILE, { server });
  await publish(client, { subject: 'in.a', body: { n: 0 } });
  expect(await untilEnded(daemon, 'own', 1)).toMatchObject({ delivered: 1 });
  await put(client, 'paused.own', 'true');
  await until(daemon, 'own', 'paused');
  // Its requests are still open, and what they bring is given back.
  await publish(client, { subject: 'in.a', body: { n: 1 } });
  await waitFor(async () => (await daemon.total('ouzel_events_returned_total', { consumer: 'own' })) === 1, {
    what: 'the event to be given back',
  });
  expect(outcomesOf(await daemon.metrics(), 'own').delivered).toBe(1);
  await daemon.kill();
  const again = await startDaemon(FILE, { server });
  expect(await stateOf(again, 'own')).toBe('paused');
  await publish(client, { subject: 'in.a', body: { n: 2 } });
  await remove(client, 'paused.own');
  expect(await untilEnded(again, 'own', 2)).toMatchObject({ delivered: 2 });
});

test('a daemon that starts without NATS runs the fleet too when it is there', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const first = await startDaemon(FILE, { server });
  await put(client, 'consumers.late', '{ stream: IN, start: all, deliver: [{ to: there }] }');
  await until(first, 'late', 'running');
  await server.kill();
  const second = await startDaemon(FILE, { server, until: 'live' });
  await untilReady(second, 503);
  await server.restart();
  for (const daemon of [first, second]) await until(daemon, 'late', 'running');
  // Both follow it still.
  const anew = await connectTo(server);
  await put(anew, 'consumers.later', '{ stream: IN, deliver: [{ to: there }] }');
  for (const daemon of [first, second]) await until(daemon, 'later', 'running');
}, 120_000);

test('a bucket that somebody deletes comes back with what it held', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemons = [await startDaemon(FILE, { server }), await startDaemon(FILE, { server })];
  await put(client, 'consumers.late', '{ stream: IN, start: all, deliver: [{ to: there }] }');
  for (const daemon of daemons) await until(daemon, 'late', 'running');
  await client.jsm.streams.delete('KV_OUZEL_CONFIG');
  const held = (): Promise<string | undefined> =>
    client.jsm.streams
      .getMessage('KV_OUZEL_CONFIG', { last_by_subj: '$KV.OUZEL_CONFIG.consumers.late' })
      .then((message) => message?.string())
      .catch(() => undefined);
  await waitFor(async () => (await held())?.includes('stream: IN'), { what: 'it to be put back', timeout: 40_000 });
  for (const daemon of daemons) expect(await stateOf(daemon, 'late')).toBe('running');
  await put(client, 'consumers.later', '{ stream: IN, deliver: [{ to: there }] }');
  for (const daemon of daemons) await until(daemon, 'later', 'running');
}, 120_000);

test('however often a server has to be tried, it is followed once', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await client.jsm.streams.add({ name: 'TAKEN', subjects: ['out.>'] });
  const daemon = await startDaemon(FILE, { server, until: 'live' });
  await untilReady(daemon, 503, /overlap/);
  await client.jsm.streams.delete('TAKEN');
  await untilReady(daemon, 200);
  const followers = await client.jsm.consumers.list('KV_OUZEL_CONFIG').next();
  expect(followers.filter(({ num_waiting: waiting }) => waiting > 0)).toHaveLength(1);
});
