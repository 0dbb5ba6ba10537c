/** From an event to a CloudEvents 1.0 message, as the NATS protocol binding says. */
import type { Event } from '../core/event.ts';
import { headerLine } from '../core/headers.ts';
import { stringifyJson } from '../core/json.ts';
import { toText } from '../expression/index.ts';

/** CloudEvents HTTP binding 3.1.3.2, which the NATS binding refers to: what a header value must not hold as it is. */
// oxlint-disable-next-line no-control-regex -- control characters are among what is encoded
const ENCODED = /[\u0000-\u0020"%\u007f-\uffff]/;
// oxlint-disable-next-line no-control-regex -- see above; with `u`, a surrogate pair is one character
const ENCODED_ALL = /[\u0000-\u0020"%\u007f-\u{10ffff}]/gu;

const percentEncode = (character: string): string =>
  // A lone surrogate has no UTF-8 form; it is replaced as TextEncoder would.
  [...new TextEncoder().encode(character)]
    .map((byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)
    .join('');

const encoded = (value: string): string => (ENCODED.test(value) ? value.replace(ENCODED_ALL, percentEncode) : value);

/** The name of an extension that came from a JSON document can hold anything: with a colon it would be another's. */
const encodedName = (name: string): string => encoded(name).replaceAll(':', '%3A');

/** The header lines of binary mode: `ce-` attributes and the content type. */
export function cloudEventHeaders(event: Event): string {
  let lines = `ce-specversion: 1.0\r\nce-id: ${encoded(event.id)}\r\nce-source: ${encoded(event.source)}\r\nce-type: ${encoded(event.type)}\r\nce-time: ${encoded(event.time)}\r\n`;
  const { subject, dataschema, extensions } = event;
  if (subject !== undefined) lines += `ce-subject: ${encoded(subject)}\r\n`;
  if (dataschema !== undefined) lines += `ce-dataschema: ${encoded(dataschema)}\r\n`;
  for (const name in extensions) lines += `ce-${encodedName(name)}: ${encoded(toText(extensions[name]))}\r\n`;
  return lines + headerLine('Content-Type', event.datacontenttype ?? 'application/json');
}

/** What a structured event has besides its data. */
function attributesOf(event: Event): Readonly<Record<string, unknown>> {
  return {
    specversion: '1.0',
    id: event.id,
    source: event.source,
    type: event.type,
    time: event.time,
    ...(event.subject === undefined ? {} : { subject: event.subject }),
    datacontenttype: event.datacontenttype ?? 'application/json',
    ...(event.dataschema === undefined ? {} : { dataschema: event.dataschema }),
    ...event.extensions,
  };
}

/** The document of structured mode. Data that is no JSON goes as text, or as `data_base64`. */
export function structuredEvent(event: Event): Readonly<Record<string, unknown>> {
  const { data } = event;
  return {
    ...attributesOf(event),
    ...(data instanceof Uint8Array ? { data_base64: Buffer.from(data).toString('base64') } : { data }),
  };
}

/**
 * The same as text. JSON that nothing has changed goes out as it came in, which keeps what a number cannot hold.
 *
 * @throws OuzelError EVENT_UNDECODABLE, EVENT_EXPRESSION
 */
export function structuredText(event: Event): string {
  // Read in any case: what is no JSON must not go out as if it were.
  const text = event.data === undefined ? undefined : event.jsonAsItCame;
  return text === undefined
    ? stringifyJson(structuredEvent(event))
    : `${stringifyJson(attributesOf(event)).slice(0, -1)},"data":${text}}`;
}

/** The body of a batch, and its content type. */
export interface BatchContent {
  readonly type: string;
  readonly body: string;
}

const dataOf = ({ data }: Event): unknown =>
  data instanceof Uint8Array ? Buffer.from(data).toString('base64') : (data ?? null);

/**
 * Several events as one body: in structured mode a batch of CloudEvents, else a JSON list of their data, in which bytes
 * are Base64. Binary mode has no batches, since the attributes of only one event have room in the headers.
 */
export function batchContent(
  members: readonly { readonly event: Event }[],
  mode: 'binary' | 'structured' | 'raw',
): BatchContent {
  if (mode === 'structured')
    return {
      type: 'application/cloudevents-batch+json',
      body: stringifyJson(members.map(({ event }) => structuredEvent(event))),
    };
  return { type: 'application/json', body: stringifyJson(members.map(({ event }) => dataOf(event))) };
}
