/** Hands the cells to prom-client at scrape, beside Node's own metrics. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import { HistogramCell } from './cells.ts';
import { familiesOf, type Metrics } from './metrics.ts';

interface ExposedValue {
  readonly value: number;
  readonly labels: Record<string, string | number>;
  readonly metricName?: string;
}

function histogramValues(name: string, labels: Readonly<Record<string, string>>, cell: HistogramCell): ExposedValue[] {
  let total = 0;
  const values: ExposedValue[] = cell.bounds.map((bound, index) => {
    total += cell.counts[index] ?? 0;
    return { value: total, labels: { ...labels, le: bound }, metricName: `${name}_bucket` };
  });
  total += cell.counts[cell.bounds.length] ?? 0;
  values.push({ value: total, labels: { ...labels, le: '+Inf' }, metricName: `${name}_bucket` });
  values.push({ value: cell.sum, labels, metricName: `${name}_sum` });
  values.push({ value: total, labels, metricName: `${name}_count` });
  return values;
}

function valuesOf(family: ReturnType<typeof familiesOf>[number]): ExposedValue[] {
  const { name } = family.definition;
  const values: ExposedValue[] = [];
  for (const { labels, cell } of family.series()) {
    if (cell instanceof HistogramCell) values.push(...histogramValues(name, labels, cell));
    else values.push({ value: cell.value, labels });
  }
  return values;
}

const METRIC = { counter: Counter, gauge: Gauge, histogram: Histogram } as const;

/**
 * A registry that reads the cells when it is scraped.
 *
 * @param refresh Called before each scrape, to bring gauges that are computed up to date.
 */
export function createRegistry(metrics: Metrics, refresh: () => void): Registry {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const family of familiesOf(metrics)) {
    const { name, help, type, labels: labelNames } = family.definition;
    const metric = new METRIC[type]({ name, help, labelNames, registers: [registry] });
    // prom-client keeps no numbers of these: it asks for them when it is scraped, a histogram by another name.
    const get = () => Promise.resolve({ name, help, type, aggregator: 'sum', values: valuesOf(family) });
    Object.assign(metric, { get, getForPromString: get });
  }
  const original = registry.metrics.bind(registry);
  registry.metrics = () => {
    refresh();
    return original();
  };
  return registry;
}
