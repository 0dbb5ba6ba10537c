/** The dashboard *Consumer*: all that is known of one, or of the chosen ones. */
import { METRICS } from '../../src/telemetry/names.ts';
import * as common from './common.ts';
import { type DashboardSpec, one, type PanelSpec } from './panels.ts';
import { rate, sum } from './promql.ts';

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
    { title: 'Later', panels: [common.timers, common.handedBack, recreated] },
    { title: 'Contents', panels: [missingFields, lookups, upcasts] },
  ],
};
