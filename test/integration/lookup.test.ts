/** Lookups with what they ask: a real bucket, a table on the disk, a real web server, real databases. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client as PostgresClient } from 'pg';
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { noPostgres, startPostgres } from '../helpers/postgres.ts';
import { addBucket, addStream, type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

// Servers, daemons and databases are started one after another.
const TIMEOUT = { timeout: 60_000 };

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { retry: { attempts: 2, backoff: { first: 50ms, max: 200ms, jitter: 0 } } }
`;

/** A consumer `a` that looks something up and publishes the event. */
const looking = (options: string): string => `${HEAD}transformers:
  profile: { lookup: ${options} }
consumers:
  a: { stream: IN, start: all, pipeline: [profile], deliver: [{ to: { publish: { subject: out.a } } }] }
`;

async function setUp(): Promise<{ readonly server: TestServer; readonly client: Client }> {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  return { server, client };
}

const send = async (client: Client, customers: readonly unknown[]): Promise<void> => {
  for (const customer of customers) await publish(client, { subject: 'in.a', body: { customer } });
};

/** What was published, in the order of the stream. */
const outputs = async (client: Client): Promise<unknown[]> =>
  (await readStream(client, 'OUT')).map(({ body }) => JSON.parse(body) as unknown);

const counted = (daemon: Daemon, result: string): Promise<number> =>
  daemon.total('ouzel_lookups_total', { consumer: 'a', lookup: 'profile', result });

test('a value of a KV bucket becomes part of the event, and one that is not there does not', TIMEOUT, async () => {
  const { server, client } = await setUp();
  await addBucket(client, 'customers', { 'c-7': '{"name":"Ada","n":9223372036854775807}', text: 'just text' });
  await client.js.publish('$KV.customers.gone', 'x');
  await publish(client, { subject: '$KV.customers.gone', headers: { 'KV-Operation': 'DEL' } });
  const daemon = await startDaemon(looking('{ kv: customers, key: event.data.customer, into: data.profile }'), {
    server,
  });
  await send(client, ['c-7', 'text', 'nobody', 'gone', 'no key.', '..', '*', null]);
  await untilEnded(daemon, 'a', 8);
  const bodies = (await readStream(client, 'OUT')).map(({ body }) => body);
  expect(bodies.toSorted()).toEqual(
    [
      '{"customer":"c-7","profile":{"name":"Ada","n":9223372036854775807}}',
      '{"customer":"text","profile":"just text"}',
      ...['"nobody"', '"gone"', '"no key."', '".."', '"*"', 'null'].map((key) => `{"customer":${key}}`),
    ].toSorted(),
  );
  expect(await counted(daemon, 'found')).toBe(2);
  expect(await counted(daemon, 'missing')).toBe(6);
  // Known from before, and so is what was not there.
  await send(client, ['c-7', 'nobody']);
  await untilEnded(daemon, 'a', 10);
  expect(await counted(daemon, 'hit')).toBe(2);
});

test('what must be there goes into the dead letters, and a bucket that is away is waited for', TIMEOUT, async () => {
  const { server, client } = await setUp();
  const daemon = await startDaemon(
    looking('{ kv: customers, key: event.data.customer, into: data.profile, select: value.name, missing: fail }'),
    { server },
  );
  await send(client, ['c-7']);
  await waitFor(() => daemon.log().includes('there is no such bucket'), { what: 'the bucket to be missed' });
  await addBucket(client, 'customers', { 'c-7': '{"name":"Ada"}', 'c-8': '{}' });
  await untilEnded(daemon, 'a', 1);
  expect(await outputs(client)).toEqual([{ customer: 'c-7', profile: 'Ada' }]);
  expect(await counted(daemon, 'failed')).toBeGreaterThan(0);

  await send(client, ['nobody', 'c-8']);
  await publish(client, { subject: 'in.a', body: {} });
  await untilEnded(daemon, 'a', 4);
  const letters = (await readStream(client, 'OUZEL_DLQ')).map(
    ({ headers: { 'Ouzel-Reason': reason = '', 'Ouzel-Error': error = '' } }) => [reason, error],
  );
  expect(letters.map(([reason = '']) => reason).toSorted()).toEqual([
    'missing_field',
    'missing_field',
    'missing_lookup',
  ]);
  const [, error] = letters.find(([reason]) => reason === 'missing_lookup') ?? [];
  expect(error).toMatch(
    /^EVENT_MISSING_LOOKUP at ouzel\.yaml:\d+:\d+: profile: there is nothing under "nobody" in `kv`$/,
  );
});

test('a table is read again when it changes, and kept while it is broken', TIMEOUT, async () => {
  const { server, client } = await setUp();
  const table = 'tables/customers.csv';
  const yaml = looking(`{ file: ${table}, key: event.data.customer, into: data.profile, select: value.name }`);
  const daemon = await startDaemon(yaml, { server, files: { [table]: 'id,name\r\n7,"Ada, Countess"\r\n' } });
  await send(client, [7, '8']);
  await untilEnded(daemon, 'a', 2);
  expect(await outputs(client)).toEqual([{ customer: 7, profile: 'Ada, Countess' }, { customer: '8' }]);

  await daemon.write('id,name\n7,Ada\n8,Bob\n', table);
  await waitFor(() => daemon.log().includes('"configuration applied"'), { what: 'the table to be read again' });
  await send(client, ['8']);
  await untilEnded(daemon, 'a', 3);
  expect((await outputs(client)).at(-1)).toEqual({ customer: '8', profile: 'Bob' });

  await daemon.write('id,name\n7,Ada\n8,Bob,Builder\n', table);
  await waitFor(() => daemon.log().includes('configuration rejected'), { what: 'the broken table to be noticed' });
  expect(daemon.log()).toContain('tables/customers.csv:3:1: 3 fields, and there are 2 columns');
  await send(client, ['8']);
  await untilEnded(daemon, 'a', 4);
  expect((await outputs(client)).at(-1)).toEqual({ customer: '8', profile: 'Bob' });

  await daemon.write('id,name\n8,Bea\n', table);
  await waitFor(() => daemon.logLines().filter(({ msg }) => msg === 'configuration applied').length === 2, {
    what: 'the mended table to be read',
  });
  await send(client, ['8']);
  await untilEnded(daemon, 'a', 5);
  expect((await outputs(client)).at(-1)).toEqual({ customer: '8', profile: 'Bea' });
  expect(await counted(daemon, 'found')).toBe(4);

  // Without a server, `validate` knows the table.
  const valid = await runCli(['validate', daemon.configFile]);
  expect(valid).toMatchObject({ code: 0 });
  await daemon.write('id,name\n8,"Bea\n', table);
  const broken = await runCli(['validate', daemon.configFile]);
  expect(broken.code).toBe(78);
  expect(broken.stderr).toMatch(/CONFIG_TABLE.*\n?.*a quoted field is not closed/s);
});

test(
  'a web server is asked once for what several events want, and its answers mean what they say',
  TIMEOUT,
  async () => {
    const { server, client } = await setUp();
    let busy = true;
    const web = await startHttpTarget(({ path, headers }) => {
      if (headers.authorization !== 'Basic YWRhOnBlbmNpbC1jYXNl') return { status: 401 };
      if (path === '/c/c-7')
        return { headers: { 'content-type': 'application/json' }, body: '{"name":"Ada"}', delay: 50 };
      if (path === '/c/busy' && busy) return { status: 503, body: 'not now' };
      if (path === '/c/busy') return { body: '"free"' };
      if (path === '/c/html') return { headers: { 'content-type': 'text/html' }, body: '<p>' };
      if (path === '/c/large') return { body: `"${'x'.repeat(3000)}"` };
      if (path === '/c/cut') return { body: '"xxxxxxxx"', fault: 'cut' };
      return { status: path === '/c/bad' ? 400 : 404 };
    });
    const url = web.url.replace('://', '://ada:pencil-case@');
    const yaml = looking(
      `{ http: { url: "${url}/c/{{ event.data.customer }}", allow_private: true, max_response: 2KiB }, into: data.profile, cache: { ttl: 1h, negative: 1h } }`,
    );
    const daemon = await startDaemon(yaml, { server });
    await send(client, ['c-7', 'c-7', 'c-7', 'nobody', 'busy', 'bad', 'html', 'large']);
    await waitFor(() => web.requests.filter(({ path }) => path === '/c/busy').length > 1, { what: 'a second try' });
    busy = false;
    expect(await untilEnded(daemon, 'a', 8)).toMatchObject({ delivered: 5, deadLettered: 3 });
    await send(client, ['c-7', 'nobody']);
    await untilEnded(daemon, 'a', 10);
    const asked = (path: string): number => web.requests.filter((each) => each.path === path).length;
    expect([asked('/c/c-7'), asked('/c/nobody')]).toEqual([1, 1]);
    expect(web.requests[0]).toMatchObject({ method: 'GET', headers: { accept: 'application/json' } });
    const found = (await outputs(client)) as { readonly customer: string; readonly profile?: unknown }[];
    const profiles = (customer: string): unknown[] =>
      found.filter((each) => each.customer === customer).map(({ profile }) => profile);
    expect(profiles('c-7')).toEqual(Array.from({ length: 4 }, () => ({ name: 'Ada' })));
    expect(profiles('busy')).toEqual(['free']);
    expect(profiles('nobody')).toEqual([undefined, undefined]);
    const errors = (await readStream(client, 'OUZEL_DLQ')).map(({ headers }) => headers['Ouzel-Error'] ?? '');
    const all = errors.join('\n');
    expect(all).toContain('answered 400 Bad Request');
    expect(all).toContain('the answer is text/html, not JSON');
    expect(all).toContain('the answer has more than 2048 bytes');

    await send(client, ['cut']);
    await waitFor(() => asked('/c/cut') > 1, { what: 'an answer that was cut off to be asked for again' });
    for (const text of [all, daemon.log()]) expect(text).not.toContain('pencil-case');

    await daemon.write('{"customer":"new"}', 'event.json');
    const explained = await runCli([
      'explain',
      join(daemon.directory, 'event.json'),
      '--consumer',
      'a',
      '--subject',
      'in.a',
      '--config',
      daemon.configFile,
    ]);
    expect(explained.stdout).toContain('/c/new');
    expect(explained.stdout).not.toContain('pencil-case');
    expect(asked('/c/new')).toBe(0);
  },
);

test('a row of SQLite becomes part of the event, and a file that is not there yet is waited for', TIMEOUT, async () => {
  const { server, client } = await setUp();
  const yaml = looking(
    '{ sql: { url: "sqlite:data/customers.db", query: "select name, tier from customers where id = $1" }, key: event.data.customer, into: data.profile, cache: none }',
  );
  const daemon = await startDaemon(yaml, { server, files: { 'data/README': '' } });
  await send(client, ['c-7']);
  await waitFor(() => daemon.log().includes('unable to open database file'), { what: 'the file to be missed' });
  const database = new DatabaseSync(join(daemon.directory, 'data/customers.db'));
  database.exec("create table customers (id, name, tier); insert into customers values ('c-7', 'Ada', 1)");
  await untilEnded(daemon, 'a', 1);
  database.exec('update customers set tier = 2');
  database.close();
  await send(client, ['c-7']);
  await untilEnded(daemon, 'a', 2);
  await send(client, ['nobody']);
  await untilEnded(daemon, 'a', 3);
  expect(await outputs(client)).toEqual([
    { customer: 'c-7', profile: { name: 'Ada', tier: 1 } },
    { customer: 'c-7', profile: { name: 'Ada', tier: 2 } },
    { customer: 'nobody' },
  ]);
  expect(await daemon.terminate()).toBe(0);
});

test('a row of PostgreSQL becomes part of the event', TIMEOUT, async (context) => {
  const none = await noPostgres();
  if (none !== undefined) context.skip(none);
  const postgres = await startPostgres();
  const filling = new PostgresClient({ connectionString: postgres.url });
  await filling.connect();
  await filling.query(
    "create table customers (id text, city text); insert into customers values ('c-7', 'London'), ('c-7', 'Paris')",
  );
  await filling.end();
  const { server, client } = await setUp();
  const yaml = looking(
    `{ sql: { url: "${postgres.url}", query: "select city from customers where id = $1 and city <> $2 order by city", params: [event.data.customer, event.data.?not.orValue('')], rows: all }, into: data.cities }`,
  );
  const daemon = await startDaemon(yaml, { server });
  await send(client, ['c-7']);
  // What is asked at once is answered in any order.
  await untilEnded(daemon, 'a', 1);
  await publish(client, { subject: 'in.a', body: { customer: 'c-7', not: 'Paris' } });
  await untilEnded(daemon, 'a', 2);
  expect(await outputs(client)).toEqual([
    { customer: 'c-7', cities: ['London', 'Paris'] },
    { customer: 'c-7', not: 'Paris', cities: ['London'] },
  ]);
  await postgres.stop();
  await send(client, ['c-9']);
  await waitFor(() => daemon.log().includes('ECONNREFUSED'), { what: 'PostgreSQL to be missed' });
  await postgres.start();
  expect(await untilEnded(daemon, 'a', 3)).toMatchObject({ delivered: 3 });
  expect(daemon.log()).not.toContain('pencil-case');
  expect(await daemon.terminate()).toBe(0);
});
