/** The dashboard *Consumer*: all that is known of one, or of the chosen ones. */
import { METRICS } from '../../src/telemetry/names.ts';
import * as common from './common.ts';
import { type DashboardSpec, one, type PanelSpec } from './panels.ts';
import { max, quantile, rate, sum } from './promql.ts';

const M = METRICS;

const reasons: PanelSpec = {
  title: 'Outcomes by reason',
  description: 'Why events were filtered, dropped or dead-lettered.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.events, ['outcome', 'reason']), '{{outcome}} {{reason}}'),
};

const byInstance: PanelSpec = {
  title: 'Received by instance',
  description: 'Which instance takes how much.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.eventsReceived, ['instance']), '{{instance}}'),
};

const missingFields: PanelSpec = {
  title: 'Fields that were not there',
  description: 'By path. A field that never is there may be misspelt: ouzel explain shows it.',
  kind: 'line',
  unit: 'ops',
  queries: one(rate(M.missingFields, ['consumer', 'path']), '{{consumer}} {{path}}'),
};

const lookups: PanelSpec = {
  title: 'Lookups',
  description: 'hit: known from before. missing: nothing is there. docs/guides/lookup.md.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.lookups, ['lookup', 'result']), '{{lookup}} {{result}}'),
};

const upcasts: PanelSpec = {
  title: 'Old versions',
  description: 'Events in another version of their type than the newest. docs/guides/versions.md.',
  kind: 'stack',
  unit: 'ops',
  queries: one(rate(M.upcasts, ['type', 'version']), '{{type}} version {{version}}'),
};

const recreated: PanelSpec = {
  title: 'Durables made anew',
  description: 'Since the start of the instances. Somebody deletes durables, and events come again.',
  kind: 'line',
  unit: 'short',
  queries: one(sum(M.consumerRecreated, ['consumer']), '{{consumer}}'),
};

const throttled: PanelSpec = {
  title: 'Waited for throttles',
  description: 'How many waited at a time, on average: seconds that those who went on had waited, a second.',
  kind: 'line',
  unit: 'short',
  queries: one(rate(M.throttled, ['consumer', 'target']), '{{consumer}} {{target}}'),
};

const orderStored: PanelSpec = {
  title: 'Stored behind their keys',
  description: 'Events in OUZEL_LANES: those before them have no outcome yet, or their key is held. docs/order.md.',
  kind: 'line',
  unit: 'short',
  queries: one(max(M.orderStored, ['consumer']), '{{consumer}}'),
};

const laneLag: PanelSpec = {
  title: 'Lag by lane',
  description: 'Events in the stream that the durable of each lane has not handed out. docs/guides/priority.md.',
  kind: 'line',
  unit: 'short',
  queries: one(max(M.lanePending, ['consumer', 'lane']), '{{consumer}} {{lane}}'),
};

const groupWaiting: PanelSpec = {
  title: 'In incomplete batches',
  description: 'In hand, until their batch is full or its time is over. docs/guides/batches.md.',
  kind: 'line',
  unit: 'short',
  queries: one(sum(M.groupWaiting, ['consumer']), '{{consumer}}'),
};

const groupSize: PanelSpec = {
  title: 'Size of batches',
  description: 'Events of a batch when it was complete.',
  kind: 'line',
  unit: 'short',
  queries: [0.5, 0.95].flatMap((q) => one(quantile(q, M.groupSize, ['consumer']), `{{consumer}} p${q * 100}`)),
};

export const consumer: DashboardSpec = {
  uid: 'ouzel-consumer',
  title: 'Ouzel: Consumer',
  description: 'One consumer of Ouzel, or a few. Generated from grafana/src; changes here are lost.',
  allConsumers: false,
  rows: [
    { title: 'State', panels: [{ ...common.states, width: 16 }, common.errors] },
    { title: 'Events', panels: [common.outcomes, reasons, byInstance] },
    { title: 'Lag', panels: [common.lag, common.ackPending, common.oldest] },
    { title: 'Latency', panels: [common.duration, common.age, common.inHand] },
    { title: 'Failures', panels: [common.deadLetters, common.retries, common.redelivered] },
    { title: 'Deliveries', panels: [common.deliveries, common.deliveryDuration, common.breakers] },
    { title: 'Limits', panels: [common.dropped, common.throttleWaiting, throttled] },
    { title: 'Order', panels: [common.orderKeys, orderStored, laneLag] },
    { title: 'Batches', panels: [groupWaiting, groupSize] },
    { title: 'Later', panels: [common.timers, common.handedBack, recreated] },
    { title: 'Contents', panels: [missingFields, lookups, upcasts] },
  ],
};
