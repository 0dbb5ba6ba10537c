/** Who of those that wait is next, against models that are too slow to be used. */
import { describe, expect, it } from 'vitest';
import { Lane } from '../../../src/core/lane.ts';
import type { Run } from '../../../src/core/run.ts';
import { Admission } from '../../../src/flow/admit.ts';
import { type HeadStart, headStart, priorityStep, rankOf } from '../../../src/flow/priority.ts';
import { createQueue, type Queue } from '../../../src/flow/queue.ts';
import { Gate, harness, jsonEvent, random } from '../core/helpers.ts';

const waiting = (sequence: number, rank: number, lane?: Lane): Run => ({ sequence, rank, lane }) as Run;
const laneOf = (name: string, weight: number): Lane =>
  new Lane(name, weight, 100, { room: 2000, limits: { prefetch: 2000, ackWait: 30_000 } });

describe('the smallest rank first', () => {
  it.each([1, 2, 3, 4, 5, 6])('as a sorted list would, in a random history (seed %i)', (seed) => {
    const chance = random(seed);
    const queue = createQueue({ ranked: true, rest: undefined });
    const model: { readonly run: Run; readonly arrival: number }[] = [];
    for (let round = 0; round < 3000; round++) {
      if (chance() < 0.55) {
        // Few ranks and few sequences, so that both are tied often.
        const run = waiting(Math.floor(chance() * 20), Math.floor(chance() * 10));
        queue.push(run);
        model.push({ run, arrival: round });
        model.sort((a, b) => a.run.rank - b.run.rank || a.run.sequence - b.run.sequence || a.arrival - b.arrival);
      } else expect(queue.take()).toBe(model.shift()?.run);
      expect(queue.size).toBe(model.length);
    }
    for (const { run } of model) expect(queue.take()).toBe(run);
    expect(queue.take()).toBeUndefined();
  });

  it('lets nobody starve: whoever waits is overtaken only by what comes within the head start', () => {
    const queue = createQueue({ ranked: true, rest: undefined });
    queue.push(waiting(1, 1_000));
    let now = 1_000;
    let sequence = 1;
    let overtook = 0;
    for (;;) {
      now += 10;
      queue.push(waiting(++sequence, now - 500));
      if (queue.take()?.sequence === 1) break;
      overtook++;
    }
    expect(overtook).toBe(49);
  });
});

describe('lanes by their weights', () => {
  const takeAll = (queue: Queue, count: number): (string | undefined)[] =>
    Array.from({ length: count }, () => queue.take()?.lane?.name);

  it.each([1, 2, 3, 4])('gives each its share while all have something, none more than one off (seed %i)', (seed) => {
    const chance = random(seed);
    const lanes = ['a', 'b', 'c'].map((name) => laneOf(name, 1 + Math.floor(chance() * 9)));
    const [rest] = lanes;
    const queue = createQueue({ ranked: false, rest });
    for (const lane of lanes) for (let each = 0; each < 1000; each++) queue.push(waiting(each, 0, lane));
    const taken = new Map<string | undefined, number>();
    const total = lanes.reduce((sum, { weight }) => sum + weight, 0);
    for (let round = 1; round <= 900; round++) {
      const name = queue.take()?.lane?.name;
      taken.set(name, (taken.get(name) ?? 0) + 1);
      for (const { name: of, weight } of lanes)
        expect(Math.abs((taken.get(of) ?? 0) - (round * weight) / total)).toBeLessThanOrEqual(lanes.length);
    }
  });

  it('lets a lane that was empty neither catch up nor wait', () => {
    const [urgent, rest] = [laneOf('urgent', 1), laneOf('rest', 1)];
    const queue = createQueue({ ranked: false, rest });
    for (let each = 0; each < 100; each++) queue.push(waiting(each, 0, rest));
    takeAll(queue, 50);
    for (let each = 0; each < 20; each++) queue.push(waiting(each, 0, urgent));
    const next = takeAll(queue, 10);
    expect(next.filter((name) => name === 'urgent')).toHaveLength(5);
  });

  it('keeps ranks within a lane, and counts what has no lane to the rest', () => {
    const [urgent, rest] = [laneOf('urgent', 1), laneOf('rest', 1)];
    const queue = createQueue({ ranked: true, rest });
    for (const run of [waiting(1, 5, urgent), waiting(2, 3, urgent), waiting(3, 9, rest), waiting(4, 1)])
      queue.push(run);
    const taken = Array.from({ length: 4 }, () => queue.take());
    expect(taken.filter((run) => run?.lane === urgent).map((run) => run?.sequence)).toEqual([2, 1]);
    expect(taken.filter((run) => run?.lane !== urgent).map((run) => run?.sequence)).toEqual([4, 3]);
  });
});

describe('Admission with priority', () => {
  const AHEAD: readonly HeadStart[] = [
    {
      when: ({ event }) => (event.data as { vip?: boolean }).vip === true,
      ahead: 60_000,
    },
  ];
  const START = Date.UTC(2026, 0, 2);

  const admitting = () => {
    const admission = new Admission(1);
    admission.order({ ranked: true, rest: undefined });
    const gate = new Gate();
    const steps = [priorityStep(AHEAD), admission.step, gate];
    const made = harness({ steps, onSettled: admission.onSettled });
    return { admission, gate, ...made };
  };

  const order = (gate: Gate): number[] => {
    const sequences: number[] = [];
    while (gate.waiting.length > 0) {
      const run = gate.next();
      sequences.push(run.sequence);
      run.resume();
    }
    return sequences;
  };

  it('lets what has a head start overtake what came within it', () => {
    const { gate, receive } = admitting();
    const at = (sequence: number, seconds: number, vip = false): void =>
      void receive(jsonEvent({ vip }, { sequence, milliseconds: START + seconds * 1000 }));
    at(1, 0);
    at(2, 1);
    at(3, 30);
    at(4, 62, true);
    at(5, 63);
    at(6, 64, true);
    // The fourth stands at 2 s: behind the second, before the third.
    expect(order(gate)).toEqual([1, 2, 4, 6, 3, 5]);
  });

  it('takes over what waits when the order changes, and back', () => {
    const { admission, gate, receive } = admitting();
    for (const sequence of [1, 2, 3, 4])
      receive(jsonEvent({ vip: sequence === 4 }, { sequence, milliseconds: START + sequence }));
    admission.order({ ranked: false, rest: undefined });
    expect(admission.queued).toBe(3);
    expect(order(gate)).toEqual([1, 4, 2, 3]);
  });

  it('counts a retry that a timer brings from its stream, and a re-drive from when it was handed over', () => {
    const { consumer } = admitting();
    const event = jsonEvent({ vip: true }, { milliseconds: START });
    const due = { sequence: 9, milliseconds: START + 500_000, nanoseconds: 0, deliveries: 1 };
    const handed = {
      stream: 'EVENTS',
      subject: 'events.orders.created',
      position: event.position,
      headers: undefined,
      record: undefined,
      routes: undefined,
      letter: undefined,
      bodyName: undefined,
      due,
    };
    const rank = rankOf(AHEAD);
    const first = consumer.refuse(event, { ...handed, run: '' });
    const redrive = consumer.refuse(event, { ...handed, run: 'redrive-1' });
    expect(headStart(AHEAD, first)).toBe(60_000);
    expect(rank(first)).toBe(START - 60_000);
    expect(rank(redrive)).toBe(START + 440_000);
  });
});
