/**
 * The one registry of errors. A code is public surface: it stands in logs, in dead letters and in
 * `docs/reference/errors.md`, which is generated from this table.
 */

/** Who said no: this event was refused, the other side is not there, or Ouzel itself is at fault. */
export type ErrorKind = 'rejected' | 'unavailable' | 'internal';

/** Exit codes of the commands (sysexits.h). */
export const EXIT = { ok: 0, failed: 1, usage: 64, unavailable: 69, internal: 70, config: 78 } as const;

interface ErrorEntry {
  readonly kind: ErrorKind;
  readonly exit: number;
  /** What it means and what to do, for the reference page. */
  readonly summary: string;
}

const config = (summary: string): ErrorEntry => ({ kind: 'rejected', exit: EXIT.config, summary });
const rejected = (summary: string): ErrorEntry => ({ kind: 'rejected', exit: EXIT.failed, summary });
const unavailable = (summary: string): ErrorEntry => ({ kind: 'unavailable', exit: EXIT.unavailable, summary });
const internal = (summary: string): ErrorEntry => ({ kind: 'internal', exit: EXIT.internal, summary });

export const ERRORS = {
  CONFIG_NOT_FOUND: config('No configuration file was found. Name one with --config or $OUZEL_CONFIG.'),
  CONFIG_UNREADABLE: config(
    'The file cannot be read (a directory, missing permission, not UTF-8). Check its path and mode.',
  ),
  CONFIG_EMPTY: config('The file holds no configuration. The least is `version: 1`.'),
  CONFIG_SYNTAX: config('The file is not valid YAML. The caret shows where reading stopped.'),
  CONFIG_DUPLICATE_KEY: config('A key stands twice in the same mapping. Remove or rename one.'),
  CONFIG_ALIASES: config('YAML aliases expand to more than the limit. Write the values out.'),
  CONFIG_VERSION: config('The configuration is written for another version of its format. This Ouzel reads version 1.'),
  CONFIG_UNKNOWN_KEY: config('A key that does not exist here. The message names the nearest one that does.'),
  CONFIG_MISSING_KEY: config('A key that must be there is not.'),
  CONFIG_INVALID_VALUE: config('A value of the wrong kind or outside its bounds. The message says what was expected.'),
  CONFIG_UNKNOWN_NAME: config(
    'A name that refers to nothing: a filter, transformer, target or stream that is not defined.',
  ),
  CONFIG_DUPLICATE_NAME: config('Two things that share one namespace bear the same name.'),
  CONFIG_EXPRESSION: config(
    'An expression that cannot be parsed or refers to what does not exist. The caret stands inside it.',
  ),
  CONFIG_PLUGIN: config(
    'A plugin that cannot be loaded: its file has an error, throws, or exports no plugin. The place is in that file.',
  ),
  CONFIG_TABLE: config(
    'A table of a lookup that cannot be read: no such file, too large, or not what its format says. The message names the line in it.',
  ),
  CONFIG_SCHEMA: config(
    'A JSON Schema of `types` that cannot be used: no such file, an unknown keyword or format, a reference to nothing, a pattern that is not linear-time. The place is in that file.',
  ),
  CONFIG_UNQUOTED_EXPRESSION: config('YAML took an unquoted expression apart. Put it in quotes.'),
  CONFIG_SUBSTITUTION: config('A `${…}` that cannot be filled: the variable is not set, or the file cannot be read.'),

  NATS_UNAVAILABLE: unavailable('The NATS server cannot be reached. Ouzel keeps trying.'),
  NATS_UNSUPPORTED: unavailable('The NATS server is older than 2.12, or JetStream is not enabled on it.'),
  NATS_SERVER_NOT_FOUND: unavailable('No nats-server was found or could be fetched. The message names the ways tried.'),
  NATS_PERMISSION: unavailable('The NATS user may not do what is needed. The message names the subject.'),
  STREAM_REFUSED: unavailable('A stream cannot be made or does not fit the configuration.'),
  STREAM_NOT_FOUND: unavailable('A consumer names a stream that does not exist on the server.'),
  DURABLE_FOREIGN: unavailable(
    'A durable of this name exists and Ouzel did not make it. Set `adopt: true` to take it over.',
  ),
  DURABLE_REFUSED: unavailable(
    'The durable on the server differs in what cannot be changed. The message shows the difference.',
  ),
  HTTP_PORT_IN_USE: unavailable('The admin address is already in use. Change `http.listen`, or stop what holds it.'),
  DAEMON_UNAVAILABLE: unavailable(
    'No daemon answers at the address. Is it running, and is `http.listen` (or --url) its admin address?',
  ),
  UNAUTHORIZED: {
    kind: 'rejected',
    exit: EXIT.failed,
    summary:
      'The request needs credentials, or those that it came with are not valid (never said which part of them). Send `Authorization: Bearer …`; commands take --token or $OUZEL_TOKEN.',
  },
  FORBIDDEN: rejected(
    'The credentials do not allow this (`may`, `types` and `consumers` of `access`), or the request comes from where it must not.',
  ),
  TOO_MANY_ATTEMPTS: unavailable('Too many wrong credentials came from this address. Wait as `Retry-After` says.'),
  WEBHOOK_UNVERIFIED: rejected(
    'A webhook that came in is not what its source expects: the signature, token or time is missing, wrong or too old. The log says which.',
  ),
  RATE_LIMITED: unavailable('More came in than the source takes (`rate`). Wait as `Retry-After` says.'),
  OIDC_UNAVAILABLE: unavailable(
    "The issuer's keys cannot be fetched, so that its tokens cannot be checked. The log says why.",
  ),
  TAP_LIMIT: unavailable('As many taps are open as the daemon allows. Close one.'),
  CONFIG_OWNED_BY_FILE: rejected(
    'A file of the configuration has this resource: it is changed there, not through the API. The message names the place.',
  ),
  CONFLICT: rejected('Somebody else changed it meanwhile, or it is not as the request expects. Look at it again.'),
  NOT_FOUND: rejected('What a command was asked for does not exist.'),
  USAGE: { kind: 'rejected', exit: EXIT.usage, summary: 'The command line is not valid. `--help` shows what is.' },

  EVENT_UNDECODABLE: rejected('The body is not what its content type says (no JSON, not UTF-8, nested too deep).'),
  EVENT_EXPRESSION: rejected(
    'An expression failed on this event: a type that does not fit, a division by zero, an index out of range.',
  ),
  EVENT_MISSING_FIELD: rejected('A template or a `set` needs a field that this event does not have.'),
  EVENT_MISSING_LOOKUP: rejected('A lookup with `missing: fail` found nothing under the key of this event.'),
  EVENT_INVALID: rejected(
    'The event is not valid: its data does not fit the schema of its type (`types`), or, where it is posted, an attribute of CloudEvents is missing or malformed. What is wrong is named by JSON pointers, never with its value.',
  ),
  EVENT_VERSION: rejected(
    'The event is of a version that `types` does not know: newer than `version`, older than `oldest`, or no whole number. Teach the consumer, then drive it again.',
  ),
  EVENT_INVALID_SUBJECT: rejected(
    'A value put into a subject is not one token: it is empty, or holds a dot, wildcard, space or control character.',
  ),
  EVENT_INVALID_PATH: rejected(
    'A value put into the path of a file is not part of one name: it is empty, begins with a dot, or holds a slash or control character.',
  ),
  EVENT_INVALID_URL: rejected(
    'A value put into the path of a URL leaves an empty segment, `.` or `..` there, or the URL became too long.',
  ),
  EVENT_HOPS: rejected('The event went through Ouzel too often (`Ouzel-Hops`): a loop of consumers.'),
  EVENT_POISON: rejected(
    'The handling of this event began as often as it may and never ended: each time the process died or lost it.',
  ),
  EVENT_ROUTE_GONE: rejected('A re-drive names a route that the consumer does not have any more.'),
  EVENT_FAILED: internal('A stage threw an error that it should not have. Please report it.'),

  PLUGIN_REJECTED: rejected('A filter or transformer of a plugin refused this event (`RejectedError`).'),
  PLUGIN_UNAVAILABLE: unavailable(
    'What a filter or transformer of a plugin needs is not there now (`UnavailableError`).',
  ),
  PLUGIN_FAILED: internal(
    'A plugin threw, or answered what it may not. The message is its own; the fault is to be found in the plugin.',
  ),

  PLUGIN_ENDED: rejected(
    'The thread of an isolated plugin was ended while it handled this event: it held the thread for longer than its `deadline`, needed more than its `memory`, or called `process.exit`.',
  ),

  TARGET_REJECTED: rejected('The target said no to this event.'),
  TARGET_REJECTED_FOR_GOOD: rejected(
    'The target said no to this event in a way that no further attempt can mend (HTTP 400, 410, 413, 414, 415, 422, 431; a row that violates a constraint or the type of a column).',
  ),
  TARGET_TOO_LARGE: rejected("The event is larger than the server's max_payload. The message gives both sizes."),
  TARGET_ADDRESS: unavailable(
    'The host of a URL has no public address, but a private, loopback or special one. If that is meant, set `allow_private: true` in the target.',
  ),
  TARGET_UNAVAILABLE: unavailable('The target is not there or cannot take anything now.'),
  TARGET_GONE: unavailable(
    'A webhook answered 410 Gone, and its target is disabled: nothing is sent there, and events for it wait, until its configuration changes or somebody enables it (`ouzel targets enable`).',
  ),
  TARGET_NO_STREAM: unavailable('No stream takes the subject that was published to.'),
  TARGET_NO_TABLE: unavailable(
    'The table is not there, or has not the column, or the unique index, that is written to. Make it, or see `create` of the target `sql`.',
  ),
  TARGET_BREAKER_OPEN: unavailable(
    'The target was unavailable to one event after another, and nothing is sent there before the next probe.',
  ),
  TARGET_TIMEOUT: unavailable('The target did not answer in time.'),

  INTERNAL: internal('An error inside Ouzel. Please report it with the log line.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERRORS;

/** Where in a file something stands. Lines and columns count from 1. */
export interface Place {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** `file:line:column`. */
export const formatPlace = (place: Place): string => `${place.file}:${place.line}:${place.column}`;

interface ErrorDetails {
  readonly cause?: unknown;
  readonly place?: Place | undefined;
  /** What a target answered, for example an HTTP status. */
  readonly status?: number | undefined;
  /** Milliseconds that whoever refused asks to wait before the next attempt (`Retry-After`). */
  readonly retryAfter?: number | undefined;
}

/** Every error that Ouzel raises on purpose. Told apart by `code`, never by class. */
export class OuzelError extends Error {
  readonly code: ErrorCode;
  readonly kind: ErrorKind;
  readonly place: Place | undefined;
  readonly status: number | undefined;
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'OuzelError';
    this.code = code;
    this.kind = ERRORS[code].kind;
    this.place = details.place;
    this.status = details.status;
    this.retryAfter = details.retryAfter;
  }

  get exitCode(): number {
    return ERRORS[this.code].exit;
  }
}

/** The error itself when it is ours, else wrapped as `INTERNAL` (or the code given) with the original as its cause. */
export function asOuzelError(error: unknown, code: ErrorCode = 'INTERNAL'): OuzelError {
  if (error instanceof OuzelError) return error;
  return new OuzelError(code, error instanceof Error ? error.message : String(error), { cause: error });
}
