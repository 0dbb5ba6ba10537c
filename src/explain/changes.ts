/** What a transformer did to an event: the differences of two states, by path. */
import type { Event } from '../core/event.ts';

/** What of an event a transformer may change. */
export interface EventState {
  readonly type: string;
  readonly source: string;
  readonly subject: string | undefined;
  readonly datacontenttype: string | undefined;
  readonly dataschema: string | undefined;
  readonly ext: Readonly<Record<string, unknown>>;
  readonly data: unknown;
}

/** Paths as `set` writes them: `data.vat`, `ext.tenant`, `type`. */
export interface Change {
  readonly op: 'add' | 'remove' | 'change';
  readonly path: string;
  readonly before?: unknown;
  readonly after?: unknown;
}

/** The event as it is now, copied: whoever changes it in place does not change what is remembered. */
export function stateOf(event: Event): EventState | undefined {
  try {
    const { type, source, subject, datacontenttype, dataschema, extensions, data } = event;
    return structuredClone({ type, source, subject, datacontenttype, dataschema, ext: extensions, data });
  } catch {
    // It cannot be decoded: then nothing changes it either.
    return undefined;
  }
}

/** The differences, in the order of the fields. */
export function changesBetween(before: EventState, after: EventState): Change[] {
  const changes: Change[] = [];
  const names = ['type', 'source', 'subject', 'datacontenttype', 'dataschema', 'ext', 'data'] as const;
  for (const name of names) compare(name, before[name], after[name], changes);
  return changes;
}

type Container = Readonly<Record<string, unknown>> | readonly unknown[];

const isContainer = (value: unknown): value is Container =>
  typeof value === 'object' && value !== null && !(value instanceof Uint8Array);

function compare(path: string, before: unknown, after: unknown, into: Change[]): void {
  if (Object.is(before, after)) return;
  if (before === undefined) return void into.push({ op: 'add', path, after });
  if (after === undefined) return void into.push({ op: 'remove', path, before });
  if (!isContainer(before) || !isContainer(after) || Array.isArray(before) !== Array.isArray(after)) {
    if (!sameBytes(before, after)) into.push({ op: 'change', path, before, after });
    return;
  }
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)]))
    compare(path + segment(key, Array.isArray(before)), own(before, key), own(after, key), into);
}

const own = (container: Container, key: string): unknown =>
  Object.hasOwn(container, key) ? (container as Readonly<Record<string, unknown>>)[key] : undefined;

const segment = (key: string, position: boolean): string => {
  if (position) return `[${key}]`;
  return /^[\p{L}_$][\p{L}\p{N}_$-]*$/u.test(key) ? `.${key}` : `[${JSON.stringify(key)}]`;
};

const sameBytes = (left: unknown, right: unknown): boolean =>
  left instanceof Uint8Array &&
  right instanceof Uint8Array &&
  left.length === right.length &&
  left.every((byte, index) => byte === right[index]);
