/** The dashboards, proved: each panel shows the daemons' own values, in a real Prometheus that scrapes real daemons. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { collectDefaultMetrics, Registry } from 'prom-client';
import { expect, test } from 'vitest';
import { CONSUMER_STATES, METRICS } from '../../src/telemetry/names.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { expectedOf, filledIn, panelQueries, type Values, withoutRates, written } from '../helpers/dashboards.ts';
import { EVERY_CASE, EVERY_CASE_FILES, partnerAnswers, publishEveryCase, rejectReload } from '../helpers/every-case.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { Metrics, type Sample } from '../helpers/metrics.ts';
import { freePort } from '../helpers/ports.ts';
import { noPrometheus, type Prometheus, promtool, type Series, startPrometheus } from '../helpers/prometheus.ts';
import { connectTo } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
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

test('what all instances report the same of is not added up', () => {
  for (const { panel, expr } of queries)
    for (const [metric] of expr.matchAll(/ouzel_(?:consumer_(?:pending|ack_pending|redelivered)|timers_pending)/g))
      expect(expr, panel).toContain(`max by (consumer) (${metric}{`);
});

/** What no load brings about: the daemon would have to lose what it never does, or durables to be deleted. */
const AT_ZERO = /incidents_dropped|audit_dropped|events_returned|consumer_recreated/;
/** What is another number at each look. */
const NEVER_STILL = /process_|nodejs_|time\(\)|oldest_unsettled/;

/** What panels show whose expressions have a form of their own, of all samples. */
const OF_THEIR_OWN: Readonly<Record<string, (metrics: Metrics) => Values>> = {
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
        .map(({ labels }) => [`consumer=${labels['consumer']}`, CONSUMER_STATES.indexOf(labels['state'] as 'running')]),
    ),
};

const only = (value: number): Values => new Map([['', value]]);
const named = (all: Metrics, name: string, label: string): string[] => [
  ...new Set(all.select(name).map(({ labels }) => labels[label] ?? '')),
];

/** All that the daemons say, with the label that Prometheus gives each of them. */
async function scraped(daemons: readonly Daemon[]): Promise<Sample[]> {
  const found = await Promise.all(
    daemons.map(async (daemon) => {
      const instance = daemon.http.replace('http://', '');
      return (await daemon.metrics()).samples.map((sample) => ({ ...sample, labels: { ...sample.labels, instance } }));
    }),
  );
  return found.flat();
}

const valuesOf = (series: readonly Series[]): Values =>
  new Map(
    series.flatMap(({ labels, points: [last] }) =>
      last === undefined || Number.isNaN(last.value) ? [] : [[written(labels), last.value] as const],
    ),
  );

/** What Prometheus and the daemons say of a panel, once they say the same. */
async function compare(prometheus: Prometheus, daemons: readonly Daemon[]): Promise<void> {
  const samples = await scraped(daemons);
  const all = Object.assign(new Metrics(''), { samples });
  for (const { dashboard, panel, expr } of queries) {
    if (NEVER_STILL.test(expr)) continue;
    const expected = OF_THEIR_OWN[panel]?.(all) ?? expectedOf(expr, samples);
    expect(expected, `what ${panel} ought to show: a line in OF_THEIR_OWN`).toBeDefined();
    const found = valuesOf(await prometheus.query(withoutRates(expr)));
    const place = `${dashboard}, ${panel}: ${expr}`;
    // A share or a quantile of nothing is no number, and no line in a panel.
    const shown = [...(expected ?? [])].filter(([, value]) => !Number.isNaN(value));
    expect([...found.keys()].toSorted(), place).toEqual(shown.map(([key]) => key).toSorted());
    for (const [key, value] of shown) expect(found.get(key), `${place}: ${key}`).toBeCloseTo(value, 9);
  }
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
    let away = true;
    await using partner = await startHttpTarget(partnerAnswers(() => away));
    const ingresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const yamls = ingresses.map((address) =>
      EVERY_CASE.replaceAll('@PARTNER@', partner.url).replace('@INGRESS@', address),
    );
    const start = (yaml: string): Promise<Daemon> =>
      startDaemon(yaml, { server, files: EVERY_CASE_FILES, env: { OTEL_BSP_MAX_QUEUE_SIZE: '4' } });
    await using first = await start(yamls[0] ?? '');
    await using second = await start(yamls[1] ?? '');
    const daemons = [first, second];
    const began = Date.now() / 1000;
    await using prometheus = await startPrometheus(daemons.map(({ http }) => http.replace('http://', '')));
    await using client = await connectTo(server);

    const untilScraped = (expr: string): Promise<unknown> =>
      waitFor(async () => (await prometheus.query(expr)).length > 0, {
        timeout: 30_000,
        what: `scrape of ${expr}`,
        every: 200,
      });
    await untilScraped('count(ouzel_consumer_state{state="running"} == 1) == 8');
    for (const round of [1, 2]) {
      await publishEveryCase(client, `http://${ingresses[0]}`, round);
      await rejectReload(first, yamls[0] ?? '', `mistake: ${round}\n`);
      await untilScraped('max by (target) (ouzel_target_breaker_open{target="away"}) == 1');
      await untilScraped('max(ouzel_consumer_redelivered{consumer="partners"}) > 0');
      await untilScraped(`sum(ouzel_events_parked_total{consumer="later"}) == ${4 * round}`);
      if (round === 2) continue;
      await server.stop();
      await untilScraped('max(ouzel_nats_connected) == 0');
      await server.restart();
      await untilScraped('min(ouzel_nats_reconnects_total) == 1 and min(ouzel_nats_connected) == 1');
    }
    away = false;
    await untilScraped('sum(ouzel_events_in_flight) == 0 and max(ouzel_target_breaker_open) == 0');
    await untilScraped(
      'max(ouzel_timers_pending{consumer="later"}) == 8 and sum(max by (consumer) (ouzel_timers_pending)) == 8 and max(ouzel_consumer_ack_pending) == 0',
    );

    for (const { dashboard, panel, expr } of queries) {
      const values = (await prometheus.queryRange(filledIn(expr), began)).flatMap(({ points }) =>
        points.map(({ value }) => value).filter((value) => Number.isFinite(value)),
      );
      const place = `${dashboard}, ${panel}: ${expr}`;
      expect.soft(values.length, place).toBeGreaterThan(0);
      if (!AT_ZERO.test(expr)) expect.soft(Math.max(...values), place).toBeGreaterThan(0);
    }
    // What was scraped last may be older than what a daemon says now, and what is told of the durables older still.
    await waitFor(() => compare(prometheus, daemons).then(() => true), {
      timeout: 30_000,
      what: 'the panels to show what the daemons say',
      every: 500,
    });
    // Both daemons report the eight events that wait in timers.
    const waiting = queries.find(({ panel }) => panel === 'Waiting in timers');
    expect(valuesOf(await prometheus.query(filledIn(waiting?.expr ?? ''))).get('consumer=later')).toBe(8);
  },
  180_000,
);
