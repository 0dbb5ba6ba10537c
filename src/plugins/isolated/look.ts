/**
 * A first look at an isolated plugin, in a thread that ends with it: what kind it is, what options it takes, and whether
 * those of the configuration are among them. No line of it runs in the daemon's own thread.
 */
import { z } from 'zod';
import type { PluginKind } from '../define.ts';
import type { Unloadable } from '../load.ts';
import type { OptionIssues, Seen, Sources } from './protocol.ts';
import { startThread } from './start.ts';

/** What the threads of a plugin are started with. */
export interface IsolatedCode {
  readonly file: string;
  readonly folder: string;
  readonly sources: Sources;
  /** JSON Schema of the options. */
  readonly schema: unknown;
  /** Whether the plugin takes options: zod's issues, or a text where it could not say. */
  check(options: unknown): Promise<OptionIssues>;
}

interface Looked {
  readonly kind: PluginKind;
  readonly options: z.ZodType;
  readonly sources: Sources;
  readonly code: IsolatedCode;
}

interface Where {
  readonly plugin: string;
  /** Real paths. */
  readonly file: string;
  readonly folder: string;
}

/** Milliseconds of a look: beyond the time that an import may take, and the start of a thread on a busy machine. */
const TIMEOUT = 30_000;
/** Bytes. */
const MEMORY = 268_435_456;
/** Options whose check is remembered. */
const REMEMBERED = 1000;

/** @param options Those of all its uses. */
export async function lookAt(where: Where, options: readonly unknown[]): Promise<Looked | Unloadable> {
  const seen = await look(where, undefined, options);
  if ('failure' in seen) return seen;
  const { kind, sources, schema } = seen;
  const known = new Map(options.map((each, index) => [JSON.stringify(each), seen.issues[index] ?? []]));
  const check = async (each: unknown): Promise<OptionIssues> => {
    const key = JSON.stringify(each);
    const found = known.get(key);
    if (found !== undefined) return found;
    const again = await look(where, sources, [each]);
    if ('failure' in again) return again.failure.message;
    if (known.size >= REMEMBERED) known.clear();
    known.set(key, again.issues[0] ?? []);
    return again.issues[0] ?? [];
  };
  return { kind, options: schemaFrom(schema), sources, code: { ...where, sources, schema, check } };
}

/** For finding names and telling numbers from texts; the plugin itself has the last word. */
function schemaFrom(schema: unknown): z.ZodType {
  try {
    return z.fromJSONSchema(schema as Parameters<typeof z.fromJSONSchema>[0]);
  } catch {
    return z.any();
  }
}

function look(where: Where, sources: Sources | undefined, options: readonly unknown[]): Promise<Seen | Unloadable> {
  const { promise, resolve } = Promise.withResolvers<Seen | Unloadable>();
  const cannot = (why: string): void => {
    const { plugin, file } = where;
    const spot = { file, line: 1, column: 1, width: 1 };
    const message = `plugin ${plugin} cannot be loaded: ${why}`;
    resolve({ failure: { name: plugin, message, hint: undefined, spot }, files: [file] });
  };
  const timer = setTimeout(() => cannot(`its import took longer than ${TIMEOUT / 1000} s`), TIMEOUT);
  const thread = startThread({ ...where, sources, work: { kind: 'look', options } }, MEMORY, {
    heard: (message) => {
      if (message.type === 'seen') resolve(message.seen);
      else if (message.type === 'unloadable') resolve({ failure: message.failure, files: message.files });
    },
    ended: (why) => cannot(`its thread ended (${why.text})`),
  });
  return promise.finally(() => {
    clearTimeout(timer);
    thread.terminate().catch(() => undefined);
  });
}
