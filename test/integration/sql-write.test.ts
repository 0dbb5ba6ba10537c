/** Writing to SQLite and PostgreSQL: the same rows go the same way, and one that is refused keeps no other back. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Client } from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Database, dialectOf, openDatabase } from '../../src/sql/database.ts';
import { createTable, type Table } from '../../src/sql/table.ts';
import { JsonText } from '../../src/sql/values.ts';
import { noPostgres, type Postgres, startPostgres } from '../helpers/postgres.ts';

const missing = await noPostgres();
const never = (): AbortSignal => new AbortController().signal;
const ALL = { most: 10_000, beyond: 'refuse' } as const;

const ORDERS = {
  columns: {
    id: { type: 'text', required: true },
    total: { type: 'numeric' },
    paid: { type: 'boolean' },
    at: { type: 'timestamptz' },
    lines: { type: 'jsonb' },
    raw: { type: 'json' },
    big: { type: 'bigint' },
  },
  unique: ['id'],
  indexes: ['at'],
} as const satisfies Omit<Table, 'name'>;

describe.each(['sqlite', 'postgres'] as const)('%s', (kind) => {
  let folder: string;
  let postgres: Postgres | undefined;
  let database: Database;
  let tables = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ouzel-sql-'));
    if (kind === 'postgres' && missing === undefined) postgres = await startPostgres();
    const url = kind === 'sqlite' ? `sqlite:${join(folder, 'made', 'test.db')}` : (postgres?.url ?? 'postgres://none');
    database = openDatabase({ url, timeout: 10_000, connections: 2, write: true });
    expect(dialectOf(url)).toBe(kind);
  });

  afterAll(async () => {
    await database.close();
    await postgres?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true });
  });

  const it = test.skipIf(kind === 'postgres' && missing !== undefined);

  const make = async (): Promise<string> => {
    const name = `orders ${++tables}`;
    for (const text of createTable(kind, { name, ...ORDERS })) await database.execute(text, [], never());
    return name;
  };
  const all = (table: string, columns = '*') =>
    database.query(`SELECT ${columns} FROM "${table}" ORDER BY id`, [], ALL, never());

  it('values come out as they went in', async () => {
    const table = await make();
    const columns = Object.keys(ORDERS.columns);
    const row = [
      'a"b',
      19.5,
      true,
      '2026-01-31T08:00:00.5Z',
      { n: [1, 'x'] },
      new JsonText('{ "b":1,"a":2 }'),
      9223372036854775807n,
    ];
    const nothing = ['nothing', undefined, null, null, null, null, null];
    const into = { table, columns, conflict: undefined };
    expect(await database.insert(into, [row, nothing], never())).toEqual([undefined, undefined]);
    const [first, second] = await all(table);
    expect(first).toMatchObject({ id: 'a"b', total: 19.5, at: '2026-01-31T08:00:00.5Z', big: 9223372036854775807n });
    expect(first?.['paid']).toBe(kind === 'sqlite' ? 1 : true);
    expect(first?.['lines']).toEqual(kind === 'sqlite' ? '{"n":[1,"x"]}' : { n: [1, 'x'] });
    expect(second).toEqual({ id: 'nothing', total: null, paid: null, at: null, lines: null, raw: null, big: null });
    const [text] = await all(table, 'id, CAST(raw AS text) AS raw');
    expect(text?.['raw']).toBe('{ "b":1,"a":2 }');
  });

  it('whole numbers stay whole in a column of text, and digits stay digits', async () => {
    const table = await make();
    const into = { table, columns: ['id', 'total'], conflict: undefined };
    await database.insert(
      into,
      [
        [42, '12345.670'],
        [true, '17'],
      ],
      never(),
    );
    expect(await all(table, 'id, total')).toEqual(
      [
        { id: '42', total: 12345.67 },
        { id: kind === 'sqlite' ? '1' : 'true', total: 17 },
      ].toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    );
  });

  it('a row that is refused is found among the others, which are written', async () => {
    const table = await make();
    const into = { table, columns: ['id', 'total'], conflict: undefined };
    const rows = Array.from({ length: 100 }, (_, n): unknown[] => [`o-${String(n).padStart(3, '0')}`, n]);
    for (const [index, id] of [
      [17, null],
      [40, null],
      [41, 'o-003'],
      [99, null],
    ] as const)
      rows[index] = [id, 1];
    const failures = await database.insert(into, rows, never());
    const refused = failures.flatMap((failure, index) => (failure === undefined ? [] : [[index, failure.code]]));
    expect(refused).toEqual([17, 40, 41, 99].map((index) => [index, 'TARGET_REJECTED_FOR_GOOD']));
    expect(failures[41]?.message).toMatch(/unique/i);
    expect((await all(table)).length).toBe(96);
  });

  it('a key that is there already is left, or updated in the order of the rows', async () => {
    const table = await make();
    const rows = [
      ['a', 1],
      ['b', 2],
      ['a', 3],
      ['c', 4],
      ['a', 5],
      ['b', 6],
    ];
    const columns = ['id', 'total'];
    await database.insert({ table, columns, conflict: { columns: ['id'], action: 'update' } }, rows, never());
    const then = [
      { id: 'a', total: 5 },
      { id: 'b', total: 6 },
      { id: 'c', total: 4 },
    ];
    expect(await all(table, 'id, total')).toEqual(then);
    const again = await database.insert(
      { table, columns, conflict: { columns: ['id'], action: 'ignore' } },
      rows,
      never(),
    );
    expect(again.every((failure) => failure === undefined)).toBe(true);
    expect(await all(table, 'id, total')).toEqual(then);
  });

  it('a constraint that is checked with the commit names its row all the same', async () => {
    const table = await make();
    const name = `lines ${tables}`;
    const reference = `"order" text REFERENCES "${table}" (id) DEFERRABLE INITIALLY DEFERRED`;
    await database.execute(`CREATE TABLE "${name}" (id integer, ${reference})`, [], never());
    await database.insert({ table, columns: ['id'], conflict: undefined }, [['o-1']], never());
    const into = { table: name, columns: ['id', 'order'], conflict: undefined };
    const failures = await database.insert(
      into,
      [
        [1, 'o-1'],
        [2, 'o-2'],
        [3, null],
      ],
      never(),
    );
    // The order may still come: another attempt can mend that.
    expect(failures.map((failure) => failure?.code)).toEqual([undefined, 'TARGET_REJECTED', undefined]);
    expect((await all(name)).map(({ id }) => id)).toEqual([1, 3]);
  });

  it('a table, a column or a unique index that is not there says so', async () => {
    const into = { table: 'nowhere', columns: ['id'], conflict: undefined };
    await expect(database.insert(into, [['a']], never())).rejects.toMatchObject({ code: 'TARGET_NO_TABLE' });
    const table = await make();
    const conflict = { columns: ['total'], action: 'ignore' } as const;
    await expect(
      database.insert({ table, columns: ['id', 'totl'], conflict: undefined }, [['a', 1]], never()),
    ).rejects.toMatchObject({ code: 'TARGET_NO_TABLE' });
    await expect(
      database.insert({ table, columns: ['id', 'total'], conflict }, [['a', 1]], never()),
    ).rejects.toMatchObject({ code: 'TARGET_NO_TABLE' });
  });

  it('a name is only a name, whatever it is made of', async () => {
    const name = `o"; DROP TABLE x; --`;
    const column = `"), (1); --`;
    const columns = { id: { type: 'text' }, [column]: { type: 'text' } } as const;
    for (const text of createTable(kind, { name, columns, unique: [] })) await database.execute(text, [], never());
    const into = { table: name, columns: ['id', column], conflict: undefined };
    expect(await database.insert(into, [['1', `'); DROP TABLE "orders 1"; --`]], never())).toEqual([undefined]);
    const rows = await database.query(`SELECT * FROM "${name.replaceAll('"', '""')}"`, [], ALL, never());
    expect(rows).toEqual([{ id: '1', [column]: `'); DROP TABLE "orders 1"; --` }]);
  });

  /** A trigger that answers every row of a table with an error, which real trouble is too rare to do. */
  const refusing = async (table: string, state: string, times: number): Promise<void> => {
    const name = `refusing_${tables}`;
    await database.execute(`CREATE SEQUENCE ${name}`, [], never());
    const body = `BEGIN IF nextval('${name}') <= ${times} THEN RAISE EXCEPTION 'not now' USING ERRCODE = '${state}'; END IF; RETURN NEW; END`;
    await database.execute(`CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ ${body} $$`, [], never());
    await database.execute(
      `CREATE TRIGGER refusing BEFORE INSERT ON "${table}" FOR EACH ROW EXECUTE FUNCTION ${name}()`,
      [],
      never(),
    );
  };

  test.skipIf(kind === 'sqlite' || missing !== undefined).each([
    ['40001', 3, undefined],
    ['40P01', 100, 'TARGET_UNAVAILABLE'],
    ['53100', 1, 'TARGET_UNAVAILABLE'],
    ['P0001', 100, 'TARGET_REJECTED'],
  ] as const)('what PostgreSQL says with %s, %d times', async (state, times, code) => {
    const table = await make();
    await refusing(table, state, times);
    const into = { table, columns: ['id'], conflict: undefined };
    const failing = database.insert(into, [['a']], never());
    if (code === 'TARGET_UNAVAILABLE') await expect(failing).rejects.toMatchObject({ code });
    else expect((await failing).map((failure) => failure?.code)).toEqual([code]);
  });

  test.skipIf(kind === 'sqlite' || missing !== undefined)(
    'a lock that is held is waited for, and no longer',
    async () => {
      const table = await make();
      const url = postgres?.url ?? '';
      const impatient = openDatabase({ url, timeout: 500, connections: 1, write: true });
      const other = new Client({ connectionString: url });
      await other.connect();
      await other.query(`BEGIN; LOCK TABLE "${table}" IN EXCLUSIVE MODE`);
      const into = { table, columns: ['id'], conflict: undefined };
      await expect(impatient.insert(into, [['a']], never())).rejects.toMatchObject({ code: 'TARGET_TIMEOUT' });
      await other.query('ROLLBACK');
      expect(await impatient.insert(into, [['a']], never())).toEqual([undefined]);
      await other.end();
      await impatient.close();
    },
  );
});
