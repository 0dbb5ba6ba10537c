/**
 * What an expression can see, and what it answers. Everything here is plain data: an expression never
 * touches a message.
 */

/** The attributes and the data of one event, as `event` in an expression. */
export interface EventView {
  readonly specversion: string;
  readonly id: string;
  readonly source: string;
  readonly type: string;
  /** RFC 3339. */
  readonly time: string;
  readonly subject: string | undefined;
  readonly datacontenttype: string | undefined;
  readonly dataschema: string | undefined;
  /** CloudEvents extension attributes, as `event.ext`. */
  readonly extensions: Readonly<Record<string, unknown>>;
  /**
   * JSON value; text for a text content type; `Uint8Array` for any other. Integers beyond ±2^53 are `bigint`.
   * Reading it may throw `EventDataError` (undecodable): callers of an expression handle that.
   */
  readonly data: unknown;
}

/** The message that carried the event, as `msg` in an expression. */
export interface MessageView {
  readonly subject: string;
  readonly stream: string;
  /** Stream sequence. */
  readonly sequence: number;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** The run: `first`, or that of a replay or re-drive. */
  readonly run: string;
  /** Whether it is a replay's. */
  readonly replay: boolean;
  /** Value of a header (exact name first, then without regard to case), or undefined. */
  header(name: string): string | undefined;
  /** All headers; the first value of each. */
  headers(): Readonly<Record<string, string>>;
}

/** What went wrong with a delivery, as `error` in `give_up`. */
export interface ErrorView {
  readonly code: string;
  readonly message: string;
  readonly kind: string;
  readonly status: number | undefined;
}

/** A request that came in, as `request`. */
export interface RequestView {
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  /** By name; a list where a name stands several times. */
  readonly query: Readonly<Record<string, unknown>>;
  /** Names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  /** A JSON value, the fields of a form, text or bytes. */
  readonly body: unknown;
  /** The CloudEvent that it carries, attributes and data, or undefined. */
  readonly event: unknown;
}

/** A tick of a schedule, as `schedule`. */
export interface ScheduleView {
  readonly name: string;
  /** Milliseconds since the epoch at which it was to tick. */
  readonly instant: number;
  /** The same as text, by the clock of its time zone: `2026-10-25T02:30:00+01:00`. */
  readonly time: string;
  /** Somebody asked for it; its time had not come. */
  readonly fired: boolean;
}

/** The variables of an expression. Which of them a field may use is said by its {@link ScopeKind}. */
export interface Scope {
  readonly event: EventView;
  readonly msg: MessageView;
  /** Milliseconds since the epoch. */
  readonly now: number;
  readonly error?: ErrorView;
  /** What a lookup found. */
  readonly value?: unknown;
  /** What a source is asked to take. */
  readonly request?: RequestView;
  /** The tick that a schedule makes an event of. */
  readonly schedule?: ScheduleView;
}

/**
 * `event`: event, msg, filters, now. `error`: these and `error`. `lookup`: these and `value`. `request`: request, now.
 * `schedule`: schedule, and no `now`, so that every instance makes the same of a tick. `source`: what any source has.
 */
export type ScopeKind = 'event' | 'error' | 'lookup' | 'request' | 'schedule' | 'source';
