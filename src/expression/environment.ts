/** The variables of expressions. A variable is one entry in this table. */

import { parseTimestamp } from './time.ts';
import type { ErrorView, EventView, MessageView, RequestView, ScheduleView, Scope, ScopeKind } from './types.ts';
import { Timestamp } from './values.ts';

export interface Attribute {
  /** What stands in the reference. */
  readonly summary: string;
  /** Undefined: not there, a missing field. */
  read(scope: Scope): unknown;
  /** Reads one entry without making the whole map. */
  readonly entry?: (scope: Scope, key: string) => unknown;
  /** JSON: objects and lists with nothing but their own fields. `event.data` is read on the shortest way. */
  readonly json?: 'event.data' | true;
}

export interface Variable {
  readonly summary: string;
  readonly kinds: readonly ScopeKind[];
  /** The value as a whole. */
  read(scope: Scope): unknown;
  /** A closed set of fields, checked at load. Without it every field is looked up in the value. */
  readonly attributes?: ReadonlyMap<string, Attribute>;
}

export type Environment = ReadonlyMap<string, Variable>;

const EVENT = attributes({
  id: { summary: 'The id of the event.', read: (scope) => scope.event.id },
  source: { summary: 'Where it comes from.', read: (scope) => scope.event.source },
  type: { summary: 'What happened.', read: (scope) => scope.event.type },
  specversion: { summary: 'The version of CloudEvents.', read: (scope) => scope.event.specversion },
  subject: { summary: 'What it is about, if the event says so.', read: (scope) => scope.event.subject },
  time: { summary: 'When it happened, a timestamp.', read: (scope) => eventTime(scope.event) },
  datacontenttype: { summary: 'The content type of the data, if given.', read: (scope) => scope.event.datacontenttype },
  dataschema: { summary: 'The schema of the data, if given.', read: (scope) => scope.event.dataschema },
  data: {
    summary: 'The data: a JSON value, text, or bytes; null when the body is empty.',
    read: (scope) => scope.event.data,
    json: 'event.data',
  },
  ext: {
    summary: 'The extension attributes.',
    read: (scope) => scope.event.extensions,
    json: true,
  },
});

const MESSAGE = attributes({
  subject: { summary: 'The subject of the message.', read: (scope) => scope.msg.subject },
  stream: { summary: 'The stream that holds it.', read: (scope) => scope.msg.stream },
  seq: { summary: 'Its sequence in the stream.', read: (scope) => scope.msg.sequence },
  attempt: { summary: '1 for the first attempt.', read: (scope) => scope.msg.attempt },
  replay: { summary: 'Whether it comes from a replay.', read: (scope) => scope.msg.replay },
  run: {
    summary: 'The run: `first`, or that of a replay (`replay-january`) or re-drive.',
    read: (scope) => scope.msg.run,
  },
  headers: {
    summary: 'Its headers: the exact name first, then without regard to case.',
    read: (scope) => scope.msg.headers(),
    entry: (scope, key) => scope.msg.header(key),
  },
});

const ERROR = attributes({
  code: { summary: 'The code of the error.', read: (scope) => scope.error?.code },
  message: { summary: 'What was said.', read: (scope) => scope.error?.message },
  kind: { summary: '`rejected`, `unavailable` or `internal`.', read: (scope) => scope.error?.kind },
  status: { summary: 'The status that the target answered, if it did.', read: (scope) => scope.error?.status },
});

const REQUEST = attributes({
  method: { summary: 'Its method, `POST`.', read: (scope) => scope.request?.method },
  path: { summary: 'Its path, without the query.', read: (scope) => scope.request?.path },
  query: { summary: 'The query, by name.', read: (scope) => scope.request?.query, json: true },
  headers: {
    summary: 'Its headers; names in any case.',
    read: (scope) => scope.request?.headers,
    entry: (scope, key) => scope.request?.headers.get(key.toLowerCase()),
  },
  body: { summary: 'The body, as it was read.', read: (scope) => scope.request?.body, json: true },
  event: { summary: 'The CloudEvent that it carries.', read: (scope) => scope.request?.event, json: true },
});

const SCHEDULE = attributes({
  name: { summary: 'Its name.', read: (scope) => scope.schedule?.name },
  instant: { summary: 'When it was to tick, a timestamp.', read: (scope) => instantOf(scope.schedule) },
  time: {
    summary: 'The same as text, by the clock of its time zone: `2026-10-25T02:30:00+01:00`.',
    read: (scope) => scope.schedule?.time,
  },
  fired: { summary: 'Whether somebody asked for it before its time.', read: (scope) => scope.schedule?.fired },
});

/** What expressions of the configuration can see. `filters` is not a value: the compiler knows it. */
export const ENVIRONMENT: Environment = new Map<string, Variable>([
  [
    'event',
    {
      summary: 'The event.',
      kinds: ['event', 'error', 'lookup'],
      attributes: EVENT,
      read: (scope) => wholeEvent(scope.event),
    },
  ],
  [
    'msg',
    {
      summary: 'The message that carries it.',
      kinds: ['event', 'error', 'lookup'],
      attributes: MESSAGE,
      read: (scope) => wholeMessage(scope.msg),
    },
  ],
  [
    'error',
    {
      summary: 'What went wrong with the delivery.',
      kinds: ['error'],
      attributes: ERROR,
      read: (scope) => wholeError(scope.error),
    },
  ],
  [
    'value',
    {
      summary: 'What the lookup found.',
      kinds: ['lookup'],
      read: (scope) => scope.value,
    },
  ],
  [
    'request',
    {
      summary: 'The request that a source takes.',
      kinds: ['request', 'source'],
      attributes: REQUEST,
      read: (scope) => wholeRequest(scope.request),
    },
  ],
  [
    'schedule',
    {
      summary: 'The tick of a schedule.',
      kinds: ['schedule', 'source'],
      attributes: SCHEDULE,
      read: (scope) => wholeSchedule(scope.schedule),
    },
  ],
  [
    'now',
    {
      summary: 'The present time, a timestamp.',
      kinds: ['event', 'error', 'lookup', 'request', 'source'],
      read: (scope) => Timestamp.fromMillis(scope.now),
    },
  ],
]);

/** The name by which expressions reach named filters. */
export const FILTERS = 'filters';

function attributes(table: Readonly<Record<string, Attribute>>): ReadonlyMap<string, Attribute> {
  return new Map(Object.entries(table));
}

/** A time that is no RFC 3339 is seen as it is: whoever made the event is wrong, not who reads it. */
const eventTime = (event: EventView): unknown => parseTimestamp(event.time) ?? event.time;

function wholeEvent(event: EventView): ReadonlyMap<string, unknown> {
  return given([
    ['specversion', event.specversion],
    ['id', event.id],
    ['source', event.source],
    ['type', event.type],
    ['time', eventTime(event)],
    ['subject', event.subject],
    ['datacontenttype', event.datacontenttype],
    ['dataschema', event.dataschema],
    ['ext', event.extensions],
    ['data', event.data],
  ]);
}

function wholeMessage(message: MessageView): ReadonlyMap<string, unknown> {
  return given([
    ['subject', message.subject],
    ['stream', message.stream],
    ['seq', message.sequence],
    ['attempt', message.attempt],
    ['replay', message.replay],
    ['run', message.run],
    ['headers', message.headers()],
  ]);
}

function wholeError(error: ErrorView | undefined): ReadonlyMap<string, unknown> | undefined {
  return (
    error &&
    given([
      ['code', error.code],
      ['message', error.message],
      ['kind', error.kind],
      ['status', error.status],
    ])
  );
}

function wholeRequest(request: RequestView | undefined): ReadonlyMap<string, unknown> | undefined {
  return (
    request &&
    given([
      ['method', request.method],
      ['path', request.path],
      ['query', request.query],
      ['headers', request.headers],
      ['body', request.body],
      ['event', request.event],
    ])
  );
}

const instantOf = (schedule: ScheduleView | undefined): Timestamp | undefined =>
  schedule && Timestamp.fromMillis(schedule.instant);

function wholeSchedule(schedule: ScheduleView | undefined): ReadonlyMap<string, unknown> | undefined {
  return (
    schedule &&
    given([
      ['name', schedule.name],
      ['instant', instantOf(schedule)],
      ['time', schedule.time],
      ['fired', schedule.fired],
    ])
  );
}

const given = (entries: readonly (readonly [string, unknown])[]): ReadonlyMap<string, unknown> =>
  new Map(entries.filter(([, value]) => value !== undefined));
