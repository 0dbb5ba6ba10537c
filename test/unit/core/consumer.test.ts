import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { Run } from '../../../src/core/run.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { Admission } from '../../../src/flow/admit.ts';
import {
  error,
  Gate,
  harness,
  type HarnessOptions,
  jsonEvent,
  later,
  outcome,
  random,
  route,
  step,
  stopClocks,
} from './helpers.ts';

stopClocks();

const gated = (more: HarnessOptions = {}) => {
  const gate = new Gate();
  return { gate, ...harness({ steps: [gate], ...more }) };
};

describe('the runs in hand', () => {
  it('stand by receipt, whichever order they are settled in', () => {
    for (let seed = 1; seed <= 20; seed++) {
      const chance = random(seed);
      const { consumer } = gated();
      const expected: Run[] = [];
      for (let sequence = 1; sequence <= 60; sequence++) {
        if (chance() < 0.6) {
          const event = jsonEvent({ n: sequence }, { sequence });
          consumer.receive(event);
          expected.push(consumer.runs().at(-1) as Run);
        } else if (expected.length > 0) expected.splice(Math.floor(chance() * expected.length), 1)[0]?.resume();
        expect(consumer.runs()).toEqual(expected);
        expect(consumer.held).toBe(expected.length);
        expect(consumer.heldBytes).toBe(expected.reduce((sum, { event }) => sum + event.carrier.body.length, 0));
      }
    }
  });

  it('are let go of: nothing keeps a settled run', () => {
    const { consumer, receive } = gated();
    const [first, second, third] = [1, 2, 3].map((sequence) => receive(jsonEvent({}, { sequence })));
    second?.resume();
    expect(second?.previous).toBeUndefined();
    expect(second?.next).toBeUndefined();
    first?.resume();
    third?.resume();
    expect(consumer.runs()).toEqual([]);
    expect(consumer.oldestAge()).toBe(0);
  });

  it('come again as if for the first time when the durable is made anew, and are looked up all the same', () => {
    const { consumer, receive, attempts, acks, gate } = gated();
    receive(jsonEvent({}, { sequence: 5 })).resume();
    receive(jsonEvent({}, { sequence: 9 }));
    consumer.comesAgain();
    receive(jsonEvent({}, { sequence: 5, reply: 'again.5' }));
    consumer.receive(jsonEvent({}, { sequence: 9, reply: 'again.9' }));
    attempts.records.set(7, { ...NO_ATTEMPTS, used: 1 });
    attempts.records.set(10, { ...NO_ATTEMPTS, used: 1 });
    receive(jsonEvent({}, { sequence: 7 }));
    receive(jsonEvent({}, { sequence: 10 }));
    // 5 was acked, 9 is in hand, 7 was with somebody else, and 10 is new: nobody asks about it.
    expect(acks.final.map(([, reply]) => reply)).toEqual(['reply.5', 'again.5']);
    expect(gate.waiting.map(({ sequence, attempt }) => [sequence, attempt])).toEqual([
      [5, 1],
      [9, 1],
      [7, 2],
      [10, 1],
    ]);
  });

  it('are new when the stream was made anew, and counts from 1 again', () => {
    const { consumer, receive, attempts } = gated();
    receive(jsonEvent({}, { sequence: 9 }));
    consumer.comesAgain();
    consumer.startOver();
    attempts.records.set(1, { ...NO_ATTEMPTS, used: 1 });
    expect(receive(jsonEvent({}, { sequence: 1 })).attempt).toBe(1);
  });

  it('end each with one call of onRelease and onSettled', () => {
    const gate = new Gate();
    const settled: Run[] = [];
    const { consumer, receive } = harness({ steps: [gate], onSettled: (run) => settled.push(run) });
    let released = 0;
    consumer.onRelease.push(() => released++);
    const runs = [1, 2, 3].map((sequence) => receive(jsonEvent({}, { sequence })));
    runs[0]?.resume();
    runs[1]?.fail(error());
    consumer.settle.giveBack(runs[2] as Run);
    expect(released).toBe(3);
    expect(settled).toEqual(runs);
  });

  it('finish on the plan that they began with, which closes behind the last of them', () => {
    const { consumer, plan, receive, gate, closed } = gated();
    const before = [1, 2].map((sequence) => receive(jsonEvent({}, { sequence })));
    const delivered = outcome('delivered', 'new plan');
    const close = () => void closed.push('r2');
    const next = { ...plan, revision: 'r2', steps: [gate, step('more', () => undefined)], delivered, close };
    consumer.replacePlan(next);
    const after = receive(jsonEvent({}, { sequence: 3 }));
    before[1]?.resume();
    after.resume();
    expect(closed).toEqual([]);
    before[0]?.fail(error());
    expect(closed).toEqual(['r1']);
    expect([plan.delivered.counter.value, delivered.counter.value]).toEqual([1, 1]);
    consumer.replacePlan({ ...next, revision: 'r3' });
    expect(closed).toEqual(['r1', 'r2']);
  });

  it('may be on any number of plans, each closed once', () => {
    const { consumer, plan, receive, closed } = gated();
    const runs: Run[] = [];
    for (let revision = 2; revision <= 6; revision++) {
      runs.push(receive(jsonEvent({}, { sequence: revision })), receive(jsonEvent({}, { sequence: revision + 100 })));
      const close = () => void closed.push(`r${revision}`);
      consumer.replacePlan({ ...plan, revision: `r${revision}`, close });
    }
    const chance = random(5);
    for (const run of runs.toSorted(() => chance() - 0.5)) run.resume();
    expect(closed.toSorted()).toEqual(['r1', 'r2', 'r3', 'r4', 'r5']);
  });
});

describe('idle', () => {
  it('is at once where nothing is in hand', async () => expect(await gated().consumer.idle()).toBeUndefined());

  it('comes with the last settle', async () => {
    const { consumer, receive } = gated();
    const [first, second] = [receive(jsonEvent({}, { sequence: 1 })), receive(jsonEvent({}, { sequence: 2 }))];
    let idle = false;
    const wait = consumer.idle().then(() => (idle = true));
    first.resume();
    await Promise.resolve();
    expect(idle).toBe(false);
    second.resume();
    await wait;
    expect(idle).toBe(true);
  });
});

describe('sweep', () => {
  it('tells the server of each run that was quiet for long enough, and no oftener', () => {
    const { consumer, receive, acks } = gated({ limits: { ackWait: 30_000 } });
    const run = receive();
    const start = run.receivedAt;
    consumer.sweep(start + 9_000);
    expect(acks.answers).toEqual([]);
    consumer.sweep(start + 11_000);
    expect(acks.answers).toEqual([['working', 'reply.42']]);
    consumer.sweep(start + 20_000);
    expect(acks.answers).toHaveLength(1);
    consumer.sweep(start + 22_000);
    expect(acks.answers).toHaveLength(2);
  });

  it('keeps what waits in a queue alive and does not time it out', () => {
    const admission = new Admission(1);
    const gate = new Gate();
    const { consumer, receive, acks } = harness({
      steps: [admission.step, gate],
      onSettled: admission.onSettled,
      timeout: 1000,
      limits: { ackWait: 10_000 },
    });
    const running = receive(jsonEvent({}, { sequence: 1 }));
    const queued = receive(jsonEvent({}, { sequence: 2 }));
    later(5000);
    consumer.sweep(performance.now());
    expect(running.settled).toBe(true);
    // The place of the first went to it, so its time began only now.
    expect(queued.started).toBe(true);
    expect(queued.settled).toBe(false);
    expect(acks.answers).toContainEqual(['working', 'reply.2']);
  });

  it('ends what runs out of time as unavailable, which uses up no attempt', () => {
    const { consumer, receive, acks, retries, attempts } = gated();
    const run = receive();
    consumer.sweep(run.startedAt + 29_000);
    expect(run.settled).toBe(false);
    consumer.sweep(run.startedAt + 31_000);
    expect(run.settled).toBe(true);
    expect(acks.final).toEqual([['nak', 'reply.42', 1000]]);
    expect(retries()).toEqual({ unavailable: 1 });
    expect(attempts.records.get(42)).toMatchObject({ used: 0, deferred: 1 });
  });

  it('does not time out or count an attempt for what came while the consumer was stopping', () => {
    const { consumer, acks, retries, counts } = harness({ timeout: 1000, limits: { ackWait: 90_000 } });
    const run = consumer.refuse(jsonEvent({}));
    consumer.sweep(run.receivedAt + 60_000);
    expect(acks.answers).toEqual([['working', 'reply.42']]);
    expect(retries()).toEqual({});
    consumer.giveBackUnstarted(0);
    expect(acks.final).toEqual([['nak', 'reply.42', 0]]);
    expect(counts()).toMatchObject({ received: 1, returned: 1, in_flight: 0 });
  });

  it('ends a delivery whose target allows less time, and keeps what its sibling confirms', () => {
    const open: Delivery[] = [];
    const hold = (delivery: Delivery): void => void open.push(delivery);
    const routes = [route('slow', hold, { timeout: 500 }), route('other', hold)];
    const { consumer, receive, acks, attempts } = harness({ steps: [deliverStep(routes, outcome('filtered'))] });
    const run = receive();
    const at = (open[0] as Delivery).startedAt;
    consumer.sweep(at + 400);
    expect(open.map(({ state }) => state)).toEqual(['open', 'open']);
    consumer.sweep(at + 600);
    expect(open.map(({ state }) => state)).toEqual(['failed', 'open']);
    expect(open[0]?.error).toMatchObject({ code: 'TARGET_TIMEOUT' });
    expect(run.settled).toBe(false);
    open[1]?.confirm();
    expect(acks.final).toEqual([['nak', 'reply.42', 1000]]);
    expect(attempts.records.get(42)?.confirmed).toEqual(['other']);
  });

  it('ends every delivery that is open when the attempt runs out of time', () => {
    const open: Delivery[] = [];
    const hold = (delivery: Delivery): void => void open.push(delivery);
    const { consumer, receive, acks, attempts } = harness({
      steps: [deliverStep([route('a', hold), route('b', hold)], outcome('filtered'))],
    });
    const run = receive();
    const { signal } = open[0] as Delivery;
    open[1]?.confirm();
    consumer.sweep(run.startedAt + 31_000);
    expect(signal.aborted).toBe(true);
    expect(open.map(({ state }) => state)).toEqual(['failed', 'confirmed']);
    expect(acks.final).toHaveLength(1);
    expect(attempts.records.get(42)?.confirmed).toEqual(['b']);
    open[0]?.confirm();
    expect(acks.final).toHaveLength(1);
  });

  it('goes on over a run that is settled while it looks at another', () => {
    const { consumer, receive, acks } = gated();
    const runs = [1, 2, 3].map((sequence) => receive(jsonEvent({}, { sequence })));
    let first = true;
    consumer.onRelease.push(() => {
      if (first) runs[1]?.resume();
      first = false;
    });
    consumer.sweep((runs[2] as Run).startedAt + 60_000);
    expect(acks.final.map(([verb, reply]) => `${verb} ${reply}`).toSorted()).toEqual([
      'ack reply.2',
      'nak reply.1',
      'nak reply.3',
    ]);
  });
});

describe('giveBackUnstarted', () => {
  it('gives back the queued and leaves what runs', () => {
    const admission = new Admission(2);
    const gate = new Gate();
    const { consumer, receive, acks, counts } = harness({
      steps: [admission.step, gate],
      onSettled: admission.onSettled,
    });
    for (const sequence of [1, 2, 3, 4]) receive(jsonEvent({}, { sequence }));
    consumer.draining = true;
    consumer.giveBackUnstarted(0);
    expect(acks.final).toEqual([
      ['nak', 'reply.3', 0],
      ['nak', 'reply.4', 0],
    ]);
    expect(counts()).toMatchObject({ returned: 2, in_flight: 2 });
    gate.next().resume();
    gate.next().resume();
    expect(counts()).toMatchObject({ delivered: 2, in_flight: 0 });
    expect(gate.waiting).toEqual([]);
  });
});
