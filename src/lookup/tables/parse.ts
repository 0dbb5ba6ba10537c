/** From the text of a file to the entries of a table. What takes long lets others go on in between. */
import { setImmediate as others } from 'node:timers/promises';
import { isMap, isScalar, LineCounter, parseDocument } from 'yaml';
import { parseJson } from '../../core/json.ts';
import { csvRecords, TableError } from './csv.ts';
import type { TableSpec } from './table.ts';

/** Milliseconds at a stretch. */
const STRETCH = 10;

/** YAML is read a hundred times as slowly as JSON, and all at once. */
const LARGEST_YAML = 512 * 1024;

/** The text of a key: the same as that of the value that is looked up. */
export function keyText(value: unknown): string | undefined {
  if (typeof value === 'string') return value;
  return typeof value === 'number' || typeof value === 'bigint' || typeof value === 'boolean'
    ? String(value)
    : undefined;
}

class Entries {
  readonly found = new Map<string, unknown>();
  #since = performance.now();

  /** @param line Where it stands, in formats that have lines. */
  add(key: string, value: unknown, line?: number): void {
    if (this.found.has(key)) throw new TableError(`the key ${JSON.stringify(key)} stands twice`, line);
    this.found.set(key, value);
  }

  /** To be awaited now and then. */
  async breathe(): Promise<void> {
    if (performance.now() - this.#since < STRETCH) return;
    await others();
    this.#since = performance.now();
  }
}

/** @throws TableError for what is no such table */
export async function parseTable(text: string, spec: TableSpec): Promise<ReadonlyMap<string, unknown>> {
  const entries = new Entries();
  if (spec.format === 'csv') await readCsv(text, spec, entries);
  else if (spec.format === 'ndjson') await readLines(text, spec, entries);
  else readWhole(spec.format === 'json' ? json(text) : yaml(text), spec, entries);
  return entries.found;
}

async function readCsv(text: string, { column, delimiter }: TableSpec, entries: Entries): Promise<void> {
  let names: readonly string[] | undefined;
  let key = 0;
  for (const { line, fields } of csvRecords(text, delimiter)) {
    if (names === undefined) {
      names = fields;
      const twice = names.find((name, index) => fields.indexOf(name) !== index);
      if (twice !== undefined) throw new TableError(`the column ${JSON.stringify(twice)} stands twice`, line);
      key = column === undefined ? 0 : names.indexOf(column);
      if (key < 0) throw new TableError(`there is no column "${column}": there are ${names.join(', ')}`, line);
      continue;
    }
    if (fields.length !== names.length)
      throw new TableError(`${fields.length} fields, and there are ${names.length} columns`, line);
    const row = Object.fromEntries(names.map((name, index) => [name, fields[index] ?? '']));
    entries.add(fields[key] ?? '', row, line);
    await entries.breathe();
  }
  if (names === undefined) throw new TableError('the first line holds the names of the columns, and there is none');
}

async function readLines(text: string, { column }: TableSpec, entries: Entries): Promise<void> {
  let line = 0;
  for (let at = 0; at < text.length;) {
    line++;
    const newline = text.indexOf('\n', at);
    const end = newline < 0 ? text.length : newline;
    const one = text.slice(at, end).trim();
    at = end + 1;
    if (one !== '') addItem(json(one, line), column, entries, line);
    await entries.breathe();
  }
}

function readWhole(value: unknown, { column }: TableSpec, entries: Entries): void {
  if (Array.isArray(value)) return value.forEach((each: unknown) => addItem(each, column, entries));
  if (!isMapping(value)) throw new TableError('it is neither a mapping nor a list');
  if (column !== undefined) throw new TableError('it is a mapping, whose keys are the keys: it takes no `column`');
  for (const [key, each] of Object.entries(value)) entries.add(key, each);
}

function addItem(item: unknown, column: string | undefined, entries: Entries, line?: number): void {
  if (column === undefined) throw new TableError('it is a list: `column` says which field of an entry is its key');
  if (!isMapping(item)) throw new TableError('an entry is no mapping', line);
  const key = Object.hasOwn(item, column) ? keyText(item[column]) : undefined;
  if (key === undefined) throw new TableError(`an entry has no key: its field "${column}" is no text or number`, line);
  entries.add(key, item, line);
}

function json(text: string, line?: number): unknown {
  try {
    return parseJson(text);
  } catch (error) {
    throw new TableError((error as Error).message, line);
  }
}

function yaml(text: string): unknown {
  if (text.length > LARGEST_YAML)
    throw new TableError(`it is YAML of more than ${LARGEST_YAML / 1024} KiB: use JSON, NDJSON or CSV`);
  const lines = new LineCounter();
  // The parser's own look for keys that stand twice compares each with each.
  const document = parseDocument(text, { intAsBigInt: true, uniqueKeys: false, lineCounter: lines });
  const [error] = document.errors;
  if (error !== undefined) {
    const [first = ''] = error.message.split('\n');
    throw new TableError(`not YAML: ${first.replace(/ at line \d+.*$/, '')}`, error.linePos?.[0].line);
  }
  const keys = new Set<string>();
  for (const { key } of isMap(document.contents) ? document.contents.items : []) {
    const name = isScalar(key) ? String(key.value) : undefined;
    const line = isScalar(key) && key.range ? lines.linePos(key.range[0]).line : undefined;
    if (name === undefined) throw new TableError('a key is no text');
    if (keys.has(name)) throw new TableError(`the key ${JSON.stringify(name)} stands twice`, line);
    keys.add(name);
  }
  try {
    return plain(document.toJS({ maxAliasCount: 1000 }));
  } catch (cause) {
    throw new TableError(`not YAML: ${(cause as Error).message}`);
  }
}

/** Integers as JSON would have them. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number.isSafeInteger(Number(value)) ? Number(value) : value;
  if (Array.isArray(value)) return value.map(plain);
  if (!isMapping(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}

const isMapping = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
