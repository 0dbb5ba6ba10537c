/**
 * Expressions over the metrics of `src/telemetry/names.ts`, filtered by the dashboards' variables. A metric or label
 * that does not exist does not compile, or throws.
 */
import { METRICS, type MetricDefinition } from '../../src/telemetry/names.ts';

/** What each instance reports for itself: added up. */
const WINDOW = '$__rate_interval';

/** Series of a metric for what is chosen in `$consumer` and `$instance`; `more` as `{ outcome: '="delivered"' }`. */
export function series(metric: MetricDefinition, more: Readonly<Record<string, string>> = {}): string {
  return `${nameOf(metric)}{${matchers(metric, more)}}`;
}

/** A rate a second, added up over instances: `sum by (…) (rate(…))`. */
export const rate = (metric: MetricDefinition, by: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  `sum${grouped(metric, by)} (rate(${series(metric, more)}[${WINDOW}]))`;

/** How much came in the range of the dashboard. */
export const count = (metric: MetricDefinition, by: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  `sum${grouped(metric, by)} (increase(${series(metric, more)}[$__range]))`;

/** A gauge that each instance has a part of. */
export const sum = (metric: MetricDefinition, by: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  `sum${grouped(metric, by)} (${series(metric, more)})`;

/** A gauge that instances report the same of, or whose worst counts. */
export const max = (metric: MetricDefinition, by: readonly string[], more: Readonly<Record<string, string>> = {}) =>
  `max${grouped(metric, by)} (${series(metric, more)})`;

/** A quantile of a histogram over all instances. */
export function quantile(q: number, metric: MetricDefinition, by: readonly string[] = []): string {
  if (metric.type !== 'histogram') throw new Error(`${metric.name} is no histogram`);
  return `histogram_quantile(${q}, sum${grouped(metric, ['le', ...by])} (rate(${series(metric)}[${WINDOW}])))`;
}

const OUTCOMES_AND_RETRIES = `{__name__=~"${METRICS.events.name}|${METRICS.eventRetries.name}"`;

/**
 * Failed attempts of all attempts: dead letters and events to be tried again, by consumer. 0 where nothing fails; no
 * series where nothing happens.
 */
export function errorShare(): string {
  const filters = matchers(METRICS.events, {});
  const all = `sum by (consumer) (rate(${OUTCOMES_AND_RETRIES},${filters}}[${WINDOW}]))`;
  // A retry has no outcome.
  const failed = `sum by (consumer) (rate(${OUTCOMES_AND_RETRIES},outcome=~"dead_lettered|",${filters}}[${WINDOW}]))`;
  return `(${failed} or ${all} * 0) / ${all}`;
}

/** A metric that Node.js has of every process: of Ouzel's alone, whatever the job is called. */
export const ofProcess = (name: string): string =>
  `${name}{instance=~"$instance"} and on (job, instance) ${METRICS.buildInfo.name}`;

/** The same as a rate a second. */
export const rateOfProcess = (name: string): string =>
  `rate(${name}{instance=~"$instance"}[${WINDOW}]) and on (job, instance) ${METRICS.buildInfo.name}`;

const nameOf = ({ name, type }: MetricDefinition): string => (type === 'histogram' ? `${name}_bucket` : name);

function matchers(metric: MetricDefinition, more: Readonly<Record<string, string>>): string {
  known(metric, Object.keys(more));
  return [
    ...(metric.labels.includes('consumer') ? ['consumer=~"$consumer"'] : []),
    'instance=~"$instance"',
    ...Object.entries(more).map(([label, matcher]) => `${label}${matcher}`),
  ].join(',');
}

function grouped(metric: MetricDefinition, by: readonly string[]): string {
  known(metric, by);
  return by.length === 0 ? '' : ` by (${by.join(', ')})`;
}

/** What Prometheus adds, and what a histogram's buckets have. */
const ALWAYS = new Set(['instance', 'le']);

function known({ name, labels }: MetricDefinition, used: readonly string[]): void {
  const unknown = used.filter((label) => !labels.includes(label) && !ALWAYS.has(label));
  if (unknown.length > 0) throw new Error(`${name} has no label ${unknown.join(', ')}`);
}
