/**
 * Counters, gauges and histograms as cells of typed arrays: an increment on the path of an event is one addition in
 * memory, and nothing is formatted or looked up before someone scrapes (`expose.ts`).
 */
import type { MetricDefinition } from './names.ts';

const CHUNK = 1024;
let chunk = new Float64Array(CHUNK);
let used = 0;

/** One number of one series: a counter (only `add` with positive amounts) or a gauge. */
export class Cell {
  readonly #values: Float64Array;
  readonly #index: number;

  constructor() {
    if (used === CHUNK) {
      chunk = new Float64Array(CHUNK);
      used = 0;
    }
    this.#values = chunk;
    this.#index = used++;
  }

  get value(): number {
    return this.#values[this.#index] as number;
  }

  increment(): void {
    (this.#values[this.#index] as number) += 1;
  }

  decrement(): void {
    (this.#values[this.#index] as number) -= 1;
  }

  add(amount: number): void {
    (this.#values[this.#index] as number) += amount;
  }

  set(value: number): void {
    this.#values[this.#index] = value;
  }
}

/** A histogram with fixed upper bounds; counts are per bucket and made cumulative at scrape. */
export class HistogramCell {
  readonly bounds: readonly number[];
  /** One count a bound, and a last one for everything above. */
  readonly counts: Float64Array;
  sum = 0;
  readonly #bounds: Float64Array;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.#bounds = Float64Array.from(bounds);
    this.counts = new Float64Array(bounds.length + 1);
  }

  observe(value: number): void {
    const bounds = this.#bounds;
    let low = 0;
    let high = bounds.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (value > (bounds[middle] as number)) low = middle + 1;
      else high = middle;
    }
    (this.counts[low] as number) += 1;
    this.sum += value;
  }
}

export interface Series<T> {
  readonly labels: Readonly<Record<string, string>>;
  readonly cell: T;
}

/** All series of one metric, one for each set of label values. */
export class Family<T extends Cell | HistogramCell> {
  readonly definition: MetricDefinition;
  readonly #make: () => T;
  readonly #series = new Map<string, Series<T>>();

  constructor(definition: MetricDefinition, make: () => T) {
    this.definition = definition;
    this.#make = make;
  }

  /** The cell for these label values, in the order of the definition; made at 0 when it is new. */
  with(...values: readonly string[]): T {
    const key = values.join('\u0000');
    const known = this.#series.get(key);
    if (known !== undefined) return known.cell;
    const labels: Record<string, string> = {};
    this.definition.labels.forEach((name, index) => {
      labels[name] = values[index] ?? '';
    });
    const cell = this.#make();
    this.#series.set(key, { labels, cell });
    return cell;
  }

  series(): Iterable<Series<T>> {
    return this.#series.values();
  }

  /** Drops one series. */
  drop(...values: readonly string[]): void {
    this.#series.delete(values.join('\u0000'));
  }

  /** Drops the series whose label has this value, so that what left the configuration leaves the metrics too. */
  remove(label: string, value: string): void {
    for (const [key, series] of this.#series) if (series.labels[label] === value) this.#series.delete(key);
  }
}
