/** How the text of a PostgreSQL value becomes a JSON value. */
import { parseJson } from '../core/json.ts';

const integer = (text: string): number | bigint => {
  const number = Number(text);
  return Number.isSafeInteger(number) ? number : BigInt(text);
};
const finite = (text: string): number | null => (Number.isFinite(Number(text)) ? Number(text) : null);
const bytes = (text: string): string => Buffer.from(text.replace(/^\\x/, ''), 'hex').toString('base64');
/** `2026-01-31 08:00:00.5+00` → RFC 3339. */
const instant = (text: string): string =>
  text
    .replace(' ', 'T')
    .replace(/([+-]\d\d)$/, '$1:00')
    .replace(/\+00:00$/, 'Z');

/** How the text of a type becomes a JSON value, by the number of the type; any other type is its text. */
const READERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [16, (text) => text === 't'],
  [17, bytes],
  ...[20, 21, 23, 26].map((oid) => [oid, integer] as const),
  ...[700, 701, 1700].map((oid) => [oid, finite] as const),
  ...[114, 3802].map((oid) => [oid, parseJson] as const),
  ...[1114, 1184].map((oid) => [oid, instant] as const),
]);

/** Lists of the types that configurations have to do with, and the type of what is in them. */
const LISTS: ReadonlyMap<number, number> = new Map([
  [1000, 16],
  [1005, 21],
  [1007, 23],
  [1016, 20],
  [1021, 700],
  [1022, 701],
  [1231, 1700],
  [1009, 25],
  [1015, 1043],
  [2951, 2950],
]);

/** `_text`: its parser splits the list and leaves the items as they are. */
export const TEXT_LIST = 1009;

export class TypeParsers {
  readonly #list: (text: string) => unknown;

  constructor(list: (text: string) => unknown) {
    this.#list = list;
  }

  getTypeParser(oid: number): (text: string) => unknown {
    const items = LISTS.get(oid);
    if (items === undefined) return READERS.get(oid) ?? ((text) => text);
    const read = READERS.get(items) ?? ((text) => text);
    return (text) => this.#items(this.#list(text), read);
  }

  #items(value: unknown, read: (text: string) => unknown): unknown {
    if (Array.isArray(value)) return value.map((each: unknown) => this.#items(each, read));
    return typeof value === 'string' ? read(value) : value;
  }
}
