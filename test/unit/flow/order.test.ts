/** The order of a key's events against a model: a stream that hands out, loses and repeats as a server may. */
import { describe, expect, it } from 'vitest';
import type { Run } from '../../../src/core/run.ts';
import { Lanes } from '../../../src/flow/order.ts';
import { error, Gate, harness, jsonEvent, later, random, step, stopClocks } from '../core/helpers.ts';

const keyOf = (run: Run): string | undefined => (run.event.data as { readonly key?: string }).key;

/** How long the gate stays open without being told again. */
const LONG = 3_600_000;

const ordering = () => {
  const lanes = new Lanes();
  const gate = new Gate();
  const made = harness({ steps: [lanes.step(keyOf), gate], onSettled: lanes.onSettled, ordered: true });
  lanes.open(performance.now() + LONG);
  const take = (sequence: number, key?: string, deliveries = 1): Run =>
    made.receive(jsonEvent(key === undefined ? {} : { key }, { sequence, deliveries }));
  const atWork = (): number[] => gate.waiting.map(({ sequence }) => sequence);
  /** Takes the run with this number out of the gate. */
  const worked = (sequence: number): Run => {
    const index = gate.waiting.findIndex((run) => run.sequence === sequence);
    const [run] = gate.waiting.splice(index, 1);
    if (index < 0 || run === undefined) throw new Error(`${sequence} is not at work`);
    return run;
  };
  return { lanes, gate, take, atWork, worked, ...made };
};

describe('the order of a key', () => {
  stopClocks();

  it('lets one event of a key be at work, and the others of it wait; other keys go on', () => {
    const { take, atWork, worked, lanes } = ordering();
    take(1, 'a');
    take(2, 'a');
    take(3, 'b');
    take(4, 'a');
    expect(atWork()).toEqual([1, 3]);
    worked(1).resume();
    expect(atWork()).toEqual([3, 2]);
    worked(2).resume();
    worked(3).resume();
    worked(4).resume();
    expect(lanes.size).toBe(0);
  });

  it('takes events without the field for one key', () => {
    const { take, atWork } = ordering();
    take(1);
    take(2);
    expect(atWork()).toEqual([1]);
  });

  it('begins nothing of a key before an event that is tried again has its outcome', () => {
    const { take, atWork, worked, acks, lanes } = ordering();
    take(1, 'a');
    take(2, 'a');
    worked(1).fail(error());
    expect(acks.final).toEqual([['nak', 'reply.1', 1000]]);
    expect(atWork()).toEqual([]);
    expect(lanes.out).toEqual({ all: 1, ofStream: 1 });
    take(3, 'a');
    later(1000);
    take(1, 'a', 2);
    expect(atWork()).toEqual([1]);
    worked(1).resume();
    expect(atWork()).toEqual([2]);
  });

  it('keeps the place of an event that comes before it is due', () => {
    const { take, atWork, worked, acks, attempts } = ordering();
    take(1, 'a');
    take(2, 'a');
    worked(1).fail(error());
    take(1, 'a', 2);
    later(1);
    // It may come a little early; this one does not come at all.
    worked(1).fail(error());
    expect(attempts.records.get(1)?.used).toBe(2);
    take(1, 'a', 3);
    expect(acks.final.at(-1)).toEqual(['nak', 'reply.1', 2000]);
    expect(atWork()).toEqual([]);
    later(2000);
    take(1, 'a', 4);
    expect(atWork()).toEqual([1]);
  });

  it('goes on behind a dead letter', () => {
    const { take, atWork, worked, letters } = ordering();
    take(1, 'a');
    take(2, 'a');
    worked(1).fail(error('EVENT_INVALID'));
    expect(letters.letters).toHaveLength(1);
    expect(atWork()).toEqual([2]);
  });

  it('begins nothing while the gate is closed, and then in the order of the stream', () => {
    const { take, atWork, worked, lanes } = ordering();
    take(5, 'a');
    lanes.close();
    worked(5).resume();
    for (const sequence of [9, 7, 8]) take(sequence, 'a', sequence === 9 ? 1 : 2);
    take(10, 'b');
    expect(atWork()).toEqual([]);
    lanes.open(performance.now() + LONG);
    expect(atWork()).toEqual([7, 10]);
    worked(7).resume();
    expect(atWork()).toEqual([10, 8]);
    worked(8).resume();
    expect(atWork()).toEqual([10, 9]);
  });

  it('begins nothing any more when nobody has said for too long that the gate is open', () => {
    const { take, atWork, worked, lanes } = ordering();
    lanes.open(performance.now() + 10_000);
    take(1, 'a');
    later(10_000);
    take(2, 'b');
    worked(1).resume();
    take(3, 'a');
    expect(atWork()).toEqual([]);
    lanes.open(performance.now() + 10_000);
    expect(atWork()).toEqual([2, 3]);
  });

  it('says when an event is lost before it had a place', () => {
    const lanes = new Lanes();
    let missed = 0;
    lanes.onMissed = () => missed++;
    const gate = new Gate();
    const { consumer, receive } = harness({
      steps: [gate, lanes.step(keyOf)],
      onSettled: lanes.onSettled,
      ordered: true,
    });
    const run = receive(jsonEvent({ key: 'a' }, { sequence: 1 }));
    consumer.settle.lose(run);
    expect(missed).toBe(1);
    expect(lanes.out.all).toBe(0);
  });

  it('is of each event alone where there is only the gate: it closes and opens, and knows what is out', () => {
    const lanes = new Lanes();
    const gate = new Gate();
    const { consumer, receive } = harness({
      steps: [lanes.gate(), gate],
      onSettled: lanes.onSettled,
      exclusive: true,
    });
    const take = (sequence: number, deliveries = 1): Run => receive(jsonEvent({ key: 'a' }, { sequence, deliveries }));
    take(1);
    expect(gate.waiting).toEqual([]);
    lanes.open(performance.now() + LONG);
    take(2);
    take(3);
    expect(gate.waiting.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    gate.next().fail(error());
    expect([lanes.begun, lanes.out.ofStream, lanes.size]).toEqual([2, 1, 3]);
    gate.next().resume();
    lanes.close();
    later(1000);
    take(1, 2);
    take(4);
    expect(gate.waiting.map(({ sequence }) => sequence)).toEqual([3]);
    expect([lanes.begun, lanes.out.all]).toEqual([1, 0]);
    lanes.open(performance.now() + LONG);
    expect(gate.waiting.map(({ sequence }) => sequence)).toEqual([3, 1, 4]);
    while (gate.waiting.length > 0) gate.next().resume();
    expect([lanes.begun, lanes.size, consumer.held]).toEqual([0, 0, 0]);
  });

  it('forgets what is out, and lets go on who waited behind it', () => {
    const { take, atWork, worked, lanes } = ordering();
    take(1, 'a');
    take(2, 'a');
    worked(1).fail(error());
    lanes.forgetOut();
    expect(atWork()).toEqual([2]);
  });

  it('does not grow the stack when thousands wait behind one', () => {
    const lanes = new Lanes();
    const gate = new Gate();
    const first = step('first', (run) => (run.sequence === 1 ? gate.run(run) : undefined));
    const { consumer, counts } = harness({
      steps: [lanes.step(keyOf), first],
      onSettled: lanes.onSettled,
      ordered: true,
    });
    lanes.open(performance.now() + LONG);
    for (let sequence = 1; sequence <= 5_000; sequence++) consumer.receive(jsonEvent({ key: 'a' }, { sequence }));
    gate.next().resume();
    expect(counts()).toMatchObject({ delivered: 5_000, in_flight: 0 });
    expect(lanes.size).toBe(0);
  });

  /**
   * A stream whose durable hands out in order, repeats what was given back or lost, and may be taken over by a consumer
   * that knows nothing of the one before.
   */
  it.each([1, 2, 3, 4, 5, 6, 7, 8])('holds in a random history, with losses and take-overs (seed %i)', (seed) => {
    const chance = random(seed);
    const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(chance() * list.length)];
    const keys = ['a', 'b', 'c', undefined];
    const keyBySequence = new Map<number, string | undefined>();
    const deliveries = new Map<number, number>();
    /** What is to be handed out again, with when. */
    let again: { readonly sequence: number; readonly at: number }[] = [];
    const ended: number[] = [];
    let now = ordering();
    let answered = 0;
    let next = 1;
    const give = (sequence: number): void => {
      const delivery = (deliveries.get(sequence) ?? 0) + 1;
      deliveries.set(sequence, delivery);
      now.take(sequence, keyBySequence.get(sequence), delivery);
    };
    /** Reads what the consumer answered since. */
    const settle = (): void => {
      for (const [verb, reply, delay = 0] of now.acks.final.slice(answered)) {
        const sequence = Number(reply.slice('reply.'.length));
        if (verb === 'ack') ended.push(sequence);
        else again.push({ sequence, at: Date.now() + delay });
      }
      answered = now.acks.final.length;
    };
    const open = (): number[] => [...keyBySequence.keys()].filter((sequence) => !ended.includes(sequence));
    const checkOrder = (): void => {
      const perKey = new Map<string | undefined, number>();
      for (const sequence of now.atWork()) {
        const key = keyBySequence.get(sequence);
        expect(perKey.has(key), `${sequence} beside ${perKey.get(key)}`).toBe(false);
        perKey.set(key, sequence);
        const earlier = open().filter((each) => each < sequence && keyBySequence.get(each) === key);
        expect(earlier, `${sequence} began before`).toEqual([]);
      }
    };
    const takeOver = (): void => {
      const { attempts } = now;
      now = ordering();
      answered = 0;
      for (const [sequence, record] of attempts.records) now.attempts.records.set(sequence, record);
      now.lanes.close();
      again = [];
      // They come in any order, until all are there.
      for (const sequence of open().toSorted(() => chance() - 0.5)) give(sequence);
      now.lanes.open(performance.now() + LONG);
    };
    for (let round = 0; round < 1200; round++) {
      const roll = chance();
      if (roll < 0.4 && round < 900) {
        keyBySequence.set(next, pick(keys));
        give(next++);
      } else if (roll < 0.43) takeOver();
      else if (roll < 0.5) {
        const run = pick(now.consumer.runs());
        if (run !== undefined && !run.started) {
          // The server gave up waiting for it, and hands it out once more.
          now.consumer.settle.lose(run);
          again.push({ sequence: run.sequence, at: Date.now() });
        }
      } else {
        const sequence = pick(now.atWork());
        if (sequence !== undefined) {
          const run = now.worked(sequence);
          if (chance() < 0.25) run.fail(error());
          else run.resume();
        }
      }
      settle();
      later(200);
      const due = again.filter(({ at }) => at <= Date.now());
      again = again.filter(({ at }) => at > Date.now());
      for (const { sequence } of due) give(sequence);
      settle();
      checkOrder();
    }
    for (let round = 0; round < 5_000 && open().length > 0; round++) {
      for (const sequence of now.atWork()) now.worked(sequence).resume();
      settle();
      later(1000);
      const due = again;
      again = [];
      for (const { sequence } of due) give(sequence);
      settle();
      checkOrder();
    }
    expect(open()).toEqual([]);
    expect(now.lanes.size).toBe(0);
    for (const key of keys) {
      const ofKey = [...new Set(ended)].filter((sequence) => keyBySequence.get(sequence) === key);
      expect(ofKey).toEqual(ofKey.toSorted((left, right) => left - right));
    }
    expect(ended.length).toBeGreaterThan(200);
  });
});
