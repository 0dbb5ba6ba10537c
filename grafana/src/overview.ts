/** The dashboard *Overview*: is all well, and if not, where to look. */
import { METRICS } from '../../src/telemetry/names.ts';
import * as common from './common.ts';
import { type DashboardSpec, one, type PanelSpec } from './panels.ts';
import { count, max, ofProcess, rate, rateOfProcess, series, sum } from './promql.ts';

const M = METRICS;
/** So that nothing found is a 0, and not an empty panel. */
const orZero = (expr: string): string => `${expr} or vector(0)`;

const now: readonly PanelSpec[] = [
  {
    title: 'Instances',
    description: 'That answered the last scrape.',
    kind: 'number',
    unit: 'short',
    width: 4,
    queries: one(`count(${series(M.buildInfo)})`, 'instances'),
  },
  {
    title: 'Without NATS',
    description: 'Instances that are not connected to NATS. docs/runbooks/nats-away.md.',
    kind: 'number',
    unit: 'short',
    width: 4,
    alarm: 1,
    queries: one(orZero(`count(${series(M.natsConnected)} == 0)`), 'instances'),
  },
  {
    title: 'Consumers in trouble',
    description: 'Failed, blocked or disconnected on an instance. docs/runbooks/consumer-stalled.md.',
    kind: 'number',
    unit: 'short',
    width: 4,
    alarm: 1,
    queries: one(
      orZero(`count(${max(M.consumerState, ['consumer'], { state: '=~"failed|blocked|disconnected"' })} == 1)`),
      'consumers',
    ),
  },
  {
    title: 'Breakers open',
    description: 'Targets that are away. docs/runbooks/breaker-open.md.',
    kind: 'number',
    unit: 'short',
    width: 4,
    alarm: 1,
    queries: one(orZero(`count(${max(M.targetBreakerOpen, ['target'])} == 1)`), 'targets'),
  },
  {
    title: 'Last reload',
    description: 'Whether the last change of the configuration was refused. docs/runbooks/reload-rejected.md.',
    kind: 'number',
    unit: 'short',
    width: 4,
    names: [
      [0, 'rejected', 'red'],
      [1, 'in force', 'green'],
    ],
    queries: one(`min(${series(M.configLastReloadSuccessful)})`, 'reload'),
  },
  {
    title: 'New dead letters',
    description: 'In the range of the dashboard. The first of a kind that an instance ever had is not in it.',
    kind: 'number',
    unit: 'short',
    width: 4,
    alarm: 1,
    queries: one(orZero(count(M.events, [], { outcome: '="dead_lettered"' })), 'dead letters'),
  },
];

const process: readonly PanelSpec[] = [
  {
    title: 'Versions',
    description: 'Version of Ouzel and of Node.js.',
    kind: 'table',
    unit: 'short',
    queries: one(
      `max by (instance, version, node) (${series(M.buildInfo)})`,
      '{{instance}} ouzel {{version}}, Node.js {{node}}',
    ),
  },
  {
    title: 'Loop delay',
    description: 'p99 since the scrape before. Tens of milliseconds and more: something computes for too long.',
    kind: 'line',
    unit: 's',
    queries: one(ofProcess('nodejs_eventloop_lag_p99_seconds'), '{{instance}}'),
  },
  {
    title: 'Memory',
    description: 'Resident; and of it the heap of JavaScript that is in use.',
    kind: 'line',
    unit: 'bytes',
    queries: [
      ...one(ofProcess('process_resident_memory_bytes'), '{{instance}} resident'),
      ...one(ofProcess('nodejs_heap_size_used_bytes'), '{{instance}} heap'),
    ],
  },
  {
    title: 'CPU',
    description: 'Cores. An instance handles events on one.',
    kind: 'line',
    unit: 'short',
    queries: one(rateOfProcess('process_cpu_seconds_total'), '{{instance}}'),
  },
  {
    title: 'Reloads',
    description: 'Changes of the configuration by result.',
    kind: 'line',
    unit: 'ops',
    queries: one(rate(M.configReloads, ['instance', 'result']), '{{instance}} {{result}}'),
  },
  {
    title: 'Configuration in force since',
    description: 'Instances with the same files that differ here for long: one did not follow.',
    kind: 'line',
    unit: 's',
    queries: one(`time() - ${series(M.configLastSuccess)}`, '{{instance}}'),
  },
  {
    title: 'Reconnections to NATS',
    description: 'An instance that reconnects again and again has a bad network, or reads too slowly.',
    kind: 'line',
    unit: 'ops',
    queries: one(rate(M.natsReconnects, ['instance']), '{{instance}}'),
  },
  {
    title: 'Drops',
    description:
      'What Ouzel had to say and could not: spans, incidents, records of the audit; and log lines that were left out. docs/runbooks/drops.md.',
    kind: 'line',
    unit: 'ops',
    queries: [
      ...one(rate(M.spansDropped, ['instance']), '{{instance}} spans'),
      ...one(rate(M.incidentsDropped, ['instance']), '{{instance}} incidents'),
      ...one(rate(M.auditDropped, ['instance', 'kind']), '{{instance}} audit: {{kind}}'),
      ...one(rate(M.logLinesSuppressed, ['instance']), '{{instance}} log lines'),
    ],
  },
  {
    title: 'Incidents',
    description: 'Published in OUZEL_EVENTS, by type: docs/reference/incidents.md.',
    kind: 'line',
    unit: 'ops',
    queries: one(rate(M.incidents, ['type']), '{{type}}'),
  },
];

const received: PanelSpec = {
  title: 'Received',
  description: 'By consumer, redeliveries and due ones included.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.eventsReceived, ['consumer']), '{{consumer}}'),
};

const ingress: PanelSpec = {
  title: 'Requests that came in',
  description: 'Webhooks and posted events by source and result: docs/guides/webhooks-in.md.',
  kind: 'stack',
  unit: 'ops',
  width: 16,
  queries: one(rate(M.ingressRequests, ['source', 'result']), '{{source}} {{result}}'),
};

const schedules: readonly PanelSpec[] = [
  {
    title: 'Ticks of schedules',
    description: 'By source: published, could not be made (rejected), or left out because nobody was there (missed).',
    kind: 'line',
    unit: 'ops',
    queries: [
      ...one(rate(M.scheduleTicks, ['source', 'result']), '{{source}} {{result}}'),
      ...one(rate(M.scheduleMissed, ['source']), '{{source}} missed'),
    ],
  },
  {
    title: 'Next tick',
    description: 'Time until the schedule ticks next. Below zero: it is overdue.',
    kind: 'line',
    unit: 's',
    queries: one(`${max(M.scheduleNext, ['source'])} - time()`, '{{source}}'),
  },
];

const audit: readonly PanelSpec[] = [
  {
    title: 'Records of the audit',
    description: 'Stored in OUZEL_OUTCOMES: outcomes, attempts that failed, acts. docs/reference/audit.md.',
    kind: 'stack',
    unit: 'ops',
    queries: one(rate(M.auditRecords, ['kind']), '{{kind}}'),
  },
  {
    title: 'Records that wait',
    description: 'Not stored yet. With mode: required their events wait with them.',
    kind: 'line',
    unit: 'short',
    queries: one(sum(M.auditWaiting, ['instance']), '{{instance}}'),
  },
  {
    title: 'Audit lag',
    description:
      'Since the batch that is being stored was first sent. It grows: the stream refuses. docs/runbooks/audit-stalled.md.',
    kind: 'line',
    unit: 's',
    queries: one(max(M.auditLag, ['instance']), '{{instance}}'),
  },
  {
    title: 'Batches refused',
    description: 'Of records; each is tried again until it is stored. What was dropped is among the drops, below.',
    kind: 'line',
    unit: 'ops',
    queries: one(rate(M.auditRefusals, ['instance']), '{{instance}}'),
  },
];

export const overview: DashboardSpec = {
  uid: 'ouzel-overview',
  title: 'Ouzel: Overview',
  description: 'All instances and consumers of Ouzel. Generated from grafana/src; changes here are lost.',
  allConsumers: true,
  rows: [
    { title: 'Now', panels: now },
    {
      title: 'Events',
      panels: [common.outcomes, common.errors, common.deadLetters, received, common.retries, common.redelivered],
    },
    { title: 'Lag', panels: [common.lag, common.ackPending, common.oldest] },
    { title: 'Latency', panels: [common.duration, common.age, common.inHand] },
    {
      title: 'Targets and sources',
      panels: [common.deliveries, common.deliveryDuration, common.breakers, ingress, common.timers],
    },
    { title: 'Flow', panels: [common.dropped, common.throttleWaiting, common.orderKeys] },
    { title: 'Schedules', panels: schedules },
    { title: 'Audit', panels: audit.map((panel) => ({ ...panel, width: 6 })) },
    { title: 'Consumers', panels: [{ ...common.states, width: 24 }] },
    { title: 'Instances', panels: process },
  ],
};
