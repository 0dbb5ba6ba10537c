import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Turns } from '../../../src/core/turns.ts';
import { harness, jsonEvent, step } from './helpers.ts';

/** The clock stands still but where a step moves it: the work of a run is what takes time. */
let now = 0;

const costing = (milliseconds: number, order: number[]) =>
  step('works', (run) => {
    order.push(run.sequence);
    now += milliseconds;
    return undefined;
  });

describe('Turns', () => {
  let immediates: (() => void)[];

  beforeEach(() => {
    now = 1000;
    immediates = [];
    vi.spyOn(performance, 'now').mockImplementation(() => now);
    vi.spyOn(globalThis, 'setImmediate').mockImplementation(((next: () => void) => {
      immediates.push(next);
    }) as unknown as typeof setImmediate);
  });

  afterEach(() => void vi.restoreAllMocks());

  /** The next turn of the event loop. */
  const turn = (): void => {
    const due = immediates;
    immediates = [];
    for (const next of due) next();
  };

  it('begins a run at once while the turn is young, and queues it when it is not', () => {
    const order: number[] = [];
    const steps = [costing(0, order), step('some are work', ({ sequence }) => void (now += sequence === 2 ? 1000 : 0))];
    const { consumer } = harness({ turns: new Turns(1), steps });
    for (const sequence of [1, 2, 3, 4]) consumer.receive(jsonEvent({}, { sequence }));
    expect(order).toEqual([1, 2]);
    expect(consumer.runs().map(({ started }) => started)).toEqual([false, false]);
    turn();
    expect(order).toEqual([1, 2, 3, 4]);
    expect(consumer.held).toBe(0);
  });

  it('is first come, first served over all consumers', () => {
    const order: number[] = [];
    const turns = new Turns(1);
    const [a, b] = [
      harness({ turns, steps: [costing(1000, order)] }).consumer,
      harness({ turns, steps: [costing(1000, order)] }).consumer,
    ];
    for (const sequence of [1, 2, 3, 4, 5, 6]) (sequence % 2 === 1 ? a : b).receive(jsonEvent({}, { sequence }));
    while (immediates.length > 0) turn();
    expect(order).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('leaves what arrives behind what waits, however young the turn is', () => {
    const order: number[] = [];
    const { consumer } = harness({ turns: new Turns(1), steps: [costing(1000, order)] });
    for (const sequence of [1, 2, 3]) consumer.receive(jsonEvent({}, { sequence }));
    turn();
    consumer.receive(jsonEvent({}, { sequence: 4 }));
    while (immediates.length > 0) turn();
    expect(order).toEqual([1, 2, 3, 4]);
  });

  it('schedules nothing while nothing comes', () => {
    const order: number[] = [];
    const { consumer } = harness({ turns: new Turns(1), steps: [costing(0, order)] });
    consumer.receive(jsonEvent({}, { sequence: 1 }));
    expect(immediates).toHaveLength(1);
    turn();
    expect(immediates).toHaveLength(0);
    consumer.receive(jsonEvent({}, { sequence: 2 }));
    expect(order).toEqual([1, 2]);
  });

  it('does not begin what drained or was given back', () => {
    const order: number[] = [];
    const turns = new Turns(1);
    const leaving = harness({ turns, steps: [costing(1000, order)] });
    const staying = harness({ turns, steps: [costing(1000, order)] });
    leaving.consumer.receive(jsonEvent({}, { sequence: 1 }));
    leaving.consumer.receive(jsonEvent({}, { sequence: 2 }));
    staying.consumer.receive(jsonEvent({}, { sequence: 3 }));
    leaving.consumer.draining = true;
    leaving.consumer.giveBackUnstarted(0);
    while (immediates.length > 0) turn();
    expect(order).toEqual([1, 3]);
    expect(leaving.counts()).toMatchObject({ delivered: 1, returned: 1, in_flight: 0 });
    expect(staying.counts()).toMatchObject({ delivered: 1, in_flight: 0 });
  });

  it('does not begin what drains and is still to be given back', () => {
    const order: number[] = [];
    const { consumer, counts } = harness({ turns: new Turns(1), steps: [costing(1000, order)] });
    for (const sequence of [1, 2]) consumer.receive(jsonEvent({}, { sequence }));
    consumer.draining = true;
    while (immediates.length > 0) turn();
    expect(order).toEqual([1]);
    consumer.giveBackUnstarted(0);
    expect(counts()).toMatchObject({ returned: 1, in_flight: 0 });
  });

  it('begins a few runs whatever the clock says: a turn has a price of its own', () => {
    const order: number[] = [];
    const { consumer } = harness({ turns: new Turns(256), steps: [costing(1000, order)] });
    for (let sequence = 1; sequence <= 1024; sequence++) consumer.receive(jsonEvent({}, { sequence }));
    expect(order).toHaveLength(256);
    let turns = 0;
    for (; immediates.length > 0; turns++) turn();
    expect(order).toHaveLength(1024);
    expect(turns).toBe(4);
  });

  it('takes thousands through in turns', () => {
    const order: number[] = [];
    const limits = { ackWait: Number.POSITIVE_INFINITY };
    const { consumer, counts } = harness({ turns: new Turns(1), steps: [costing(1000, order)], limits });
    for (let sequence = 1; sequence <= 5000; sequence++) consumer.receive(jsonEvent({}, { sequence }));
    let turns = 0;
    for (; immediates.length > 0; turns++) turn();
    expect(turns).toBe(5000);
    expect(order).toEqual(Array.from({ length: 5000 }, (_, index) => index + 1));
    expect(counts()).toMatchObject({ delivered: 5000, in_flight: 0 });
  });
});
