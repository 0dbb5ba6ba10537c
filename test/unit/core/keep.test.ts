/** What has to be stored before an event may go, and what becomes of the event when it is refused. */
import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { Done } from '../../../src/core/ports.ts';
import type { Run } from '../../../src/core/run.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { redriven } from './handed.ts';
import { error, Gate, harness, type HarnessOptions, jsonEvent, later, outcome, route, stopClocks } from './helpers.ts';
import { RecordingAttempts } from './recording.ts';

stopClocks();

const gated = (more: HarnessOptions = {}) => {
  const gate = new Gate();
  return { gate, ...harness({ steps: [gate], ...more }) };
};

const full = () => error('TARGET_UNAVAILABLE', 'storage full');

describe('the attempts of an event that is to be tried again', () => {
  it('are stored before it goes back', () => {
    const order: string[] = [];
    const attempts = new RecordingAttempts();
    const made = gated({ attempts });
    attempts.put = (_run: Run, _record, done: Done): void => {
      order.push(`put, ${made.acks.final.length} answers`);
      done();
    };
    made.receive().fail(error());
    expect(order).toEqual(['put, 0 answers']);
    expect(made.acks.final).toEqual([['nak', 'reply.42', 1000]]);
  });

  it('that are refused keep the event in hand, which goes back when they are stored, for what is left', () => {
    const { receive, attempts, acks, consumer, observer, retries } = gated();
    attempts.error = full();
    receive();
    consumer.runs()[0]?.fail(error());
    expect([consumer.room, consumer.held, acks.final]).toEqual([0, 1, []]);
    expect(observer.heard).toEqual(['retried TARGET_REJECTED 1000', 'refused attempts: storage full 500']);
    expect(retries()).toEqual({});
    later(500);
    attempts.error = undefined;
    later(999);
    expect(acks.final).toEqual([]);
    later(1);
    // Its second has passed.
    expect(acks.final).toEqual([['nak', 'reply.42', 1]]);
    expect([consumer.room, consumer.held, retries()]).toEqual([2000, 0, { rejected: 1 }]);
  });

  it('hold back the consumer until the last of the events that cannot go is gone', () => {
    const { receive, attempts, consumer } = gated();
    const runs = [1, 2].map((sequence) => receive(jsonEvent({}, { sequence })));
    attempts.error = full();
    for (const run of runs) run.fail(error());
    attempts.error = undefined;
    consumer.settle.lose(runs[0] as Run);
    expect(consumer.room).toBe(0);
    later(5000);
    expect(consumer.room).toBe(2000);
  });

  it("of an event that was lost meanwhile are nobody's business here: the server hears nothing", () => {
    const { receive, attempts, acks, consumer } = gated({ limits: { ackWait: 3000 } });
    attempts.error = full();
    receive().fail(error());
    acks.connected = false;
    later(4000);
    consumer.sweep(performance.now());
    expect(consumer.held).toBe(1);
    later(5000);
    expect([acks.answers, consumer.held, consumer.blocked]).toEqual([[], 0, '']);
  });

  it('stored too late, when the event was lost, do not take it from whoever has it now', () => {
    const { receive, attempts, acks, consumer } = gated();
    attempts.error = full();
    const run = receive();
    run.fail(error());
    run.lost = true;
    attempts.error = undefined;
    later(5000);
    expect([acks.final, consumer.held]).toEqual([[], 0]);
  });

  it('of an event that fails after it was lost are not touched', () => {
    const { receive, attempts, acks, counts } = gated();
    const run = receive();
    run.lost = true;
    run.fail(error());
    expect([attempts.puts, acks.answers]).toEqual([[], []]);
    expect(counts()).toMatchObject({ retries: 0, returned: 1, in_flight: 0 });
  });
});

describe('an event that waits long for its next attempt', () => {
  const LONG = { ackWait: 900 };

  it('is handed to a timer, and acked', () => {
    const { receive, parking, acks, attempts, counts, consumer } = gated({ limits: LONG });
    const run = receive();
    run.fail(error());
    expect(parking.parked).toMatchObject([{ record: { used: 1, next: Date.now() + 1000 } }]);
    expect(parking.parked[0]?.run).toBe(run);
    expect(acks.answers).toEqual([['ack', 'reply.42']]);
    expect([attempts.puts, consumer.delayed.size]).toEqual([[], 0]);
    expect(counts()).toMatchObject({ parked: 1, retries: 0, delivered: 0, in_flight: 0 });
  });

  it('leaves no record behind: the timer carries it', () => {
    const { receive, attempts } = gated({ limits: LONG });
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1 });
    receive(jsonEvent({}, { deliveries: 2 })).fail(error());
    expect([attempts.records.size, attempts.removed]).toEqual([0, [42]]);
  });

  it('is given back to the server where the delay is short', () => {
    const { receive, parking, acks } = gated({ limits: { ackWait: 1000 } });
    receive().fail(error());
    expect([parking.parked, acks.final]).toEqual([[], [['nak', 'reply.42', 1000]]]);
  });

  it('is handed to a timer all the same when the server holds back as many as may be in hand', () => {
    const { receive, parking, acks } = gated({ limits: { prefetch: 2 } });
    for (const sequence of [1, 2, 3, 4]) receive(jsonEvent({}, { sequence })).fail(error());
    expect(acks.final.map(([verb]) => verb)).toEqual(['nak', 'nak', 'ack', 'ack']);
    expect(parking.parked.map(({ run }) => run.sequence)).toEqual([3, 4]);
  });

  it('stays in hand as long as the timer is refused', () => {
    const { receive, parking, acks, consumer, observer } = gated({ limits: LONG });
    parking.error = full();
    receive().fail(error());
    expect([acks.final, consumer.room]).toEqual([[], 0]);
    expect(observer.heard.at(-1)).toBe('refused timer: storage full 500');
    parking.error = undefined;
    later(5000);
    expect([acks.final, consumer.room]).toEqual([[['ack', 'reply.42']], 2000]);
  });

  it('is given back to the server when it is too large for a timer', () => {
    const { receive, parking, acks, attempts, observer, consumer } = gated({ limits: LONG });
    parking.error = error('TARGET_TOO_LARGE');
    receive().fail(error());
    expect(acks.final).toEqual([['nak', 'reply.42', 1000]]);
    expect(attempts.records.get(42)).toMatchObject({ used: 1, open: false });
    expect(observer.heard).toEqual(['retried TARGET_REJECTED 1000']);
    expect(consumer.blocked).toBe('');
  });
});

describe('the dead letter of an event that was driven again', () => {
  const ends: [name: string, end: (run: Run) => void][] = [
    ['is delivered', (run) => run.resume()],
    ['is filtered', (run) => run.resume(outcome('filtered'))],
    ['is a dead letter again', (run) => run.fail(error('EVENT_UNDECODABLE'))],
  ];

  it.each(ends)('goes, and then the event, when that %s', (_name, end) => {
    const { receive, letters, acks } = gated();
    const order: string[] = [];
    letters.answer = ({ done }) => {
      order.push(`new letter, ${letters.removed.length} gone`);
      done();
    };
    letters.remove = (sequence, done) => {
      order.push(`letter ${sequence} goes, ${acks.final.length} acked`);
      letters.removed.push(sequence);
      done();
    };
    end(receive(jsonEvent({}), redriven()));
    expect(order.at(-1)).toBe('letter 7 goes, 0 acked');
    expect(order.slice(0, -1)).toEqual(letters.letters.map(() => 'new letter, 0 gone'));
    expect(acks.final).toEqual([['ack', 'reply.42']]);
  });

  it.each<[name: string, end: (run: Run) => void]>([
    ['is tried again', (run) => run.fail(error())],
    ['goes back', (run) => run.consumer.settle.giveBack(run)],
    ['is cut off', (run) => run.consumer.settle.interrupt(run, 0)],
    ['was lost', (run) => run.consumer.settle.lose(run)],
  ])('stays when the event %s', (_name, end) => {
    const { receive, letters } = gated();
    end(receive(jsonEvent({}), redriven()));
    expect(letters.removed).toEqual([]);
  });

  it('stays when the event is handed to a timer, and goes along with it', () => {
    const { receive, letters, parking } = gated({ limits: { ackWait: 1 } });
    receive(jsonEvent({}), redriven()).fail(error());
    expect(letters.removed).toEqual([]);
    expect(parking.parked[0]?.run.handed).toMatchObject({ letter: 7 });
  });

  it('that cannot be taken away keeps the event in hand; the event is counted once', () => {
    const { receive, letters, acks, consumer, observer, counts } = gated();
    const dones: Done[] = [];
    letters.remove = (_sequence, done) => void dones.push(done);
    receive(jsonEvent({}), redriven()).resume();
    dones[0]?.(full());
    expect([acks.final, consumer.room, counts().delivered]).toEqual([[], 0, 0]);
    expect(observer.heard).toEqual(['refused removal of the dead letter: storage full 500']);
    later(5000);
    dones[1]?.();
    expect([acks.final, consumer.room, counts().delivered]).toEqual([[['ack', 'reply.42']], 2000, 1]);
    expect(observer.heard.at(-1)).toBe('delivered');
  });

  it('is none of an event that came from a timer', () => {
    const { receive, letters, acks } = gated();
    receive(jsonEvent({}), redriven({ letter: undefined, run: '' })).resume();
    expect([letters.removed, acks.final.length]).toEqual([[], 1]);
  });
});

describe('an attempt that is cut off at the end of a drain', () => {
  function delivering() {
    const open: Delivery[] = [];
    const hold = (delivery: Delivery): void => void open.push(delivery);
    const steps = [deliverStep([route('a', hold), route('b', hold)], outcome('filtered'))];
    return { open, ...harness({ steps }) };
  }

  it('keeps what confirmed, and goes back at once, used up by nobody', () => {
    const { receive, consumer, open, attempts, acks, counts } = delivering();
    const run = receive();
    const signals = open.map(({ signal }) => signal.aborted);
    open[0]?.confirm();
    consumer.interrupt(0);
    expect(attempts.puts).toEqual([{ ...NO_ATTEMPTS, confirmed: ['a'] }]);
    expect(acks.final).toEqual([['nak', 'reply.42', 0]]);
    expect(counts()).toMatchObject({ returned: 1, retries: 0, in_flight: 0 });
    expect([signals, open[1]?.signal.aborted]).toEqual([[false, false], true]);
    // What still answers comes too late.
    open[1]?.confirm();
    expect([run.settled, acks.final.length]).toEqual([true, 1]);
  });

  it('keeps what confirmed before, too', () => {
    const { receive, consumer, attempts } = delivering();
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1, confirmed: ['a'] });
    const run = receive(jsonEvent({}, { deliveries: 2 }));
    expect(run.deliveries?.map((each) => each.route.name)).toEqual(['b']);
    consumer.interrupt(0);
    expect(attempts.records.get(42)).toEqual({ ...NO_ATTEMPTS, used: 1, confirmed: ['a'] });
  });

  it('that was noted as begun is noted as not', () => {
    const { receive, consumer, attempts } = delivering();
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(attempts.records.get(42)).toMatchObject({ open: true });
    consumer.interrupt(0);
    expect(attempts.records.get(42)).toMatchObject({ used: 0, open: false });
  });

  it('of which there is nothing to keep writes nothing', () => {
    const { receive, consumer, attempts, acks } = delivering();
    receive();
    consumer.interrupt(0);
    expect([attempts.puts, acks.final]).toEqual([[], [['nak', 'reply.42', 0]]]);
  });

  it('and was lost goes without a word', () => {
    const { receive, consumer, open, attempts, acks, counts } = delivering();
    receive().lost = true;
    open[0]?.confirm();
    consumer.interrupt(0);
    expect([attempts.puts, acks.answers]).toEqual([[], []]);
    expect(counts()).toMatchObject({ returned: 1, in_flight: 0 });
  });

  it('does not take an event back whose dead letter is being stored', () => {
    const { receive, consumer, letters, acks } = gated();
    letters.answer = () => undefined;
    receive().fail(error('EVENT_UNDECODABLE'));
    consumer.interrupt(0);
    expect(acks.answers).toEqual([]);
    letters.letters[0]?.done();
    expect(acks.answers).toEqual([['ack', 'reply.42']]);
  });
});
