/** Versions and schemas of events, on a real stream: old and new mixed, reloads, the fleet. */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { freePort } from '../helpers/ports.ts';
import { type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';
import { waitFor } from '../helpers/wait.ts';

// Servers and daemons are started one after another.
const TIMEOUT = { timeout: 60_000 };

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
`;
const CONSUMERS = `consumers:
  billing: { stream: EVENTS, start: all, deliver: [{ to: { publish: { subject: "out.billing" } } }] }
  others: { stream: EVENTS, start: all, types: [payments.*], deliver: [{ to: { publish: { subject: "out.others" } } }] }
`;
const TYPES = `types:
  orders.created:
    version: 3
    schema: schemas/orders.created.3.json
    upcast:
      1: { set: { data.currency: "'EUR'" } }
      2: { rename: { data.cust: data.customer } }
`;
const schema = (total = 'integer'): string =>
  JSON.stringify({
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    type: 'object',
    required: ['customer', 'currency'],
    properties: { total: { $ref: `money.json#/$defs/${total}` }, customer: { type: 'string' } },
  });
const MONEY = JSON.stringify({ $defs: { integer: { type: 'integer' }, number: { type: 'number' } } });
const FILES = { 'schemas/orders.created.3.json': schema(), 'schemas/money.json': MONEY };

const order = (client: Client, body: unknown, headers: Record<string, string> = {}): Promise<number> =>
  publish(client, { subject: 'events.orders.created', body, headers });

const bodies = async (client: Client, subject: string): Promise<unknown[]> =>
  (await readStream(client, 'OUT'))
    .filter((message) => message.subject === subject)
    .map(({ body }) => JSON.parse(body) as unknown);

const letters = async (client: Client): Promise<Record<string, string | undefined>[]> =>
  (await readStream(client, 'OUZEL_DLQ')).map(({ headers, body }) => ({
    reason: headers['Ouzel-Reason'],
    error: headers['Ouzel-Error'],
    body,
  }));

const untilReloaded = (daemon: Daemon, result: string, count = 1): Promise<unknown> =>
  waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result })) >= count, {
    what: `a reload to be ${result}`,
  });

test(
  'old and new versions come out as the newest; what does not fit is a dead letter as it came',
  TIMEOUT,
  async () => {
    const server = await startServer();
    const client = await connectTo(server);
    const daemon = await startDaemon(HEAD + TYPES + CONSUMERS, { server, files: FILES });
    const ce = { 'ce-specversion': '1.0', 'ce-source': '/shop', 'ce-type': 'orders.created' };
    await order(client, { cust: 'a', total: 1 });
    await order(
      client,
      { cust: 'b', currency: 'USD' },
      { ...ce, 'ce-id': 'b', 'ce-dataschema': 'https://x.example/orders.created.2.json' },
    );
    await order(
      client,
      { customer: 'c', currency: 'USD', total: 9_007_199_254_740_993n.toString() },
      { ...ce, 'ce-id': 'c', 'ce-dataversion': '3' },
    );
    await order(client, { customer: 'd', currency: 'USD', total: 4 }, { ...ce, 'ce-id': 'd', 'ce-dataversion': '3' });
    await order(client, { cust: 'secret-e', total: 'secret-5' });
    await order(client, { customer: 'f' }, { ...ce, 'ce-id': 'f', 'ce-dataversion': '4' });
    await publish(client, { subject: 'events.payments.received', body: { anything: true } });
    expect(await untilEnded(daemon, 'billing', 7)).toMatchObject({ delivered: 4, deadLettered: 3 });
    // A consumer of other types has nothing to do with it.
    expect(await untilEnded(daemon, 'others', 7)).toMatchObject({ delivered: 1, filtered: 6, deadLettered: 0 });
    expect(await bodies(client, 'out.billing')).toEqual([
      { customer: 'a', total: 1, currency: 'EUR' },
      { customer: 'b', currency: 'USD' },
      { customer: 'd', currency: 'USD', total: 4 },
      { anything: true },
    ]);
    const [old, second] = await readStream(client, 'OUT');
    expect(old?.headers).toMatchObject({ 'ce-dataversion': '3' });
    expect(second?.headers).toMatchObject({ 'ce-dataschema': 'https://x.example/orders.created.3.json' });
    const all = await letters(client);
    expect(all).toEqual([
      {
        reason: 'invalid',
        error: expect.stringContaining('/total must be integer') as string,
        body: expect.stringContaining('"9007199254740993"') as string,
      },
      {
        reason: 'invalid',
        error: expect.stringContaining('/total must be integer') as string,
        body: '{"cust":"secret-e","total":"secret-5"}',
      },
      {
        reason: 'unknown_version',
        error: expect.stringContaining('version 4, and 3 is the newest') as string,
        body: '{"customer":"f"}',
      },
    ]);
    for (const { error } of all) expect(error).not.toContain('secret');
    const upcasts = (version: string) =>
      daemon.total('ouzel_event_upcasts_total', { consumer: 'billing', type: 'orders.created', version });
    expect([await upcasts('1'), await upcasts('2'), await upcasts('newer')]).toEqual([2, 1, 1]);
  },
);

test(
  'a file of a schema that changes is a reload; one that is broken is rejected, with its place',
  TIMEOUT,
  async () => {
    const server = await startServer();
    const client = await connectTo(server);
    const daemon = await startDaemon(HEAD + TYPES + CONSUMERS, { server, files: FILES });
    await order(client, { cust: 'a', total: 1.5 });
    expect(await untilEnded(daemon, 'billing', 1)).toMatchObject({ deadLettered: 1 });
    await daemon.write(schema('number'), 'schemas/orders.created.3.json');
    await untilReloaded(daemon, 'applied');
    await order(client, { cust: 'b', total: 1.5 });
    expect(await untilEnded(daemon, 'billing', 2)).toMatchObject({ delivered: 1 });
    // What a schema refers to is part of it.
    await daemon.write('{\n  "$defs": { "number": { "type": "number", "minimun": 0 } }\n}', 'schemas/money.json');
    await untilReloaded(daemon, 'rejected');
    expect(daemon.log()).toMatch(/schemas\/money\.json:2:44 +CONFIG_SCHEMA/);
    await order(client, { cust: 'c', total: 2.5 });
    expect(await untilEnded(daemon, 'billing', 3)).toMatchObject({ delivered: 2 });
    await daemon.write('{ "$defs": { "number": { "type": "number", "minimum": 2 } } }', 'schemas/money.json');
    await untilReloaded(daemon, 'applied', 2);
    await order(client, { cust: 'd', total: 1.5 });
    expect(await untilEnded(daemon, 'billing', 4)).toMatchObject({ delivered: 2, deadLettered: 2 });
  },
);

test('the fleet can have types: they are applied, hold for the consumers of the file, and go', TIMEOUT, async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(HEAD + CONSUMERS, {
    server,
    files: { 'fleet.yaml': 'types:\n  orders.created:\n    schema: { required: [id] }\n' },
  });
  const apply = (...args: string[]) => runCli(['apply', ...args, '--url', daemon.http], { cwd: daemon.directory });
  const { code, stdout, stderr } = await apply('fleet.yaml');
  expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
  await order(client, { id: 1 });
  await order(client, {});
  expect(await untilEnded(daemon, 'billing', 2)).toMatchObject({ delivered: 1, deadLettered: 1 });
  const entry = `${daemon.http}/api/v1/types/orders.created`;
  const shown = (await (await fetch(entry)).json()) as { config: unknown; owner: string };
  expect(shown).toMatchObject({ owner: 'fleet', config: { schema: { required: ['id'] } } });
  const write = (body: string): Promise<Response> =>
    fetch(entry, { method: 'PUT', headers: { 'content-type': 'application/yaml' }, body });
  // A file would be another on each instance, and its text would stand in the answer.
  const refused = await write('schema: /etc/hostname');
  expect(refused.status).toBe(422);
  expect(await refused.text()).toContain('in the fleet a schema cannot be the path of a file');
  expect((await write('schema: { $ref: other.json }')).status).toBe(422);
  expect((await fetch(entry, { method: 'DELETE' })).status).toBe(204);
  await order(client, {});
  expect(await untilEnded(daemon, 'billing', 3)).toMatchObject({ delivered: 2 });
});

test('whoever posts an event is told at once what is wrong with its data', TIMEOUT, async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const ingress = `127.0.0.1:${await freePort()}`;
  const sources = `sources: { shop: { webhook: { path: /hooks/shop, verify: none }, publish: { subject: events.orders.created } } }\n`;
  const token = 'a-token-that-is-long-enough-for-everybody';
  const access = `access: [{ name: producer, who: { token: ${token} }, may: publish }]\n`;
  const text = HEAD.replace('http: {', `http: { ingress: "${ingress}",`) + TYPES + CONSUMERS + sources + access;
  const daemon = await startDaemon(text, { server, files: FILES });
  const authorization = `Bearer ${token}`;
  const structured = 'application/cloudevents+json';
  const post = async (url: string, type: string, body: unknown) => {
    const request = { method: 'POST', headers: { 'content-type': type, authorization }, body: JSON.stringify(body) };
    const response = await fetch(url, request);
    return { status: response.status, body: (await response.json()) as Record<string, unknown> };
  };
  const event = (data: unknown, more: object = {}) => ({
    specversion: '1.0',
    id: JSON.stringify(data),
    source: '/shop',
    type: 'orders.created',
    data,
    ...more,
  });
  const wrong = (pointer: string) => ({
    status: 422,
    body: { code: 'EVENT_INVALID', errors: [{ pointer, detail: 'must be integer' }] },
  });
  const bad = { cust: 'a', total: 'secret' };
  const api = `${daemon.http}/api/v1/events`;
  expect(await post(api, 'application/json', { subject: 'events.orders.created', data: bad })).toMatchObject(
    wrong('/data/total'),
  );
  const posted = `http://${ingress}/events`;
  for (const url of [api, posted]) expect(await post(url, structured, event(bad))).toMatchObject(wrong('/data/total'));
  // One that does not fit keeps the others of its batch out.
  const batch = await post(posted, 'application/cloudevents-batch+json', [event({ cust: 'b' }), event(bad)]);
  expect(batch).toMatchObject(wrong('/1/data/total'));
  expect(JSON.stringify(batch)).not.toContain('secret');
  const hook = `http://${ingress}/hooks/shop`;
  expect(await post(hook, 'application/json', bad)).toMatchObject(wrong('/total'));
  expect(await post(api, structured, event({}, { dataversion: '4' }))).toMatchObject({
    status: 422,
    body: { code: 'EVENT_VERSION' },
  });
  // An old version is as good as the newest, if it can be made one; and it is stored as it was posted.
  expect(await post(api, structured, event({ cust: 'c', total: 1 }))).toMatchObject({ status: 201 });
  expect(await post(hook, 'application/json', { cust: 'd' })).toMatchObject({ status: 200 });
  expect(await post(api, structured, event({}, { type: 'anything.else' }))).toMatchObject({ status: 201 });
  expect(await untilEnded(daemon, 'billing', 3)).toMatchObject({ delivered: 3, deadLettered: 0 });
  expect((await readStream(client, 'EVENTS')).map(({ body }) => body)).toContain('{"cust":"d"}');
});

test('docs/guides/versions.md does what it says', TIMEOUT, async () => {
  const path = fileURLToPath(new URL('../../docs/guides/versions.md', import.meta.url));
  const { config, steps } = await readPage(path);
  const json = /```json\n([^]*?)```/.exec(await readFile(path, 'utf8'))?.[1] ?? '';
  const directory = await temporaryDirectory('versions');
  await mkdir(join(directory, 'schemas'));
  await writeFile(join(directory, 'schemas/orders.created.3.json'), json);
  await writeFile(join(directory, 'ouzel.yaml'), config);
  expect(steps).toHaveLength(2);
  const nats = () => Promise.reject(new Error('nothing is published here'));
  await runSteps('versions.md', steps, { directory, env: {}, names: [], nats });
});
