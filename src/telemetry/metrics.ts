/** The metrics of one daemon: a family for each definition of `names.ts`. */
import { Cell, Family, HistogramCell } from './cells.ts';
import { METRICS, type MetricDefinition } from './names.ts';

type HistogramName = 'eventDuration' | 'eventAge' | 'deliveryDuration' | 'groupSize';
type CellName = Exclude<keyof typeof METRICS, HistogramName>;

const cells = (definition: MetricDefinition): Family<Cell> => new Family(definition, () => new Cell());
const histograms = (definition: MetricDefinition): Family<HistogramCell> =>
  new Family(definition, () => new HistogramCell(definition.buckets ?? []));

export type Metrics = Readonly<Record<CellName, Family<Cell>> & Record<HistogramName, Family<HistogramCell>>>;

/** A fresh set of families, all without series. */
export function createMetrics(): Metrics {
  const entries = Object.entries(METRICS).map(([name, definition]: [string, MetricDefinition]) => [
    name,
    definition.type === 'histogram' ? histograms(definition) : cells(definition),
  ]);
  return Object.fromEntries(entries) as Metrics;
}

/** All families, for exposition and for removing the series of what is gone. */
export const familiesOf = (metrics: Metrics): readonly (Family<Cell> | Family<HistogramCell>)[] =>
  Object.values(metrics);
