import { describe, expect, it } from 'vitest';
import { type AttemptRecord, NO_ATTEMPTS, writeRecord } from '../../../src/core/attempts.ts';
import type { Done } from '../../../src/core/ports.ts';
import type { Run } from '../../../src/core/run.ts';
import { handedOver } from './handed.ts';
import {
  error,
  type EventOptions,
  Gate,
  harness,
  type HarnessOptions,
  jsonEvent,
  later,
  stopClocks,
  handedBy,
} from './helpers.ts';
import { RecordingAttempts } from './recording.ts';

stopClocks();

const gated = (more: HarnessOptions = {}) => {
  const gate = new Gate();
  return { gate, ...harness({ steps: [gate], ...more }) };
};

/** The event 42 once more. */
const again = (deliveries: number, more: EventOptions = {}) =>
  jsonEvent({}, { deliveries, reply: `again.${deliveries}`, ...more });

/** Answers when it is told to. */
class SlowAttempts extends RecordingAttempts {
  readonly open: (() => void)[] = [];

  override get(run: Run, done: (error: Error | undefined, record?: AttemptRecord) => void): void {
    this.open.push(() => super.get(run, done));
  }

  override put(run: Run, record: AttemptRecord, done: Done): void {
    this.open.push(() => super.put(run, record, done));
  }

  answer(): void {
    this.open.shift()?.();
  }
}

describe('an event that comes again', () => {
  it('of which nothing is known begins its first attempt, and that is noted before it begins', () => {
    const attempts = new SlowAttempts();
    const { receive, gate } = gated({ attempts });
    const run = receive(again(5));
    attempts.answer();
    expect([gate.waiting, run.started]).toEqual([[], false]);
    attempts.answer();
    expect(gate.waiting).toEqual([run]);
    expect(attempts.records.get(42)).toEqual({ ...NO_ATTEMPTS, open: true });
    expect([run.attempt, run.started]).toEqual([1, true]);
  });

  it('goes on counting where it was, and keeps what confirmed', () => {
    const { receive, attempts } = gated();
    const known = { ...NO_ATTEMPTS, used: 1, deferred: 2, firstFailedAt: 5, failedAt: 6, confirmed: ['archive'] };
    attempts.records.set(42, known);
    const run = receive(again(2));
    expect(run.attempt).toBe(2);
    expect(run.record).toEqual(known);
    expect(attempts.puts).toEqual([{ ...known, open: true }]);
  });

  it('leaves no record behind when it has its outcome', () => {
    const { receive, attempts } = gated();
    receive(again(2)).resume();
    expect(attempts.records.size).toBe(0);
  });

  it('while it is still in hand goes on as it is, and is answered for by the new delivery', () => {
    const { receive, gate, acks, counts, attempts, consumer } = gated();
    const run = receive();
    later(10);
    consumer.receive(again(2));
    expect(gate.waiting).toEqual([run]);
    expect([attempts.puts, consumer.held]).toEqual([[], 1]);
    expect(run.heardOfAt).toBe(performance.now());
    run.resume();
    expect(acks.answers).toEqual([['ack', 'again.2']]);
    expect(counts()).toMatchObject({ received: 2, delivered: 1, returned: 1, in_flight: 0 });
  });

  it("to the run that lost it is that run's again", () => {
    const { receive, acks, consumer } = gated({ limits: { ackWait: 1000 } });
    acks.connected = false;
    const run = receive();
    later(2000);
    consumer.sweep(performance.now());
    expect(run.lost).toBe(true);
    consumer.receive(again(2));
    expect(run.lost).toBe(false);
    run.fail(error());
    expect(acks.final).toEqual([['nak', 'again.2', 1000]]);
  });

  it.each<[name: string, other: EventOptions]>([
    ['time', { milliseconds: 1 }],
    ['fraction of a millisecond', { nanoseconds: 1 }],
    ['stream', { stream: 'OTHER' }],
  ])('is not the one in hand that has its number but another %s', (_name, other) => {
    const { receive, consumer } = gated();
    receive();
    consumer.receive(again(2, other));
    expect(consumer.held).toBe(2);
  });

  it('is not the one in hand that is another run of it', () => {
    const { receive, consumer, gate } = gated();
    receive();
    consumer.receive(again(2), handedBy(handedOver({ run: 'redrive-1' })));
    expect(gate.waiting.map(({ id }) => id)).toEqual(['', 'redrive-1']);
  });

  it('although it was acked is acked again, and nothing else', () => {
    const { receive, acks, gate, counts, attempts } = gated();
    receive().resume();
    receive(again(2));
    expect(acks.answers).toEqual([
      ['ack', 'reply.42'],
      ['ack', 'again.2'],
    ]);
    expect([gate.waiting.length, attempts.puts]).toEqual([1, []]);
    expect(counts()).toMatchObject({ delivered: 1, returned: 1, in_flight: 0 });
  });

  it('before it is due waits for the rest of its time', () => {
    const { receive, acks, gate, attempts, counts } = gated();
    const next = Date.now() + 5000;
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1, next });
    receive(again(2));
    expect(acks.final).toEqual([['nak', 'again.2', 5000]]);
    expect([gate.waiting, attempts.puts]).toEqual([[], []]);
    expect(counts()).toMatchObject({ returned: 1, retries: 0 });
    expect(attempts.records.get(42)).toMatchObject({ used: 1, next });
  });

  it('a little before it is due begins: clocks differ', () => {
    const { receive, attempts, gate } = gated();
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1, next: Date.now() + 1000 });
    receive(again(2));
    expect(gate.waiting).toHaveLength(1);
  });
});

describe('an attempt of which nobody heard the end', () => {
  /** Of an event that ran alone and was cut off for the `cutOffs`-th time. */
  const cutOff = (cutOffs: number): AttemptRecord => ({
    ...NO_ATTEMPTS,
    cutOffs: cutOffs - 1,
    open: true,
    alone: true,
    suspect: true,
    firstFailedAt: 5,
  });

  it('makes the event a suspect, and counts only for one that ran alone', () => {
    const { receive, attempts } = gated();
    attempts.records.set(42, { ...NO_ATTEMPTS, open: true });
    const among = receive(again(3));
    expect([among.attempt, among.suspect]).toEqual([1, true]);
    expect(attempts.puts).toEqual([{ ...NO_ATTEMPTS, open: true, alone: true, suspect: true }]);
    const { receive: next, attempts: others } = gated();
    others.records.set(42, cutOff(1));
    const alone = next(again(3));
    expect([alone.attempt, alone.suspect]).toEqual([2, true]);
    expect(others.puts).toEqual([cutOff(2)]);
  });

  it('is forgiven when the event fails without ending the process', () => {
    const { receive, attempts, gate } = gated();
    attempts.records.set(42, cutOff(2));
    receive(again(3));
    gate.next().fail(error());
    expect(attempts.records.get(42)).toMatchObject({ used: 1, cutOffs: 2, open: false, alone: false, suspect: false });
  });

  it('makes no suspect of an event whose last attempt was heard of', () => {
    const { receive, attempts } = gated();
    attempts.records.set(42, { ...cutOff(2), open: false, alone: false, suspect: false });
    expect(receive(again(9)).suspect).toBe(false);
  });

  it('lets one of them run at a time', () => {
    const { receive, attempts, gate } = gated();
    for (const sequence of [1, 2, 3]) attempts.records.set(sequence, cutOff(1));
    for (const sequence of [1, 2, 3]) receive(again(2, { sequence }));
    const running = () => gate.waiting.map(({ sequence }) => sequence);
    expect(running()).toEqual([1]);
    // What only waits to be run is not noted as begun: it would be blamed for the death of another.
    expect(attempts.puts).toHaveLength(1);
    gate.next().resume();
    expect(running()).toEqual([2]);
    gate.next().fail(error());
    expect(running()).toEqual([3]);
  });

  it('ends as a dead letter, reason poison, when the attempts are used up', () => {
    const { receive, attempts, letters, acks, gate } = gated({ retry: { attempts: 3 } });
    attempts.records.set(42, cutOff(3));
    receive(again(4));
    expect(letters.letters.map(({ reason, failure }) => [reason, failure.error.code])).toEqual([
      ['poison', 'EVENT_POISON'],
    ]);
    expect(letters.letters[0]?.failure.error.message).toContain('3 times');
    expect([gate.waiting, acks.final]).toEqual([[], [['ack', 'again.4']]]);
    expect(attempts.records.size).toBe(0);
  });

  it('is loosened, and noted so, when it is still at work after a second; a grave one is not', () => {
    const { receive, attempts, gate } = gated();
    for (const sequence of [1, 2]) attempts.records.set(sequence, { ...NO_ATTEMPTS, open: true });
    for (const sequence of [1, 2]) receive(again(2, { sequence }));
    expect(gate.waiting.map(({ sequence }) => sequence)).toEqual([1]);
    later(1000);
    expect(gate.waiting.map(({ sequence }) => sequence)).toEqual([1, 2]);
    expect(attempts.records.get(1)).toMatchObject({ open: true, alone: false, suspect: true });
    expect(attempts.records.get(2)).toMatchObject({ open: true, alone: true, suspect: true });

    const other = gated();
    other.attempts.records.set(1, { ...NO_ATTEMPTS, open: true, suspect: true });
    other.attempts.records.set(2, { ...NO_ATTEMPTS, open: true });
    for (const sequence of [1, 2]) other.receive(again(2, { sequence }));
    later(5000);
    expect(other.gate.waiting.map(({ sequence }) => sequence)).toEqual([1]);
    expect(other.attempts.records.get(1)).toMatchObject({ open: true, alone: true, grave: true });
  });

  it('gets its attempts, each of which may end the process, and no more', () => {
    const attempts = new RecordingAttempts();
    let begun = 0;
    let buried = 0;
    for (let deliveries = 1; deliveries <= 10; deliveries++) {
      // Another process, which dies over it.
      const { receive, gate, letters } = gated({ attempts, retry: { attempts: 3 } });
      receive(again(deliveries));
      begun += gate.waiting.length;
      buried += letters.letters.length;
      if (buried > 0) break;
    }
    // The very first one is not noted: nothing is written for an event that succeeds at once. The second makes it suspect.
    expect([begun, buried]).toEqual([5, 1]);
  });
});

describe('while the attempts cannot be read or written', () => {
  it('an event waits, and is asked about again', () => {
    const { receive, attempts, gate, acks, consumer } = gated();
    attempts.error = error('TARGET_UNAVAILABLE', 'no leader');
    const run = receive(again(2));
    later(3000);
    expect([gate.waiting, acks.final, consumer.held]).toEqual([[], [], 1]);
    attempts.error = undefined;
    later(1000);
    expect(gate.waiting).toEqual([run]);
  });

  it('it does not begin before its begin is noted', () => {
    const attempts = new SlowAttempts();
    const { receive, gate } = gated({ attempts });
    const run = receive(again(2));
    attempts.answer();
    attempts.error = error('TARGET_UNAVAILABLE', 'no leader');
    attempts.answer();
    later(999);
    expect([gate.waiting, attempts.open]).toEqual([[], []]);
    later(1);
    attempts.error = undefined;
    attempts.answer();
    expect(gate.waiting).toEqual([run]);
  });

  it('it goes back on a drain, and an answer that comes after that changes nothing', () => {
    const attempts = new SlowAttempts();
    const { receive, gate, acks, consumer } = gated({ attempts });
    receive(again(2));
    consumer.draining = true;
    consumer.giveBackUnstarted(0);
    expect(acks.final).toEqual([['nak', 'again.2', 0]]);
    attempts.answer();
    later(10_000);
    expect([gate.waiting, attempts.puts, acks.final.length]).toEqual([[], [], 1]);
  });

  it('an answer that comes during a drain gives it back', () => {
    const attempts = new SlowAttempts();
    const { receive, acks, consumer } = gated({ attempts });
    receive(again(2));
    consumer.draining = true;
    attempts.answer();
    expect([attempts.open, acks.final]).toEqual([[], [['nak', 'again.2', 0]]]);
  });

  it('a begin that was noted during a drain is taken back before the event goes', () => {
    const attempts = new SlowAttempts();
    const { receive, acks, consumer, gate } = gated({ attempts });
    receive(again(2));
    attempts.answer();
    consumer.draining = true;
    attempts.answer();
    expect(attempts.records.get(42)).toMatchObject({ used: 0, open: true });
    expect(acks.final).toEqual([]);
    attempts.answer();
    expect(attempts.records.get(42)).toMatchObject({ used: 0, open: false });
    expect([gate.waiting, acks.final]).toEqual([[], [['nak', 'again.2', 0]]]);
  });
});

describe('an event that was handed over', () => {
  const brought = { ...NO_ATTEMPTS, used: 2, firstFailedAt: 5, confirmed: ['archive'] };
  const record = writeRecord(brought);

  it('brings its record along, and nothing is asked or noted for it', () => {
    const attempts = new SlowAttempts();
    const { receive, gate } = gated({ attempts, retry: { attempts: 5 } });
    const run = receive(jsonEvent({}), handedOver({ record, run: 'redrive-1' }));
    expect([gate.waiting, attempts.open]).toEqual([[run], []]);
    expect([run.record, run.attempt, run.id]).toEqual([brought, 3, 'redrive-1']);
  });

  it.each([undefined, '', 'not { JSON'])('with a record of %j is handled as new', (text) => {
    const { receive, gate } = gated();
    const run = receive(jsonEvent({}), handedOver({ record: text }));
    expect([gate.waiting, run.attempt]).toEqual([[run], 1]);
  });

  it.each<[name: string, stored: Partial<AttemptRecord>, attempt: number]>([
    ['what is stored, when it was tried since', { used: 3 }, 4],
    ['what it brought, when that is newer', { used: 1 }, 3],
  ])('and comes again goes by %s', (_name, stored, attempt) => {
    const { receive, attempts } = gated({ retry: { attempts: 9 } });
    attempts.records.set(42, { ...NO_ATTEMPTS, ...stored });
    expect(receive(again(2), handedOver({ record })).attempt).toBe(attempt);
  });

  it('is not taken for one of the stream that was acked: its first passage ended in the timer', () => {
    const { receive, gate, consumer } = gated();
    consumer.acked.add({ event: jsonEvent({}), handed: undefined });
    receive(again(2), handedOver({ record }));
    expect(gate.waiting).toHaveLength(1);
  });

  it('has no say in which events of the stream come again', () => {
    const { receive, consumer, attempts } = gated();
    receive(jsonEvent({}, { sequence: 9 }));
    receive(jsonEvent({}, { sequence: 99 }), handedOver());
    consumer.comesAgain();
    attempts.records.set(10, { ...NO_ATTEMPTS, used: 1 });
    expect(receive(jsonEvent({}, { sequence: 10 })).attempt).toBe(1);
  });
});
