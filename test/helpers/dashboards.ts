/** The panels of the dashboards that are checked in, and what their expressions ought to say. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Labels, Sample } from './metrics.ts';

const FOLDER = join(import.meta.dirname, '..', '..', 'grafana', 'dashboards');

export interface PanelQuery {
  readonly dashboard: string;
  readonly panel: string;
  /** Its place among those of the panel. */
  readonly index: number;
  readonly expr: string;
}

interface Dashboard {
  readonly title: string;
  readonly panels: readonly { readonly title?: string; readonly targets?: readonly { readonly expr: string }[] }[];
}

/** Every query of every panel, as Grafana reads it. */
export async function panelQueries(): Promise<PanelQuery[]> {
  const files = ['ouzel-overview.json', 'ouzel-consumer.json'];
  const dashboards = await Promise.all(
    files.map(async (file) => JSON.parse(await readFile(join(FOLDER, file), 'utf8')) as Dashboard),
  );
  return dashboards.flatMap(({ title: dashboard, panels }) =>
    panels.flatMap(({ title: panel = '', targets = [] }) =>
      targets.map(({ expr }, index) => ({ dashboard, panel, index, expr })),
    ),
  );
}

/** An expression as Grafana sends it, with all that can be chosen chosen. */
export const filledIn = (expr: string, window = '10s'): string =>
  expr.replaceAll(/\$(consumer|instance)\b/g, '.+').replaceAll(/\$__(rate_interval|range)\b/g, window);

/** The same with the counters' values in place of their rates, which is exact and can be compared. */
export const withoutRates = (expr: string): string =>
  filledIn(expr, '1h').replaceAll(/\b(rate|increase)\(/g, 'last_over_time(');

/** A value for each set of labels, written `a=1,b=2`. */
export type Values = ReadonlyMap<string, number>;

/** How a set of labels is written, without those that are left out. */
export const written = (labels: Labels): string =>
  Object.entries(labels)
    .filter(([name, value]) => name !== '__name__' && value !== '')
    .map(([name, value]) => `${name}=${value}`)
    .toSorted()
    .join(',');

const AGGREGATE =
  /^(sum|max|min|count)(?: by \(([^)]*)\))? ?\((?:(?:rate|increase)\()?(\w+)\{([^}]*)\}(?:\[\S+\]\))?\)$/;
const QUANTILE = /^histogram_quantile\(([\d.]+), sum by \(([^)]*)\) \(rate\((\w+)_bucket\{([^}]*)\}\[\S+\]\)\)\)$/;

const SINCE = /^time\(\) - (\w+)\{([^}]*)\}$/;
const UNTIL = /^(.+) - time\(\)$/;

/**
 * What an expression of one of the usual forms (an aggregate of one metric, a quantile, the time since or until an
 * instant) makes of the daemons' own values (`withoutRates`); undefined for one of another form.
 *
 * @param time When they said so, in milliseconds since the epoch.
 */
export function expectedOf(expr: string, samples: readonly Sample[], time: number): Values | undefined {
  const [, since, which = ''] = SINCE.exec(expr) ?? [];
  if (since !== undefined) return each(selected(samples, since, which), (value) => time / 1000 - value);
  const [, until] = UNTIL.exec(expr) ?? [];
  if (until !== undefined) {
    const instants = expectedOf(until, samples, time);
    return instants && new Map([...instants].map(([key, value]) => [key, value - time / 1000]));
  }
  const [, how, by = '', name = '', matchers = ''] = AGGREGATE.exec(expr) ?? [];
  if (how !== undefined) {
    const groups = grouped(selected(samples, name, matchers), split(by));
    return new Map([...groups].map(([key, members]) => [key, AGGREGATES[how as Aggregate](members.map(valueOf))]));
  }
  const [, q, byAll = '', histogram = '', filters = ''] = QUANTILE.exec(expr) ?? [];
  if (q === undefined) return undefined;
  const groups = grouped(
    selected(samples, `${histogram}_bucket`, filters),
    split(byAll).filter((label) => label !== 'le'),
  );
  return new Map([...groups].map(([key, buckets]) => [key, quantileOf(Number(q), buckets)]));
}

const each = (samples: readonly Sample[], make: (value: number) => number): Values =>
  new Map(samples.map(({ labels, value }) => [written(labels), make(value)]));

type Aggregate = 'sum' | 'max' | 'min' | 'count';
const AGGREGATES: Readonly<Record<Aggregate, (values: readonly number[]) => number>> = {
  sum: (values) => values.reduce((sum, value) => sum + value, 0),
  max: (values) => Math.max(...values),
  min: (values) => Math.min(...values),
  count: (values) => values.length,
};

const valueOf = ({ value }: Sample): number => value;
const split = (list: string): string[] => list.split(',').flatMap((each) => each.trim() || []);

/** The samples of a name that its matchers let through. */
function selected(samples: readonly Sample[], name: string, matchers: string): Sample[] {
  const wanted = [...matchers.matchAll(/(\w+)(=~|=)"([^"]*)"/g)].map(([, label = '', operator, pattern = '']) => {
    const expression = new RegExp(operator === '=' ? `^${pattern}$` : `^(?:${filledIn(pattern)})$`);
    return (labels: Labels): boolean => expression.test(labels[label] ?? '');
  });
  return samples.filter((sample) => sample.name === name && wanted.every((matches) => matches(sample.labels)));
}

function grouped(samples: readonly Sample[], by: readonly string[]): Map<string, Sample[]> {
  return Map.groupBy(samples, ({ labels }) =>
    written(Object.fromEntries(by.map((label) => [label, labels[label] ?? '']))),
  );
}

/** As Prometheus reckons it: linear within the bucket that it falls in. */
function quantileOf(q: number, samples: readonly Sample[]): number {
  const counts = new Map<number, number>();
  for (const { labels, value } of samples) {
    const bound = labels['le'] === '+Inf' ? Infinity : Number(labels['le']);
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  const buckets = [...counts].toSorted(([a], [b]) => a - b);
  const rank = q * (buckets.at(-1)?.[1] ?? 0);
  if (rank === 0) return Number.NaN;
  const index = buckets.findIndex(([, count]) => count >= rank);
  const [upper, count] = buckets[index] ?? [0, 0];
  const [lower, before] = buckets[index - 1] ?? [0, 0];
  return upper === Infinity ? lower : lower + (upper - lower) * ((rank - before) / (count - before));
}
