/** The archive: every event as it is, with its place in its stream, from where it can be replayed. */
import { isJsonType } from '../../core/event.ts';
import { headerEntries } from '../../core/headers.ts';
import type { Run } from '../../core/run.ts';
import { isoTime } from '../../core/time.ts';
import type { Insert } from '../../sql/insert.ts';
import type { Table } from '../../sql/table.ts';
import { JsonText, type Value } from '../../sql/values.ts';

/** How the ids of runs begin that replay what is archived already. */
const REPLAY = 'replay-';

const COLUMNS = {
  stream: { type: 'text', required: true },
  stream_time: { type: 'timestamptz', required: true },
  sequence: { type: 'bigint', required: true },
  msg_subject: { type: 'text', required: true },
  headers: { type: 'json' },
  id: { type: 'text', required: true },
  source: { type: 'text', required: true },
  type: { type: 'text', required: true },
  subject: { type: 'text' },
  // As the producer wrote it, who may have written anything.
  time: { type: 'text' },
  datacontenttype: { type: 'text' },
  dataschema: { type: 'text' },
  extensions: { type: 'json' },
  key: { type: 'text' },
  data: { type: 'json' },
  data_base64: { type: 'text' },
} as const satisfies Table['columns'];

const UNIQUE = ['stream_time', 'stream', 'sequence'] as const;

export const archiveInsert = (table: string): Insert => ({
  table,
  columns: Object.keys(COLUMNS),
  conflict: { columns: UNIQUE, action: 'ignore' },
});

export const archiveTable = (name: string): Table => ({ name, columns: COLUMNS, unique: UNIQUE, indexes: ['key'] });

/** Whether an event comes out of an archive, or of its stream, once more. */
export const isReplay = ({ id }: Run): boolean => id.startsWith(REPLAY);

/** A backslash that stands for itself: what follows it is no escape. */
const BACKSLASH = '\\\\';

/** NUL and halves of surrogate pairs, as JSON escapes them: PostgreSQL takes neither, not even in a document. */
const NOT_STORABLE = /\\u0000|\\ud[89ab][0-9a-f]{2}(?!\\ud[c-f])|(?<!\\ud[89ab][0-9a-f]{2})\\ud[c-f]/i;

/** A byte order mark is no part of a document. */
const textOf = (body: Uint8Array | string): string =>
  (typeof body === 'string' ? body : Buffer.from(body).toString()).replace(/^\ufeff/, '');

const base64 = (body: Uint8Array | string): string =>
  (typeof body === 'string' ? Buffer.from(body) : Buffer.from(body)).toString('base64');

/**
 * The data as a document, exactly as it came where nothing changed it, or as bytes where it is none.
 *
 * @throws OuzelError EVENT_UNDECODABLE
 */
function dataOf({ event }: Run): readonly [json: Value, base64: Value] {
  const { data, datacontenttype } = event;
  const body = event.body();
  if (body.length === 0) return [undefined, undefined];
  if (data instanceof Uint8Array) return [undefined, base64(body)];
  const text = isJsonType(datacontenttype) ? textOf(body) : JSON.stringify(data);
  const isStorable = !NOT_STORABLE.test(text) || !NOT_STORABLE.test(text.replaceAll(BACKSLASH, ''));
  return isStorable ? [new JsonText(text), undefined] : [undefined, base64(body)];
}

/** What PostgreSQL cannot have in a text. */
const storable = (text: string | undefined): string | undefined => text?.replaceAll('\0', '\ufffd').toWellFormed();

/** The same in every text of a small document. */
function storableDocument(document: Readonly<Record<string, unknown>>): Value {
  const entries = Object.entries(document).map(([name, value]) => [storable(name), value]);
  const text = JSON.stringify(Object.fromEntries(entries), (_key, value: unknown) =>
    typeof value === 'string' ? storable(value) : typeof value === 'bigint' ? String(value) : value,
  );
  return new JsonText(text);
}

function headersOf({ event: { carrier } }: Run): Value {
  if (carrier.headers === undefined) return undefined;
  const headers: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  for (const [name, value] of headerEntries(carrier.headers)) {
    const known = headers[name];
    headers[name] =
      known === undefined ? value : Array.isArray(known) ? [...(known as unknown[]), value] : [known, value];
  }
  return storableDocument(headers);
}

/** The stream's timestamp with all its digits. */
const streamTime = (milliseconds: number, nanoseconds: number): string =>
  `${isoTime(milliseconds).slice(0, -1)}${String(nanoseconds).padStart(6, '0')}Z`;

/**
 * The row of an event.
 *
 * @param key What a person searches it by.
 * @throws OuzelError EVENT_UNDECODABLE
 */
export function archiveRow(run: Run, key: string | undefined): readonly Value[] {
  const { event } = run;
  const { sequence, milliseconds, nanoseconds } = event.position;
  const [data, bytes] = dataOf(run);
  const { extensions } = event;
  return [
    event.stream,
    streamTime(milliseconds, nanoseconds),
    sequence,
    storable(event.carrier.subject),
    headersOf(run),
    storable(event.id),
    storable(event.source),
    storable(event.type),
    storable(event.subject),
    storable(event.time),
    storable(event.datacontenttype),
    storable(event.dataschema),
    Object.keys(extensions).length === 0 ? undefined : storableDocument(extensions),
    storable(key),
    data,
    bytes,
  ];
}
