import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { loadTables } from '../../../src/lookup/tables/load.ts';
import { parseTable } from '../../../src/lookup/tables/parse.ts';
import { tableId, type TableFormat, type TableSpec } from '../../../src/lookup/tables/table.ts';

const spec = (format: TableFormat, more: Partial<TableSpec> = {}): TableSpec => ({
  path: '/nowhere',
  format,
  column: undefined,
  delimiter: ',',
  maxSize: 1000,
  ...more,
});

describe('a table', () => {
  it.each<[format: TableFormat, column: string | undefined, text: string, entries: Record<string, unknown>]>([
    ['csv', undefined, 'id,name\n7,Ada\n', { 7: { id: '7', name: 'Ada' } }],
    ['csv', 'name', 'id,name\n7,Ada\n', { Ada: { id: '7', name: 'Ada' } }],
    ['csv', undefined, 'id,name\n', {}],
    ['json', undefined, '{"a":{"n":1},"b":2}', { a: { n: 1 }, b: 2 }],
    ['json', 'id', '[{"id":7,"n":9223372036854775807}]', { 7: { id: 7, n: 9223372036854775807n } }],
    ['ndjson', 'id', '{"id":"a"}\n\n {"id":true} \r\n', { a: { id: 'a' }, true: { id: true } }],
    [
      'yaml',
      undefined,
      'a: { n: 1 }\n7: [x, 12345678901234567890]\n',
      { a: { n: 1 }, 7: ['x', 12345678901234567890n] },
    ],
    ['yaml', 'id', '- { id: a, on: 2026-01-31 }\n', { a: { id: 'a', on: '2026-01-31' } }],
  ])('of %s with the key %s: %j', async (format, column, text, entries) =>
    expect(Object.fromEntries(await parseTable(text, spec(format, { column })))).toEqual(entries),
  );

  it('takes keys and columns such as __proto__ for data', async () => {
    const csv = await parseTable('__proto__,constructor\nprototype,x\n', spec('csv'));
    expect(Object.entries(csv.get('prototype') as object)).toEqual([
      ['__proto__', 'prototype'],
      ['constructor', 'x'],
    ]);
    expect((await parseTable('{"__proto__":1}', spec('json'))).get('__proto__')).toBe(1);
    expect((await parseTable('{}', spec('json'))).get('constructor')).toBeUndefined();
  });

  it.each<[format: TableFormat, column: string | undefined, text: string, message: RegExp, line: number | undefined]>([
    ['csv', undefined, '', /names of the columns/, undefined],
    ['csv', 'key', 'id,name\n', /no column "key": there are id, name/, 1],
    ['csv', undefined, 'id,id\n', /column "id" stands twice/, 1],
    ['csv', undefined, 'id,name\n7\n', /1 fields, and there are 2/, 2],
    ['csv', undefined, 'id,name\n7,a\n7,b\n', /key "7" stands twice/, 3],
    ['json', undefined, '[{}]', /`column` says/, undefined],
    ['json', 'id', '{}', /no `column`/, undefined],
    ['json', 'id', '[{"id":null}]', /has no key/, undefined],
    ['json', 'id', '[1]', /no mapping/, undefined],
    ['json', undefined, '"x"', /neither a mapping nor a list/, undefined],
    ['json', undefined, '{', /not JSON/, undefined],
    ['ndjson', 'id', '{"id":1}\nnope\n', /not JSON/, 2],
    ['ndjson', 'id', '{"id":1}\n{"id":"1"}\n', /stands twice/, 2],
    ['yaml', undefined, 'a: [1\nb: 2\n', /not YAML/, 2],
    ['yaml', undefined, 'a: 1\nb: 2\n"a": 3\n', /key "a" stands twice/, 3],
    ['yaml', undefined, `a: ${'x'.repeat(2 ** 21)}`, /use JSON/, undefined],
  ])('of %s with the key %s is refused: %.40j', async (format, column, text, message, line) => {
    const failure = await parseTable(text, spec(format, { column })).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: 'TableError', message: expect.stringMatching(message) as string, line });
  });
});

describe('files', () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'ouzel-tables-'));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it('are read again only when they changed, and have the revision of what is in them', async () => {
    const path = join(folder, 'a.csv');
    const wanted = spec('csv', { path });
    const load = async () => {
      const { tables, failures } = await loadTables([wanted, wanted]);
      expect(failures.size).toBe(0);
      return tables.get(tableId(wanted));
    };
    await writeFile(path, '\ufeffid\n1\n');
    const first = await load();
    expect([...(first?.entries.keys() ?? [])]).toEqual(['1']);
    expect(await load()).toBe(first);
    await utimes(path, 1, 1);
    const touched = await load();
    expect(touched).not.toBe(first);
    expect(touched?.revision).toBe(first?.revision);
    await writeFile(path, 'id\n2\n');
    expect((await load())?.revision).not.toBe(first?.revision);
  });

  it('that cannot be read say why, and keep no other from being read', async () => {
    const path = join(folder, 'b.csv');
    await writeFile(path, 'id\n1\n');
    await writeFile(join(folder, 'latin.csv'), Buffer.from([0x69, 0x64, 0x0a, 0xe4]));
    const specs = {
      good: spec('csv', { path }),
      absent: spec('csv', { path: join(folder, 'absent.csv') }),
      folder: spec('csv', { path: folder }),
      large: spec('csv', { path, maxSize: 3 }),
      latin: spec('csv', { path: join(folder, 'latin.csv') }),
    };
    const { tables, failures } = await loadTables(Object.values(specs));
    expect([...tables.keys()]).toEqual([tableId(specs.good)]);
    const says = (of: TableSpec): string | undefined => failures.get(tableId(of))?.message;
    expect(says(specs.absent)).toBe('there is no such file');
    expect(says(specs.folder)).toBe('it is no regular file');
    expect(says(specs.large)).toBe('it has 5 bytes, and `max_size` is 3');
    expect(says(specs.latin)).toBe('it is not UTF-8');
  });
});
