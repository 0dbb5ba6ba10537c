/** The record of an outcome, where events wait for it and where they do not. */
import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/core/run.ts';
import { redriven } from './handed.ts';
import { error, Gate, harness, jsonEvent, stopClocks } from './helpers.ts';

stopClocks();

const gated = (mode: 'off' | 'best_effort' | 'required') => {
  const gate = new Gate();
  const made = harness({ steps: [gate] });
  made.trail.mode = mode;
  return { gate, ...made };
};

describe('where it is required, an event', () => {
  it('is acked once its record is stored, and counts then', () => {
    const { gate, receive, consumer, trail, acks, counts, observer } = gated('required');
    const run = receive();
    gate.next().resume();
    expect([acks.final, counts(), observer.heard, consumer.held]).toMatchObject([[], { delivered: 0 }, [], 1]);
    const [held] = trail.outcomes;
    consumer.settle.audited(run, held?.outcome as NonNullable<typeof held>['outcome']);
    expect([acks.final, counts()]).toMatchObject([[['ack', 'reply.42']], { delivered: 1, in_flight: 0 }]);
    expect([observer.heard, consumer.held, trail.outcomes.length]).toEqual([['delivered'], 0, 1]);
  });

  it.each([false, true])('keeps its parsed data meanwhile only for who looks at it: %s', (looksAtData) => {
    const { gate, receive, observer } = gated('required');
    Object.assign(observer, { looksAtData });
    const { event } = receive();
    const { data } = event;
    gate.next().resume();
    expect(event.data).toEqual(data);
    expect(event.data === data).toBe(looksAtData);
  });

  it('that is audited twice ends once', () => {
    const { gate, receive, consumer, acks, plan } = gated('required');
    const run = receive();
    gate.next().resume();
    consumer.settle.audited(run, plan.delivered);
    consumer.settle.audited(run, plan.delivered);
    expect(acks.final).toHaveLength(1);
  });

  it('is kept alive while it waits, and does not run out of time', () => {
    const { gate, receive, consumer, acks, observer } = gated('required');
    receive();
    gate.next().resume();
    consumer.limits = { prefetch: 2000, ackWait: 30_000 };
    consumer.sweep(performance.now() + 20_000);
    expect(acks.answers).toEqual([['working', 'reply.42']]);
    expect(observer.heard).toEqual([]);
  });

  it('whose record is refused blocks its consumer until it is stored', () => {
    const { gate, receive, consumer, acks, observer, plan } = gated('required');
    const runs = [1, 2].map((sequence) => receive(jsonEvent({}, { sequence })));
    gate.next().resume();
    gate.next().resume();
    const [first, second] = runs as [Run, Run];
    consumer.settle.unaudited(first, error('TARGET_UNAVAILABLE', 'full'), 500, true);
    consumer.settle.unaudited(second, error('TARGET_UNAVAILABLE', 'full'), 500, false);
    expect([consumer.room, consumer.blocked]).toEqual([0, 'audit record cannot be stored: full']);
    expect(observer.heard).toEqual(['refused audit record: full 500']);
    consumer.settle.audited(first, plan.delivered);
    expect(consumer.room).toBe(0);
    consumer.settle.audited(second, plan.delivered);
    expect([consumer.room, acks.final.length]).toEqual([2000, 2]);
  });

  it('that somebody else has by then is let go', () => {
    const { gate, receive, consumer, acks, counts } = gated('required');
    const run = receive();
    gate.next().resume();
    run.lost = true;
    consumer.settle.unaudited(run, error('TARGET_UNAVAILABLE', 'full'), 500, true);
    expect([acks.final, consumer.held, counts()]).toMatchObject([[], 0, { returned: 1, delivered: 0 }]);
  });

  it('that goes into the dead letters is recorded behind its letter', () => {
    const { gate, receive, letters, trail, acks, consumer, cells } = gated('required');
    const run = receive();
    gate.next().fail(error('EVENT_EXPRESSION'));
    expect([letters.letters.length, trail.outcomes.length, acks.final]).toEqual([1, 1, []]);
    expect(run.failure?.error.code).toBe('EVENT_EXPRESSION');
    consumer.settle.audited(run, cells.deadLettered(trail.outcomes[0]?.outcome.reason ?? ''));
    expect(acks.final).toEqual([['ack', 'reply.42']]);
  });

  it('of a re-drive is recorded behind the removal of its letter', () => {
    const { gate, receive, letters, trail } = gated('required');
    receive(jsonEvent({}), redriven());
    gate.next().resume();
    expect([letters.removed.length, trail.outcomes.length]).toEqual([1, 1]);
  });
});

describe('where it is best effort, an event', () => {
  it('is acked at once, and recorded', () => {
    const { gate, receive, trail, acks } = gated('best_effort');
    receive();
    gate.next().resume();
    expect([acks.final.length, trail.outcomes.map(({ outcome }) => outcome.kind)]).toEqual([1, ['delivered']]);
  });

  it('that is tried again has its attempt recorded, and no outcome', () => {
    const { gate, receive, trail } = gated('best_effort');
    receive();
    gate.next().fail(error());
    expect([trail.attempts, trail.outcomes]).toEqual([['TARGET_REJECTED 1000'], []]);
  });
});

it('where it is off, nothing is recorded', () => {
  const { gate, receive, trail } = gated('off');
  receive();
  gate.next().resume();
  receive(jsonEvent({}, { sequence: 43 }));
  gate.next().fail(error());
  expect([trail.attempts, trail.outcomes]).toEqual([[], []]);
});
