/**
 * Every metric that Ouzel exposes: its name, kind, labels and help. Labels come from the configuration, never from
 * event data. Seconds and bytes are base units, as Prometheus asks. Below them, the attributes of spans.
 */

export type MetricType = 'counter' | 'gauge' | 'histogram';

export interface MetricDefinition {
  readonly name: string;
  readonly type: MetricType;
  readonly help: string;
  readonly labels: readonly string[];
  /** Upper bounds in the metric's unit; histograms only. */
  readonly buckets?: readonly number[];
}

const DURATION_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const SIZE_BUCKETS = [1, 2, 5, 10, 25, 50, 100, 250, 500, 1000];
const AGE_BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 21600, 86400];

const counter = (name: string, help: string, labels: readonly string[] = []): MetricDefinition => ({
  name: `ouzel_${name}`,
  type: 'counter',
  help,
  labels,
});
const gauge = (name: string, help: string, labels: readonly string[] = []): MetricDefinition => ({
  name: `ouzel_${name}`,
  type: 'gauge',
  help,
  labels,
});
const histogram = (
  name: string,
  help: string,
  labels: readonly string[],
  buckets: readonly number[],
): MetricDefinition => ({ name: `ouzel_${name}`, type: 'histogram', help, labels, buckets });

export const METRICS = {
  eventsReceived: counter('events_received_total', 'Events received from the server, redeliveries included.', [
    'consumer',
  ]),
  events: counter('events_total', 'Outcomes: delivered, filtered, dropped or dead_lettered, with the reason.', [
    'consumer',
    'outcome',
    'reason',
  ]),
  eventRetries: counter('event_retries_total', 'Events given back to be tried again later.', ['consumer', 'reason']),
  eventsReturned: counter('events_returned_total', 'Events given back before their handling started.', ['consumer']),
  eventsParked: counter('events_parked_total', 'Events handed over to a timer.', ['consumer']),
  eventsInFlight: gauge('events_in_flight', 'Events in hand: received and without an outcome yet.', ['consumer']),
  eventDuration: histogram(
    'event_duration_seconds',
    'Seconds from receipt to outcome.',
    ['consumer'],
    DURATION_BUCKETS,
  ),
  eventAge: histogram('event_age_seconds', 'Seconds from the stream timestamp to outcome.', ['consumer'], AGE_BUCKETS),
  oldestUnsettled: gauge(
    'consumer_oldest_unsettled_age_seconds',
    'Age since receipt of the oldest event in hand; 0 when there is none.',
    ['consumer'],
  ),
  deliveries: counter('deliveries_total', 'Deliveries by result: confirmed, rejected or unavailable.', [
    'consumer',
    'target',
    'result',
  ]),
  deliveryDuration: histogram(
    'delivery_duration_seconds',
    'Seconds from the start of a delivery to its result.',
    ['consumer', 'target'],
    DURATION_BUCKETS,
  ),
  targetBreakerOpen: gauge(
    'target_breaker_open',
    '1 while a target is known to be unavailable and nothing but probes is sent there, else 0.',
    ['target'],
  ),
  throttled: counter(
    'throttled_seconds_total',
    'Seconds that events waited for a throttle: of the consumer (target is empty), or of a target.',
    ['consumer', 'target'],
  ),
  throttleWaiting: gauge(
    'throttle_waiting',
    'Events in hand that wait for a throttle: of the consumer (target is empty), or of a target.',
    ['consumer', 'target'],
  ),
  groupWaiting: gauge('group_waiting', 'Events in hand that are collected in batches which are not complete yet.', [
    'consumer',
  ]),
  groupSize: histogram('group_size', 'Events of a batch when it was complete.', ['consumer'], SIZE_BUCKETS),
  orderKeysStored: gauge('order_keys_stored', 'Keys of which something is stored in OUZEL_LANES: events, or a hold.', [
    'consumer',
  ]),
  orderKeysHeld: gauge('order_keys_held', 'Keys that are stopped by a dead letter.', ['consumer']),
  orderStored: gauge('order_events_stored', 'Events stored in OUZEL_LANES, behind those of their key before them.', [
    'consumer',
  ]),
  timersPending: gauge('timers_pending', 'Events of the consumer that wait for a timer.', ['consumer']),
  timersByKind: gauge('timers_by_kind', 'The same, by kind: for a retry, a throttle or a delay, or held by debounce.', [
    'consumer',
    'kind',
  ]),
  consumerPending: gauge('consumer_pending', 'Events in the stream that the durable has not yet handed out.', [
    'consumer',
  ]),
  consumerAckPending: gauge('consumer_ack_pending', 'Events handed out by the durable and not yet acknowledged.', [
    'consumer',
  ]),
  consumerRedelivered: gauge(
    'consumer_redelivered',
    'Events that the durable has handed out more than once and that are not yet acknowledged.',
    ['consumer'],
  ),
  lanePending: gauge(
    'consumer_lane_pending',
    'Events in the stream that the durable of a lane has not yet handed out.',
    ['consumer', 'lane'],
  ),
  consumerState: gauge('consumer_state', '1 for the state that the consumer is in, 0 for the others.', [
    'consumer',
    'state',
  ]),
  consumerRecreated: counter('consumer_recreated_total', 'Durables made anew because they were gone.', ['consumer']),
  missingFields: counter('missing_fields_total', 'Expressions that met a field that was not there.', [
    'consumer',
    'path',
  ]),
  upcasts: counter(
    'event_upcasts_total',
    'Events that came in another version of their type than the newest, by that version; older and newer: not known.',
    ['consumer', 'type', 'version'],
  ),
  lookups: counter(
    'lookups_total',
    'Lookups by result: hit (known from before), found, missing (nothing there) or failed.',
    ['consumer', 'lookup', 'result'],
  ),
  ingressRequests: counter(
    'ingress_requests_total',
    'Requests that came in, by source (/events: posted events; empty: no source) and result: accepted, duplicate, unverified, invalid, too_large, rate_limited, not_found, unavailable or failed.',
    ['source', 'result'],
  ),
  scheduleTicks: counter(
    'schedule_ticks_total',
    'Ticks of a schedule that this instance put into a stream (published), or that could not be made and were left out (rejected).',
    ['source', 'result'],
  ),
  scheduleMissed: counter(
    'schedule_missed_total',
    'Ticks that were left out, as `missed` says, because their time came while no instance could publish them.',
    ['source'],
  ),
  scheduleLast: gauge(
    'schedule_last_timestamp_seconds',
    'The instant of the last tick that is in a stream, whichever instance put it there, in seconds since the epoch.',
    ['source'],
  ),
  scheduleNext: gauge(
    'schedule_next_timestamp_seconds',
    'When the schedule ticks next, in seconds since the epoch; in the past: the tick is overdue.',
    ['source'],
  ),
  configReloads: counter('config_reloads_total', 'Changes of the configuration: applied, unchanged or rejected.', [
    'result',
  ]),
  configGeneration: gauge('config_generation', 'Number of configurations applied since the start.'),
  configLastSuccess: gauge(
    'config_last_success_timestamp_seconds',
    'When a configuration was last applied, in seconds since the epoch.',
  ),
  configLastReloadSuccessful: gauge(
    'config_last_reload_successful',
    '0 while the last change of the configuration was rejected, else 1.',
  ),
  natsConnected: gauge('nats_connected', '1 while connected to NATS, else 0.'),
  natsReconnects: counter('nats_reconnects_total', 'Reconnections to NATS.'),
  pluginStrayErrors: counter(
    'plugin_stray_errors_total',
    'Errors that a plugin threw where nothing could catch them: in a timer, or in a promise that is not awaited.',
    ['plugin'],
  ),
  pluginThreads: gauge('plugin_threads', 'Threads of isolated plugins.', ['plugin']),
  pluginThreadsEnded: counter(
    'plugin_threads_ended_total',
    'Threads of isolated plugins that ended otherwise than with their consumer: deadline, memory, exit or start.',
    ['plugin', 'reason'],
  ),
  incidents: counter('incidents_total', 'Incidents published in the stream OUZEL_EVENTS.', ['type']),
  incidentsDropped: counter(
    'incidents_dropped_total',
    'Incidents that were not published: too many waited, the stream refused them, or they went round in a circle.',
  ),
  auditDropped: counter(
    'audit_dropped_total',
    'Records that are not in the audit. outcome, attempt: too many waited, or the last could not be stored in time. payload: data that is too large to be kept. act: it could not be stored (it is in the log). flood: one of too many refused requests.',
    ['kind'],
  ),
  auditRecords: counter('audit_records_total', 'Records stored in the audit: outcome, attempt or act.', ['kind']),
  auditRefusals: counter(
    'audit_refusals_total',
    'Batches of records that could not be stored; each is tried again until it is.',
  ),
  auditWaiting: gauge('audit_waiting', 'Records that are not stored yet.'),
  auditLag: gauge(
    'audit_lag_seconds',
    'Since the batch of records that is being stored was first sent; 0 while nothing is.',
  ),
  logLinesSuppressed: counter('log_lines_suppressed_total', 'Log lines left out by the rate limit.'),
  spansDropped: counter(
    'spans_dropped_total',
    'Spans that were lost: the queue was full, or the collector did not take them.',
  ),
  buildInfo: gauge('build_info', 'Always 1; the version of Ouzel and of Node.js.', ['version', 'node']),
} as const satisfies Record<string, MetricDefinition>;

/** States of a consumer, for `ouzel_consumer_state` and the console. */
export const CONSUMER_STATES = [
  'starting',
  'running',
  'standby',
  'backpressured',
  'blocked',
  'paused',
  'disconnected',
  'draining',
  'stopped',
  'failed',
] as const;
export type ConsumerState = (typeof CONSUMER_STATES)[number];

/**
 * Attributes of spans: OpenTelemetry's messaging conventions where they have a name for it, else `ouzel.`. They are
 * written out because the package of the conventions is loaded with the rest of OpenTelemetry or not at all; a test
 * holds them against it.
 */
export const ATTRIBUTES = {
  system: 'messaging.system',
  operationType: 'messaging.operation.type',
  operationName: 'messaging.operation.name',
  /** The subject of the message. */
  destinationName: 'messaging.destination.name',
  /** The pattern or template that the subject is one of. */
  destinationTemplate: 'messaging.destination.template',
  /** The durable. */
  consumerGroup: 'messaging.consumer.group.name',
  messageId: 'messaging.message.id',
  bodySize: 'messaging.message.body.size',
  httpMethod: 'http.request.method',
  httpRoute: 'http.route',
  httpStatus: 'http.response.status_code',
  serverAddress: 'server.address',
  dbSystem: 'db.system.name',
  errorType: 'error.type',
  /** The name of the source that a request came to. */
  source: 'ouzel.source',
  stream: 'ouzel.stream',
  sequence: 'ouzel.sequence',
  attempt: 'ouzel.attempt',
  /** Of a replay or re-drive; not there for the first passage of an event. */
  run: 'ouzel.run',
  outcome: 'ouzel.outcome',
  reason: 'ouzel.reason',
  /** Milliseconds for which the attempt waited for throttles; not there where it did not. */
  throttled: 'ouzel.throttled_ms',
  /** Milliseconds until the event is tried again, on an attempt that failed and was not the last. */
  retryDelay: 'ouzel.retry_delay_ms',
  route: 'ouzel.route',
  target: 'ouzel.target',
  /** confirmed, rejected or unavailable, as in `ouzel_deliveries_total`. */
  result: 'ouzel.result',
} as const;

export const MESSAGING_SYSTEM = 'nats';
