/** The transformer over tables, which answer at once, and what its options are taken for. */
import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import { tableId, type Tables } from '../../../src/lookup/tables/table.ts';
import { lookup } from '../../../src/pipeline/transformers/lookup.ts';
import { parametersOf, forSqlite } from '../../../src/sql/statement.ts';
import { bodyText, jsonEvent } from '../core/helpers.ts';
import { failureOf } from '../config/helpers.ts';
import { NO_LOOKUPS, passThrough } from '../pipeline/helpers.ts';

const table = { path: '/t.json', format: 'json', column: undefined, delimiter: ',', maxSize: 67_108_864 } as const;
const entries = new Map<string, unknown>([
  ['c-7', { name: 'Ada', tags: ['x'] }],
  ['7', 'seven'],
  ['true', 'yes'],
]);
const tables: Tables = new Map([[tableId(table), { entries, revision: 'r' }]]);

const looked = (options: Record<string, unknown>, data: unknown) =>
  passThrough(lookup, { file: '/t.json', key: 'event.data.k', into: 'data.v', ...options }, jsonEvent(data), {
    ...NO_LOOKUPS,
    tables,
  });
const body = (options: Record<string, unknown>, data: unknown): string => bodyText(looked(options, data).event);

describe('a lookup', () => {
  it.each<[options: Record<string, unknown>, data: unknown, body: string]>([
    [{}, { k: 'c-7' }, '{"k":"c-7","v":{"name":"Ada","tags":["x"]}}'],
    [{}, { k: 7 }, '{"k":7,"v":"seven"}'],
    [{}, { k: true }, '{"k":true,"v":"yes"}'],
    [{}, { k: 'nobody', v: 1 }, '{"k":"nobody","v":1}'],
    [{}, { k: null }, '{"k":null}'],
    [{ key: 'event.data.?k' }, { a: 1 }, '{"a":1}'],
    [{ select: 'value.name' }, { k: 'c-7' }, '{"k":"c-7","v":"Ada"}'],
    [{ select: 'value.?age' }, { k: 'c-7' }, '{"k":"c-7"}'],
    [{ select: 'value.name + event.data.k' }, { k: 'c-7' }, '{"k":"c-7","v":"Adac-7"}'],
    [{ into: 'data' }, { k: 'c-7' }, '{"name":"Ada","tags":["x"]}'],
  ])('%j of %j → %s', (options, data, expected) => expect(body(options, data)).toBe(expected));

  it('fails the event by the rule of `set`', () => {
    const code = (expected: string): Error => expect.objectContaining({ code: expected }) as Error;
    expect(() => looked({}, {})).toThrow(code('EVENT_MISSING_FIELD'));
    expect(() => looked({}, { k: { a: 1 } })).toThrow(code('EVENT_EXPRESSION'));
    expect(() => looked({}, { k: ['c-7'] })).toThrow(code('EVENT_EXPRESSION'));
    expect(() => looked({ select: 'value.age' }, { k: 'c-7' })).toThrow(code('EVENT_MISSING_FIELD'));
    expect(() => looked({ missing: 'fail' }, { k: 'nobody' })).toThrow(code('EVENT_MISSING_LOOKUP'));
    expect(() => looked({ into: 'data.k.v' }, { k: 'c-7' })).toThrow(code('EVENT_EXPRESSION'));
  });
});

describe('options', () => {
  const config = (options: string): string =>
    `version: 1\nstreams: { S: { subjects: [s] } }\ntransformers:\n  t: { lookup: ${options} }\n`;

  it.each<[options: string, message: RegExp]>([
    ['{ key: event.data.k, into: data.v }', /does not say what it is/],
    ['{ kv: b, file: t.csv, key: event.data.k, into: data.v }', /kv and file cannot stand together/],
    ['{ kv: b, into: data.v }', /a lookup in `kv` needs a `key`/],
    ['{ kv: b.c, key: event.data.k, into: data.v }', /bucket/],
    ['{ kv: b, key: event.data.k }', /into/],
    ['{ kv: b, key: value.k, into: data.v }', /there is no "value" here/],
    ['{ kv: b, key: event.data.k, into: data.v, select: valu.k }', /unknown variable "valu"/],
    ['{ kv: b, key: event.data.k, into: data.v, cache: soon }', /cache/],
    ['{ file: { path: t.txt }, key: event.data.k, into: data.v }', /its extension does not say/],
    ['{ http: { url: "http://127.0.0.1/{{ event.data.k }}" }, into: data.v }', /loopback address, and only public/],
    ['{ sql: { url: "mysql://h/d", query: "select $1" }, key: event.data.k, into: data.v }', /no database/],
    [
      '{ sql: { url: "sqlite:x.db", query: "select 1" }, key: event.data.k, into: data.v }',
      /no parameters, and there is 1/,
    ],
    [
      '{ sql: { url: "sqlite:x.db", query: "select $1, $3", params: ["1", "2"] }, into: data.v }',
      /\$1, \$3, and there are 2/,
    ],
    [
      '{ sql: { url: "sqlite:x.db", query: "select {{ event.data.k }}", params: [] }, into: data.v }',
      /one statement for all/,
    ],
    ['{ sql: { url: "sqlite:x.db", query: "select $1" }, into: data.v }', /a lookup in `sql` needs a `key`/],
  ])('%s is refused', (options, message) => {
    expect(failureOf(config(options)).message).toMatch(message);
  });

  it('take paths from the folder of the file, and hide passwords', () => {
    const text = config('{ sql: { url: "sqlite:data/x.db", query: "select $1" }, key: event.data.k, into: data.v }');
    const loaded = parseConfig(text, '/etc/ouzel/ouzel.yaml', { env: {} });
    const [entry] = Object.values(loaded.config.transformers) as {
      readonly lookup?: { readonly sql: { readonly url: string } };
    }[];
    expect(entry?.lookup?.sql.url).toBe('sqlite:/etc/ouzel/data/x.db');
    const secret = config(
      '{ sql: { url: "postgres://ada:pencil-case@h/d", query: "select $1" }, key: event.data.k, into: data.v }',
    );
    const hidden = parseConfig(secret, '/etc/ouzel/ouzel.yaml', { env: {} });
    expect(JSON.stringify(hidden.source)).not.toContain('pencil-case');
    expect(hidden.redact('x pencil-case x')).toBe('x *** x');
  });
});

describe('the parameters of a statement', () => {
  it.each<[text: string, numbers: number[]]>([
    ['select 1', []],
    ['select $2, $1, $2', [1, 2]],
    ["select '$1', '''$2', \"$3\", `$4`, $5", [5]],
    ['select $1 -- $2\n, $3 /* $4 \n */', [1, 3]],
    ['select $$ $1 $$, $a$ $2 $$ $a$, $3', [3]],
    ['select a$1, $1::text', [1]],
    ["select 'open $1", [1]],
  ])('%j', (text, numbers) => expect(parametersOf(text)).toEqual(numbers));

  it('are numbered as SQLite has them', () =>
    expect(forSqlite("select '$1', $1, a$1, $2 -- $2")).toBe("select '$1', ?1, a$1, ?2 -- $2"));
});
