/**
 * One event on its way through a consumer. The bytes as they came are kept; attributes and data are decoded on first
 * use; a change copies along its path, so nothing that the event shares is ever written to.
 */
import { OuzelError } from '../errors.ts';
import type { EventView } from '../expression/types.ts';
import { headerValue } from './headers.ts';
import { stringifyJson } from './json.ts';

/** What the bytes of a message say: the CloudEvents attributes and the data, each read when it is asked for. */
export interface Contents {
  readonly specversion: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
  readonly subject: string | undefined;
  readonly datacontenttype: string | undefined;
  readonly dataschema: string | undefined;
  readonly extensions: Readonly<Record<string, unknown>>;
  /** A JSON value, text or bytes, by the content type. @throws OuzelError EVENT_UNDECODABLE */
  readonly data: unknown;
  /** Whether the body is the data, or an envelope that holds it (CloudEvents structured mode). */
  readonly bodyIsData: boolean;
}

/** Opens the messages of one stream (`contracts/decode.ts`). @throws OuzelError EVENT_UNDECODABLE */
export type Decoder = (event: Event) => Contents;

/** A message as it was received. Whoever makes one does not reuse its buffers. */
export interface Carrier {
  readonly subject: string;
  /** The bytes of the ack subject. */
  readonly reply: Uint8Array;
  /** The header block with its status line, or undefined. */
  readonly headers: Uint8Array | undefined;
  readonly body: Uint8Array;
}

/** Where the message stands in its stream, as its ack subject says. */
export interface Position {
  readonly sequence: number;
  /** Deliveries by the server, this one included. */
  readonly deliveries: number;
  /** The stream's timestamp: whole milliseconds since the epoch, and the nanoseconds below them. */
  readonly milliseconds: number;
  readonly nanoseconds: number;
}

/** The context attributes of CloudEvents 1.0 that are no extensions. */
export const ATTRIBUTE_NAMES = [
  'specversion',
  'id',
  'source',
  'type',
  'time',
  'subject',
  'datacontenttype',
  'dataschema',
] as const;

const WRITABLE = ['type', 'source', 'subject', 'datacontenttype', 'dataschema'] as const;
type WritableAttribute = (typeof WRITABLE)[number];

/** Whether `set` and its kin may change this attribute. `id` and `time` identify an event and stay. */
export const isWritableAttribute = (name: string): name is WritableAttribute =>
  (WRITABLE as readonly string[]).includes(name);

type Container = Record<string, unknown> | unknown[];

const isContainer = (value: unknown): value is Container =>
  typeof value === 'object' && value !== null && !(value instanceof Uint8Array);

/** A shallow copy; keys such as `__proto__` stay data. */
const copy = (value: Container): Container => (Array.isArray(value) ? value.slice() : { ...value });

/** Whether a container has this position or own field. A list has positions only: its length is no data. */
const has = (container: Container, key: string | number): boolean =>
  Object.hasOwn(container, key) && (typeof key === 'number' || !Array.isArray(container));

/**
 * Writes an own property, whatever its name: an assignment to `__proto__` would set a prototype. A list is filled up to
 * the position written, so that it has no holes.
 *
 * @throws OuzelError EVENT_EXPRESSION for a name in a list.
 */
function write(container: Container, key: string | number, value: unknown): void {
  if (Array.isArray(container)) {
    if (typeof key !== 'number')
      throw new OuzelError('EVENT_EXPRESSION', `cannot write "${key}" into a list: it has positions only`);
    while (container.length < key) container.push(null);
    container[key] = value;
  } else if (key === '__proto__')
    Object.defineProperty(container, key, { value, enumerable: true, configurable: true, writable: true });
  else container[key] = value;
}

export class Event implements EventView {
  readonly carrier: Carrier;
  readonly position: Position;
  readonly stream: string;
  readonly #decode: Decoder;
  #contents: Contents | undefined;
  #changed: Partial<Record<WritableAttribute, string | undefined>> | undefined;
  #extensions: Readonly<Record<string, unknown>> | undefined;
  #data: unknown;
  #parsed = false;
  #dataAsItCame: unknown;
  #knowsDataAsItCame = false;
  /** Whether a transformer changed the data, so that the bytes as they came are no longer its form. */
  dataChanged = false;

  constructor(carrier: Carrier, position: Position, stream: string, decode: Decoder) {
    this.carrier = carrier;
    this.position = position;
    this.stream = stream;
    this.#decode = decode;
  }

  /** The event as it came: itself while nothing has changed it. */
  get original(): Event {
    if (!this.dataChanged && this.#changed === undefined && this.#extensions === undefined) return this;
    const original = new Event(this.carrier, this.position, this.stream, this.#decode);
    original.#contents = this.#contents;
    // What a change copied is still as it was parsed.
    original.#data = this.#dataAsItCame;
    original.#parsed = this.#knowsDataAsItCame;
    return original;
  }

  /** The event has its outcome: lets go of its data. Should it be asked for all the same, it is as it came. */
  shed(): void {
    this.#contents = undefined;
    this.#data = undefined;
    this.#dataAsItCame = undefined;
    this.#parsed = false;
    this.#knowsDataAsItCame = false;
    this.dataChanged = false;
  }

  get contents(): Contents {
    return (this.#contents ??= this.#decode(this));
  }

  get specversion(): string {
    return this.contents.specversion;
  }

  get id(): string {
    return this.contents.id;
  }

  get time(): string {
    return this.contents.time;
  }

  get source(): string {
    return this.#changed?.source ?? this.contents.source;
  }

  get type(): string {
    return this.#changed?.type ?? this.contents.type;
  }

  get subject(): string | undefined {
    return this.#optional('subject');
  }

  get datacontenttype(): string | undefined {
    return this.#optional('datacontenttype');
  }

  get dataschema(): string | undefined {
    return this.#optional('dataschema');
  }

  get extensions(): Readonly<Record<string, unknown>> {
    return this.#extensions ?? this.contents.extensions;
  }

  /** The data: a JSON value, text or bytes, by its content type. @throws OuzelError EVENT_UNDECODABLE */
  get data(): unknown {
    if (this.#parsed) return this.#data;
    this.#data = this.contents.data;
    this.#parsed = true;
    return this.#data;
  }

  /** The value of a header (its exact name first, then without regard to case), or undefined. */
  header(name: string): string | undefined {
    return this.carrier.headers === undefined ? undefined : headerValue(this.carrier.headers, name);
  }

  /** The data as it goes out: the bytes as they came where nothing changed them. */
  body(): Uint8Array | string {
    if (!this.dataChanged && this.contents.bodyIsData) return this.carrier.body;
    const { data } = this;
    if (data instanceof Uint8Array) return data;
    if (typeof data === 'string' && !isJsonType(this.datacontenttype)) return data;
    return data === undefined ? '' : stringifyJson(data);
  }

  /** The text of the data, where it is JSON, the whole of the body, and unchanged. To be asked when `data` was read. */
  get jsonAsItCame(): string | undefined {
    const { body } = this.carrier;
    const isSo = !this.dataChanged && body.length > 0 && isJsonType(this.contents.datacontenttype);
    if (!isSo || !(body instanceof Buffer) || !this.contents.bodyIsData) return undefined;
    // A byte order mark stands before a text, not in the middle of one.
    return body[0] === 0xef ? undefined : body.toString();
  }

  /** Puts another value in place of the data. */
  replaceData(value: unknown): void {
    if (!this.dataChanged) {
      this.#dataAsItCame = this.#data;
      this.#knowsDataAsItCame = this.#parsed;
    }
    this.#data = value;
    this.#parsed = true;
    this.dataChanged = true;
  }

  /** Changes an attribute; undefined takes an optional one away. @throws OuzelError EVENT_MISSING_FIELD */
  setAttribute(name: WritableAttribute, value: string | undefined): void {
    if (value === undefined && (name === 'type' || name === 'source'))
      throw new OuzelError('EVENT_MISSING_FIELD', `event.${name} cannot be removed: every event has one`);
    this.#changed = { ...this.#changed, [name]: value };
  }

  /** Changes a CloudEvents extension; undefined or null, which CloudEvents does not tell apart, takes it away. */
  setExtension(name: string, value: unknown): void {
    const { [name]: _old, ...others } = this.extensions;
    this.#extensions = value === undefined || value === null ? others : { ...others, [name]: value };
  }

  #optional(name: 'subject' | 'datacontenttype' | 'dataschema'): string | undefined {
    const changed = this.#changed;
    return changed !== undefined && name in changed ? changed[name] : this.contents[name];
  }
}

/** JSON by its media type: `…/json` and `…/…+json`, but not `application/json-seq`. None at all counts as JSON. */
export const isJsonType = (contentType: string | undefined): boolean =>
  contentType === undefined || /^[\w.+-]+\/(?:[\w.+-]+\+)?json(?=$|[\s;])/i.test(contentType);

/**
 * Writes one or more values below a root, copying each container on the way once.
 *
 * @throws OuzelError EVENT_EXPRESSION when something on the way is neither an object nor a list.
 */
export class DataEditor {
  readonly #event: Event;
  readonly #own = new Set<Container>();

  constructor(event: Event) {
    this.#event = event;
  }

  /** Writes a value; what is missing on the way is made: a list for a position, an object for a name. An empty path replaces the data itself. */
  set(path: readonly (string | number)[], value: unknown): void {
    const last = path.at(-1);
    if (last === undefined) return this.#event.replaceData(value);
    const parent = this.#reach(path, true);
    if (parent !== undefined) write(parent, last, value);
  }

  /** The value at a path and whether it is there. */
  get(path: readonly (string | number)[]): { readonly found: boolean; readonly value: unknown } {
    let value: unknown = this.#event.data;
    for (const segment of path) {
      if (!isContainer(value) || !has(value, segment)) return { found: false, value: undefined };
      value = (value as Record<string | number, unknown>)[segment];
    }
    return { found: true, value };
  }

  /** Takes a field away; what is not there already is. */
  remove(path: readonly (string | number)[]): void {
    const last = path.at(-1);
    if (last === undefined) return this.#event.replaceData(null);
    if (!this.get(path).found) return;
    const parent = this.#reach(path, false);
    if (Array.isArray(parent)) parent.splice(Number(last), 1);
    else if (parent !== undefined) delete parent[last];
  }

  /** The container that holds the last segment of a path, ready to be written to. */
  #reach(path: readonly (string | number)[], make: boolean): Container | undefined {
    let container = this.#claim(this.#event.data, 'data', make, path[0]);
    if (container === undefined) return undefined;
    if (container !== this.#event.data) this.#event.replaceData(container);
    this.#event.dataChanged = true;
    for (const [index, segment] of path.slice(0, -1).entries()) {
      const below: unknown = has(container, segment)
        ? (container as Record<string | number, unknown>)[segment]
        : undefined;
      const own = this.#claim(below, String(segment), make, path[index + 1]);
      if (own === undefined) return undefined;
      if (own !== below) write(container, segment, own);
      container = own;
    }
    return container;
  }

  /** @param next What is to be written in it. */
  #claim(value: unknown, name: string, make: boolean, next: string | number | undefined): Container | undefined {
    if (isContainer(value)) {
      if (this.#own.has(value)) return value;
      const own = copy(value);
      this.#own.add(own);
      return own;
    }
    if (!make) return undefined;
    if (value !== undefined && value !== null)
      throw new OuzelError('EVENT_EXPRESSION', `cannot write below ${name}: it is a ${typeof value}, not an object`);
    const made: Container = typeof next === 'number' ? [] : {};
    this.#own.add(made);
    return made;
  }
}
