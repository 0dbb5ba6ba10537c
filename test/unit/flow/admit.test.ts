import { describe, expect, it } from 'vitest';
import { Admission } from '../../../src/flow/admit.ts';
import { PENDING, type Run } from '../../../src/core/run.ts';
import { error, Gate, harness, jsonEvent, random, step } from '../core/helpers.ts';

const admitting = (max: number) => {
  const admission = new Admission(max);
  const gate = new Gate();
  const made = harness({ steps: [admission.step, gate], onSettled: admission.onSettled });
  const take = (sequence: number): Run => made.receive(jsonEvent({}, { sequence }));
  return { admission, gate, take, ...made };
};

const sequences = (runs: readonly Run[]): number[] => runs.map(({ sequence }) => sequence);

describe('Admission', () => {
  it('lets in as many as it may, and the next when one ends', () => {
    const { admission, gate, take } = admitting(2);
    for (const sequence of [1, 2, 3, 4, 5]) take(sequence);
    expect(sequences(gate.waiting)).toEqual([1, 2]);
    expect([admission.running, admission.queued]).toEqual([2, 3]);
    gate.next().resume();
    expect(sequences(gate.waiting)).toEqual([2, 3]);
    gate.next().fail(error());
    expect(sequences(gate.waiting)).toEqual([3, 4]);
    expect([admission.running, admission.queued]).toEqual([2, 1]);
  });

  it('is first come, first served, also for what comes while there is a place and a queue', () => {
    const { admission, gate, take } = admitting(1);
    for (const sequence of [1, 2, 3, 4]) take(sequence);
    admission.resize(2);
    expect(sequences(gate.waiting)).toEqual([1, 2]);
    take(5);
    gate.next().resume();
    gate.next().resume();
    expect(sequences(gate.waiting)).toEqual([3, 4]);
  });

  it('starts the clock of an attempt when it is let in', () => {
    const { gate, take } = admitting(1);
    take(1);
    const second = take(2);
    expect(second.started).toBe(false);
    gate.next().resume();
    expect(second.started).toBe(true);
    expect(second.startedAt).toBeGreaterThanOrEqual(second.receivedAt);
  });

  it('lets fewer in when it may fewer, without ending any', () => {
    const { admission, gate, take } = admitting(3);
    for (const sequence of [1, 2, 3, 4, 5]) take(sequence);
    admission.resize(1);
    gate.next().resume();
    gate.next().resume();
    expect(sequences(gate.waiting)).toEqual([3]);
    gate.next().resume();
    expect(sequences(gate.waiting)).toEqual([4]);
    expect(admission.running).toBe(1);
  });

  it('passes over what was settled or drains', () => {
    const { consumer, gate, take, acks, admission } = admitting(1);
    const [, second] = [1, 2, 3].map(take);
    consumer.settle.giveBack(second as Run);
    expect(admission.running).toBe(1);
    gate.next().resume();
    expect(sequences(gate.waiting)).toEqual([3]);
    take(4);
    consumer.draining = true;
    gate.next().resume();
    expect(gate.waiting).toEqual([]);
    expect(admission.running).toBe(0);
    consumer.giveBackUnstarted(0);
    expect(acks.final.at(-1)).toEqual(['nak', 'reply.4', 0]);
  });

  it('does not lose a place to a run that ended before it was let in', () => {
    const { consumer, gate, take, admission } = admitting(1);
    const runs = [1, 2, 3, 4].map(take);
    consumer.settle.giveBack(runs[1] as Run);
    consumer.settle.giveBack(runs[2] as Run);
    gate.next().resume();
    gate.next().resume();
    expect([admission.running, admission.queued]).toEqual([0, 0]);
  });

  it('goes on when something throws where a queued run is resumed', () => {
    const admission = new Admission(1);
    const gate = new Gate();
    const first = step('first', (run) => (run.sequence === 1 ? gate.run(run) : undefined));
    const { receive, acks, counts } = harness({ steps: [admission.step, first], onSettled: admission.onSettled });
    for (const sequence of [1, 2, 3]) receive(jsonEvent({}, { sequence }));
    const ack = acks.ack.bind(acks);
    acks.ack = (reply) => {
      if (Buffer.from(reply).toString() === 'reply.2') throw new Error('wire');
      ack(reply);
    };
    expect(() => gate.next().resume()).toThrow('wire');
    // What could not be answered keeps its place; nobody else loses theirs.
    admission.resize(2);
    expect(counts()).toMatchObject({ delivered: 2, in_flight: 1 });
    expect(admission.queued).toBe(0);
  });

  it('lets nobody overtake who comes while the queue is started', () => {
    const admission = new Admission(1);
    const started: number[] = [];
    const gate = new Gate();
    const meanwhile = step('meanwhile', (run) => {
      started.push(run.sequence);
      if (run.sequence === 2) consumer.receive(jsonEvent({}, { sequence: 9 }));
      return gate.run(run);
    });
    const { consumer } = harness({ steps: [admission.step, meanwhile], onSettled: admission.onSettled });
    for (const sequence of [1, 2, 3, 4]) consumer.receive(jsonEvent({}, { sequence }));
    admission.resize(5);
    expect(started).toEqual([1, 2, 3, 4, 9]);
  });

  it('does not grow the stack when thousands of queued runs end at once', () => {
    const admission = new Admission(1);
    let held: Run | undefined;
    const first = step('first', (run) => {
      if (run.sequence !== 1) return undefined;
      held = run;
      return PENDING;
    });
    const { consumer, counts } = harness({ steps: [admission.step, first], onSettled: admission.onSettled });
    for (let sequence = 1; sequence <= 20_000; sequence++) consumer.receive(jsonEvent({}, { sequence }));
    expect(admission.queued).toBe(19_999);
    held?.resume();
    expect(counts()).toMatchObject({ delivered: 20_000, in_flight: 0 });
    expect([admission.running, admission.queued]).toEqual([0, 0]);
  });

  it.each([1, 2, 3, 4, 5, 6])('never runs more than it may, and in order, in a random history (seed %i)', (seed) => {
    const chance = random(seed);
    const { admission, gate, take, consumer } = admitting(3);
    const started: number[] = [];
    const original = gate.run.bind(gate);
    gate.run = (run) => {
      started.push(run.sequence);
      return original(run);
    };
    let sequence = 0;
    let max = 3;
    // After it was made smaller, as many as ran before go on until they end.
    let bound = 3;
    for (let round = 0; round < 2000; round++) {
      const roll = chance();
      if (roll < 0.5) take(++sequence);
      else if (roll < 0.52) admission.resize((max = 1 + Math.floor(chance() * 6)));
      else if (gate.waiting.length > 0) {
        const [run] = gate.waiting.splice(Math.floor(chance() * gate.waiting.length), 1);
        if (chance() < 0.3) run?.fail(error());
        else run?.resume();
      }
      bound = Math.max(max, Math.min(bound, gate.waiting.length));
      expect(gate.waiting.length).toBeLessThanOrEqual(bound);
      if (gate.waiting.length < max) expect(admission.queued).toBe(0);
      expect(admission.running).toBe(gate.waiting.length);
      expect(consumer.held).toBe(admission.running + admission.queued);
    }
    expect(started).toEqual(started.toSorted((a, b) => a - b));
    expect(started.length).toBeGreaterThan(300);
  });
});
