/** The section `types`: chains without gaps, and schemas with places. Files are read from a real folder. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { ConfigError, loadConfig, type LoadedConfig } from '../../../src/config/load.ts';
import { problemsIn } from './helpers.ts';

const V = 'version: 1\n';

const found = (text: string): string[] =>
  problemsIn(V + text).map(({ path, message, hint }) => `${path}: ${message}; ${hint}`);

describe('the versions of a type', () => {
  it.each<[text: string, expected: RegExp]>([
    ['{ version: 3, upcast: { 1: { set: { data.a: "1" } } } }', /upcast: nothing makes version 2 into 3/],
    ['{ version: 2 }', /version: nothing makes version 1 into 2; .*oldest: 2/],
    [
      '{ version: 2, upcast: { 1: { remove: [data.a] }, 2: { remove: [data.a] } } }',
      /upcast\.2: version 2 is not made/,
    ],
    ['{ version: 3, oldest: 2, upcast: { 1: { remove: [data.a] }, 2: { remove: [data.a] } } }', /upcast\.1: .*older/],
    ['{ version: 1, oldest: 2 }', /oldest: the oldest version is above the newest/],
    ['{ version: 2, upcast: { 1: {} } }', /upcast\.1: it does not say what it is/],
    ['{ version: 2, upcast: { one: { remove: [data.a] } } }', /whole number/],
    ['{ version: 2, upcast: { 1: { lookup: { kv: a, key: b, into: data.c } } } }', /upcast\.1.*lookup/],
    ['{ version: 2, upcast: { 1: { set: { type: "\'x\'" } } } }', /does not change the type/],
    ['{ version: 2, upcast: { 1: { rename: { data.kind: type } } } }', /does not change the type/],
    ['{ version: 2, upcast: { 1: { set: { data.a: "filters.nope" } } } }', /no filter "nope"/],
  ])('are refused: %s', (text, expected) =>
    expect(found(`types:\n  orders.created: ${text}\n`).join('\n')).toMatch(expected),
  );

  it.each(['"orders.*"', '"a b"', '"a..b"', '".a"', 'constructor', '"orders/created"'])(
    'stand under an exact type, not %s',
    (type) => expect(found(`types: { ${type}: {} }`).join('\n')).toContain('cannot be the type of an entry'),
  );
});

/** What is wrong with a configuration and its files, as `place message`; or the configuration. */
async function load(types: string, files: Readonly<Record<string, string>> = {}): Promise<LoadedConfig | string[]> {
  const cwd = await mkdtemp(join(tmpdir(), 'ouzel-types-'));
  onTestFinished(() => rm(cwd, { recursive: true }));
  for (const [name, text] of Object.entries({ 'ouzel.yaml': `${V}types:\n${types}`, ...files })) {
    const path = join(cwd, name);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text);
  }
  try {
    return await loadConfig({ cwd, env: {} });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    expect(error.message).not.toContain(cwd);
    return error.problems.map(({ place, message }) => `${place?.file}:${place?.line}:${place?.column} ${message}`);
  }
}

async function loaded(types: string, files?: Readonly<Record<string, string>>): Promise<LoadedConfig> {
  const result = await load(types, files);
  if (Array.isArray(result)) throw new Error(result.join('\n'));
  return result;
}

describe('the schema of a type', () => {
  it.each<[name: string, schema: string, expected: string]>([
    ['a keyword', '{\n  "requird": ["a"] }', 's.json:2:3 there is no keyword "requird"'],
    ['a keyword below', '{\n "properties": { "required": {\n "typ": 1 } } }', 's.json:3:2 there is no keyword "typ"'],
    ['a promise', '{\n  "$async": true }', 's.json:2:3 there is no keyword "$async"'],
    ['a type', '{\n  "type": "strin" }', 's.json:2:11 this must be one of array, boolean,'],
    ['a bound', '{\n  "minimum": "1" }', 's.json:2:14 this must be number'],
    ['a format', '{\n  "format": "datetime" }', 's.json:2:13 there is no format "datetime"'],
    ['a pattern', '{\n  "pattern": "(?=a)b" }', 's.json:2:14 the pattern is no regular expression'],
    ['a pattern of names', '{ "patternProperties": {\n  "(a)\\\\1": {} } }', 's.json:2:3 the pattern is no'],
    ['a file', '{\n  "$ref": "none.json" }', 's.json:2:11 the schema none.json: there is no such file'],
    ['a part', '{\n  "$ref": "#/$defs/a" }', 's.json:2:11 there is no schema "#/$defs/a"'],
    [
      'a part of a file',
      '{\n  "$ref": "other.json#/$defs/b" }',
      's.json:2:11 there is no schema "other.json#/$defs/b"',
    ],
    ['the network', '{\n  "$ref": "https://x.example/a.json" }', 's.json:2:11 there is no schema "https://x.example'],
    ['a file by its path', '{\n  "$ref": "/etc/hostname" }', 's.json:2:11 there is no schema "/etc/hostname"'],
    [
      'a dialect',
      '{\n  "$schema": "http://json-schema.org/draft-04/schema#" }',
      's.json:2:14 a schema of this dialect',
    ],
    ['JSON', '{\n  "type": }', 's.json:'],
    ['an object', '[]', 's.json:1:1 a schema is an object'],
  ])('is refused with its place for %s', async (_name, schema, expected) => {
    const result = await load('  a: { schema: s.json }\n', {
      's.json': schema,
      'other.json': '{ "$defs": { "a": {} } }',
    });
    expect(result).toEqual(expect.arrayContaining([expect.stringContaining(expected)]));
  });

  it('is refused where it is written, and where it is not there', async () => {
    expect(await load('  a:\n    schema:\n      typ: object\n')).toEqual([
      expect.stringContaining('ouzel.yaml:5:7 there is no keyword "typ"'),
    ]);
    expect(await load('  a: { schema: none.json }\n')).toEqual([
      expect.stringContaining('ouzel.yaml:3:16 the schema none.json: there is no such file'),
    ]);
  });

  it('refers to files beside it, in circles too, under the names of their $id or of the files', async () => {
    const files = {
      'schemas/order.json': JSON.stringify({
        $id: 'https://x.example/schemas/order.json',
        properties: {
          lines: { items: { $ref: 'parts/line.json' } },
          self: { $ref: '#' },
          m: { $ref: 'parts/money.yaml' },
        },
      }),
      'schemas/parts/line.json': JSON.stringify({
        properties: { price: { $ref: 'money.yaml' }, parent: { $ref: '../order.json' }, 'x/y': { $ref: '#/$defs/n' } },
        $defs: { n: { type: 'number' } },
      }),
      'schemas/parts/money.yaml': 'type: integer\nx-owner: billing\n',
    };
    const { schemas, files: watched } = await loaded('  a: { schema: schemas/order.json }\n', files);
    const problemsOf = (data: unknown) =>
      schemas
        .get('a')
        ?.problemsOf(data, 1)
        ?.map(({ pointer }) => pointer);
    expect(problemsOf({ lines: [{ price: 1, 'x/y': 1 }], m: 1 })).toBeUndefined();
    expect(problemsOf({ lines: [{ price: 1.5 }, { 'x/y': '' }], self: { m: '' } })?.toSorted()).toEqual([
      '/lines/0/price',
      '/lines/1/x~1y',
      '/self/m',
    ]);
    expect(problemsOf({ lines: [{ parent: { lines: [{ price: '' }] } }] })).toEqual(['/lines/0/parent/lines/0/price']);
    expect(watched.filter((path) => path.includes('schemas'))).toHaveLength(3);
  });

  it('changes the revision with what it refers to', async () => {
    const order = { 's.json': '{ "$ref": "o.json" }' };
    const types = '  a: { schema: s.json }\n';
    const first = await loaded(types, { ...order, 'o.json': '{ "type": "string" }' });
    const same = await loaded(types, { ...order, 'o.json': '{"type":"string"}' });
    const other = await loaded(types, { ...order, 'o.json': '{ "type": "number" }' });
    expect(same.hash).toBe(first.hash);
    expect(other.hash).not.toBe(first.hash);
  });
});
