import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../src/core/plan.ts';
import { PENDING, type Run } from '../../../src/core/run.ts';
import { error, Gate, harness, jsonEvent, later, outcome, random, step, stopClocks } from './helpers.ts';

const broken = step('broken', () => {
  throw error('EVENT_EXPRESSION', 'division by zero');
});

stopClocks();

describe('a failure', () => {
  it('is given back with its delay, and told with the attempt that failed', () => {
    const { receive, acks, observer, retries, consumer, attempts } = harness({
      steps: [
        step('no', () => {
          throw error('TARGET_REJECTED');
        }),
      ],
    });
    receive();
    expect(attempts.records.get(42)).toMatchObject({ used: 1, open: false, next: Date.now() + 1000 });
    later(1000);
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(acks.final).toEqual([
      ['nak', 'reply.42', 1000],
      ['nak', 'reply.42', 2000],
    ]);
    expect(observer.heard).toEqual(['retried TARGET_REJECTED 1000', 'retried TARGET_REJECTED 2000']);
    expect(observer.attempts).toEqual([1, 2]);
    expect(retries()).toEqual({ rejected: 2 });
    expect(consumer.held).toBe(0);
  });

  it('that succeeds later is forgotten', () => {
    let fails = true;
    const { receive, attempts } = harness({
      steps: [
        step('sometimes', () => {
          if (fails) throw error();
          return undefined;
        }),
      ],
    });
    receive();
    expect(attempts.records.get(42)).toMatchObject({ used: 1 });
    fails = false;
    later(1000);
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(attempts.records.size).toBe(0);
  });

  it('is what costs a record: an event that succeeds at once has none', () => {
    const { receive, attempts } = harness();
    receive();
    expect(attempts.puts).toEqual([]);
    expect(attempts.removed).toEqual([]);
  });
});

describe('a dead letter', () => {
  it('is stored before the event is acked', () => {
    const { receive, acks, letters, counts, observer, consumer } = harness({ steps: [broken] });
    letters.answer = () => undefined;
    receive();
    expect(acks.answers).toEqual([]);
    expect(counts()).toMatchObject({ in_flight: 1, dead_lettered: 0 });
    letters.letters[0]?.done();
    expect(acks.answers).toEqual([['ack', 'reply.42']]);
    expect(counts()).toMatchObject({ in_flight: 0, dead_lettered: 1 });
    expect(observer.heard).toEqual(['dead_lettered expression_error', 'dead_lettered expression_error']);
    expect(consumer.held).toBe(0);
  });

  it('that is refused keeps the event in hand, and the consumer takes no further ones, until it is stored', () => {
    const { receive, acks, letters, counts, observer, consumer } = harness({ steps: [broken] });
    let asked = 0;
    consumer.onRelease.push(() => asked++);
    letters.answer = ({ done }) => done(new Error('storage full'));
    receive();
    const pauses = [500, 1000, 2000, 4000, 5000, 5000];
    for (const [times, pause] of pauses.entries()) {
      expect(letters.letters).toHaveLength(times + 1);
      later(pause - 1);
      expect(letters.letters).toHaveLength(times + 1);
      later(1);
    }
    expect(acks.answers).toEqual([]);
    expect([consumer.room, consumer.held, asked]).toEqual([0, 1, 0]);
    expect(consumer.blocked).toBe('dead letter cannot be stored: storage full');
    expect(observer.heard).toEqual([...pauses, 5000].map((pause) => `refused dead letter: storage full ${pause}`));
    letters.answer = ({ done }) => done();
    later(5000);
    expect(acks.answers).toEqual([['ack', 'reply.42']]);
    expect([consumer.room, consumer.blocked, consumer.held, asked]).toEqual([2000, '', 0, 1]);
    expect(counts()).toMatchObject({ in_flight: 0, dead_lettered: 1, retries: 0 });
  });

  it('that is refused says the same when it is stored again', () => {
    const { receive, letters } = harness({
      steps: [
        step('no', () => {
          throw error();
        }),
      ],
      retry: { attempts: 2 },
    });
    receive();
    letters.answer = ({ done }) => done(new Error('storage full'));
    later(1000);
    const run = receive(jsonEvent({}, { deliveries: 2 }));
    for (let times = 1; times <= 3; times++) {
      expect(run.record).toMatchObject({ used: 1 });
      expect(run.attempt).toBe(2);
      later(5000);
    }
    expect(letters.letters.length).toBeGreaterThan(3);
    expect(letters.letters.every(({ reason }) => reason === 'rejected')).toBe(true);
  });

  it('whose store throws keeps the event', () => {
    const { receive, acks, letters, consumer } = harness({ steps: [broken] });
    letters.answer = () => {
      throw new RangeError('Invalid time value');
    };
    expect(() => receive()).not.toThrow();
    expect(acks.answers).toEqual([]);
    expect(consumer.room).toBe(0);
  });

  it('that is stored twice counts once', () => {
    const { receive, acks, letters, counts } = harness({ steps: [broken] });
    letters.answer = ({ done }) => {
      done();
      done();
      done(new Error('other'));
    };
    receive();
    expect(acks.final).toHaveLength(1);
    expect(counts()).toMatchObject({ in_flight: 0, dead_lettered: 1 });
  });

  it('that is refused twice is stored again once', () => {
    const { receive, letters, observer } = harness({ steps: [broken] });
    letters.answer = ({ done }) => {
      done(new Error('no'));
      done(new Error('no'));
      done();
    };
    receive();
    expect(observer.heard).toEqual(['refused dead letter: no 500']);
    later(500);
    expect(letters.letters).toHaveLength(2);
  });

  // The letter is on its way: whatever the event's steps say now comes too late, or it would have two outcomes.
  it.each<[name: string, late: (run: Run) => void]>([
    ['resumes', (run) => run.resume()],
    ['resumes with an outcome', (run) => run.resume(outcome('filtered'))],
    ['fails again', (run) => run.fail(error('TARGET_UNAVAILABLE'))],
    ['runs out of time', (run) => run.expire(error('TARGET_TIMEOUT'))],
    ['is given back', (run) => run.consumer.settle.giveBack(run)],
    ['is swept', (run) => run.consumer.sweep(performance.now() + 1e9)],
  ])('is not overtaken when the run %s meanwhile', (_name, late) => {
    const { receive, acks, letters, counts, retries } = harness({ steps: [broken] });
    letters.answer = () => undefined;
    late(receive());
    expect(acks.final).toEqual([]);
    expect(letters.letters).toHaveLength(1);
    letters.letters[0]?.done();
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    expect(retries()).toEqual({});
    expect(counts()).toMatchObject({ delivered: 0, dead_lettered: 1, in_flight: 0 });
  });
});

describe('an observer that throws', () => {
  it.each(['settled', 'retried', 'deadLettered', 'refused'] as const)('in %s breaks nothing', (method) => {
    const { consumer, acks, observer, letters, counts } = harness({
      steps: [
        step('by data', (run) => {
          const { event } = run;
          if (event.data === 1) return undefined;
          throw error(event.data === 2 ? 'TARGET_REJECTED' : 'EVENT_EXPRESSION');
        }),
      ],
    });
    observer[method] = () => {
      throw new Error('observer');
    };
    let full = true;
    letters.answer = ({ run, done }) => done(full && run.event.data === 4 ? new Error('refused') : undefined);
    for (const data of [1, 2, 3, 4]) consumer.receive(jsonEvent(data, { sequence: data }));
    full = false;
    later(5000);
    expect(acks.answers).toEqual([
      ['ack', 'reply.1'],
      ['nak', 'reply.2', 1000],
      ['ack', 'reply.3'],
      ['ack', 'reply.4'],
    ]);
    expect(counts()).toMatchObject({ received: 4, in_flight: 0 });
    expect(consumer.held).toBe(0);
  });
});

describe('the sum of all counters', () => {
  const ends: ((run: Run, filtered: Outcome, dropped: Outcome) => void)[] = [
    (run) => run.resume(),
    (run, filtered) => run.resume(filtered),
    (run, _filtered, dropped) => run.resume(dropped),
    (run) => run.fail(error('TARGET_REJECTED')),
    (run) => run.fail(error('TARGET_UNAVAILABLE')),
    (run) => run.fail(error('EVENT_UNDECODABLE')),
    (run) => run.fail(new Error('bug')),
    (run) => run.expire(error('TARGET_TIMEOUT')),
    (run) => run.consumer.settle.giveBack(run),
    (run) => run.consumer.settle.interrupt(run, 0),
    (run) => run.consumer.sweep(performance.now()),
    (run) => {
      run.resume();
      run.fail(error());
      run.resume();
    },
  ];

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('holds after every step of a random history (seed %i)', (seed) => {
    const chance = random(seed);
    const pick = <T>(items: T[]): T => items[Math.floor(chance() * items.length)] as T;
    const filtered = outcome('filtered', 'f');
    const dropped = outcome('dropped', 'd');
    const waiting: Run[] = [];
    let passing = false;
    const wait = step('wait', (run) => {
      if (passing || chance() < 0.2) return chance() < 0.5 ? undefined : filtered;
      if (chance() < 0.1) throw error('TARGET_REJECTED');
      waiting.push(run);
      return PENDING;
    });
    const { consumer, acks, letters, attempts, parking, counts } = harness({
      steps: [wait],
      limits: { ackWait: 1500, prefetch: 20 },
    });
    const open: (() => void)[] = [];
    letters.answer = ({ done }) => {
      if (chance() < 0.3) done();
      else open.push(() => done(chance() < 0.5 ? undefined : new Error('refused')));
    };
    const balance = (): void => {
      const { received, delivered, dead_lettered, retries, returned, parked, in_flight } = counts();
      const outcomes = delivered + filtered.counter.value + dropped.counter.value + dead_lettered;
      expect(outcomes + retries + parked + returned + in_flight).toBe(received);
      expect(consumer.held).toBe(in_flight);
      expect(consumer.runs()).toHaveLength(in_flight);
      const answered = acks.final.map(([, reply]) => reply);
      expect(new Set(answered).size).toBe(answered.length);
    };
    let received = 0;
    for (let round = 0; round < 600; round++) {
      const sequence = 1 + Math.floor(chance() * 40);
      const deliveries = 1 + Math.floor(chance() * 3);
      if (chance() < 0.5) consumer.receive(jsonEvent({}, { sequence, deliveries, reply: `reply.${received++}` }));
      else if (chance() < 0.7 && waiting.length > 0) pick(ends)(pick(waiting), filtered, dropped);
      else if (open.length > 0) open.splice(Math.floor(chance() * open.length), 1)[0]?.();
      else later(chance() * 3000);
      attempts.error = chance() < 0.1 ? error('TARGET_UNAVAILABLE') : undefined;
      parking.error = chance() < 0.2 ? error(chance() < 0.5 ? 'TARGET_UNAVAILABLE' : 'TARGET_TOO_LARGE') : undefined;
      balance();
    }
    attempts.error = undefined;
    parking.error = undefined;
    letters.answer = ({ done }) => done();
    passing = true;
    for (const run of waiting) run.resume();
    for (const answer of open) answer();
    later(10_000);
    balance();
    expect(counts().in_flight).toBe(0);
    expect(consumer.heldBytes).toBe(0);
    expect(consumer.blocked).toBe('');
  });
});

describe('giveBack', () => {
  it('hands the event out again at once and counts neither an attempt nor an outcome', () => {
    const { receive, acks, counts, consumer, attempts } = harness({ steps: [new Gate()] });
    consumer.settle.giveBack(receive());
    expect(acks.answers).toEqual([['nak', 'reply.42', 0]]);
    expect(counts()).toMatchObject({ returned: 1, retries: 0, in_flight: 0 });
    expect(attempts.puts).toEqual([]);
  });
});
