/** Where a path of a transformer points: into the data, at an attribute, or at an extension. */
import { ATTRIBUTE_NAMES, DataEditor, type Event, isWritableAttribute } from '../core/event.ts';
import { OuzelError } from '../errors.ts';
// Not from the index: the thread of an isolated plugin has no use for the whole of the language.
import { toText } from '../expression/json.ts';
import type { Path } from '../expression/path.ts';

type Segments = readonly (string | number)[];

/** CloudEvents 1.0, "Naming conventions": lower-case letters and digits. */
const EXTENSION = /^[a-z0-9]{1,20}$/;

/** What is an attribute of its own, or the data: no name for an extension. */
const RESERVED: ReadonlySet<string> = new Set([...ATTRIBUTE_NAMES, 'data']);

/** Why a path cannot be changed by a transformer, or undefined when it can. */
export function pathProblem({ segments }: Path): string | undefined {
  const [root, name] = segments;
  if (root === 'data') return undefined;
  if (root === 'ext' && typeof name === 'string' && RESERVED.has(name))
    return `${name} is no extension: CloudEvents has a place of its own for it`;
  if (root === 'ext')
    return segments.length === 2 && typeof name === 'string' && EXTENSION.test(name)
      ? undefined
      : 'an extension is written as ext.name, with lower-case letters and digits';
  if (typeof root === 'string' && isWritableAttribute(root))
    return segments.length === 1 ? undefined : `${root} has no fields`;
  if (root === 'event') return 'a path starts at data, without `event.`';
  return 'a path starts with data, ext, type, source, subject, datacontenttype or dataschema';
}

/** Reads and writes an event by paths; each container on the way is copied once for the editor's life. */
export class EventEditor {
  readonly #event: Event;
  readonly #data: DataEditor;

  constructor(event: Event) {
    this.#event = event;
    this.#data = new DataEditor(event);
  }

  get({ segments }: Path): { readonly found: boolean; readonly value: unknown } {
    const [root, name] = segments;
    if (root === 'data') return this.#data.get(dataPath(segments));
    const value = root === 'ext' ? this.#event.extensions[String(name)] : this.#event[root as 'type'];
    return { found: value !== undefined, value };
  }

  /** @throws OuzelError EVENT_EXPRESSION, EVENT_MISSING_FIELD */
  set({ segments }: Path, value: unknown): void {
    const [root, name] = segments;
    if (root === 'data') return this.#data.set(dataPath(segments), value);
    if (root === 'ext') return this.#event.setExtension(String(name), value);
    // JSON's null is no text: an attribute without a value is one that is not there.
    if (value === null) return this.#event.setAttribute(root as 'type', undefined);
    const text = toText(value);
    if (text === '') throw new OuzelError('EVENT_EXPRESSION', `${String(root)} cannot be empty`);
    this.#event.setAttribute(root as 'type', text);
  }

  remove({ segments }: Path): void {
    const [root, name] = segments;
    if (root === 'data') this.#data.remove(dataPath(segments));
    else if (root === 'ext') this.#event.setExtension(String(name), undefined);
    else this.#event.setAttribute(root as 'type', undefined);
  }
}

/**
 * Paths in the order in which they can be taken away without changing what the others mean: in a list, what stands
 * behind a position moves up when it goes.
 */
export const inRemovalOrder = (paths: readonly Path[]): readonly Path[] =>
  paths.toSorted(({ segments: left }, { segments: right }) => {
    const index = left.findIndex((segment, at) => segment !== right[at]);
    const [a, b] = [left[index], right[index]];
    if (typeof a === 'number' && typeof b === 'number') return b - a;
    return String(a) < String(b) ? -1 : Number(String(a) > String(b));
  });

const dataPath = (segments: Segments): Segments => segments.slice(1);
