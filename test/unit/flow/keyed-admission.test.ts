import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/core/run.ts';
import { KeyedAdmission } from '../../../src/flow/keyed-admission.ts';
import { error, Gate, harness, jsonEvent, random, stopClocks } from '../core/helpers.ts';

const keyOf = (run: Run): string => String((run.event.data as { key?: unknown }).key);

function admitting(max: number, limits: { prefetch?: number; ackWait?: number } = {}) {
  const admission = new KeyedAdmission(max);
  const gate = new Gate();
  const made = harness({ steps: [admission.step(keyOf), gate], onSettled: admission.onSettled, limits });
  let sequence = 0;
  const take = (key: string): Run => made.receive(jsonEvent({ key }, { sequence: ++sequence }));
  return { admission, gate, take, ...made };
}

const atWork = (gate: Gate): string[] => gate.waiting.map((run) => `${keyOf(run)}${run.sequence}`);

describe('KeyedAdmission', () => {
  stopClocks();

  it('lets in so many of each key, and the next of a key when one of it ends', () => {
    const { gate, take, admission } = admitting(2);
    for (const key of ['a', 'a', 'a', 'b', 'a', 'b']) take(key);
    expect(atWork(gate)).toEqual(['a1', 'a2', 'b4', 'b6']);
    gate.next().resume();
    expect(atWork(gate)).toEqual(['a2', 'b4', 'b6', 'a3']);
    gate.next().fail(error());
    expect(atWork(gate)).toEqual(['b4', 'b6', 'a3', 'a5']);
    while (gate.waiting.length > 0) gate.next().resume();
    expect(admission.running).toBe(0);
  });

  it('is as many as it may be after a change, and ends none', () => {
    const { gate, take, admission } = admitting(1);
    for (const key of ['a', 'a', 'a', 'b', 'b']) take(key);
    admission.resize(2);
    expect(atWork(gate)).toEqual(['a1', 'b4', 'a2', 'b5']);
    admission.resize(1);
    gate.next().resume();
    expect(atWork(gate)).toEqual(['b4', 'a2', 'b5']);
  });

  it('puts back what would take too much of the room', () => {
    const { take, parking, counts } = admitting(1, { prefetch: 20, ackWait: 30_000 });
    for (let count = 0; count < 10; count++) take('hot');
    take('other');
    expect(counts()).toMatchObject({ parked: 4, in_flight: 7 });
    expect(parking.parked.map(({ kind, record }) => [kind, record.next - Date.now()])).toEqual(
      Array.from({ length: 4 }, () => ['throttle', 30_000]),
    );
  });

  it('never lets in more, whatever comes and goes, and forgets keys that nothing is in hand of', () => {
    const { gate, take, consumer, admission } = admitting(2);
    const next = random(9);
    for (let step = 0; step < 2_000; step++) {
      const what = next();
      if (what < 0.5) take(`key-${Math.floor(next() * 5)}`);
      else if (what < 0.9) {
        const run = gate.waiting.splice(Math.floor(next() * gate.waiting.length), 1)[0];
        if (next() < 0.5) run?.resume();
        else run?.fail(error());
      } else {
        const runs = consumer.runs().filter(({ started }) => !started);
        const run = runs[Math.floor(next() * runs.length)];
        if (run !== undefined) consumer.settle.giveBack(run);
      }
      const running = Map.groupBy(gate.waiting, keyOf);
      const waiting = Map.groupBy(
        consumer.runs().filter((run) => !gate.waiting.includes(run)),
        keyOf,
      );
      for (const [, runs] of running) expect(runs.length).toBeLessThanOrEqual(2);
      // Nobody waits while there is a place.
      for (const [key] of waiting) expect(running.get(key)?.length).toBe(2);
    }
    while (gate.waiting.length > 0) gate.next().resume();
    expect([admission.running, consumer.held]).toEqual([0, 0]);
  });
});
