/** From a row of an archive back to the message that it was. */
import { type Decoder, Event, isJsonType } from '../core/event.ts';
import { parseTimestamp } from '../core/handover.ts';
import { headerBlock, headerLine } from '../core/headers.ts';
import type { StoredEvent } from './source.ts';

/** Columns of an archive; documents as their text. */
export interface ArchivedRow {
  readonly place: string;
  readonly sequence: number | bigint;
  readonly msg_subject: string;
  readonly headers: string | null;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  readonly subject: string | null;
  readonly time: string | null;
  readonly datacontenttype: string | null;
  readonly dataschema: string | null;
  readonly extensions: string | null;
  readonly data: string | null;
  readonly data_base64: string | null;
}

interface Restoring {
  readonly stream: string;
  readonly cursor: string;
  /** As the stream's events are decoded now. */
  readonly decode: Decoder;
}

const ATTRIBUTES = ['id', 'source', 'type', 'subject', 'time', 'datacontenttype', 'dataschema'] as const;
const NO_REPLY = new Uint8Array(0);
/** What describes the body: in an envelope everything stands inside. */
const DESCRIBING = /^(?:ce-|content-type$)/i;

/**
 * The message as it came, where the archive's columns say the same of it; else (its consumer changed the event, or it
 * came as an envelope) a structured CloudEvent of the columns.
 */
export function restored(row: ArchivedRow, { stream, cursor, decode }: Restoring): StoredEvent {
  const { msg_subject: subject, sequence, place } = row;
  const position = { sequence: Number(sequence), ...parseTimestamp(place) };
  const headers = headersOf(row);
  const base = { cursor, stream, subject, position };
  const plain = { ...base, headers: blockOf(headers), body: bodyOf(row) };
  if (saysTheSame(plain, row, decode)) return plain;
  const others = headers.filter(([name]) => !DESCRIBING.test(name));
  return {
    ...base,
    headers: blockOf([...others, ['Content-Type', 'application/cloudevents+json']]),
    body: Buffer.from(envelopeOf(row)),
  };
}

type Header = readonly [name: string, value: string];

function headersOf({ headers }: ArchivedRow): Header[] {
  if (headers === null) return [];
  const known = JSON.parse(headers) as Readonly<Record<string, string | readonly string[]>>;
  return Object.entries(known).flatMap(([name, values]) => [values].flat().map((value) => [name, value] as const));
}

const blockOf = (headers: readonly Header[]): Uint8Array | undefined =>
  headers.length === 0
    ? undefined
    : Buffer.from(headerBlock(headers.map(([name, value]) => headerLine(name, value)).join('')));

/** The data as it came: JSON as its text, any other text out of its JSON string, bytes from Base64. */
function bodyOf({ data, data_base64: encoded, datacontenttype }: ArchivedRow): Uint8Array {
  if (encoded !== null) return Buffer.from(encoded, 'base64');
  if (data === null) return new Uint8Array(0);
  return Buffer.from(isJsonType(datacontenttype ?? undefined) ? data : String(JSON.parse(data)));
}

function saysTheSame({ subject, headers, body, position, stream }: StoredEvent, row: ArchivedRow, decode: Decoder) {
  const event = new Event({ subject, reply: NO_REPLY, headers, body }, { ...position, deliveries: 1 }, stream, decode);
  try {
    return event.contents.bodyIsData && ATTRIBUTES.every((name) => (event[name] ?? null) === row[name]);
  } catch {
    return false;
  }
}

function envelopeOf(row: ArchivedRow): string {
  const attributes: Record<string, unknown> = {
    ...(row.extensions === null ? {} : (JSON.parse(row.extensions) as object)),
    specversion: '1.0',
  };
  for (const name of ATTRIBUTES) if (row[name] !== null) attributes[name] = row[name];
  const whole = JSON.stringify(attributes).slice(0, -1);
  if (row.data_base64 !== null) return `${whole},"data_base64":${JSON.stringify(row.data_base64)}}`;
  return row.data === null ? `${whole}}` : `${whole},"data":${row.data}}`;
}
