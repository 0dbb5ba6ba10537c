/**
 * CloudEvents 1.0 over HTTP (the HTTP protocol binding): structured, batched and binary mode, each told at once what is
 * wrong with it, and each as the message that it becomes.
 */
import { ATTRIBUTE_NAMES } from '../core/event.ts';
import { headerLine } from '../core/headers.ts';
import { parseJson, stringifyJson } from '../core/json.ts';
import { OuzelError } from '../errors.ts';
import { dataOf } from './decode.ts';

/** One thing that is wrong with a request. */
export interface EventProblem {
  /** Where in the body (RFC 6901), or undefined for what stands in a header. */
  readonly pointer?: string;
  readonly header?: string;
  readonly detail: string;
}

/** Everything that is wrong with the events of a request. */
export class InvalidEvent extends OuzelError {
  readonly problems: readonly EventProblem[];

  constructor(problems: readonly EventProblem[], what = 'not a valid CloudEvent') {
    const shown = problems.map(({ pointer, header, detail }) => `${header ?? (pointer || 'the body')} ${detail}`);
    super('EVENT_INVALID', `${what}: ${shown.join('; ')}`);
    this.problems = problems;
  }
}

/** An event that came in, and the message that it becomes. */
export interface IncomingEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  /** Attributes and data, as one JSON document would have them. */
  readonly document: Readonly<Record<string, unknown>>;
  /** Header lines of the message. */
  readonly headers: string;
  readonly body: string | Uint8Array;
}

export type Mode = 'structured' | 'batch' | 'binary';

/** Where in the body of a request the data of its events is (RFC 6901). */
export const dataIn =
  (mode: Mode) =>
  (index: number): string =>
    mode === 'binary' ? '' : mode === 'batch' ? `/${index}/data` : '/data';

export const STRUCTURED = 'application/cloudevents+json';
export const BATCH = 'application/cloudevents-batch+json';
/** Events in a batch, and problems that are said, at most. */
const MOST_EVENTS = 1000;
const MOST_PROBLEMS = 20;
const LONGEST = 1024;

/** How a request carries events; undefined where it carries none. @param media Of the body, in lower case. */
export function modeOf(media: string, headers: ReadonlyMap<string, string>): Mode | undefined {
  if (media === STRUCTURED) return 'structured';
  if (media === BATCH) return 'batch';
  return headers.has('ce-specversion') || headers.has('ce-id') || headers.has('ce-type') ? 'binary' : undefined;
}

/**
 * The events of a request.
 *
 * @param text Decodes the body.
 * @throws InvalidEvent; OuzelError EVENT_UNDECODABLE for a body that is no JSON
 */
export function readCloudEvents(
  mode: Mode,
  headers: ReadonlyMap<string, string>,
  body: Buffer,
  text: () => string,
): IncomingEvent[] {
  if (mode === 'binary') return [binary(headers, body)];
  const written = text();
  const value = parseJson(written);
  const problems: EventProblem[] = [];
  if (mode === 'structured') {
    problems.push(...problemsOf(value, ''));
    if (problems.length > 0) throw new InvalidEvent(problems.slice(0, MOST_PROBLEMS));
    // As it came: numbers keep their digits, and signatures within it hold.
    return [structured(value as Document, written)];
  }
  if (!Array.isArray(value)) throw new InvalidEvent([{ pointer: '', detail: 'is not a list of events' }]);
  if (value.length > MOST_EVENTS)
    throw new InvalidEvent([{ pointer: '', detail: `has ${value.length} events; at most ${MOST_EVENTS} are taken` }]);
  for (const [index, each] of value.entries()) problems.push(...problemsOf(each, `/${index}`));
  if (problems.length > 0) throw new InvalidEvent(problems.slice(0, MOST_PROBLEMS));
  return value.map((each: Document) => structured(each, stringifyJson(each)));
}

type Document = Readonly<Record<string, unknown>>;

const structured = (document: Document, body: string): IncomingEvent => ({
  id: String(document['id']),
  source: String(document['source']),
  type: String(document['type']),
  document,
  headers: headerLine('Content-Type', STRUCTURED),
  body,
});

const NAME = /^[a-z0-9]+$/;
const URI = /^[^\s"<>\\^`{|}\u007f-\uffff]+$/;
const TIME = /^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;
const MEDIA_TYPE = /^[\w!#$&^.+-]+\/[\w!#$&^.+-]+(?:\s*;.*)?$/;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** What is wrong with the value of an attribute; undefined where nothing is. */
function attributeProblem(name: string, value: unknown): string | undefined {
  if (name === 'specversion') return value === '1.0' ? undefined : 'must be "1.0"';
  const isOwn = (ATTRIBUTE_NAMES as readonly string[]).includes(name);
  if (typeof value === 'boolean' || typeof value === 'number') return isOwn ? 'must be a text' : undefined;
  if (typeof value !== 'string') return isOwn ? 'must be a text' : 'must be a text, a number, true or false';
  if (isOwn && value === '') return 'must not be empty';
  if (isOwn && value.length > LONGEST) return `is longer than ${LONGEST} characters`;
  if (name === 'source' && !URI.test(value)) return 'must be a URI reference';
  if (name === 'dataschema' && !URI.test(value)) return 'must be a URI';
  if (name === 'time' && (!TIME.test(value) || Number.isNaN(Date.parse(value)))) return 'must be a time of RFC 3339';
  if (name === 'datacontenttype' && !MEDIA_TYPE.test(value)) return 'must be a media type';
  return undefined;
}

const REQUIRED = ['specversion', 'id', 'source', 'type'] as const;
const token = (name: string): string => name.replaceAll('~', '~0').replaceAll('/', '~1');

function problemsOf(value: unknown, at: string): EventProblem[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return [{ pointer: at, detail: 'is no event: an object is expected' }];
  const event = value as Document;
  const problems: EventProblem[] = [];
  for (const name of REQUIRED)
    if (!Object.hasOwn(event, name) || event[name] === null)
      problems.push({ pointer: `${at}/${name}`, detail: 'is missing' });
  for (const [name, each] of Object.entries(event)) {
    // Null is the same as absent.
    if (name === 'data' || each === null) continue;
    const pointer = `${at}/${token(name)}`;
    if (name === 'data_base64') {
      if (typeof each !== 'string' || !BASE64.test(each)) problems.push({ pointer, detail: 'must be base64' });
      else if (event['data'] !== undefined && event['data'] !== null)
        problems.push({ pointer, detail: 'cannot stand beside data' });
      continue;
    }
    const detail = NAME.test(name)
      ? attributeProblem(name, each)
      : 'is no name of an attribute: lower-case letters and digits are';
    if (detail !== undefined) problems.push({ pointer, detail });
  }
  return problems;
}

function percentDecoded(value: string): string | undefined {
  try {
    return decodeURIComponent(value);
  } catch {
    return undefined;
  }
}

/** The body is the data, and `ce-` headers are the attributes, which NATS has in the same way. */
function binary(headers: ReadonlyMap<string, string>, body: Buffer): IncomingEvent {
  const problems: EventProblem[] = [];
  const document: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  let lines = '';
  for (const [header, raw] of headers) {
    if (!header.startsWith('ce-')) continue;
    const name = header.slice(3);
    const value = percentDecoded(raw);
    const detail =
      value === undefined
        ? 'is not percent-encoded as it should be'
        : !NAME.test(name)
          ? 'is no name of an attribute: letters and digits are'
          : name === 'datacontenttype' || name === 'data'
            ? 'is not said by a ce- header'
            : attributeProblem(name, value);
    if (detail === undefined) document[name] = value;
    else problems.push({ header, detail });
    lines += headerLine(header, raw);
  }
  for (const name of REQUIRED)
    if (!headers.has(`ce-${name}`)) problems.push({ header: `ce-${name}`, detail: 'is missing' });
  if (problems.length > 0) throw new InvalidEvent(problems.slice(0, MOST_PROBLEMS));
  const type = headers.get('content-type');
  if (type !== undefined) lines += headerLine('Content-Type', type);
  const data = dataOf(body, type);
  return {
    id: String(document['id']),
    source: String(document['source']),
    type: String(document['type']),
    document: { ...document, ...(type === undefined ? {} : { datacontenttype: type }), data },
    headers: lines,
    body,
  };
}
