/** How long an event is a consumer's own: the server gives it to somebody else when it has not heard of it. */
import { describe, expect, it } from 'vitest';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { Admission } from '../../../src/flow/admit.ts';
import { error, Gate, harness, jsonEvent, later, outcome, route, stopClocks } from './helpers.ts';

stopClocks();

const ACK_WAIT = 30_000;

/** One event at work and two that wait for its place. */
function busy() {
  const admission = new Admission(1);
  const gate = new Gate();
  const made = harness({
    steps: [admission.step, gate],
    onSettled: admission.onSettled,
    limits: { ackWait: ACK_WAIT },
    timeout: 3_600_000,
  });
  const runs = [1, 2, 3].map((sequence) => made.receive(jsonEvent({}, { sequence })));
  return { ...made, gate, runs };
}

/** The process stood still, and wakes up. */
const pause = (milliseconds: number): void => later(milliseconds);

describe('after a pause longer than ack_wait', () => {
  it('what has not started is let go without a nak, which would take it from whoever has it now', () => {
    const { consumer, acks, runs, counts } = busy();
    pause(ACK_WAIT + 1);
    consumer.sweep(performance.now());
    expect(runs.map(({ settled }) => settled)).toEqual([false, true, true]);
    expect(acks.final).toEqual([]);
    expect(counts()).toMatchObject({ returned: 2, in_flight: 1 });
  });

  it('what has started is finished, and acked when it succeeds', () => {
    const { consumer, acks, runs, counts } = busy();
    pause(ACK_WAIT + 1);
    consumer.sweep(performance.now());
    runs[0]?.resume();
    expect(acks.final).toEqual([['ack', 'reply.1']]);
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
  });

  it('what has started and fails goes without a nak or a record', () => {
    const { consumer, acks, runs, attempts, letters } = busy();
    pause(ACK_WAIT + 1);
    consumer.sweep(performance.now());
    runs[0]?.fail(error('EVENT_UNDECODABLE'));
    expect([acks.final, attempts.puts, letters.letters]).toEqual([[], [], []]);
  });

  it('nothing is let go that the server has heard of in time', () => {
    const { consumer, acks, runs } = busy();
    for (let times = 0; times < 5; times++) {
      pause(ACK_WAIT);
      consumer.sweep(performance.now());
    }
    expect(runs.map(({ lost, settled }) => [lost, settled])).toEqual(runs.map(() => [false, false]));
    expect(acks.answers).toHaveLength(15);
  });

  it('all is lost that the server could not be told of', () => {
    const { consumer, acks, runs } = busy();
    acks.connected = false;
    for (let times = 0; times < 4; times++) {
      pause(10_000);
      consumer.sweep(performance.now());
    }
    expect(runs.map(({ lost, settled }) => [lost, settled])).toEqual([
      [true, false],
      [true, true],
      [true, true],
    ]);
    expect(acks.answers).toEqual([]);
  });

  it('a place that comes free before the sweep does is not given to what was lost', () => {
    const { acks, runs, gate } = busy();
    pause(ACK_WAIT + 1);
    runs[0]?.resume();
    expect(gate.waiting).toHaveLength(1);
    expect(runs.map(({ settled }) => settled)).toEqual([true, true, true]);
    expect(acks.final).toEqual([['ack', 'reply.1']]);
  });

  it('an event whose dead letter is on its way is not let go of', () => {
    const { consumer, runs, letters, acks } = busy();
    letters.answer = () => undefined;
    runs[0]?.fail(error('EVENT_UNDECODABLE'));
    pause(ACK_WAIT + 1);
    consumer.sweep(performance.now());
    letters.letters[0]?.done();
    expect(acks.final).toContainEqual(['ack', 'reply.1']);
  });

  it('an event that waits for its target is let go', () => {
    const target = route('partner', () => undefined);
    for (let times = 0; times < 3; times++) target.breaker.failed(error('TARGET_UNAVAILABLE'));
    const { receive, consumer, acks } = harness({
      steps: [deliverStep([target], outcome('filtered'))],
      unavailable: () => true,
      limits: { ackWait: ACK_WAIT },
    });
    acks.connected = false;
    const run = receive();
    // The probe is not due yet.
    run.heardOfAt -= ACK_WAIT + 1;
    consumer.sweep(performance.now());
    expect([run.settled, acks.answers]).toEqual([true, []]);
    target.breaker.close();
  });
});

describe('mayStart', () => {
  it('says yes to what is still its own', () => {
    const { consumer, runs } = busy();
    const [, run] = runs;
    if (run === undefined) throw new Error('no run');
    expect(consumer.mayStart(run, run.heardOfAt + ACK_WAIT)).toBe(true);
    expect(run.settled).toBe(false);
  });

  it('says no to what was settled', () => {
    const { consumer, runs } = busy();
    const [, run] = runs;
    if (run === undefined) throw new Error('no run');
    consumer.settle.giveBack(run);
    expect(consumer.mayStart(run, performance.now())).toBe(false);
  });

  it('says no while the consumer drains, and leaves the event to be given back', () => {
    const { consumer, runs, acks } = busy();
    const [, run] = runs;
    if (run === undefined) throw new Error('no run');
    consumer.draining = true;
    expect(consumer.mayStart(run, performance.now())).toBe(false);
    expect([run.settled, acks.final]).toEqual([false, []]);
  });

  it('lets go of what was lost', () => {
    const { consumer, runs, acks } = busy();
    const [, run] = runs;
    if (run === undefined) throw new Error('no run');
    expect(consumer.mayStart(run, run.heardOfAt + ACK_WAIT + 1)).toBe(false);
    expect([run.settled, acks.final]).toEqual([true, []]);
  });
});

describe('room', () => {
  it('is what may be in hand, and one for the probe while nothing could be delivered', () => {
    let unavailable = false;
    const { consumer } = harness({ limits: { prefetch: 7 }, unavailable: () => unavailable });
    expect(consumer.room).toBe(7);
    unavailable = true;
    expect(consumer.room).toBe(1);
  });

  it('is all there may be where what is in hand waits for others, and none of it can be the probe', () => {
    let lacksProbe = true;
    const limits = { prefetch: 7 };
    const ports = { unavailable: () => true, lacksProbe: () => lacksProbe };
    const ordered = harness({ limits, ...ports, exclusive: true, steps: [new Gate()] });
    expect(ordered.consumer.room).toBe(1);
    ordered.receive();
    expect(ordered.consumer.room).toBe(7);
    lacksProbe = false;
    expect(ordered.consumer.room).toBe(1);
    lacksProbe = true;
    const other = harness({ limits, ...ports, steps: [new Gate()] });
    other.receive();
    expect(other.consumer.room).toBe(1);
  });

  it('is none while an event cannot be let go, whatever else', () => {
    const { consumer, receive } = harness({ steps: [new Gate()], unavailable: () => true });
    const [first, second] = [receive(jsonEvent({}, { sequence: 1 })), receive(jsonEvent({}, { sequence: 2 }))];
    consumer.block(first, 'full');
    consumer.block(first, 'full');
    consumer.block(second, 'full');
    expect([consumer.room, consumer.blocked]).toEqual([0, 'full']);
    consumer.unblock(first);
    expect(consumer.room).toBe(0);
    consumer.unblock(second);
    consumer.unblock(second);
    expect([consumer.room, consumer.blocked]).toEqual([1, '']);
  });

  it('that may have grown is told to every pull', () => {
    const { consumer, receive } = harness({ steps: [new Gate()] });
    const asked: string[] = [];
    consumer.onRelease.push(() => void asked.push('stream'));
    consumer.onRelease.push(() => void asked.push('due'));
    receive().resume();
    consumer.ask();
    expect(asked).toEqual(['stream', 'due', 'stream', 'due']);
  });
});

describe('a delivery of an event that was let go', () => {
  it('is told to stop', () => {
    const open: Delivery[] = [];
    const steps = [deliverStep([route('a', (delivery) => void open.push(delivery))], outcome('filtered'))];
    const { consumer, receive } = harness({ steps });
    const run = receive();
    const signal = open[0]?.signal;
    consumer.settle.lose(run);
    expect(signal?.aborted).toBe(true);
  });
});

describe('what is given back', () => {
  it('comes again when the delay is over that a drain gives it', () => {
    const { receive, consumer, acks } = harness({ steps: [new Gate()] });
    receive();
    consumer.refuse(jsonEvent({}, { sequence: 43 }));
    consumer.draining = true;
    consumer.giveBackUnstarted(2000);
    consumer.interrupt(3000);
    expect(acks.final).toEqual([
      ['nak', 'reply.43', 2000],
      ['nak', 'reply.42', 3000],
    ]);
  });
});
