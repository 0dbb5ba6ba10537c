/** Panels that both dashboards have: one consumer or all of them is a matter of what is chosen. */
import { CONSUMER_STATES, type ConsumerState, METRICS } from '../../src/telemetry/names.ts';
import { one, type PanelSpec, type Query } from './panels.ts';
import { errorShare, max, quantile, rate, series, sum } from './promql.ts';

const M = METRICS;

export const outcomes: PanelSpec = {
  title: 'Outcomes',
  description: 'Events that ended, by outcome. Every event ends in exactly one for each consumer.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.events, ['outcome']), '{{outcome}}'),
};

export const errors: PanelSpec = {
  title: 'Error share',
  description: 'Attempts that failed of all that ended: dead letters, and events that are to be tried again.',
  kind: 'line',
  unit: 'percentunit',
  queries: one(errorShare(), '{{consumer}}'),
};

export const deadLetters: PanelSpec = {
  title: 'Dead letters',
  description: 'By reason. What to do with them: docs/guides/dead-letters.md.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.events, ['consumer', 'reason'], { outcome: '="dead_lettered"' }), '{{consumer}} {{reason}}'),
};

export const retries: PanelSpec = {
  title: 'To be tried again',
  description: 'rejected and failed use up attempts, unavailable uses up none.',
  kind: 'line',
  unit: 'ops',
  queries: one(rate(M.eventRetries, ['consumer', 'reason']), '{{consumer}} {{reason}}'),
};

export const redelivered: PanelSpec = {
  title: 'Redeliveries',
  description: 'Events that the server has handed out more than once, and that are not acknowledged yet.',
  kind: 'line',
  unit: 'short',
  queries: one(max(M.consumerRedelivered, ['consumer']), '{{consumer}}'),
};

export const handedBack: PanelSpec = {
  title: 'Parked and given back',
  description: 'Parked: handed to a timer, to come again. Given back: returned without an attempt, as in a drain.',
  kind: 'line',
  unit: 'ops',
  queries: [
    ...one(rate(M.eventsParked, ['consumer']), '{{consumer}} parked'),
    ...one(rate(M.eventsReturned, ['consumer']), '{{consumer}} given back'),
  ],
};

export const lag: PanelSpec = {
  title: 'Lag',
  description: 'Events in the stream that the durable has not handed out. It grows: docs/runbooks/lag-growing.md.',
  kind: 'line',
  unit: 'short',
  queries: one(max(M.consumerPending, ['consumer']), '{{consumer}}'),
};

export const ackPending: PanelSpec = {
  title: 'Not acknowledged',
  description: 'Events that the durable has handed out to any instance, and that are not acknowledged yet.',
  kind: 'line',
  unit: 'short',
  queries: one(max(M.consumerAckPending, ['consumer']), '{{consumer}}'),
};

export const oldest: PanelSpec = {
  title: 'Oldest unsettled',
  description: 'Since the receipt of the oldest event in hand. It grows: docs/runbooks/oldest-unsettled.md.',
  kind: 'line',
  unit: 's',
  queries: one(max(M.oldestUnsettled, ['consumer']), '{{consumer}}'),
};

export const inHand: PanelSpec = {
  title: 'In hand',
  description: 'Received by an instance and not ended yet: queued, running, or waiting for a target.',
  kind: 'line',
  unit: 'short',
  queries: one(sum(M.eventsInFlight, ['consumer']), '{{consumer}}'),
};

export const timers: PanelSpec = {
  title: 'Waiting in timers',
  description:
    'Events that wait on the server, and hold no place of those that may be unacknowledged: for a retry, a delay, a throttle, or held by debounce. Which: ouzel timers list.',
  kind: 'line',
  unit: 'short',
  queries: one(max(M.timersByKind, ['consumer', 'kind']), '{{consumer}} {{kind}}'),
};

export const dropped: PanelSpec = {
  title: 'Dropped',
  description:
    'By a rule that says so: rate_limited, expired, duplicate, counted, superseded (debounce), cancelled. docs/guides/limits.md and timing.md.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.events, ['consumer', 'reason'], { outcome: '="dropped"' }), '{{consumer}} {{reason}}'),
};

export const throttleWaiting: PanelSpec = {
  title: 'Waiting for throttles',
  description: 'In hand, until a throttle of the consumer or of the named target lets them go on.',
  kind: 'line',
  unit: 'short',
  queries: one(sum(M.throttleWaiting, ['consumer', 'target']), '{{consumer}} {{target}}'),
};

export const orderKeys: PanelSpec = {
  title: 'Keys with a backlog',
  description:
    'Of order_by. Stored: events of the key wait in OUZEL_LANES. Held: a dead letter stops the key. docs/runbooks/key-held.md.',
  kind: 'line',
  unit: 'short',
  queries: [
    ...one(max(M.orderKeysStored, ['consumer']), '{{consumer}} stored'),
    ...one(max(M.orderKeysHeld, ['consumer']), '{{consumer}} held'),
  ],
};

const quantiles = (metric: Parameters<typeof quantile>[1]): readonly Query[] =>
  [0.5, 0.95, 0.99].flatMap((q) => one(quantile(q, metric), `p${q * 100}`));

export const duration: PanelSpec = {
  title: 'Duration',
  description: 'From receipt to outcome.',
  kind: 'line',
  unit: 's',
  queries: quantiles(M.eventDuration),
};

export const age: PanelSpec = {
  title: 'Age',
  description: 'From the stream timestamp to outcome: what a backlog, retries and timers add shows here.',
  kind: 'line',
  unit: 's',
  queries: quantiles(M.eventAge),
};

export const deliveries: PanelSpec = {
  title: 'Deliveries',
  description: 'rejected: the target said no to the event. unavailable: it was not there, or its breaker is open.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.deliveries, ['target', 'result']), '{{target}} {{result}}'),
};

export const deliveryDuration: PanelSpec = {
  title: 'Duration of deliveries',
  description: 'From the start of a delivery to its result; p50, p95 and p99 by target.',
  kind: 'line',
  unit: 's',
  queries: [0.5, 0.95, 0.99].flatMap((q) => one(quantile(q, M.deliveryDuration, ['target']), `{{target}} p${q * 100}`)),
};

/** Of the targets that what is chosen delivers to. */
export const breakers: PanelSpec = {
  title: 'Breakers',
  description: 'Open: the target is away, and only probes are sent. docs/runbooks/breaker-open.md.',
  kind: 'states',
  unit: 'short',
  names: [
    [0, 'closed', 'green'],
    [1, 'open', 'red'],
  ],
  queries: one(
    `${max(M.targetBreakerOpen, ['target'])} and on (target) ${max(M.deliveries, ['target'])}`,
    '{{target}}',
  ),
};

const COLOURS: Readonly<Record<string, string>> = {
  running: 'green',
  standby: 'light-green',
  backpressured: 'yellow',
  blocked: 'orange',
  failed: 'red',
  disconnected: 'dark-red',
  paused: 'blue',
};

/** A hot standby beside an active instance is no news; of all others, what comes later is worse. */
export const STATES: readonly ConsumerState[] = ['standby', ...CONSUMER_STATES.filter((state) => state !== 'standby')];

/** Each state is a number: its place in `STATES`. */
export const states: PanelSpec = {
  title: 'States',
  description: 'Of several instances the worst. What they mean: docs/telemetry.md.',
  kind: 'states',
  unit: 'short',
  names: STATES.map((state, index) => [index, state, COLOURS[state] ?? 'grey'] as const),
  queries: one(
    `max by (consumer) (${STATES.map(
      (state, index) => `${series(M.consumerState, { state: `="${state}"` })} * ${index}`,
    ).join(' or ')})`,
    '{{consumer}}',
  ),
};
