import { describe, expect, it } from 'vitest';
import type { Outcome } from '../../../src/core/plan.ts';
import { PENDING, type Run } from '../../../src/core/run.ts';
import { error, Gate, harness, jsonEvent, outcome, random, step } from './helpers.ts';

const broken = step('broken', () => {
  throw error('EVENT_EXPRESSION', 'division by zero');
});

describe('a failure', () => {
  it('is given back with its delay, and told with the attempt that failed', () => {
    const { receive, acks, observer, retries, consumer } = harness({
      steps: [
        step('no', () => {
          throw error('TARGET_REJECTED');
        }),
      ],
    });
    receive();
    receive();
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
    const { receive, consumer } = harness({
      steps: [
        step('sometimes', () => {
          if (fails) throw error();
          return undefined;
        }),
      ],
    });
    const event = jsonEvent({});
    receive(event);
    expect(consumer.attempts.get(event)).toMatchObject({ used: 1 });
    fails = false;
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(consumer.attempts.get(event)).toBeUndefined();
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

  it('that is refused keeps the event', () => {
    const { receive, acks, letters, counts, observer, retries } = harness({ steps: [broken] });
    letters.answer = ({ done }) => done(new Error('storage full'));
    receive();
    expect(acks.answers).toEqual([['nak', 'reply.42', 5000]]);
    expect(observer.heard).toEqual(['refused storage full 5000']);
    expect(retries()).toEqual({ dead_letter_refused: 1 });
    expect(counts()).toMatchObject({ in_flight: 0, dead_lettered: 0, retries: 1 });
  });

  it('that is refused leaves the attempt as it was: the same one is made again', () => {
    const { receive, letters, consumer } = harness({
      steps: [
        step('no', () => {
          throw error();
        }),
      ],
      retry: { attempts: 2 },
    });
    receive(jsonEvent({}, { deliveries: 1 }));
    letters.answer = ({ done }) => done(new Error('storage full'));
    for (const deliveries of [2, 3, 4]) {
      const event = jsonEvent({}, { deliveries });
      receive(event);
      expect(consumer.attempts.number(event)).toBe(2);
    }
    expect(letters.letters).toHaveLength(3);
    expect(letters.letters.every(({ reason }) => reason === 'rejected')).toBe(true);
  });

  it('whose store throws keeps the event', () => {
    const { receive, acks, letters } = harness({ steps: [broken] });
    letters.answer = () => {
      throw new RangeError('Invalid time value');
    };
    expect(() => receive()).not.toThrow();
    expect(acks.answers).toEqual([['nak', 'reply.42', 5000]]);
  });

  it.each<[name: string, error: Error | undefined]>([
    ['stored', undefined],
    ['refused', new Error('no')],
  ])('that is %s twice counts once', (_name, answer) => {
    const { receive, acks, letters, counts } = harness({ steps: [broken] });
    letters.answer = ({ done }) => {
      done(answer);
      done(answer);
      done(new Error('other'));
    };
    receive();
    expect(acks.final).toHaveLength(1);
    expect(counts().in_flight).toBe(0);
  });

  // The letter is on its way: whatever the event's steps say now comes too late, or it would have two outcomes.
  it.each<[name: string, late: (run: Run) => void]>([
    ['resumes', (run) => run.resume()],
    ['resumes with an outcome', (run) => run.resume(outcome('filtered'))],
    ['fails again', (run) => run.fail(error('TARGET_UNAVAILABLE'))],
    ['runs out of time', (run) => run.expire(error('TARGET_TIMEOUT'))],
    ['is given back', (run) => run.consumer.settle.giveBack(run)],
    ['is swept', (run) => run.consumer.sweep(performance.now() + 1e9, 1e12)],
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
  it.each(['settled', 'retried', 'deadLettered', 'deadLetterRefused'] as const)('in %s breaks nothing', (method) => {
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
    letters.answer = ({ run, done }) => done(run.event.data === 4 ? new Error('refused') : undefined);
    for (const data of [1, 2, 3, 4]) consumer.receive(jsonEvent(data, { sequence: data }));
    expect(acks.answers).toEqual([
      ['ack', 'reply.1'],
      ['nak', 'reply.2', 1000],
      ['ack', 'reply.3'],
      ['nak', 'reply.4', 5000],
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
    const wait = step('wait', (run) => {
      if (chance() < 0.2) return chance() < 0.5 ? undefined : filtered;
      if (chance() < 0.1) throw error('TARGET_REJECTED');
      waiting.push(run);
      return PENDING;
    });
    const { consumer, acks, letters, counts } = harness({ steps: [wait] });
    const open: (() => void)[] = [];
    letters.answer = ({ done }) => {
      if (chance() < 0.3) done();
      else open.push(() => done(chance() < 0.5 ? undefined : new Error('refused')));
    };
    const balance = (): void => {
      const { received, delivered, dead_lettered, retries, returned, in_flight } = counts();
      const ended = delivered + filtered.counter.value + dropped.counter.value + dead_lettered + retries + returned;
      expect(ended + in_flight).toBe(received);
      expect(consumer.held).toBe(in_flight);
      expect(consumer.runs()).toHaveLength(in_flight);
      expect(acks.final).toHaveLength(received - in_flight);
    };
    for (let round = 0; round < 600; round++) {
      const sequence = 1 + Math.floor(chance() * 40);
      if (chance() < 0.5) consumer.receive(jsonEvent({}, { sequence, deliveries: 1 + Math.floor(chance() * 3) }));
      else if (chance() < 0.7 && waiting.length > 0) pick(ends)(pick(waiting), filtered, dropped);
      else if (open.length > 0) open.splice(Math.floor(chance() * open.length), 1)[0]?.();
      balance();
    }
    for (const run of waiting) run.resume();
    for (const answer of open) answer();
    balance();
    expect(counts().in_flight).toBe(0);
    expect(consumer.heldBytes).toBe(0);
  });
});

describe('giveBack', () => {
  it('hands the event out again at once and counts neither an attempt nor an outcome', () => {
    const gate = new Gate();
    const { receive, acks, counts, consumer } = harness({ steps: [gate] });
    const event = jsonEvent({});
    consumer.settle.giveBack(receive(event));
    expect(acks.answers).toEqual([['nak', 'reply.42', 0]]);
    expect(counts()).toMatchObject({ returned: 1, retries: 0, in_flight: 0 });
    expect(consumer.attempts.get(event)).toBeUndefined();
  });
});
