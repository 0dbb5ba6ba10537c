/** What a plugin throws, and what becomes of it. */
import { type ErrorCode, OuzelError } from '../errors.ts';

interface Details {
  readonly cause?: unknown;
  /** What the other side answered, for example an HTTP status: `error.status` in `give_up`. */
  readonly status?: number;
}

/** This event is refused: it uses up an attempt, and becomes a dead letter after the last. */
export class RejectedError extends Error {
  readonly kind = 'rejected';
  readonly status: number | undefined;

  constructor(message: string, { cause, status }: Details = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'RejectedError';
    this.status = status;
  }
}

/** What the plugin needs is not there now: the event is tried again later, and no attempt is used up. */
export class UnavailableError extends Error {
  readonly kind = 'unavailable';
  readonly status: number | undefined;

  constructor(message: string, { cause, status }: Details = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'UnavailableError';
    this.status = status;
  }
}

/** Told apart by what they say, since a plugin may bring another copy of the classes. */
function kindOf(error: Error): 'rejected' | 'unavailable' | undefined {
  const { kind } = error as { kind?: unknown };
  if (error.name === 'RejectedError' && kind === 'rejected') return kind;
  return error.name === 'UnavailableError' && kind === 'unavailable' ? kind : undefined;
}

const CODES = {
  step: { rejected: 'PLUGIN_REJECTED', unavailable: 'PLUGIN_UNAVAILABLE' },
  target: { rejected: 'TARGET_REJECTED', unavailable: 'TARGET_UNAVAILABLE' },
} as const satisfies Record<string, Record<'rejected' | 'unavailable', ErrorCode>>;

/** The error of an event from what a plugin threw. What Ouzel itself threw at the plugin stays what it is. */
export function failureOf(error: unknown, plugin: string, where: keyof typeof CODES): OuzelError {
  if (error instanceof OuzelError) return error;
  const message = error instanceof Error ? error.message : String(error);
  const kind = error instanceof Error ? kindOf(error) : undefined;
  const code = kind === undefined ? 'PLUGIN_FAILED' : CODES[where][kind];
  const status = error instanceof Error && 'status' in error ? error.status : undefined;
  return new OuzelError(code, `plugin ${plugin}: ${message}`, {
    cause: error,
    status: typeof status === 'number' ? status : undefined,
  });
}
