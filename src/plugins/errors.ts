/** What a plugin throws, and what becomes of it. */
import { type ErrorCode, ERRORS, OuzelError } from '../errors.ts';

/** Marks the errors that say what becomes of an event, whichever copy of this package made them. */
const KIND = Symbol.for('ouzel.error.kind');

interface Details {
  readonly cause?: unknown;
  /** What the other side answered, for example an HTTP status: `error.status` in `give_up`. */
  readonly status?: number;
  /** Milliseconds that the other side asks to wait before the next attempt (`Retry-After`). */
  readonly retryAfter?: number;
}

/** This event is refused: it uses up an attempt, and becomes a dead letter after the last. */
export class RejectedError extends Error {
  readonly [KIND] = 'rejected';
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;

  constructor(message: string, { cause, status, retryAfter }: Details = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'RejectedError';
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** What the plugin needs is not there now: the event is tried again later, and no attempt is used up. */
export class UnavailableError extends Error {
  readonly [KIND] = 'unavailable';
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;

  constructor(message: string, { cause, status, retryAfter }: Details = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'UnavailableError';
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

/** What an error of the network is known by: nobody was there, or nobody answered in time. */
const NETWORK =
  /^(?:ECONN(?:REFUSED|RESET|ABORTED)|EPIPE|ETIMEDOUT|ENOTFOUND|EAI_\w+|(?:EHOST|ENET)(?:UNREACH|DOWN)|UND_ERR_(?:CONNECT_TIMEOUT|HEADERS_TIMEOUT|BODY_TIMEOUT|SOCKET))$/;

type Fate = 'rejected' | 'unavailable';

/** `fetch` says only that it failed, and why in its cause; of several addresses each one has its own. */
function isOfNetwork(error: unknown, depth = 0): boolean {
  if (!(error instanceof Error) || depth > 3) return false;
  const { code, name, cause } = error as { code?: unknown; name: string; cause?: unknown };
  if (name === 'TimeoutError' || (typeof code === 'string' && NETWORK.test(code))) return true;
  const below: readonly unknown[] = error instanceof AggregateError ? error.errors : [cause];
  return below.some((each) => isOfNetwork(each, depth + 1));
}

function fateOf(error: Error): Fate | undefined {
  const marked = (error as { [KIND]?: unknown })[KIND];
  if (marked === 'rejected' || marked === 'unavailable') return marked;
  return isOfNetwork(error) ? 'unavailable' : undefined;
}

const CODES = {
  step: { rejected: 'PLUGIN_REJECTED', unavailable: 'PLUGIN_UNAVAILABLE' },
  target: { rejected: 'TARGET_REJECTED', unavailable: 'TARGET_UNAVAILABLE' },
} as const satisfies Record<string, Record<Fate, ErrorCode>>;

/** Where a plugin stands: what it throws bears the codes of that place. */
export type PluginPlace = keyof typeof CODES;

/** What a plugin threw, as plain data that passes between threads. */
export interface Thrown {
  readonly message: string;
  /** What becomes of the event; undefined for a mistake of the plugin. */
  readonly fate: Fate | undefined;
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;
  /** The code of an error that Ouzel itself threw at the plugin: it stays what it is. */
  readonly code: ErrorCode | undefined;
}

/** An error as the cause hides it: `fetch` throws a TypeError around what Ouzel refused. */
const oursIn = (error: unknown): OuzelError | undefined => {
  if (error instanceof OuzelError) return error;
  const cause = error instanceof TypeError ? error.cause : undefined;
  return cause instanceof OuzelError ? cause : undefined;
};

const numberOf = (error: unknown, key: string): number | undefined => {
  const value: unknown = error instanceof Error && key in error ? (error as Error & Record<string, unknown>)[key] : 0;
  return typeof value === 'number' && value > 0 ? value : undefined;
};

/** `fetch failed` alone helps nobody. */
function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause, message } = error;
  if (!(error instanceof TypeError) || !(cause instanceof Error)) return message;
  const why = cause instanceof AggregateError ? (cause.errors[0] as unknown) : cause;
  return `${message}: ${why instanceof Error ? why.message : String(why)}`;
}

export function thrown(error: unknown): Thrown {
  const ours = oursIn(error);
  return {
    message: ours?.message ?? messageOf(error),
    fate: error instanceof Error ? fateOf(error) : undefined,
    status: numberOf(ours ?? error, 'status'),
    retryAfter: numberOf(ours ?? error, 'retryAfter'),
    code: ours?.code,
  };
}

/** An error as a plugin would have caught it, from the other side of a thread. */
export function revived({ message, fate, status, retryAfter }: Thrown): Error {
  if (fate === undefined) return new Error(message);
  const details = { ...(status === undefined ? {} : { status }), ...(retryAfter === undefined ? {} : { retryAfter }) };
  return fate === 'rejected' ? new RejectedError(message, details) : new UnavailableError(message, details);
}

/** The error of an event from what a plugin threw, wherever it ran. */
export function failureFrom(
  { message, fate, status, retryAfter, code }: Thrown,
  plugin: string,
  where: PluginPlace,
  cause?: unknown,
): OuzelError {
  if (code !== undefined && Object.hasOwn(ERRORS, code)) return new OuzelError(code, message, { status, retryAfter });
  return new OuzelError(fate === undefined ? 'PLUGIN_FAILED' : CODES[where][fate], `plugin ${plugin}: ${message}`, {
    cause,
    status,
    retryAfter,
  });
}

/** The error of an event from what a plugin threw here. What Ouzel itself threw at the plugin stays what it is. */
export const failureOf = (error: unknown, plugin: string, where: PluginPlace): OuzelError =>
  oursIn(error) ?? failureFrom(thrown(error), plugin, where, error);
