/** The dashboards, proved: each panel shows the daemons' own values, in a real Prometheus that scrapes real daemons. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { STATES } from '../../grafana/src/common.ts';
import { METRICS } from '../../src/telemetry/names.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { expectedOf, filledIn, panelQueries, type Values, withoutRates, written } from '../helpers/dashboards.ts';
import {
  actInVain,
  atRest,
  EVERY_CASE,
  EVERY_CASE_FILES,
  partnerAnswers,
  publishEveryCase,
  refuseRecords,
  rejectReload,
  takeAway,
} from '../helpers/every-case.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { Metrics } from '../helpers/metrics.ts';
import { freePort } from '../helpers/ports.ts';
import { noPrometheus, type Prometheus, promtool, type Series, startPrometheus } from '../helpers/prometheus.ts';
import { connectTo } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { type Scrapes, startScrapes, toldAt } from '../helpers/scrapes.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const ALERTS = join(import.meta.dirname, '..', '..', 'grafana', 'alerts');
const queries = await panelQueries();
const missing = await noPrometheus();

test('every metric of a panel exists', () => {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  const ours = Object.values(METRICS).flatMap(({ name, type }) =>
    type === 'histogram' ? [`${name}_bucket`, `${name}_sum`, `${name}_count`] : [name],
  );
  const known = new Set([...ours, ...registry.getMetricsAsArray().map(({ name }) => name)]);
  registry.clear();
  for (const { dashboard, panel, expr } of queries) {
    const used = expr.match(/\b(?:ouzel|process|nodejs)_\w+/g) ?? [];
    expect(used, `${dashboard}, ${panel}: ${expr}`).not.toEqual([]);
    expect(
      used.filter((name) => !known.has(name)),
      `${dashboard}, ${panel}`,
    ).toEqual([]);
  }
});

const SAME_OF_ALL =
  /ouzel_(?:consumer_(?:pending|ack_pending|redelivered|lane_pending)|timers_\w+|order_\w+|schedule_\w+_timestamp_seconds)/g;

test('what all instances report the same of is not added up', () => {
  for (const { panel, expr } of queries)
    for (const [metric] of expr.matchAll(SAME_OF_ALL))
      expect(expr, panel).toMatch(new RegExp(`max by \\((consumer|source)(, \\w+)?\\) \\(${metric}\\{`));
});

/** What Node.js says of a process, for each. */
const ofProcess =
  (...names: readonly string[]) =>
  (all: Metrics, index: number): Values =>
    new Map(all.select(names[index] ?? '').map(({ labels, value }) => [written(labels), value]));

/** What panels show whose expressions have a form of their own, of all samples, by the number of the query. */
const OF_THEIR_OWN: Readonly<Record<string, (metrics: Metrics, index: number) => Values>> = {
  'Loop delay': ofProcess('nodejs_eventloop_lag_p99_seconds'),
  Memory: ofProcess('process_resident_memory_bytes', 'nodejs_heap_size_used_bytes'),
  CPU: ofProcess('process_cpu_seconds_total'),
  'Without NATS': (all) => only(all.select('ouzel_nats_connected').filter(({ value }) => value === 0).length),
  'Consumers in trouble': () => only(0),
  'Breakers open': () => only(0),
  'New dead letters': (all) => only(all.total('ouzel_events_total', { outcome: 'dead_lettered' })),
  'Error share': (all) =>
    new Map(
      named(all, 'ouzel_events_received_total', 'consumer').flatMap((consumer) => {
        const failed =
          all.total('ouzel_event_retries_total', { consumer }) +
          all.total('ouzel_events_total', { consumer, outcome: 'dead_lettered' });
        const ended =
          all.total('ouzel_event_retries_total', { consumer }) + all.total('ouzel_events_total', { consumer });
        return [[`consumer=${consumer}`, failed / ended] as const];
      }),
    ),
  Breakers: (all) =>
    new Map(
      named(all, 'ouzel_deliveries_total', 'target').flatMap((target) => {
        const known = all.select('ouzel_target_breaker_open', { target });
        return known.length === 0 ? [] : [[`target=${target}`, Math.max(...known.map(({ value }) => value))] as const];
      }),
    ),
  States: (all) =>
    new Map(
      all
        .select('ouzel_consumer_state')
        .filter(({ value }) => value === 1)
        .map(({ labels }) => [`consumer=${labels['consumer']}`, STATES.indexOf(labels['state'] as 'running')]),
    ),
};

const only = (value: number): Values => new Map([['', value]]);
const named = (all: Metrics, name: string, label: string): string[] => [
  ...new Set(all.select(name).map(({ labels }) => labels[label] ?? '')),
];

const valuesOf = (series: readonly Series[]): Values =>
  new Map(
    series.flatMap(({ labels, points: [last] }) =>
      last === undefined || Number.isNaN(last.value) ? [] : [[written(labels), last.value] as const],
    ),
  );

/** Whether every panel shows exactly what the daemons said when they were last asked. */
async function compare(prometheus: Prometheus, scrapes: readonly Scrapes[]): Promise<boolean> {
  const told = toldAt(scrapes);
  if (told === undefined) return false;
  const { time, samples } = told;
  const all = Object.assign(new Metrics(''), { samples });
  for (const { dashboard, panel, index, expr } of queries) {
    const expected = OF_THEIR_OWN[panel]?.(all, index) ?? expectedOf(expr, samples, time);
    expect(expected, `what ${panel} ought to show: a line in OF_THEIR_OWN`).toBeDefined();
    const found = valuesOf(await prometheus.query(withoutRates(expr), time));
    const place = `${dashboard}, ${panel}: ${expr}`;
    // A share or a quantile of nothing is no number, and no line in a panel.
    const shown = [...(expected ?? [])].filter(([, value]) => !Number.isNaN(value));
    expect([...found.keys()].toSorted(), place).toEqual(shown.map(([key]) => key).toSorted());
    for (const [key, value] of shown) expect(found.get(key), `${place}: ${key}`).toBeCloseTo(value, 9);
  }
  return true;
}

test.skipIf(missing !== undefined)(
  `every expression is one that Prometheus takes${missing === undefined ? '' : `: ${missing}`}`,
  async () => {
    const rules = queries.map(({ expr }, index) => ({ record: `panel:number:${index}`, expr: filledIn(expr) }));
    const file = join(await temporaryDirectory('rules'), 'panels.json');
    await writeFile(file, JSON.stringify({ groups: [{ name: 'panels', rules }] }));
    expect(await promtool('check', 'rules', file)).toContain(`SUCCESS: ${queries.length} rules found`);
  },
);

test.skipIf(missing !== undefined)(
  `every alert comes when it should${missing === undefined ? '' : `: ${missing}`}`,
  async () => {
    expect(await promtool('check', 'rules', join(ALERTS, 'ouzel.rules.yaml'))).toContain('SUCCESS');
    expect(await promtool('test', 'rules', join(ALERTS, 'ouzel.rules.test.yaml'))).toContain('SUCCESS');
  },
);

test.skipIf(missing !== undefined)(
  `every panel shows the daemons' own values${missing === undefined ? '' : `: ${missing}`}`,
  async () => {
    await using server = await startServer();
    let away = false;
    await using partner = await startHttpTarget(partnerAnswers(() => away));
    const ingresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const yamls = ingresses.map((address) =>
      EVERY_CASE.replaceAll('@PARTNER@', partner.url).replace('@INGRESS@', address),
    );
    const start = (yaml: string): Promise<Daemon> =>
      startDaemon(yaml, { server, files: EVERY_CASE_FILES, env: { OTEL_BSP_MAX_QUEUE_SIZE: '4' } });
    await using first = await start(yamls[0] ?? '');
    await using second = await start(yamls[1] ?? '');
    await using scrapes = await startScrapes(first);
    await using others = await startScrapes(second);
    const began = Date.now() / 1000;
    await using prometheus = await startPrometheus([scrapes.address, others.address]);
    await using client = await connectTo(server);

    const until = (expr: string): Promise<unknown> =>
      waitFor(async () => (await prometheus.query(expr)).length > 0, {
        timeout: 45_000,
        what: () => `scrape of ${expr}. The log of the first:\n${first.log().slice(-3_000)}`,
        every: 200,
      });
    await until('count(ouzel_consumer_state{state=~"running|standby"} == 1) == 20');
    for (const round of [1, 2]) {
      away = true;
      await publishEveryCase(client, `http://${ingresses[0]}`, round);
      await rejectReload(first, yamls[0] ?? '', `mistake: ${round}\n`, () =>
        until('min(ouzel_config_last_reload_successful) == 0'),
      );
      await until('max(ouzel_target_breaker_open{target="away"}) == 1');
      await until('max(ouzel_consumer_redelivered{consumer="partners"}) > 0');
      await until('min(max by (lane) (ouzel_consumer_lane_pending{consumer="distant"})) > 0');
      await until(`sum(ouzel_events_parked_total{consumer="later"}) == ${4 * round}`);
      // Before its probes become rare.
      away = false;
      await until('max(ouzel_target_breaker_open) == 0');
      if (round === 2) continue;
      await takeAway(client, first, until);
      await refuseRecords(client, first, yamls[0] ?? '', until);
      await server.stop();
      await until('max(ouzel_nats_connected) == 0');
      await actInVain(second, until);
      // One of these ticks may be on its way, and the last is made up for: more are missed.
      await until('time() - max(ouzel_schedule_next_timestamp_seconds{source="clock"}) > 5');
      await server.restart();
      await until('min(ouzel_nats_reconnects_total) == 1 and min(ouzel_nats_connected) == 1');
    }
    const IN_HAND = 'consumer!~"paced|grouped"';
    await until(`sum(ouzel_events_in_flight{${IN_HAND}}) == 0 and max(ouzel_consumer_ack_pending{${IN_HAND}}) == 0`);
    for (const [expr, value] of atRest(2)) await until(`${expr} == ${value}`);
    await until('count(sum by (outcome) (ouzel_events_total) > 0) == 4');
    await until('count(sum by (kind) (ouzel_audit_dropped_total) > 0) == 5');
    await until('count(sum by (kind) (ouzel_audit_records_total) > 0) == 3');
    await until('sum(ouzel_schedule_missed_total{source="clock"}) > 0');

    for (const { dashboard, panel, expr } of queries) {
      const values = (await prometheus.queryRange(filledIn(expr), began)).flatMap(({ points }) =>
        points.map(({ value }) => value).filter((value) => Number.isFinite(value)),
      );
      const place = `${dashboard}, ${panel}: ${expr}`;
      expect.soft(values.length, place).toBeGreaterThan(0);
      expect.soft(Math.max(...values), place).toBeGreaterThan(0);
    }
    // Between two scrapes of one daemon the other one's may have changed.
    await waitFor(() => compare(prometheus, [scrapes, others]), {
      timeout: 30_000,
      what: 'the panels to show what the daemons say',
      every: 500,
    });
  },
  300_000,
);
