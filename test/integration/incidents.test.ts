/** What Ouzel says about itself: once when a trouble begins, once when it is over, and never in a circle. */
import { expect, test } from 'vitest';
import { type IncidentKind, INCIDENTS } from '../../src/telemetry/incidents/catalogue.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 1 } }
streams:
  IN: { subjects: ["in.>"], storage: memory, key: event.data.id }
`;

interface Incident {
  readonly type: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly data: Readonly<Record<string, unknown>>;
}

/** All incidents that were ever published; each says what the catalogue has of its kind. */
async function incidentsOf(client: Client): Promise<Incident[]> {
  return (await readStream(client, 'OUZEL_EVENTS')).map(({ subject, headers, body }) => {
    const type = headers['ce-type'] ?? '';
    expect(subject).toBe(`ouzel.events.${type}`);
    expect(headers['Nats-Msg-Id']).toBe(headers['ce-id']);
    const data = JSON.parse(body) as Record<string, unknown>;
    INCIDENTS[type as IncidentKind].data.parse(data);
    expect(headers['ce-source']).toBe(`ouzel:${String(data['instance'])}`);
    return { type, headers, data };
  });
}

const typesOf = async (client: Client): Promise<string[]> => (await incidentsOf(client)).map(({ type }) => type);

const untilSaid = (client: Client, type: string, times = 1): Promise<Incident[]> =>
  waitFor(
    async () => {
      const found = await incidentsOf(client);
      return found.filter((each) => each.type === type).length >= times && found;
    },
    { what: `${times} ${type}` },
  );

test('a consumer of incidents gets one when another begins to fail, and one when it recovered', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'TOLD', ['told.>']);
  const daemon = await startDaemon(
    `${HEAD}
consumers:
  ops:
    stream: OUZEL_EVENTS
    types: [consumer.failing, consumer.recovered]
    deliver: [{ to: { publish: { subject: "told.{{ event.data.consumer }}" } } }]
  billing:
    stream: IN
    start: all
    failing: { errors: 5, within: 1s }
    pipeline: [{ set: { data.half: 100 / event.data.n } }]
`,
    { server },
  );
  for (let n = 0; n < 20; n++) await publish(client, { subject: 'in.x', body: { id: `k-${n}`, n: 'two' } });
  await untilEnded(daemon, 'billing', 20);
  await untilSaid(client, 'consumer.failing');
  await publish(client, { subject: 'in.x', body: { n: 2 } });
  const all = await untilSaid(client, 'consumer.recovered');
  expect(all.map(({ type }) => type)).toEqual([
    'daemon.started',
    'dead_letter',
    'consumer.failing',
    'consumer.recovered',
  ]);
  expect(all[2]?.data).toMatchObject({
    consumer: 'billing',
    errors: 5,
    dead_lettered: 5,
    within_s: 1,
    code: 'EVENT_EXPRESSION',
    event: { stream: 'IN', subject: 'in.x', sequence: 5, key: 'k-4' },
  });
  expect(all[3]?.data).toMatchObject({ consumer: 'billing', errors: 20, dead_lettered: 20 });

  // The other two are filtered by their type; what arrives is a CloudEvent with plain data.
  const told = await waitFor(
    async () => {
      const found = await readStream(client, 'TOLD');
      return found.length >= 2 && found;
    },
    { what: 'both to be delivered' },
  );
  expect(await untilEnded(daemon, 'ops', 4)).toMatchObject({ delivered: 2, filtered: 2 });
  expect(told.map(({ subject, headers }) => [subject, headers['ce-type'], headers['Ouzel-Hops']])).toEqual([
    ['told.billing', 'consumer.failing', '2'],
    ['told.billing', 'consumer.recovered', '2'],
  ]);
  expect(told.map(({ body }) => JSON.parse(body) as unknown)).toEqual([all[2]?.data, all[3]?.data]);
  const metrics = await daemon.metrics();
  expect(metrics.total('ouzel_incidents_total', { type: 'consumer.failing' })).toBe(1);
  expect(metrics.total('ouzel_incidents_dropped_total')).toBe(0);
  expect(await daemon.terminate()).toBe(0);
});

test('an incident never reaches whom it concerns, and consumers that fail on each other come to an end', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const failing = `
    stream: OUZEL_EVENTS
    start: all
    failing: { errors: 1, within: 1s }
    pipeline: [{ set: { data.half: event.data.nothing } }]
`;
  const daemon = await startDaemon(
    `${HEAD}
consumers:
  ada: ${failing}
  bob: ${failing}
  billing: { stream: IN, start: all, pipeline: [{ set: { data.half: event.data.nothing } }] }
`,
    { server },
  );
  for (let n = 0; n < 50; n++) await publish(client, { subject: 'in.x', body: {} });
  await untilEnded(daemon, 'billing', 50);
  // Each of the two fails on the start, on what the other says of that, and on the letter of the third.
  await untilSaid(client, 'dead_letter', 3);
  const said = await waitFor(
    async () => {
      const found = await incidentsOf(client);
      const metrics = await daemon.metrics();
      const ended = ['ada', 'bob'].every((name) => {
        const { ended: count, inFlight } = outcomesOf(metrics, name);
        return count === found.length && inFlight === 0;
      });
      return ended && found.length === (await incidentsOf(client)).length && found;
    },
    { what: 'both to have had every incident' },
  );
  expect(
    said
      .map(({ type, data }) => (typeof data['consumer'] === 'string' ? `${type} ${data['consumer']}` : type))
      .toSorted(),
  ).toEqual(
    [
      'consumer.failing ada',
      'consumer.failing bob',
      'daemon.started',
      'dead_letter ada',
      'dead_letter billing',
      'dead_letter bob',
      'consumer.failing billing',
    ].toSorted(),
  );
  const metrics = await daemon.metrics();
  for (const consumer of ['ada', 'bob']) {
    const own = said.filter(({ headers }) => headers['Ouzel-Concerns'] === consumer).length;
    expect(metrics.total('ouzel_events_total', { consumer, reason: 'own_incident' })).toBe(own);
    expect(metrics.total('ouzel_events_total', { consumer, outcome: 'dead_lettered' })).toBe(said.length - own);
    const letters = (await readStream(client, 'OUZEL_DLQ')).filter(
      ({ headers }) => headers['Ouzel-Consumer'] === consumer,
    );
    for (const { body } of letters) expect(JSON.parse(body)).not.toMatchObject({ consumer });
  }
  await daemon.terminate();
  // What was only counted is said at the end, and that is all.
  const types = await typesOf(client);
  expect(types.filter((type) => type === 'consumer.failing').length).toBe(3);
  expect(types.length).toBeLessThanOrEqual(said.length + 4);
});

test('10,000 dead letters make a handful of incidents, which count them', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const total = 10_000;
  await publishMany(client, total, (n) => ({ subject: 'in.x', body: { id: `k-${n}` } }));
  const daemon = await startDaemon(
    `${HEAD}
consumers:
  billing: { stream: IN, start: all, pipeline: [{ set: { data.half: event.data.nothing } }] }
`,
    { server },
  );
  await untilEnded(daemon, 'billing', total, 60_000);
  expect(await daemon.terminate()).toBe(0);
  const said = await incidentsOf(client);
  expect(said.length).toBeLessThan(10);
  const letters = said.filter(({ type }) => type === 'dead_letter');
  expect(letters.map(({ data }) => data['count']).reduce<number>((sum, count) => sum + Number(count), 0)).toBe(total);
  expect(said.filter(({ type }) => type === 'consumer.failing').length).toBe(1);
  expect(said.at(-1)?.type).not.toBe('daemon.started');
}, 120_000);

test('starts, stops and rejected changes are said, without secrets', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const good = `${HEAD}
consumers:
  billing: { stream: IN }
`;
  const daemon = await startDaemon(good, { server, env: { PARTNER_SECRET: 'hush-hush' } });
  const [started] = await untilSaid(client, 'daemon.started');
  expect(started?.data).toMatchObject({ config: daemon.configFile, consumers: { billing: 'running' } });
  expect(started?.headers['Ouzel-Concerns']).toBeUndefined();

  const bad = good.replace('{ stream: IN }', '{ stream: IN, prefech: 3, timeout: "${PARTNER_SECRET}" }');
  await daemon.write(bad);
  const rejected = (await untilSaid(client, 'reload.rejected')).at(-1);
  expect(rejected?.data).toMatchObject({ config: daemon.configFile, in_force: started?.data['hash'] });
  expect(rejected?.data['error']).toMatch(/prefech[^]*did you mean "prefetch"/);
  expect(JSON.stringify(rejected)).not.toContain('hush-hush');
  // The same mistake again is not said again.
  daemon.signal('SIGHUP');
  await waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result: 'rejected' })) >= 2, {
    what: 'the change to be rejected again',
  });

  expect(await daemon.terminate()).toBe(0);
  const all = await incidentsOf(client);
  expect(all.map(({ type }) => type)).toEqual(['daemon.started', 'reload.rejected', 'daemon.stopping']);
  expect(all.at(-1)?.data).toMatchObject({ reason: 'SIGTERM' });
  expect(new Set(all.map(({ data }) => data['instance'])).size).toBe(1);
});

test('incidents wait while NATS is away, and the stream is made again when it is gone', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(`${HEAD}\nconsumers:\n  billing: { stream: IN }\n`, { server });
  await untilSaid(client, 'daemon.started');
  await server.stop();
  await waitFor(async () => (await daemon.total('ouzel_nats_connected')) === 0, { what: 'NATS to be away' });
  await daemon.write(`${HEAD}\nconsumers:\n  billing: { stream: IN, wrong: 1 }\n`);
  await waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result: 'rejected' })) >= 1, {
    what: 'the change to be rejected',
  });
  await server.restart();
  await untilSaid(client, 'reload.rejected');

  await client.jsm.streams.delete('OUZEL_EVENTS');
  await daemon.write(`${HEAD}\nconsumers:\n  billing: { stream: IN, bogus: 1 }\n`);
  const found = await untilSaid(client, 'reload.rejected');
  expect(found.length).toBe(1);
  expect(found[0]?.data['error']).toContain('bogus');
  expect(await daemon.total('ouzel_incidents_dropped_total')).toBe(0);
});

test('where no stream can be made for them, the daemon runs without', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'OTHER', ['ouzel.events.daemon.>', 'ouzel.events.reload.>']);
  const daemon = await startDaemon(`${HEAD}\nconsumers:\n  billing: { stream: IN, start: all }\n`, { server });
  await publish(client, { subject: 'in.x', body: {} });
  await untilEnded(daemon, 'billing', 1);
  expect(daemon.logLines().find(({ level, stream }) => level === 'error' && stream === 'OUZEL_EVENTS')).toMatchObject({
    code: 'STREAM_REFUSED',
  });
  expect(await daemon.terminate()).toBe(0);
});

test('explain says why a consumer does not hear of itself', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(
    `${HEAD}
consumers:
  ops: { stream: OUZEL_EVENTS, types: ["consumer.*"] }
  billing: { stream: IN, start: all, failing: { errors: 1 }, pipeline: [{ set: { data.half: event.data.nothing } }] }
`,
    { server },
  );
  await publish(client, { subject: 'in.x', body: {} });
  await untilSaid(client, 'consumer.failing');
  const explain = (sequence: number) =>
    runCli(['explain', `OUZEL_EVENTS:${sequence}`, '--consumer', 'ops', '-c', daemon.configFile]);
  const sequence = (await typesOf(client)).indexOf('consumer.failing') + 1;
  const other = await explain(sequence);
  expect(other).toMatchObject({ code: 0, stderr: '' });
  expect(other.stdout).toContain('somebody else');
  const own = await publish(client, {
    subject: 'ouzel.events.consumer.failing',
    body: {},
    headers: { 'Ouzel-Concerns': 'billing,ops' },
  });
  const explained = await explain(own);
  expect(explained.stdout).toContain('own_incident');
});
