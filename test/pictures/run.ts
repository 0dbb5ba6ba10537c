/**
 * Draws the pictures of `docs/dashboards.md`: two daemons and a Prometheus under a load with troubles in it, and then
 * each panel from `query_range`. Needs a Prometheus in PATH. `npm run -s pictures -- --minutes 5`.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { consumer } from '../../grafana/src/consumer.ts';
import { overview } from '../../grafana/src/overview.ts';
import type { DashboardSpec } from '../../grafana/src/panels.ts';
import { drawDashboard, type Line, type Range } from '../../grafana/src/picture.ts';
import { findNatsServer } from '../../src/nats/find-server.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { filledIn } from '../helpers/dashboards.ts';
import {
  EVERY_CASE,
  EVERY_CASE_FILES,
  partnerAnswers,
  publishEveryCase,
  refuseRecords,
  rejectReload,
  takeAway,
  type Until,
} from '../helpers/every-case.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { freePort } from '../helpers/ports.ts';
import { noPrometheus, type Prometheus, type Series, startPrometheus } from '../helpers/prometheus.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { provideOutsideOfTests } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const FOLDER = join(import.meta.dirname, '..', '..', 'docs', 'pictures');

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' } } });
const minutes = Number(values.minutes);

/** The load: orders all the time, and each of the other kinds now and then; then what goes wrong, at its share. */
async function load(prometheusOf: (targets: readonly string[]) => Promise<Prometheus>): Promise<[Prometheus, Range]> {
  const server = await startServer();
  let away = false;
  const partner = await startHttpTarget(partnerAnswers(() => away));
  const ingresses = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
  const yamls = ingresses.map((address) =>
    EVERY_CASE.replaceAll('@PARTNER@', partner.url).replace('@INGRESS@', address),
  );
  const start = (yaml = '') => startDaemon(yaml, { server, files: EVERY_CASE_FILES });
  const daemons = [await start(yamls[0]), await start(yamls[1])] as const;
  const prometheus = await prometheusOf(daemons.map(({ http }) => http.replace('http://', '')));
  const client = await connectTo(server);
  const from = Date.now() / 1000;
  const share = (): number => (Date.now() / 1000 - from) / (minutes * 60);
  const until: Until = (expr) =>
    waitFor(async () => (await prometheus.query(expr)).length > 0, { timeout: 60_000, what: expr, every: 200 });
  const troubles: [number, () => unknown][] = [
    [0.2, () => (away = true)],
    [0.45, () => (away = false)],
    [0.5, () => takeAway(client, daemons[0], until)],
    [0.55, () => rejectReload(daemons[0], yamls[0] ?? '', 'mistake: 1\n')],
    [0.6, () => refuseRecords(client, daemons[0], yamls[0] ?? '', until)],
    [0.65, () => server.stop()],
    [0.72, () => server.restart()],
  ];
  for (let round = 0; share() < 1; round++) {
    while ((troubles[0]?.[0] ?? 2) <= share()) await troubles.shift()?.[1]();
    const body = { id: `o-${round}`, customer: `c-${round % 3}`, total: round % 3 === 0 ? 10 : 1500 };
    const publishing = publish(client, { subject: 'events.orders.created', body });
    if (round % 250 === 0) await publishEveryCase(client, `http://${ingresses[0]}`, round).catch(() => undefined);
    // While the server is away, nobody takes it.
    await publishing.catch(() => undefined);
    await sleep(20);
  }
  const range = { from, to: Date.now() / 1000 };
  closing.push(...daemons, client, partner, server);
  return [prometheus, range];
}

const legendOf = (legend: string, { labels }: Series): string =>
  legend.replaceAll(/\{\{(\w+)\}\}/g, (_, label: string) => labels[label] ?? '').trim();

async function draw(spec: DashboardSpec, prometheus: Prometheus, range: Range, consumers: string): Promise<void> {
  const lines = new Map<string, Line[]>();
  for (const { title, queries } of spec.rows.flatMap(({ panels }) => panels)) {
    const drawn: Line[] = lines.get(title) ?? [];
    for (const { expr, legend } of queries) {
      const chosen = filledIn(
        expr.replaceAll('$consumer', consumers).replaceAll('$__range', `${Math.round(range.to - range.from)}s`),
        '15s',
      );
      const found = await prometheus.queryRange(chosen, range.from, 3);
      drawn.push(
        ...found.map((series) => ({
          legend: legendOf(legend, series),
          points: series.points.flatMap(({ time, value }) => (time <= range.to ? [[time, value] as const] : [])),
        })),
      );
    }
    lines.set(title, drawn);
  }
  const when = new Date(range.from * 1000).toISOString().slice(0, 16).replace('T', ' ');
  const note = `Plotted from query_range of a real Prometheus, ${when} UTC, two daemons; no screenshot of Grafana.`;
  const svg = drawDashboard(spec, ({ title }) => lines.get(title) ?? [], range, note);
  await writeFile(join(FOLDER, `${spec.uid}.svg`), svg);
}

const closing: AsyncDisposable[] = [];
const missing = await noPrometheus();
if (missing !== undefined) {
  process.stderr.write(`${missing}\n`);
  process.exitCode = 69;
} else {
  const temporaryRoot = await mkdtemp(join(tmpdir(), 'ouzel-pictures-'));
  provideOutsideOfTests({ natsServer: (await findNatsServer()).binary, temporaryRoot });
  try {
    const [prometheus, range] = await load((targets) => startPrometheus(targets));
    closing.push(prometheus);
    await draw(overview, prometheus, range, '.+');
    await draw(consumer, prometheus, range, 'orders|partners|ordered|grouped|limited|paced|distant');
  } finally {
    for (const each of closing) await each[Symbol.asyncDispose]();
    await rm(temporaryRoot, { recursive: true, force: true });
  }
}
