/** Databases that are asked: a real SQLite file and, where there is one, a real PostgreSQL. */
import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { Client as PostgresClient } from 'pg';
import { expect, onTestFinished, test } from 'vitest';
import { type Database, openDatabase, type Parameter, type RowLimit } from '../../src/sql/database.ts';
import { noPostgres, startPostgres } from '../helpers/postgres.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { waitFor } from '../helpers/wait.ts';

const ALL: RowLimit = { most: 10, beyond: 'refuse' };
const never = (): AbortSignal => new AbortController().signal;

function opened(url: string, timeout = 10_000): Database {
  const database = openDatabase({ url, timeout, connections: 2 });
  onTestFinished(() => database.close());
  return database;
}

const ask = (database: Database, text: string, parameters: readonly Parameter[] = [], signal = never()) =>
  database.query(text, parameters, ALL, signal);

/** Makes a file with customers in it. */
function fill(path: string, name: string): void {
  const database = new DatabaseSync(path);
  database.exec('create table customers (id text, name text, visits integer, rate real, photo blob)');
  database
    .prepare('insert into customers values (?, ?, ?, ?, ?)')
    .run('c-7', name, 9223372036854775807n, 1.5, Buffer.from('ab'));
  database.close();
}

const SPIN = 'with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n';

test('SQLite answers with JSON values, and says what is wrong with a question', async () => {
  const path = join(await temporaryDirectory('sqlite'), 'customers.db');
  const database = opened(`sqlite:${path}`);
  await expect(ask(database, 'select 1')).rejects.toMatchObject({
    code: 'TARGET_UNAVAILABLE',
    message: expect.stringContaining('unable to open') as string,
  });
  fill(path, 'Ada');
  const byId = "select *, '$9' as text from customers where id = $1 -- $2";
  expect(await ask(database, byId, ['c-7'])).toEqual([
    { id: 'c-7', name: 'Ada', visits: 9223372036854775807n, rate: 1.5, photo: 'YWI=', text: '$9' },
  ]);
  expect(await ask(database, byId, ["' or 1 = 1 --"])).toEqual([]);
  expect(await ask(database, 'select $2 as b, $1 as a, $1 as c', [true, null])).toEqual([{ b: null, a: 1, c: 1 }]);
  expect(await ask(database, 'select value from json_each($1)', [['x', 'y']])).toEqual([
    { value: 'x' },
    { value: 'y' },
  ]);
  await expect(ask(database, 'select * from nowhere')).rejects.toMatchObject({ code: 'TARGET_NO_TABLE' });
  await expect(ask(database, "update customers set name = 'x'")).rejects.toMatchObject({
    message: expect.stringContaining('readonly') as string,
  });
  const values = "select value from json_each('[1,2,3,4,5,6,7,8,9,10,11]')";
  await expect(ask(database, values)).rejects.toMatchObject({ code: 'TARGET_REJECTED' });
  expect(await database.query(values, [], { most: 2, beyond: 'leave' }, never())).toHaveLength(2);
});

test('another SQLite file in the place of the first one is the one that is asked', async () => {
  const folder = await temporaryDirectory('sqlite');
  const [path, next] = [join(folder, 'a.db'), join(folder, 'b.db')];
  fill(path, 'old');
  fill(next, 'new');
  const database = opened(`sqlite:${path}`);
  expect(await ask(database, 'select name from customers')).toEqual([{ name: 'old' }]);
  await rename(next, path);
  expect(await ask(database, 'select name from customers')).toEqual([{ name: 'new' }]);
});

test('a statement that does not end costs SQLite its time-out and nobody else', async () => {
  const path = join(await temporaryDirectory('sqlite'), 'customers.db');
  fill(path, 'Ada');
  const database = opened(`sqlite:${path}`, 1000);
  const spinning = ask(database, SPIN);
  const waiting = ask(database, 'select name from customers');
  const left = new AbortController();
  const leaving = ask(database, 'select 2', [], left.signal);
  left.abort(new Error('nobody waits'));
  await expect(leaving).rejects.toThrow('nobody waits');
  await expect(spinning).rejects.toMatchObject({ code: 'TARGET_TIMEOUT' });
  expect(await waiting).toEqual([{ name: 'Ada' }]);

  const patient = opened(`sqlite:${path}`, 60_000);
  const stop = new AbortController();
  const stopped = ask(patient, SPIN, [], stop.signal);
  stop.abort(new Error('the attempt is over'));
  await expect(stopped).rejects.toThrow('the attempt is over');
  expect(await ask(patient, 'select 1 as one')).toEqual([{ one: 1 }]);
});

test(
  'PostgreSQL answers with JSON values, reads only, and is found again when it was away',
  { timeout: 60_000 },
  async (context) => {
    const none = await noPostgres();
    if (none !== undefined) context.skip(none);
    const server = await startPostgres();
    const database = opened(server.url, 2000);
    expect(database.shown).not.toContain('pencil-case');
    const client = new PostgresClient({ connectionString: server.url });
    await client.connect();
    await client.query('create table customers (id int primary key, name text)');
    await client.query("insert into customers values (7, 'Ada')");
    await client.end();

    expect(await ask(database, 'select name from customers where id = $1', ['7'])).toEqual([{ name: 'Ada' }]);
    const [row] = await ask(
      database,
      `select 9223372036854775807 as large, 5::int8 as small, 1.50::numeric as price, true as yes, null as nothing,
      '{"n": 9223372036854775807}'::jsonb as doc, array[1, 2]::int8[] as list, array['a,b', null] as texts,
      '2026-01-31 08:00:00.5+00'::timestamptz at time zone 'UTC' as local, '2026-01-31'::date as day,
      'ab'::bytea as bytes, 'infinity'::float8 as endless, '1 day'::interval as span, $1::bool as given`,
      [true],
    );
    expect(row).toEqual({
      large: 9223372036854775807n,
      small: 5,
      price: 1.5,
      yes: true,
      nothing: null,
      doc: { n: 9223372036854775807n },
      list: [1, 2],
      texts: ['a,b', null],
      local: '2026-01-31T08:00:00.5',
      day: '2026-01-31',
      bytes: 'YWI=',
      endless: null,
      span: '1 day',
      given: true,
    });
    const [{ at } = {}] = await ask(database, "select '2026-01-31 08:00:00+00'::timestamptz as at");
    expect(new Date(String(at)).toISOString()).toBe('2026-01-31T08:00:00.000Z');
    expect(await ask(database, 'select id from customers where name = any($1)', [['Ada', 'Bob']])).toEqual([{ id: 7 }]);

    const failing = async (text: string, parameters: readonly Parameter[] = []): Promise<unknown> =>
      ask(database, text, parameters).catch((error: unknown) => error);
    expect(await failing("insert into customers values (8, 'Bob')")).toMatchObject({
      message: expect.stringContaining('read-only') as string,
    });
    expect(await failing('select * from customers where id = $1', ['seven'])).toMatchObject({
      code: 'TARGET_REJECTED_FOR_GOOD',
    });
    expect(await failing('select * from nowhere')).toMatchObject({ code: 'TARGET_NO_TABLE' });
    expect(await failing('select 1; select 2')).toMatchObject({ code: 'TARGET_UNAVAILABLE' });
    expect(await failing('select pg_sleep(60)')).toMatchObject({ code: 'TARGET_TIMEOUT' });
    expect(await failing('select generate_series(1, 11)')).toMatchObject({ code: 'TARGET_REJECTED' });

    const stop = new AbortController();
    const sleeping = ask(database, 'select pg_sleep(60)', [], stop.signal);
    stop.abort(new Error('the attempt is over'));
    await expect(sleeping).rejects.toThrow('the attempt is over');

    await server.stop();
    expect(await failing('select 1')).toMatchObject({ code: 'TARGET_UNAVAILABLE' });
    await server.start();
    expect(
      await waitFor(() => ask(database, 'select name from customers'), { what: 'PostgreSQL to answer again' }),
    ).toEqual([{ name: 'Ada' }]);
  },
);
