import { expect, test } from 'vitest';
import { Metrics } from '../../helpers/metrics.ts';

const metrics = new Metrics(`# HELP ouzel_events_total Outcomes.
# TYPE ouzel_events_total counter
ouzel_events_total{consumer="a",outcome="delivered",reason=""} 3
ouzel_events_total{consumer="a",outcome="filtered",reason="big \\"one\\", {x}\\n"} 4
ouzel_events_total{consumer="b",outcome="delivered",reason=""} 5e2
ouzel_events_total_other 7
ouzel_nats_connected 1
ouzel_event_age_seconds_bucket{le="+Inf",consumer="a"} +Inf
`);

test('totals sum the series that have the labels asked for, and no other metric', () => {
  expect(metrics.total('ouzel_events_total')).toBe(507);
  expect(metrics.total('ouzel_events_total', { outcome: 'delivered' })).toBe(503);
  expect(metrics.total('ouzel_events_total', { consumer: 'a', outcome: 'delivered' })).toBe(3);
  expect(metrics.total('ouzel_events_total', { consumer: 'c' })).toBe(0);
  expect(metrics.total('ouzel_nats_connected')).toBe(1);
});

test('label values are unescaped', () => {
  expect(metrics.select('ouzel_events_total', { outcome: 'filtered' })[0]?.labels['reason']).toBe('big "one", {x}\n');
  expect(metrics.select('ouzel_event_age_seconds_bucket', { le: '+Inf' })[0]?.value).toBe(Infinity);
});
