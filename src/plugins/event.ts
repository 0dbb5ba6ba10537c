/** An event as plugins see it: to read, and for a transformer to change. */
import { type Event, isWritableAttribute } from '../core/event.ts';
import { type Path, parsePath } from '../expression/path.ts';
import { EventEditor, pathProblem } from '../pipeline/slots.ts';
import { jsonCopy, readOnly } from './values.ts';

/** The message that brought an event. */
export interface PluginMessage {
  readonly subject: string;
  readonly stream: string;
  readonly sequence: number;
  /** The first header of this name, without regard to case. */
  header(name: string): string | undefined;
}

/** CloudEvents attributes and data. What is read is read-only: a change throws a TypeError. */
export interface PluginEvent {
  readonly id: string;
  readonly source: string;
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
  readonly subject: string | undefined;
  readonly datacontenttype: string | undefined;
  readonly dataschema: string | undefined;
  /** CloudEvents extensions by name. */
  readonly extensions: Readonly<Record<string, unknown>>;
  /** A JSON value, text, or bytes (a copy), by the content type. */
  readonly data: unknown;
  readonly message: PluginMessage;
  /** What stands at a path (`data.customer.name`, `ext.tenant`, `type`); undefined where nothing does. */
  get<T = unknown>(path: string): T | undefined;
}

/** The event as a transformer sees it. It can be changed until the transformer has answered. */
export interface EditableEvent extends PluginEvent {
  /**
   * Writes a JSON value at a path: `data.geo`, `data.items[0].price`, `ext.tenant`, `type`. What is missing on the way
   * is made. Later readers see a copy of the value.
   */
  set(path: string, value: unknown): void;
  /** Takes a field away; what is not there already is. */
  remove(path: string): void;
}

const KNOWN_PATHS = 1000;
const paths = new Map<string, Path>();

/** @throws Error for what is no path */
function pathOf(source: string): Path {
  const known = paths.get(source);
  if (known !== undefined) return known;
  const path = parsePath(String(source));
  if (paths.size >= KNOWN_PATHS) paths.clear();
  paths.set(source, path);
  return path;
}

function checked(source: string): Path {
  const path = pathOf(source);
  const problem = pathProblem(path);
  if (problem !== undefined) throw new TypeError(`"${source}" cannot be changed: ${problem}`);
  return path;
}

const READABLE: ReadonlySet<unknown> = new Set(['data', 'ext', 'id', 'time']);

export class EventReader implements PluginEvent {
  protected readonly run: { readonly event: Event };
  protected editor: EventEditor | undefined;

  /** @param run The event's run, or what stands for it in the thread of an isolated plugin. */
  constructor(run: { readonly event: Event }) {
    this.run = run;
  }

  protected get event(): Event {
    return this.run.event;
  }

  get id(): string {
    return this.event.id;
  }

  get source(): string {
    return this.event.source;
  }

  get type(): string {
    return this.event.type;
  }

  get time(): string {
    return this.event.time;
  }

  get subject(): string | undefined {
    return this.event.subject;
  }

  get datacontenttype(): string | undefined {
    return this.event.datacontenttype;
  }

  get dataschema(): string | undefined {
    return this.event.dataschema;
  }

  get extensions(): Readonly<Record<string, unknown>> {
    return this.#shared(this.event.extensions) as Readonly<Record<string, unknown>>;
  }

  get data(): unknown {
    return this.#shared(this.event.data);
  }

  get message(): PluginMessage {
    const { event } = this;
    const { subject } = event.carrier;
    return {
      subject,
      stream: event.stream,
      sequence: event.position.sequence,
      header: (name) => event.header(name),
    };
  }

  get<T = unknown>(source: string): T | undefined {
    const path = pathOf(source);
    const [root] = path.segments;
    if (!READABLE.has(root) && !(typeof root === 'string' && isWritableAttribute(root)))
      throw new TypeError(`"${source}" cannot be read: a path starts with data, ext or an attribute`);
    this.editor ??= new EventEditor(this.event);
    return this.#shared(this.editor.get(path).value) as T | undefined;
  }

  /** What was handed out is frozen, so an editor must copy it before it writes: it begins anew. */
  #shared(value: unknown): unknown {
    if (typeof value === 'object' && value !== null) this.editor = undefined;
    return readOnly(value);
  }
}

/** The event of a transformer. `close` ends the time in which it can be changed. */
export class EventWriter extends EventReader implements EditableEvent {
  #closed = false;

  set(source: string, value: unknown): void {
    this.#begin().set(checked(source), jsonCopy(value, source));
  }

  remove(source: string): void {
    this.#begin().remove(checked(source));
  }

  close(): void {
    this.#closed = true;
  }

  #begin(): EventEditor {
    if (this.#closed) throw new Error('the event cannot be changed any more: the transformer has answered');
    return (this.editor ??= new EventEditor(this.event));
  }
}
