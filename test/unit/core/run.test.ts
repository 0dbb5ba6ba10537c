import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import { PENDING, type Run } from '../../../src/core/run.ts';
import { error, Gate, harness, jsonEvent, later, outcome, step, stopClocks } from './helpers.ts';

describe('a run', () => {
  stopClocks();

  it('is delivered when it has passed all steps, in their order', () => {
    const order: string[] = [];
    const pass = (name: string) =>
      step(name, () => {
        order.push(name);
        return undefined;
      });
    const { receive, acks, counts } = harness({ steps: [pass('a'), pass('b'), pass('c')] });
    receive();
    expect(order).toEqual(['a', 'b', 'c']);
    expect(acks.answers).toEqual([['ack', 'reply.42']]);
    expect(counts()).toMatchObject({ received: 1, delivered: 1, in_flight: 0 });
  });

  it('without steps is delivered', () => {
    const { receive, counts } = harness();
    receive();
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
  });

  it('ends at the first outcome', () => {
    const filtered = outcome('filtered', 'small');
    const never = step('never', () => {
      throw new Error('reached');
    });
    const { receive, acks, observer } = harness({ steps: [step('filter', () => filtered), never] });
    receive();
    expect(filtered.counter.value).toBe(1);
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    expect(observer.heard).toEqual(['filtered small']);
  });

  it('waits at a pending step and goes on behind it', () => {
    const gate = new Gate();
    const after: Run[] = [];
    const last = step('last', (run) => {
      after.push(run);
      return undefined;
    });
    const { receive, acks, counts } = harness({ steps: [gate, last] });
    const run = receive();
    expect(acks.answers).toEqual([]);
    expect(counts()).toMatchObject({ in_flight: 1, delivered: 0 });
    gate.next().resume();
    expect(after).toEqual([run]);
    expect(counts()).toMatchObject({ in_flight: 0, delivered: 1 });
  });

  it('takes one path whether its steps answer at once, inside their own call, or later', () => {
    const gate = new Gate();
    const inside = step('inside', (run) => {
      run.resume();
      return PENDING;
    });
    const atOnce = step('at once', () => undefined);
    const { receive, counts, acks } = harness({ steps: [inside, gate, inside, atOnce, inside] });
    receive();
    gate.next().resume();
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
    expect(acks.final).toHaveLength(1);
  });

  it('ends with the outcome that it is resumed with', () => {
    const gate = new Gate();
    const dropped = outcome('dropped', 'rate_limit');
    const { receive, counts } = harness({ steps: [gate, step('never', () => outcome('filtered'))] });
    receive();
    gate.next().resume(dropped);
    expect(dropped.counter.value).toBe(1);
    expect(counts()).toMatchObject({ delivered: 0, in_flight: 0 });
  });

  it.each<[name: string, late: (run: Run) => void]>([
    ['resumed', (run) => run.resume()],
    ['resumed with an outcome', (run) => run.resume(outcome('filtered'))],
    ['failed', (run) => run.fail(error())],
    ['expired', (run) => run.expire(error('TARGET_TIMEOUT'))],
    ['given back', (run) => run.consumer.settle.giveBack(run)],
  ])('that is settled hears nothing when it is %s', (_name, late) => {
    for (const end of [(run: Run) => run.resume(), (run: Run) => run.fail(error())]) {
      const gate = new Gate();
      const { receive, acks, counts } = harness({ steps: [gate] });
      const run = receive();
      end(run);
      const before = counts();
      late(run);
      expect(acks.final).toHaveLength(1);
      expect(counts()).toEqual(before);
    }
  });

  it('resumed twice by its last step is settled once', () => {
    const gate = new Gate();
    const { receive, acks, counts } = harness({ steps: [gate] });
    const run = receive();
    run.resume();
    run.resume();
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
  });

  it.each<[name: string, thrown: unknown, message: string]>([
    ['an error', new TypeError('x is not a function'), 'x is not a function'],
    ['a string', 'oops', 'oops'],
    ['undefined', undefined, 'undefined'],
  ])('whose step throws %s is tried again', (_name, thrown, message) => {
    const { receive, acks, letters, retries } = harness({
      steps: [
        step('broken', () => {
          throw thrown;
        }),
      ],
      retry: { attempts: 2 },
    });
    receive();
    expect(acks.final).toEqual([['nak', 'reply.42', 1000]]);
    expect(retries()).toEqual({ failed: 1 });
    later(1000);
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(letters.letters[0]?.failure.error).toMatchObject({ code: 'EVENT_FAILED', message });
    expect(letters.letters[0]?.failure.error.cause).toBe(thrown);
  });

  it('whose data cannot be read is a dead letter at once', () => {
    const { receive, letters } = harness({
      steps: [
        step('reads', (run) => {
          void run.event.data;
          return undefined;
        }),
      ],
    });
    const event = jsonEvent({});
    Object.defineProperty(event, 'data', {
      get: () => {
        throw error('EVENT_UNDECODABLE');
      },
    });
    receive(event);
    expect(letters.letters.map(({ reason }) => reason)).toEqual(['undecodable']);
  });

  it('aborts its signal when it runs out of time, and makes none where nobody asks', () => {
    const gate = new Gate();
    const { receive } = harness({ steps: [gate] });
    const run = receive();
    const { signal } = run;
    expect(signal.aborted).toBe(false);
    const reason = error('TARGET_TIMEOUT');
    run.expire(reason);
    expect(signal.aborted).toBe(true);
    expect(signal.reason).toBe(reason);
  });

  it('does not grow the stack with thousands of events and steps that answer inside their own call', () => {
    const inside = step('inside', (run) => {
      run.resume();
      return PENDING;
    });
    const { consumer, counts } = harness({ steps: Array.from({ length: 20 }, () => inside) });
    for (let sequence = 1; sequence <= 20_000; sequence++) consumer.receive(jsonEvent({}, { sequence }));
    expect(counts()).toMatchObject({ received: 20_000, delivered: 20_000, in_flight: 0 });
  });

  it('shows its message: subject, stream, sequence, attempt, headers', () => {
    const gate = new Gate();
    const { receive, attempts } = harness({ steps: [gate] });
    attempts.records.set(7, { ...NO_ATTEMPTS, used: 2 });
    const run = receive(jsonEvent({}, { headers: { 'X-A': '1', __proto__x: '2' }, sequence: 7, deliveries: 9 }));
    expect(run.msg).toMatchObject({ subject: 'events.orders.created', stream: 'EVENTS', sequence: 7, attempt: 3 });
    expect(run.header('x-a')).toBe('1');
    expect({ ...run.headers() }).toEqual({ 'X-A': '1', __proto__x: '2' });
  });

  it('shows the first of several headers, and one called __proto__ as data', () => {
    const gate = new Gate();
    const { receive } = harness({ steps: [gate] });
    const headerBlock = Buffer.from('NATS/1.0\r\nA: 1\r\nA: 2\r\n__proto__: p\r\n\r\n');
    const headers = receive(jsonEvent({}, { headerBlock })).headers();
    expect(headers['A']).toBe('1');
    expect(Object.keys(headers)).toContain('__proto__');
  });
});
