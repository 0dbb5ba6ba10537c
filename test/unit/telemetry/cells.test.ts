import { describe, expect, it } from 'vitest';
import { Cell, Family, HistogramCell } from '../../../src/telemetry/cells.ts';
import { createRegistry } from '../../../src/telemetry/expose.ts';
import { createMetrics, familiesOf } from '../../../src/telemetry/metrics.ts';
import { METRICS, type MetricDefinition } from '../../../src/telemetry/names.ts';

const counter: MetricDefinition = { name: 'c_total', type: 'counter', help: 'h', labels: ['a', 'b'] };
const family = () => new Family(counter, () => new Cell());

describe('cells', () => {
  it('are counters and gauges of their own, however many there are', () => {
    const cells = Array.from({ length: 3000 }, () => new Cell());
    cells.forEach((cell, index) => cell.add(index));
    cells[7]?.increment();
    cells[8]?.decrement();
    cells[9]?.set(-1.5);
    expect(cells.map(({ value }) => value)).toEqual(cells.map((_, index) => ({ 7: 8, 8: 7, 9: -1.5 })[index] ?? index));
  });
});

describe('a histogram', () => {
  it('counts in the first bucket whose bound is not exceeded', () => {
    const cell = new HistogramCell([0.1, 1, 10]);
    for (const value of [0, 0.1, 0.100001, 1, 5, 10, 11, Number.POSITIVE_INFINITY]) cell.observe(value);
    expect([...cell.counts]).toEqual([2, 2, 2, 2]);
  });

  it('sums what it sees', () => {
    const cell = new HistogramCell([1]);
    for (const value of [0.5, 1.5, 2]) cell.observe(value);
    expect(cell.sum).toBe(4);
  });
});

describe('a family', () => {
  it('has one cell for the same label values', () => {
    const made = family();
    made.with('x', 'y').increment();
    expect(made.with('x', 'y').value).toBe(1);
    expect(made.with('y', 'x').value).toBe(0);
    expect([...made.series()].map(({ labels }) => labels)).toEqual([
      { a: 'x', b: 'y' },
      { a: 'y', b: 'x' },
    ]);
  });

  it('tells label values apart that join to the same text', () => {
    const made = family();
    made.with('x', '').increment();
    expect(made.with('', 'x').value).toBe(0);
    expect(made.with('x y', '').value).toBe(0);
  });

  it('drops the series of what is gone, and begins anew when it comes back', () => {
    const made = family();
    for (const [a, b] of [
      ['x', '1'],
      ['x', '2'],
      ['y', '1'],
    ] as const)
      made.with(a, b).increment();
    made.remove('a', 'x');
    expect([...made.series()].map(({ labels }) => labels)).toEqual([{ a: 'y', b: '1' }]);
    made.remove('other', 'y');
    expect([...made.series()]).toHaveLength(1);
    expect(made.with('x', '1').value).toBe(0);
  });
});

/** Samples of an exposition, by name and labels; anything that does not parse fails the test. */
function samples(text: string): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of text.split('\n')) {
    if (line === '' || /^# (?:HELP|TYPE) [a-z_:][\w:]* ./.test(line)) continue;
    const match = /^([a-z_:][\w:]*)(?:\{((?:[a-z_]\w*="(?:[^"\\\n]|\\[\\n"])*",?)*)\})? (\S+)$/i.exec(line);
    if (match === null) throw new Error(`not a sample: ${line}`);
    const value = match[3] === '+Inf' ? Number.POSITIVE_INFINITY : Number(match[3]);
    const labels = (match[2] ?? '')
      .split(/,(?=[a-z_])/)
      .toSorted()
      .join(',');
    found.set(labels === '' ? (match[1] ?? '') : `${match[1]}{${labels}}`, value);
  }
  return found;
}

describe('the exposition', () => {
  it('has every family with its type and help, and the numbers of now', async () => {
    const metrics = createMetrics();
    let refreshed = 0;
    const registry = createRegistry(metrics, () => {
      refreshed++;
      metrics.natsConnected.with().set(refreshed);
    });
    metrics.eventsReceived.with('billing').add(3);
    const text = await registry.metrics();
    for (const { name, type, help } of Object.values<MetricDefinition>(METRICS)) {
      expect(text).toContain(`# HELP ${name} ${help}\n`);
      expect(text).toContain(`# TYPE ${name} ${type}\n`);
    }
    expect(samples(text).get('ouzel_events_received_total{consumer="billing"}')).toBe(3);
    expect(samples(text).get('ouzel_nats_connected')).toBe(1);
    metrics.eventsReceived.with('billing').increment();
    const later = samples(await registry.metrics());
    expect(later.get('ouzel_events_received_total{consumer="billing"}')).toBe(4);
    expect(later.get('ouzel_nats_connected')).toBe(2);
    expect([...later.keys()].some((name) => name.startsWith('process_') || name.startsWith('nodejs_'))).toBe(true);
  });

  it('has cumulative buckets, and a count that is that of +Inf', async () => {
    const metrics = createMetrics();
    const cell = metrics.eventDuration.with('billing');
    for (const value of [0.0001, 0.003, 0.003, 0.2, 1000]) cell.observe(value);
    const text = await createRegistry(metrics, () => undefined).metrics();
    const all = samples(text);
    const name = 'ouzel_event_duration_seconds';
    const buckets = [...all].filter(([key]) => key.startsWith(`${name}_bucket`)).map(([, value]) => value);
    expect(buckets).toHaveLength(cell.bounds.length + 1);
    expect(buckets).toEqual(buckets.toSorted((a, b) => a - b));
    expect(all.get(`${name}_bucket{consumer="billing",le="0.0005"}`)).toBe(1);
    expect(all.get(`${name}_bucket{consumer="billing",le="0.005"}`)).toBe(3);
    expect(all.get(`${name}_bucket{consumer="billing",le="60"}`)).toBe(4);
    expect(all.get(`${name}_bucket{consumer="billing",le="+Inf"}`)).toBe(5);
    expect(all.get(`${name}_count{consumer="billing"}`)).toBe(5);
    expect(all.get(`${name}_sum{consumer="billing"}`)).toBeCloseTo(1000.2061);
  });

  it('can bear any label value', async () => {
    const metrics = createMetrics();
    const value = 'a"b\\c\nd=}{,é';
    metrics.missingFields.with('billing', value).increment();
    const all = samples(await createRegistry(metrics, () => undefined).metrics());
    expect([...all.keys()].filter((key) => key.startsWith('ouzel_missing'))).toHaveLength(1);
  });

  it('loses the series of a consumer that is gone', async () => {
    const metrics = createMetrics();
    for (const name of ['billing', 'other']) {
      metrics.events.with(name, 'delivered', '').increment();
      metrics.eventAge.with(name).observe(1);
    }
    for (const each of familiesOf(metrics)) each.remove('consumer', 'billing');
    const text = await createRegistry(metrics, () => undefined).metrics();
    expect(text).not.toContain('billing');
    expect(text).toContain('consumer="other"');
  });
});

describe('the names', () => {
  const all = Object.values<MetricDefinition>(METRICS);

  it('are as Prometheus asks', () => {
    for (const { name, type, labels, help, buckets } of all) {
      expect(name).toMatch(/^ouzel_[a-z][a-z0-9_]*$/);
      expect(name.endsWith('_total')).toBe(type === 'counter');
      expect(help).toMatch(/\.$/);
      expect(buckets === undefined).toBe(type !== 'histogram');
      for (const label of labels) expect(label).toMatch(/^[a-z_]+$/);
      if (buckets !== undefined) expect([...buckets]).toEqual(buckets.toSorted((a, b) => a - b));
    }
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
  });
});
