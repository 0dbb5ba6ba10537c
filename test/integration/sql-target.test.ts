/** The target `sql` in a running daemon: what is acked is committed, once, whatever happens in between. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Database, openDatabase, type Row } from '../../src/sql/database.ts';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { noPostgres, type Postgres, startPostgres } from '../helpers/postgres.ts';
import { addStream, type Client, connectTo, publish, publishMany } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const missing = await noPostgres();
const never = (): AbortSignal => new AbortController().signal;
const ALL = { most: 100_000, beyond: 'refuse' } as const;

const config = (sql: string, more = ''): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { retry: { attempts: 2, backoff: { first: 50ms, max: 200ms, jitter: 0 } } }
streams:
  IN: { subjects: ["in.>"], strip: "in.", key: event.data.id }
consumers:
  a: { stream: IN, start: all, ack_wait: 2s, deliver: [{ to: { sql: { ${sql} }${more} } }] }
`;

const ORDERS = 'table: orders, key: [id], values: { id: "{{ event.data.id }}", n: "{{ event.data.n }}" }, create: true';

describe.each(['sqlite', 'postgres'] as const)('%s', { timeout: 90_000 }, (kind) => {
  let folder: string;
  let postgres: Postgres | undefined;
  let databases = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ouzel-sql-'));
    if (kind === 'postgres' && missing === undefined) postgres = await startPostgres();
  });
  afterAll(async () => {
    await postgres?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const it = test.skipIf(kind === 'postgres' && missing !== undefined);

  /** A database of the test's own. */
  const made = async (): Promise<{ url: string; database: Database }> => {
    const name = `test${++databases}`;
    let url = `sqlite:${join(folder, `${name}.db`)}`;
    if (postgres !== undefined) {
      const admin = openDatabase({ url: postgres.url, timeout: 10_000, connections: 1, write: true });
      await admin.execute(`CREATE DATABASE ${name}`, [], never());
      await admin.close();
      url = postgres.url.replace(/postgres$/, name);
    }
    return { url, database: openDatabase({ url, timeout: 10_000, connections: 1, write: true }) };
  };
  const rowsOf = (database: Database, text: string): Promise<readonly Row[]> => database.query(text, [], ALL, never());

  const begin = async (): Promise<{ server: TestServer; client: Client }> => {
    const server = await startServer();
    const client = await connectTo(server);
    await addStream(client, 'IN', ['in.>']);
    return { server, client };
  };
  const letterReasons = (daemon: Daemon): Record<string, unknown>[] =>
    daemon.logLines().filter(({ reason }) => reason !== undefined);

  it('a table is made as the values are, and an event that it refuses is the only one', async () => {
    const { server, client } = await begin();
    const { url, database } = await made();
    await publish(client, {
      subject: 'in.a',
      body: '{"id":1,"total":12345678901234567890.125,"paid":true,"at":"2026-01-31T08:00:00Z","lines":[{"n":1}],"name":"Ö"}',
    });
    const columns = ['id', 'total', 'paid', 'at', 'lines', 'name'].map((name) => `${name}: "{{ event.data.${name} }}"`);
    const sql = `url: "${url}", table: orders, create: true, key: [id], conflict: fail, values: { ${columns.join(', ')}, note: "{{ event.data.?note }}" }`;
    const daemon = await startDaemon(config(sql), { server });
    await untilEnded(daemon, 'a', 1);
    const [row] = await rowsOf(database, 'SELECT * FROM orders');
    expect(row).toMatchObject({ id: 1, at: '2026-01-31T08:00:00Z', name: 'Ö', note: null });
    expect(row?.['paid']).toBe(kind === 'sqlite' ? 1 : true);
    expect(row?.['lines']).toEqual(kind === 'sqlite' ? '[{"n":1}]' : [{ n: 1 }]);
    // All in one batch: the second of an id is refused, and so is what has no id.
    await publishMany(client, 300, (n) => ({
      subject: 'in.a',
      body: {
        id: n === 150 ? 7 : n === 200 ? null : n + 2,
        total: n,
        paid: false,
        at: '2026-02-01T08:00:00Z',
        lines: [],
        name: 'x',
      },
    }));
    expect(await untilEnded(daemon, 'a', 301)).toMatchObject({ delivered: 299, deadLettered: 2 });
    expect(await rowsOf(database, 'SELECT count(*) AS rows FROM orders')).toEqual([{ rows: 299 }]);
    const reasons = await daemon.metrics();
    expect(reasons.total('ouzel_events_total', { outcome: 'dead_lettered', reason: 'rejected' })).toBe(1);
    expect(reasons.total('ouzel_events_total', { outcome: 'dead_lettered', reason: 'missing_field' })).toBe(1);
    expect(letterReasons(daemon).length).toBeGreaterThan(0);
    await database.close();
  });

  it.for(['', ', conflict: update', ', conflict: fail', 'no key'])(
    'a process that is killed in a batch misses no row and doubles none%s',
    async (conflict) => {
      const { server, client } = await begin();
      const { url, database } = await made();
      const table = conflict === 'no key' ? ORDERS.replace('key: [id], ', '') : ORDERS + conflict;
      const yaml = config(`url: "${url}", ${table}, batch: { max: 100 }`);
      const daemon = await startDaemon(yaml, { server });
      const published = publishMany(client, 3000, (n) => ({ subject: 'in.a', body: { id: `o-${n}`, n } }));
      await waitFor(async () => (await daemon.total('ouzel_events_total', { outcome: 'delivered' })) > 300, {
        what: 'the first rows',
      });
      await daemon.kill();
      await published;
      const { ack_floor: floor } = await client.jsm.consumers.info('IN', 'a');
      const first = await rowsOf(database, 'SELECT n FROM orders ORDER BY n');
      const there = new Set(first.map(({ n }) => n));
      for (let n = 0; n < floor.stream_seq; n++) expect(there.has(n), `event ${n}`).toBe(true);
      await startDaemon(yaml, { server });
      await waitFor(async () => (await client.jsm.consumers.info('IN', 'a')).ack_floor.stream_seq === 3000, {
        what: 'the rest',
        timeout: 40_000,
      });
      const rows = await rowsOf(database, 'SELECT n FROM orders ORDER BY n');
      expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 3000 }, (_, n) => n));
      expect((await client.jsm.streams.info('OUZEL_DLQ')).state.messages).toBe(0);
      await database.close();
    },
  );

  it('a table that is not there keeps the events until it is', async () => {
    const { server, client } = await begin();
    const { url, database } = await made();
    const daemon = await startDaemon(config(`url: "${url}", ${ORDERS.replace(', create: true', '')}`), { server });
    await publishMany(client, 20, (n) => ({ subject: 'in.a', body: { id: `o-${n}`, n } }));
    await waitFor(async () => (await daemon.total('ouzel_deliveries_total', { result: 'unavailable' })) > 2, {
      what: 'the events to be kept',
    });
    expect(daemon.log()).toMatch(/orders must have the columns id, n, with a unique index of \(id\)/);
    await database.execute('CREATE TABLE orders (id text PRIMARY KEY, n integer CHECK (n <> 7))', [], never());
    expect(await untilEnded(daemon, 'a', 20, 60_000)).toMatchObject({ delivered: 19, deadLettered: 1 });
    await database.close();
  });

  it('an archive has every event as it was, once, and forgets what is old', async () => {
    const { server, client } = await begin();
    const { url, database } = await made();
    const body = '{ "id" : "o-1",  "big":12345678901234567890, "b":1, "a":2.50 }';
    const headers = { 'Nats-Msg-Id': 'm-1', 'X-Tenant': 'blue' };
    await publish(client, { subject: 'in.orders.created', body, headers });
    await publish(client, {
      subject: 'in.binary',
      body: Uint8Array.of(0, 255, 1),
      headers: { 'Content-Type': 'application/octet-stream' },
    });
    await publish(client, { subject: 'in.text', body: 'hey', headers: { 'Content-Type': 'text/plain' } });
    await publish(client, { subject: 'in.nul', body: '{"id":"a\\u0000b"}' });
    const daemon = await startDaemon(config(`url: "${url}", archive: true, retention: 90d`), { server });
    await untilEnded(daemon, 'a', 4);
    const columns = 'stream, sequence, msg_subject, id, type, key, CAST(data AS text) AS data, data_base64';
    const rows = await rowsOf(database, `SELECT ${columns} FROM events ORDER BY sequence`);
    const base = { stream: 'IN', data_base64: null, key: null };
    expect(rows).toEqual([
      {
        ...base,
        sequence: 1,
        msg_subject: 'in.orders.created',
        id: 'm-1',
        type: 'orders.created',
        key: 'o-1',
        data: body,
      },
      { ...base, sequence: 2, msg_subject: 'in.binary', id: 'IN:2', type: 'binary', data: null, data_base64: 'AP8B' },
      { ...base, sequence: 3, msg_subject: 'in.text', id: 'IN:3', type: 'text', data: '"hey"' },
      {
        ...base,
        sequence: 4,
        msg_subject: 'in.nul',
        id: 'IN:4',
        type: 'nul',
        key: expect.anything() as unknown,
        data: null,
        data_base64: Buffer.from('{"id":"a\\u0000b"}').toString('base64'),
      },
    ]);
    const [first] = await rowsOf(database, 'SELECT headers, stream_time FROM events WHERE sequence = 1');
    const kept: unknown = first?.['headers'];
    expect(typeof kept === 'string' ? JSON.parse(kept) : kept).toEqual(headers);
    await daemon.terminate();

    // The same events once more, by another consumer; and what is older than `retention` goes.
    await database.execute(
      "UPDATE events SET stream_time = '2020-01-01T00:00:00.000000000Z' WHERE sequence < 3",
      [],
      never(),
    );
    const yaml = config(`url: "${url}", archive: true, retention: 90d`).replace('  a:', '  b:');
    const again = await startDaemon(yaml, { server });
    await untilEnded(again, 'b', 4);
    await waitFor(
      async () => (await rowsOf(database, "SELECT 1 FROM events WHERE stream_time < '2021-01-01'")).length === 0,
      {
        what: 'the old ones to go',
      },
    );
    expect(
      (await rowsOf(database, 'SELECT sequence FROM events ORDER BY sequence')).map(({ sequence }) => sequence),
    ).toEqual([1, 2, 3, 4]);

    // What is replayed has been archived, or was to be forgotten.
    await database.execute('DELETE FROM events', [], never());
    expect(await runCli(['replay', 'IN', '--to', 'b', '--run', 'jan', '-c', again.configFile])).toMatchObject({
      code: 0,
    });
    await untilEnded(again, 'b', 8);
    expect(await rowsOf(database, 'SELECT sequence FROM events')).toEqual([]);
    await database.close();
  });

  it('what cannot be written now is written later', async () => {
    const { server, client } = await begin();
    const { url, database } = await made();
    const daemon = await startDaemon(config(`url: "${url}", ${ORDERS}, timeout: 1s`), { server });
    await publishMany(client, 10, (n) => ({ subject: 'in.a', body: { id: `o-${n}`, n } }));
    await untilEnded(daemon, 'a', 10);
    await database.close();
    let release = (): Promise<void> | void => undefined;
    if (postgres === undefined) {
      // Somebody else writes, and does not come to an end.
      const other = new DatabaseSync(join(folder, `test${databases}.db`));
      other.exec('BEGIN IMMEDIATE');
      release = () => {
        other.exec('ROLLBACK');
        other.close();
      };
    } else {
      await postgres.stop();
      const stopped = postgres;
      release = () => stopped.start();
    }
    await publishMany(client, 500, (n) => ({ subject: 'in.a', body: { id: `p-${n}`, n } }));
    await waitFor(async () => (await daemon.total('ouzel_target_breaker_open', {})) === 1, { what: 'the breaker' });
    await release();
    expect(await untilEnded(daemon, 'a', 510, 60_000)).toMatchObject({ delivered: 510 });
    const after = openDatabase({ url, timeout: 10_000, connections: 1 });
    expect(await rowsOf(after, 'SELECT count(*) AS rows FROM orders')).toEqual([{ rows: 510 }]);
    await after.close();
  });
});
