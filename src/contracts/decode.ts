/**
 * From a message to an event. CloudEvents 1.0 in binary mode (`ce-` headers) and structured mode (one JSON document)
 * are read as the NATS protocol binding says; any other message is an event too, with attributes from the stream.
 */
import { ATTRIBUTE_NAMES, type Contents, type Decoder, type Event, isJsonType } from '../core/event.ts';
import { FIRST_RUN } from '../core/handover.ts';
import { headerEntries } from '../core/headers.ts';
import { parseJson } from '../core/json.ts';
import { isoTime } from '../core/time.ts';
import { OuzelError } from '../errors.ts';
import { Fault } from '../expression/fault.ts';
import type { Evaluate, MessageView } from '../expression/index.ts';
import { toText } from '../expression/json.ts';

/** What a stream says of its plain messages. */
export interface StreamRules {
  readonly stream: string;
  /** Prefix of the subject that is not part of the type. */
  readonly strip: string;
  readonly source: Evaluate | undefined;
}

/** The same, with what would else be put together for every event. */
interface Rules extends StreamRules {
  /** The source of an event that has none of its own. */
  readonly streamSource: string;
}

const NO_EXTENSIONS: Readonly<Record<string, unknown>> = Object.freeze({});
const utf8 = new TextDecoder('utf-8', { fatal: true });

/** @throws OuzelError EVENT_UNDECODABLE */
function textOf(body: Uint8Array): string {
  if (body instanceof Buffer) {
    // Twice as fast as a TextDecoder, but it replaces what is not UTF-8 and keeps a byte order mark; then the decoder
    // has the last word.
    const text = body.toString();
    if (!text.includes('\ufffd') && !text.startsWith('\ufeff')) return text;
  }
  try {
    return utf8.decode(body);
  } catch (error) {
    throw new OuzelError('EVENT_UNDECODABLE', 'the body is not UTF-8', { cause: error });
  }
}

/** The data by its content type: none or JSON is parsed, text is text, anything else stays bytes. @throws OuzelError EVENT_UNDECODABLE */
export function dataOf(body: Uint8Array, contentType: string | undefined): unknown {
  if (isJsonType(contentType)) return body.length === 0 ? null : parseJson(textOf(body));
  return contentType !== undefined && /^text\//i.test(contentType) ? textOf(body) : body;
}

/**
 * A message whose headers say nothing of CloudEvents. Everything is worked out when it is asked for. Its body may still
 * be a whole CloudEvent: people publish such by hand. That is known once the data was parsed, which most consumers need
 * anyway; where only attributes are asked for, a search of the bytes tells.
 */
class UndeclaredContents implements Contents {
  readonly #event: Event;
  readonly #rules: Rules;
  /** The CloudEvent in the body; null: there is none; undefined: not looked yet. */
  #envelope: Contents | null | undefined;
  #asking = false;

  constructor(event: Event, rules: Rules) {
    this.#event = event;
    this.#rules = rules;
  }

  get specversion(): string {
    return '1.0';
  }

  get bodyIsData(): boolean {
    return this.#enveloped() === null;
  }

  get id(): string {
    const { stream } = this.#rules;
    const { position } = this.#event;
    return this.#enveloped()?.id ?? (this.#event.header('Nats-Msg-Id') || `${stream}:${position.sequence}`);
  }

  get type(): string {
    const envelope = this.#enveloped();
    if (envelope !== null) return envelope.type;
    const { subject } = this.#event.carrier;
    const { strip } = this.#rules;
    return subject.startsWith(strip) ? subject.slice(strip.length) : subject;
  }

  get source(): string {
    const envelope = this.#enveloped();
    if (envelope !== null) return envelope.source;
    const { source, streamSource } = this.#rules;
    // An expression that asks for the source itself is told the stream's.
    if (source === undefined || this.#asking) return streamSource;
    this.#asking = true;
    const value = source({ event: this.#event, msg: messageView(this.#event), now: Date.now() });
    this.#asking = false;
    // A stream whose events lack the field still has events: they come from the stream.
    return value instanceof Fault ? streamSource : toText(value) || streamSource;
  }

  get time(): string {
    return this.#enveloped()?.time ?? isoTime(this.#event.position.milliseconds);
  }

  get subject(): string | undefined {
    return this.#enveloped()?.subject;
  }

  get dataschema(): string | undefined {
    return this.#enveloped()?.dataschema;
  }

  get extensions(): Readonly<Record<string, unknown>> {
    return this.#enveloped()?.extensions ?? NO_EXTENSIONS;
  }

  get datacontenttype(): string | undefined {
    return this.#enveloped()?.datacontenttype ?? this.#event.header('Content-Type');
  }

  get data(): unknown {
    if (this.#envelope) return this.#envelope.data;
    const value = dataOf(this.#event.carrier.body, this.#event.header('Content-Type'));
    if (this.#envelope === undefined) {
      this.#envelope = envelopeOf(this.#event, value);
      if (this.#envelope !== null) return this.#envelope.data;
    }
    return value;
  }

  #enveloped(): Contents | null {
    if (this.#envelope !== undefined) return this.#envelope;
    const { body } = this.#event.carrier;
    this.#envelope = null;
    // As where the data is read first: only what is to be JSON can be an envelope.
    if (!holdsSpecversion(body) || !isJsonType(this.#event.header('Content-Type'))) return null;
    try {
      this.#envelope = envelopeOf(this.#event, parseJson(textOf(body)));
    } catch {
      // No JSON, so no CloudEvent; whoever reads the data is told what is wrong with it.
    }
    return this.#envelope;
  }
}

/** The message that carried an event, as expressions see it while no consumer runs it. */
export const messageView = (event: Event): MessageView => ({
  subject: event.carrier.subject,
  stream: event.stream,
  sequence: event.position.sequence,
  attempt: event.position.deliveries,
  run: FIRST_RUN,
  replay: false,
  header: (name: string) => event.header(name),
  headers: () => Object.fromEntries(event.carrier.headers === undefined ? [] : headerEntries(event.carrier.headers)),
});

const SPECVERSION = new TextEncoder().encode('"specversion"');

/** How far a search for SPECVERSION may move on when it meets a byte under its last one (Horspool). */
const SHIFT = new Uint8Array(256).fill(SPECVERSION.length);
SPECVERSION.subarray(0, -1).forEach((byte, index) => (SHIFT[byte] = SPECVERSION.length - 1 - index));

/** Whether the bytes hold `"specversion"`. Ten times as fast here as `Buffer.includes`, which pays for its generality. */
function holdsSpecversion(bytes: Uint8Array): boolean {
  const last = SPECVERSION.length - 1;
  for (let end = last; end < bytes.length; end += SHIFT[bytes[end] as number] as number) {
    let back = 0;
    while (back <= last && bytes[end - back] === SPECVERSION[last - back]) back++;
    if (back > last) return true;
  }
  return false;
}

/** What is no extension, where a CloudEvent says it. */
const KNOWN: ReadonlySet<string> = new Set([...ATTRIBUTE_NAMES, 'data', 'data_base64']);

/** CloudEvents, "Context Attributes": id, source and type are not empty; specversion is 1.0. */
function problemOf(attributes: Readonly<Record<string, unknown>>): string | undefined {
  for (const name of ['id', 'source', 'type'])
    if (typeof attributes[name] !== 'string' || attributes[name] === '') return `it has no ${name}`;
  return attributes['specversion'] === '1.0' ? undefined : `its specversion is not 1.0`;
}

const optionalText = (value: unknown): string | undefined =>
  value === undefined || value === null ? undefined : toText(value);

function fromAttributes(
  event: Event,
  attributes: Readonly<Record<string, unknown>>,
  rest: { readonly datacontenttype: string | undefined; readonly bodyIsData: boolean; readonly data: () => unknown },
): Contents {
  // fromEntries defines own properties, so that an extension named __proto__ is data. Null is the same as absent.
  const extensions = Object.fromEntries(
    Object.entries(attributes).filter(([name, value]) => !KNOWN.has(name) && value !== null && value !== undefined),
  );
  return {
    specversion: '1.0',
    id: toText(attributes['id']),
    source: toText(attributes['source']),
    type: toText(attributes['type']),
    time: optionalText(attributes['time']) ?? isoTime(event.position.milliseconds),
    subject: optionalText(attributes['subject']),
    dataschema: optionalText(attributes['dataschema']),
    datacontenttype: rest.datacontenttype,
    bodyIsData: rest.bodyIsData,
    extensions,
    get data() {
      return rest.data();
    },
  };
}

const undecodable = (problem: string) => new OuzelError('EVENT_UNDECODABLE', `not a CloudEvent: ${problem}`);

/** CloudEvents NATS binding, "Binary content mode": values are percent-encoded. */
function percentDecoded(value: string): string {
  if (!value.includes('%')) return value;
  try {
    return decodeURIComponent(value);
  } catch {
    return value;
  }
}

function binary(event: Event, headers: Uint8Array): Contents {
  const attributes: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
  // As everywhere, the first of several headers of one name counts.
  for (const [name, value] of headerEntries(headers))
    if (/^ce-/i.test(name)) attributes[name.slice(3).toLowerCase()] ??= percentDecoded(value);
  const problem = problemOf(attributes);
  if (problem !== undefined) throw undecodable(`${problem} among the ce- headers`);
  const datacontenttype = event.header('Content-Type') ?? optionalText(attributes['datacontenttype']);
  return fromAttributes(event, attributes, {
    datacontenttype,
    bodyIsData: true,
    data: () => dataOf(event.carrier.body, datacontenttype),
  });
}

function structured(event: Event, envelope: Readonly<Record<string, unknown>>): Contents {
  const datacontenttype = optionalText(envelope['datacontenttype']) ?? 'application/json';
  return fromAttributes(event, envelope, {
    datacontenttype,
    bodyIsData: false,
    data: () => {
      const encoded = envelope['data_base64'];
      return typeof encoded === 'string' ? new Uint8Array(Buffer.from(encoded, 'base64')) : (envelope['data'] ?? null);
    },
  });
}

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The CloudEvent that a JSON body is, or null when it is none. */
const envelopeOf = (event: Event, value: unknown): Contents | null =>
  isObject(value) && Object.hasOwn(value, 'specversion') && problemOf(value) === undefined
    ? structured(event, value)
    : null;

/** Opens the messages of one stream. @throws OuzelError EVENT_UNDECODABLE for a CloudEvent that is none */
export function createDecoder(stream: StreamRules): Decoder {
  const rules: Rules = { ...stream, streamSource: `nats:${stream.stream}` };
  return (event) => {
    const { headers } = event.carrier;
    if (headers !== undefined) {
      if (event.header('ce-specversion') !== undefined) return binary(event, headers);
      const contentType = event.header('Content-Type');
      if (contentType !== undefined && /^application\/cloudevents\b/i.test(contentType)) {
        const envelope = parseJson(textOf(event.carrier.body));
        if (!isObject(envelope)) throw undecodable('the body is no JSON object');
        const problem = problemOf(envelope);
        if (problem !== undefined) throw undecodable(problem);
        return structured(event, envelope);
      }
    }
    return new UndeclaredContents(event, rules);
  };
}
