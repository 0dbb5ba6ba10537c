/** What passes between the daemon and the thread of an isolated plugin. All of it is plain data. */
import type { Position } from '../../core/event.ts';
import type { PluginKind } from '../define.ts';
import type { Thrown } from '../errors.ts';
import type { PluginFailure } from '../load.ts';
import type { StateEntry, StateOptions } from '../state.ts';
import type { Stray } from '../stray.ts';

/** The files of a plugin as they were when it was loaded: a thread that is started later runs the same. */
export type Sources = ReadonlyMap<string, Uint8Array>;

/** What a thread is started with. */
export interface ThreadStart {
  readonly plugin: string;
  readonly file: string;
  readonly folder: string;
  /** Undefined for the first look, which reads the files. */
  readonly sources: Sources | undefined;
  /** What to do: only look, or set up and take calls. */
  readonly work: Look | Service;
}

/** Says what the plugin is, and which of these options it takes. */
interface Look {
  readonly kind: 'look';
  readonly options: readonly unknown[];
}

interface Service {
  readonly kind: 'service';
  readonly options: unknown;
  readonly consumer: string;
  readonly allowPrivate: boolean;
  /** Bytes. */
  readonly memory: number;
  /** Two 32-bit integers, of which the daemon reads where the thread is: see {@link MARK}. */
  readonly marks: SharedArrayBuffer;
}

/** The call that holds the thread now (0: none), and the last one that began. */
export const MARK = { holding: 0, begun: 1 } as const;

/** Ends the thread that needs more memory than it may. */
export const OUT_OF_MEMORY = 77;

/** What a look found. */
export interface Seen {
  readonly kind: PluginKind;
  /** JSON Schema of the options. */
  readonly schema: unknown;
  readonly sources: Sources;
  /** For each of the options that were asked about. */
  readonly issues: readonly OptionIssues[];
}

/** What zod says of options; a text where it could not say anything. */
export type OptionIssues = readonly unknown[] | string;

/** An event as it crosses. */
export interface EventCrossing {
  readonly subject: string;
  readonly stream: string;
  readonly position: Position;
  readonly headers: Uint8Array | undefined;
  readonly attributes: {
    readonly specversion: string;
    readonly id: string;
    readonly source: string;
    readonly type: string;
    readonly time: string;
    readonly subject: string | undefined;
    readonly datacontenttype: string | undefined;
    readonly dataschema: string | undefined;
  };
  readonly extensions: Readonly<Record<string, unknown>>;
  /** The bytes that are the data, with their content type; or the data itself. */
  readonly data: { readonly body: Uint8Array; readonly type: string | undefined } | { readonly value: unknown };
}

/** `set` of a path, or `remove` where there is no value. */
export type Edit = readonly [path: string, value?: unknown];

export interface CallDetails {
  readonly event: EventCrossing;
  readonly attempt: number;
  /** Of a target's delivery. */
  readonly delivery: { readonly id: string; readonly route: string } | undefined;
}

export type StateOperation =
  | { readonly do: 'get' | 'delete'; readonly key: string }
  | { readonly do: 'put'; readonly key: string; readonly value: unknown; readonly options: StateOptions | undefined }
  | {
      readonly do: 'update';
      readonly key: string;
      readonly value: unknown;
      readonly revision: number;
      readonly options: StateOptions | undefined;
    };

export type ToThread =
  | ({ readonly type: 'call'; readonly call: number } & CallDetails)
  | { readonly type: 'abort'; readonly call: number; readonly message: string }
  | { readonly type: 'ping' }
  | {
      readonly type: 'state';
      readonly ask: number;
      readonly answer?: StateEntry | number | undefined;
      readonly thrown?: Thrown;
    }
  | { readonly type: 'close' };

export type FromThread =
  | { readonly type: 'seen'; readonly seen: Seen }
  | { readonly type: 'unloadable'; readonly failure: PluginFailure; readonly files: readonly string[] }
  | { readonly type: 'ready' }
  | { readonly type: 'refused'; readonly message: string }
  | {
      readonly type: 'answered';
      readonly call: number;
      /** Of a filter. */
      readonly passes: boolean;
      readonly edits: readonly Edit[];
    }
  | { readonly type: 'threw'; readonly call: number; readonly thrown: Thrown }
  /** The plugin wants to hear of the end of the attempt. */
  | { readonly type: 'signal'; readonly call: number }
  | { readonly type: 'pong' }
  | {
      readonly type: 'log';
      readonly level: 'debug' | 'info' | 'warn' | 'error';
      readonly message: string;
      readonly fields: Readonly<Record<string, unknown>> | undefined;
    }
  | { readonly type: 'stray'; readonly stray: Stray }
  | { readonly type: 'state'; readonly ask: number; readonly operation: StateOperation }
  | { readonly type: 'closed' };
