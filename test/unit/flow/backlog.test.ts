/**
 * The order of a key when most of its events are stored, against a model: a stream that repeats, a store that refuses
 * now and then, retries that wait for long, timers that hold events back, and instances that die.
 */
import { describe, expect, it } from 'vitest';
import type { AttemptRecord } from '../../../src/core/attempts.ts';
import type { Event } from '../../../src/core/event.ts';
import type { Handed } from '../../../src/core/handover.ts';
import type { Run } from '../../../src/core/run.ts';
import type { LaneStore, StoredLane, Tier } from '../../../src/flow/lane.ts';
import { Lanes } from '../../../src/flow/order.ts';
import { error, Gate, handedBy, harness, jsonEvent, later, random, stopClocks } from '../core/helpers.ts';

const keyOf = (run: Run): string => (run.event.data as { readonly key: string }).key;

const LONG = 1e9;

interface Kept {
  readonly number: number;
  readonly lane: string;
  readonly tier: Tier;
  readonly sequence: number;
  readonly record: AttemptRecord | undefined;
  readonly behind: number | undefined;
}

type Answer = 'stored' | 'refused' | 'lost' | 'stored, but lost';

/** An event that is held back by a timer. */
interface Timed {
  readonly sequence: number;
  readonly record: AttemptRecord;
  /** Infinite while it is handed out. */
  at: number;
}

const handedOver = ({ position }: Event, record: AttemptRecord | undefined): Handed =>
  handedBy({
    stream: 'EVENTS',
    subject: 'events.orders.created',
    position,
    headers: undefined,
    run: '',
    record: record === undefined ? undefined : JSON.stringify(record),
    routes: undefined,
    letter: undefined,
    bodyName: undefined,
  });

/** What the server keeps, over all instances. */
class ModelStore {
  kept: Kept[] = [];
  timers: Timed[] = [];
  #number = 0;
  /** What becomes of the next one. */
  answers: () => Answer = () => 'stored';

  of(sequences: Map<number, string>, alive: () => boolean): LaneStore {
    return {
      name: (key) => `lane-${key}`,
      lanes: async () => {
        const lanes = new Map<string, StoredLane>();
        for (const { lane, tier } of this.kept) {
          const known = lanes.get(lane) ?? { front: 0, rest: 0, last: 0 };
          lanes.set(lane, { ...known, [tier]: known[tier] + 1 });
        }
        for (const [lane, known] of lanes) {
          const tier = known.rest > 0 ? 'rest' : 'front';
          const last = this.kept.findLast((each) => each.lane === lane && each.tier === tier);
          lanes.set(lane, { ...known, last: last?.behind ?? last?.sequence ?? 0 });
        }
        return lanes;
      },
      put: (lane, tier, { sequence }, record, behind, done) => {
        const answer = this.answers();
        const there = this.kept.some(
          (each) => each.lane === lane && each.sequence === sequence && each.record?.next === record?.next,
        );
        const number = ++this.#number;
        if (!there && (answer === 'stored' || answer === 'stored, but lost'))
          this.kept.push({ number, lane, tier, sequence, record, behind });
        const failures: Partial<Record<Answer, Error>> = {
          refused: error('TARGET_UNAVAILABLE'),
          lost: error('TARGET_TIMEOUT'),
          'stored, but lost': error('TARGET_TIMEOUT'),
        };
        queueMicrotask(() => alive() && done(failures[answer], !there));
      },
      next: async (lane, tier, from, again) => {
        const found = this.kept.find((each) => each.lane === lane && each.tier === tier && each.number >= from);
        if (found === undefined) return undefined;
        const { number, sequence, record, behind } = found;
        const event = jsonEvent(
          { key: sequences.get(sequence) },
          { sequence, deliveries: again ? 2 : 1, reply: `lane.${sequence}` },
        );
        return {
          number,
          event,
          handed: { ...handedOver(event, record), lane: { name: lane, number, inOrder: behind === undefined } },
        };
      },
      hold: (_lane, _letter, done) => done(undefined, ++this.#number),
      isLetter: async () => true,
      remove: (number) => {
        this.kept = this.kept.filter((each) => each.number !== number);
      },
    };
  }
}

/** Lets what was promised come about. */
const turn = async (): Promise<void> => {
  for (let round = 0; round < 20; round++) await Promise.resolve();
};

const instance = (
  store: ModelStore,
  sequences: Map<number, string>,
  options: { prefetch: number; ackWait: number },
) => {
  const lanes = new Lanes();
  const gate = new Gate();
  let alive = true;
  const made = harness({
    steps: [lanes.step(keyOf), gate],
    onSettled: lanes.onSettled,
    ordered: true,
    timeout: LONG,
    retry: { attempts: 1000, first: 2_000, factor: 3, max: 30_000 },
  });
  const { consumer, parking } = made;
  parking.park = (run, record, kind, done) => {
    if (kind === 'delay') {
      store.timers.push({ sequence: run.sequence, record, at: record.next });
      return done();
    }
    if (run.place === undefined) throw new Error('no place');
    lanes.backlog?.putFirst(run.place, run, record, done);
  };
  // The model says itself when an event is lost.
  const hand = () => options;
  consumer.limits = { prefetch: options.prefetch, ackWait: options.ackWait };
  lanes.attach({
    store: store.of(sequences, () => alive),
    receive: (event: Event, handed) => alive && consumer.receive(event, handed),
    hand,
    holds: () => false,
  });
  return {
    ...made,
    lanes,
    gate,
    die: () => {
      alive = false;
      lanes.close();
    },
    worked: (sequence: number): Run => {
      const index = gate.waiting.findIndex((run) => run.sequence === sequence);
      const [run] = gate.waiting.splice(index, 1);
      if (index < 0 || run === undefined) throw new Error(`${sequence} is not at work`);
      return run;
    },
    atWork: (): number[] => gate.waiting.filter(({ settled }) => !settled).map(({ sequence }) => sequence),
  };
};

describe('the events of a key that are stored', () => {
  stopClocks();

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('come in order, and all of them (seed %i)', async (seed) => {
    const chance = random(seed);
    const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(chance() * list.length)];
    const sequences = new Map<number, string>();
    const deliveries = new Map<number, number>();
    const store = new ModelStore();
    store.answers = () => {
      const roll = chance();
      if (roll < 0.08) return 'refused';
      if (roll < 0.12) return 'lost';
      return roll < 0.16 ? 'stored, but lost' : 'stored';
    };
    const options = { prefetch: 16, ackWait: 5_000 };
    let again: { readonly sequence: number; readonly at: number }[] = [];
    /** Events whose handling came to its end, in that order. */
    const ended: number[] = [];
    /** Events that timers hold back, or did. */
    const delayed = new Set<number>();
    /** Events that the stream is done with: they ended, or are stored. */
    const acked = new Set<number>();
    let now = instance(store, sequences, options);
    now.lanes.open(performance.now() + LONG);
    let answered = 0;
    let next = 1;
    let most = 0;

    const give = (sequence: number): void => {
      const delivery = (deliveries.get(sequence) ?? 0) + 1;
      deliveries.set(sequence, delivery);
      now.consumer.receive(jsonEvent({ key: sequences.get(sequence) }, { sequence, deliveries: delivery }));
    };
    const settle = (): void => {
      const { final } = now.acks;
      for (const [verb, reply, delay = 0] of final.slice(answered)) {
        if (reply.startsWith('lane.')) continue;
        if (reply.startsWith('due.')) {
          const timer = store.timers.find((each) => `due.${each.sequence}` === reply);
          if (verb === 'ack') store.timers = store.timers.filter((each) => each !== timer);
          else if (timer !== undefined) timer.at = Date.now() + delay;
          continue;
        }
        const sequence = Number(reply.slice('reply.'.length));
        if (verb === 'ack') acked.add(sequence);
        else again.push({ sequence, at: Date.now() + delay });
      }
      answered = final.length;
    };
    const check = (): void => {
      const busy = new Map<string | undefined, number>();
      for (const sequence of now.atWork()) {
        const key = sequences.get(sequence);
        expect(busy.has(key), `${sequence} beside ${busy.get(key)}`).toBe(false);
        busy.set(key, sequence);
        if (delayed.has(sequence)) continue;
        const earlier = [...sequences.keys()].filter(
          (each) => each < sequence && sequences.get(each) === key && !ended.includes(each) && !delayed.has(each),
        );
        expect(earlier, `${sequence} began before them`).toEqual([]);
      }
    };
    const takeOver = async (): Promise<void> => {
      const { attempts } = now;
      now.die();
      await turn();
      settle();
      now = instance(store, sequences, options);
      answered = 0;
      for (const [sequence, record] of attempts.records) now.attempts.records.set(sequence, record);
      again = [];
      for (const timer of store.timers) timer.at = Math.min(timer.at, Date.now());
      for (const sequence of [...sequences.keys()].filter((each) => !acked.has(each)).toSorted(() => chance() - 0.5))
        give(sequence);
      await now.lanes.takeStock();
      now.lanes.open(performance.now() + LONG);
    };
    const work = (fails: number): void => {
      const sequence = pick(now.atWork());
      if (sequence === undefined) return;
      const run = now.worked(sequence);
      if (chance() < fails) return run.fail(error());
      if (sequence % 7 === 0 && !delayed.has(sequence)) {
        delayed.add(sequence);
        return run.park(Date.now() + 1 + Math.floor(chance() * 10_000), 'delay');
      }
      ended.push(sequence);
      run.resume();
    };
    const tick = async (milliseconds: number): Promise<void> => {
      await turn();
      settle();
      for (let left = milliseconds; left > 0; left -= 1_000) {
        later(Math.min(left, 1_000));
        now.consumer.sweep(performance.now());
      }
      const due = again.filter(({ at }) => at <= Date.now());
      again = again.filter(({ at }) => at > Date.now());
      for (const { sequence } of due) give(sequence);
      for (const timer of store.timers.filter(({ at }) => at <= Date.now())) {
        timer.at = Number.POSITIVE_INFINITY;
        const { sequence, record } = timer;
        const event = jsonEvent({ key: sequences.get(sequence) }, { sequence, reply: `due.${sequence}` });
        now.consumer.receive(event, handedOver(event, record));
      }
      await turn();
      settle();
      check();
    };

    for (let round = 0; round < 700; round++) {
      const roll = chance();
      if (roll < 0.5 && round < 500) {
        sequences.set(next, chance() < 0.7 ? 'hot' : (pick(['a', 'b', 'c']) ?? ''));
        give(next++);
      } else if (roll < 0.52) await takeOver();
      else work(0.2);
      await tick(300);
      most = Math.max(most, store.kept.length);
    }
    store.answers = () => 'stored';
    for (let round = 0; round < 5_000 && new Set(ended).size < sequences.size; round++) {
      work(0);
      await tick(round % 10 === 9 ? 31_000 : 10);
    }
    expect(sequences.size - new Set(ended).size).toBe(0);
    await tick(1_000);
    expect(store.kept).toEqual([]);
    expect(store.timers).toEqual([]);
    expect(now.lanes.size).toBe(0);
    // It was about something.
    expect(most).toBeGreaterThan(10);
    for (const key of ['hot', 'a', 'b', 'c']) {
      const first = [...new Set(ended)].filter((sequence) => sequences.get(sequence) === key && !delayed.has(sequence));
      expect(first).toEqual(first.toSorted((left, right) => left - right));
    }
  });
});
