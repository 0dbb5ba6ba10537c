import { describe, expect, it } from 'vitest';
import { Consumer } from '../../../src/core/consumer.ts';
import { PENDING, type Run } from '../../../src/core/run.ts';
import { InFlight } from '../../../src/flow/in-flight.ts';
import { error, Gate, harness, jsonEvent, step, stopClocks } from '../core/helpers.ts';

/** Consumers that share the places of one process. */
function sharing(places: InFlight, count: number) {
  const gate = new Gate();
  const made = Array.from({ length: count }, () => harness({ steps: [places.step, gate], inFlight: places }));
  let sequence = 0;
  const take = (index: number): Run => made[index]?.receive(jsonEvent({}, { sequence: ++sequence })) as Run;
  const who = (): string[] =>
    gate.waiting.map((run) => `${made.findIndex(({ consumer }) => consumer === run.consumer)}:${run.sequence}`);
  return { gate, made, take, who };
}

describe('InFlight', () => {
  stopClocks();

  it('lets in as many as there are places, and takes turns over the consumers that wait', () => {
    const places = new InFlight();
    places.resize(2);
    const { gate, take, who } = sharing(places, 3);
    for (let count = 0; count < 6; count++) take(0);
    take(1);
    take(1);
    take(2);
    expect(who()).toEqual(['0:1', '0:2']);
    const order: string[] = [];
    while (gate.waiting.length > 0) {
      order.push(who()[0] as string);
      const run = gate.next();
      if (run.sequence % 2 === 0) run.resume();
      else run.fail(error());
      expect(places.running).toBeLessThanOrEqual(2);
    }
    // The two that were let in, then one of each consumer in turn.
    expect(order).toEqual(['0:1', '0:2', '0:3', '1:7', '2:9', '0:4', '1:8', '0:5', '0:6']);
    expect(places.running).toBe(0);
  });

  it('gives the place of one that waits for something else to another, and a place to it before it goes on', () => {
    const places = new InFlight();
    places.resize(1);
    const order: string[] = [];
    const held: Run[] = [];
    const waiting = step('waits', (run) => {
      if (run.sequence !== 1 || held.includes(run)) return undefined;
      held.push(run);
      run.consumer.waits(run);
      return PENDING;
    });
    const gate = new Gate();
    const { receive, consumer } = harness({ steps: [places.step, waiting, gate], inFlight: places });
    for (const sequence of [1, 2, 3]) receive(jsonEvent({}, { sequence }));
    expect([gate.waiting.map((run) => run.sequence), places.running]).toEqual([[2], 1]);
    consumer.goOn(held[0] as Run);
    expect(gate.waiting.map((run) => run.sequence)).toEqual([2]);
    for (let count = 0; count < 3; count++) {
      const run = gate.next();
      order.push(String(run.sequence));
      run.resume();
    }
    expect([order, places.running, consumer.held]).toEqual([['2', '3', '1'], 0, 0]);
  });

  it('lets all in when there is no limit any more, and passes over what was given back', () => {
    const places = new InFlight();
    places.resize(1);
    const { gate, take, who } = sharing(places, 2);
    const [, second] = [take(0), take(0), take(1), take(0)];
    second?.consumer.settle.giveBack(second);
    places.resize(undefined);
    expect(who()).toEqual(['0:1', '1:3', '0:4']);
    while (gate.waiting.length > 0) gate.next().resume();
    expect(places.running).toBe(0);
    expect(second?.consumer).toBeInstanceOf(Consumer);
  });
});
