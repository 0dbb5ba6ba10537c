import { describe, expect, it } from 'vitest';
import { Pauses } from '../../../src/core/pauses.ts';
import { Gate, harness, jsonEvent, later, stopClocks } from './helpers.ts';

stopClocks();

describe('a pause of the process', () => {
  it('is none while it ticks', () => {
    const pauses = new Pauses();
    for (let tick = 0; tick < 10; tick++) {
      later(1500);
      expect(pauses.age(performance.now())).toBe(0);
      pauses.tick(performance.now());
    }
  });

  it('makes old what is read just after it, and nothing that comes later', () => {
    const pauses = new Pauses();
    later(40_000);
    pauses.tick(performance.now());
    later(999);
    expect(pauses.age(performance.now())).toBe(40_000);
    later(1);
    expect(pauses.age(performance.now())).toBe(0);
  });

  it('is noticed by whatever comes first, be it before the next tick', () => {
    const pauses = new Pauses();
    later(2000);
    expect(pauses.age(performance.now())).toBe(2000);
  });

  it('followed by a shorter one is as old as the longer one', () => {
    const pauses = new Pauses();
    later(40_000);
    pauses.tick(performance.now());
    later(500);
    pauses.tick(performance.now());
    expect(pauses.age(performance.now())).toBe(40_000);
  });

  it('longer than half of ack_wait loses what is received then; the server hears nothing', () => {
    const pauses = new Pauses();
    const gate = new Gate();
    const { receive, acks, counts } = harness({ steps: [gate], pauses, limits: { ackWait: 30_000 } });
    later(15_000);
    receive();
    expect(gate.waiting).toHaveLength(1);
    later(15_001);
    receive(jsonEvent({}, { sequence: 43 }));
    expect([gate.waiting.length, acks.answers]).toEqual([1, []]);
    expect(counts()).toMatchObject({ received: 2, returned: 1, in_flight: 1 });
    pauses.tick(performance.now());
    later(1000);
    receive(jsonEvent({}, { sequence: 43, deliveries: 1 }));
    expect(gate.waiting).toHaveLength(2);
  });
});
