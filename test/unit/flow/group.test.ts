import { describe, expect, it, vi } from 'vitest';
import { type AttemptRecord, NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { Run } from '../../../src/core/run.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { deliverStep, type Route } from '../../../src/deliver/route.ts';
import { Admission } from '../../../src/flow/admit.ts';
import { OuzelError } from '../../../src/errors.ts';
import { type GroupLimits, Grouping } from '../../../src/flow/group.ts';
import { Cell, HistogramCell } from '../../../src/telemetry/cells.ts';
import {
  error,
  type HarnessOptions,
  harness,
  jsonEvent,
  later,
  outcome,
  POLICY,
  random,
  route,
  step,
  stopClocks,
} from '../core/helpers.ts';
import { RecordingAttempts } from '../core/recording.ts';

const LIMITS: GroupLimits = { max: 3, maxBytes: 10_000, within: 1000, atOnce: Number.POSITIVE_INFINITY };
const NO_ROUTE = outcome('filtered', 'no_route');

const dataOf = (run: Pick<Run, 'event'>): Record<string, unknown> => run.event.data as Record<string, unknown>;
const members = (delivery: Delivery): readonly Run[] => delivery.run.batch?.members ?? [delivery.run];
const names = (delivery: Delivery): string =>
  members(delivery)
    .map((run) => run.sequence)
    .join(' ');

/** A target that takes batches whole, and writes them down. */
function target(name = 'partner', more: Partial<Route> = {}) {
  const deliveries: Delivery[] = [];
  let answer: (delivery: Delivery) => void = (delivery) => delivery.confirm();
  const made = route(
    name,
    (delivery) => {
      deliveries.push(delivery);
      answer(delivery);
    },
    { batch: { whole: true, bisect: true }, ...more },
  );
  return {
    route: made,
    deliveries,
    /** The batches that came, each as its sequences. */
    came: () => deliveries.map(names),
    answers: (how: (delivery: Delivery) => void) => (answer = how),
    next: (): Delivery => {
      const open = deliveries.find(({ state }) => state === 'open');
      if (open === undefined) throw new Error('nothing is open');
      return open;
    },
  };
}

function grouped(
  routes: readonly Route[],
  limits: Partial<GroupLimits> = {},
  more: HarnessOptions & { readonly admission?: Admission } = {},
) {
  const { admission, steps = [], ...options } = more;
  const cells = { waiting: new Cell(), size: new HistogramCell([1, 2, 5]) };
  const grouping = new Grouping(
    { ...LIMITS, ...limits },
    {
      keyOf: (run) => dataOf(run)['key'] ?? null,
      leave: admission?.leave,
      after: (milliseconds, then) => {
        const timer = setTimeout(then, milliseconds);
        return () => clearTimeout(timer);
      },
    },
    cells,
  );
  const made = harness({
    ...options,
    steps: [...steps, grouping.step, ...(routes.length === 0 ? [] : [deliverStep(routes, NO_ROUTE)])],
    onSettled: (run) => {
      admission?.onSettled(run);
      grouping.onSettled(run);
    },
  });
  let sequence = 0;
  return {
    ...made,
    grouping,
    cells,
    take: (data: object, again: { sequence?: number; deliveries?: number } = {}): Run =>
      made.receive(jsonEvent(data, { sequence: again.sequence ?? ++sequence, deliveries: again.deliveries ?? 1 })),
  };
}

stopClocks();

describe('what makes a batch', () => {
  it('is delivered when it is full, and before that when its first event has waited', () => {
    const partner = target();
    const { take, counts } = grouped([partner.route]);
    for (const key of ['a', 'b', 'a']) take({ key });
    expect(partner.came()).toEqual([]);
    take({ key: 'a' });
    expect(partner.came()).toEqual(['1 3 4']);
    later(999);
    take({ key: 'b' });
    expect(partner.came()).toEqual(['1 3 4']);
    later(1);
    expect(partner.came()).toEqual(['1 3 4', '2 5']);
    expect(counts()).toMatchObject({ received: 5, delivered: 5, in_flight: 0 });
  });

  it('shows its events and its key, and keeps an event without one with its like', () => {
    const partner = target();
    const { take } = grouped([partner.route], { max: 2 });
    for (const data of [{ n: 1 }, { key: 'a', n: 2 }, { n: 3 }, { key: 'a', n: 4 }]) take(data);
    const seen = partner.deliveries.map(({ run }) => [
      run.key,
      run.events.map(({ data }) => (data as { n: number }).n),
    ]);
    expect(seen).toEqual([
      [null, [1, 3]],
      ['a', [2, 4]],
    ]);
  });

  it('never has more bytes than it may, but for an event that has them alone', () => {
    const partner = target();
    const { take } = grouped([partner.route], { maxBytes: 100, max: 100 });
    const sized = (bytes: number): void => void take({ fill: 'x'.repeat(bytes - '{"fill":""}'.length) });
    for (const bytes of [60, 30, 20, 500, 100, 40, 60]) sized(bytes);
    expect(partner.came()).toEqual(['1 2', '3', '4', '5', '6 7']);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('is what a model says, in a random history (seed %i)', (seed) => {
    const chance = random(seed);
    const pick = (below: number): number => Math.floor(chance() * below);
    const limits = { max: 1 + pick(6), maxBytes: 60 + pick(120), within: 50 + pick(500) };
    const prefetch = Math.max(limits.max, 4 + pick(8));
    const partner = target();
    const { take, counts } = grouped([partner.route], limits, { limits: { prefetch } });
    const expected: string[] = [];
    const open = new Map<string, { members: number[]; bytes: number; until: number }>();
    const emit = (key: string): void => {
      expected.push(open.get(key)?.members.join(' ') ?? '');
      open.delete(key);
    };
    const until = (instant: number): void => {
      for (const [key, { until: end }] of [...open].sort(([, a], [, b]) => a.until - b.until))
        if (end <= instant) emit(key);
    };
    for (let sequence = 1; sequence <= 250; sequence++) {
      const key = `k${pick(4)}`;
      const data = { key, fill: 'x'.repeat(pick(60)) };
      const bytes = JSON.stringify(data).length;
      const known = open.get(key);
      if (known !== undefined && known.bytes + bytes > limits.maxBytes) emit(key);
      const batch = open.get(key) ?? { members: [], bytes: 0, until: performance.now() + limits.within };
      open.set(key, batch);
      batch.members.push(sequence);
      batch.bytes += bytes;
      if (batch.members.length >= limits.max || batch.bytes >= limits.maxBytes) emit(key);
      const waiting = (): number => [...open.values()].reduce((sum, each) => sum + each.members.length, 0);
      while (waiting() >= prefetch) emit([...open.keys()][0] as string);
      take(data);
      expect(partner.came()).toEqual(expected);
      const pause = chance() < 0.3 ? pick(120) : 0;
      until(performance.now() + pause);
      later(pause);
      expect(partner.came()).toEqual(expected);
    }
    until(Number.POSITIVE_INFINITY);
    later(limits.within);
    expect(partner.came()).toEqual(expected);
    expect(counts()).toMatchObject({ delivered: 250, in_flight: 0 });
  });
});

describe('a batch that is refused', () => {
  it('is halved until the event is alone that it is refused for; the others are delivered', () => {
    const partner = target();
    partner.answers((delivery) => {
      if (members(delivery).some((run) => dataOf(run)['bad'] === true)) delivery.fail(error());
      else delivery.confirm();
    });
    const { take, counts, acks, attempts } = grouped([partner.route], { max: 8 });
    for (let index = 1; index <= 8; index++) take({ bad: index === 6 });
    expect(partner.came()).toEqual(['1 2 3 4 5 6 7 8', '1 2 3 4', '5 6 7 8', '5 6', '5', '6', '7 8']);
    expect(counts()).toMatchObject({ delivered: 7, retries: 1, in_flight: 0 });
    expect(acks.final.filter(([verb]) => verb === 'nak')).toEqual([['nak', 'reply.6', 1000]]);
    // When it comes again, nobody has to be told apart from it.
    expect(attempts.records.get(6)).toMatchObject({ used: 1, batch: '6.1' });
    later(1000);
    take({ key: 'x' });
    take({ bad: true }, { sequence: 6, deliveries: 2 });
    expect(partner.came().slice(7)).toEqual(['6']);
  });

  it('is not halved where that is not wanted: its events come again as the same batch', () => {
    const partner = target('partner', { batch: { whole: true, bisect: false } });
    partner.answers((delivery) => delivery.fail(error()));
    const { take, acks } = grouped([partner.route], { max: 3 }, { retry: { jitter: 0.5 } });
    const retry = { ...POLICY, jitter: 0.5 };
    Object.assign(partner.route, { retry });
    for (let index = 1; index <= 3; index++) take({});
    const [first, ...others] = acks.final.map(([, , delay]) => delay);
    expect(others).toEqual([first, first]);
    later(first ?? 0);
    partner.answers((delivery) => delivery.confirm());
    take({}, { sequence: 3, deliveries: 2 });
    take({ new: true });
    take({}, { sequence: 1, deliveries: 2 });
    take({}, { sequence: 2, deliveries: 2 });
    expect(partner.came()).toEqual(['1 2 3', '3 1 2']);
    later(1000);
    expect(partner.came()).toEqual(['1 2 3', '3 1 2', '4']);
  });

  it('comes again whole after a target that was away, and uses up no attempts', () => {
    const partner = target();
    partner.answers((delivery) => delivery.fail(error('TARGET_UNAVAILABLE')));
    const { take, counts, attempts } = grouped([partner.route]);
    for (let index = 1; index <= 3; index++) take({});
    expect(partner.came()).toEqual(['1 2 3']);
    expect(counts()).toMatchObject({ retries: 3, in_flight: 0 });
    expect([...attempts.records.values()].map(({ used, batch }) => [used, batch])).toEqual([
      [0, '1.3'],
      [0, '1.3'],
      [0, '1.3'],
    ]);
    // One request that failed is one failure to the breaker, however many events were in it.
    expect(partner.route.breaker.isOpen).toBe(false);
  });

  it('comes again in halves, if it fails time and again while others get through', () => {
    const partner = target();
    const { take, counts, acks, letters } = grouped([partner.route], { max: 4 });
    partner.answers((delivery) => {
      if (!members(delivery).some((run) => dataOf(run)['bad'] === true)) return delivery.confirm();
      delivery.fail(new OuzelError('TARGET_UNAVAILABLE', 'answered 500', { status: 500 }));
    });
    const data = (sequence: number): object => ({ key: 'x', bad: sequence === 2 });
    for (let sequence = 1; sequence <= 4; sequence++) take(data(sequence), { sequence });
    let answered = 0;
    for (let turn = 2; turn < 9; turn++) {
      // Another batch gets through, so it is not the target's fault.
      later(20_000);
      for (let other = 0; other < 4; other++) take({ key: 'other' }, { sequence: turn * 100 + other });
      const due = acks.final.slice(answered).filter(([verb]) => verb === 'nak');
      answered = acks.final.length;
      for (const [, reply] of due) {
        const sequence = Number(reply.slice('reply.'.length));
        take(data(sequence), { sequence, deliveries: turn });
      }
    }
    const all = partner.came().filter((batch) => Number.parseInt(batch, 10) < 100);
    expect(all).toEqual(['1 2 3 4', '1 2 3 4', '1 2', '3 4', '1', '2', '2']);
    expect(letters.letters.map(({ run, reason }) => [run.sequence, reason])).toEqual([[2, 'rejected']]);
    expect(counts()).toMatchObject({ dead_lettered: 1, in_flight: 0 });
  });

  it('is refused by each route for itself, and confirmed routes are not delivered to again', () => {
    const [good, bad] = [target('good'), target('bad')];
    bad.answers((delivery) => delivery.fail(error()));
    const { take, attempts, letters, counts } = grouped([good.route, bad.route], { max: 2 });
    for (let attempt = 1; attempt <= POLICY.attempts; attempt++)
      for (let sequence = 1; sequence <= 2; sequence++) {
        if (attempt > 1) later(10_000);
        take({}, { sequence, deliveries: attempt });
      }
    expect(good.came()).toEqual(['1 2']);
    expect(bad.came()).toEqual(['1 2', '1', '2', '1', '2', '1', '2']);
    expect(letters.letters.map(({ run }) => run.record?.confirmed)).toEqual([['good'], ['good']]);
    expect(counts()).toMatchObject({ dead_lettered: 2, retries: 4 });
    expect(attempts.records.size).toBe(0);
  });

  it('is halved over a condition that has no value for one of its events', () => {
    const partner = target('partner', {
      when: ({ events = [] }) => {
        if (events.some(({ data }) => (data as { bad?: boolean }).bad === true)) throw error('EVENT_EXPRESSION');
        return true;
      },
    });
    const { take, letters, counts } = grouped([partner.route], { max: 4 });
    for (let index = 1; index <= 4; index++) take({ bad: index === 2 });
    expect(partner.came()).toEqual(['1', '3 4']);
    expect(letters.letters.map(({ run, reason }) => [run.sequence, reason])).toEqual([[2, 'expression_error']]);
    expect(counts()).toMatchObject({ delivered: 3, dead_lettered: 1 });
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8])('loses no event and doubles no outcome, in a random history (seed %i)', (seed) =>
    history(seed),
  );
});

/** Events that come again as the server would hand them out, a target that refuses some of them and is away at times. */
function history(seed: number): void {
  const chance = random(seed);
  const pick = (below: number): number => Math.floor(chance() * below);
  const partner = target();
  const each = target('each', { batch: { whole: false, bisect: true } });
  const limits = { max: 2 + pick(5), within: 200 };
  const attempts = new RecordingAttempts();
  const { take, acks, counts, letters, consumer, grouping, cells } = grouped([partner.route, each.route], limits, {
    attempts,
  });
  const bad = new Set<number>();
  let away = false;
  const answer = (delivery: Delivery): void => {
    const all = members(delivery);
    expect(all.length).toBeLessThanOrEqual(limits.max);
    expect(new Set(all.map((run) => dataOf(run)['key'])).size).toBe(1);
    if (away) delivery.fail(error('TARGET_UNAVAILABLE'));
    else if (all.some(({ sequence }) => bad.has(sequence))) delivery.fail(error());
    else delivery.confirm();
  };
  partner.answers((delivery) => (chance() < 0.5 ? answer(delivery) : setTimeout(() => answer(delivery), pick(100))));
  const data = new Map<number, object>();
  const deliveries = new Map<number, number>();
  const receive = (sequence: number): void => {
    deliveries.set(sequence, (deliveries.get(sequence) ?? 0) + 1);
    take(data.get(sequence) ?? {}, { sequence, deliveries: deliveries.get(sequence) ?? 1 });
  };
  let answered = 0;
  const serve = (): void => {
    for (; answered < acks.final.length; answered++) {
      const [verb, reply, delay = 0] = acks.final[answered] ?? ['ack', ''];
      if (verb === 'nak') setTimeout(() => receive(Number(reply.slice('reply.'.length))), delay);
    }
  };
  const count = 150;
  for (let sequence = 1; sequence <= count; sequence++) {
    data.set(sequence, { key: `k${pick(3)}` });
    if (chance() < 0.1) bad.add(sequence);
    if (chance() < 0.05) away = !away;
    receive(sequence);
    serve();
    later(pick(60));
  }
  away = false;
  for (let turn = 0; turn < 4000 && consumer.held + consumer.delayed.size > 0; turn++) {
    later(100);
    serve();
  }
  expect(counts()).toMatchObject({ delivered: count - bad.size, dead_lettered: bad.size, in_flight: 0 });
  expect(letters.letters.map(({ run }) => run.sequence).sort((a, b) => a - b)).toEqual([...bad]);
  // Each was delivered by the route beside it, and no more often than once: it confirmed.
  expect(each.deliveries.map(({ run }) => run.sequence).sort((a, b) => a - b)).toEqual(
    Array.from({ length: count }, (_, index) => index + 1),
  );
  for (const { run, reason } of letters.letters)
    expect([reason, run.record?.used]).toEqual(['rejected', POLICY.attempts - 1]);
  expect([grouping.waiting, cells.waiting.value]).toEqual([0, 0]);
  expect(attempts.records.size).toBe(0);
}

describe('what waits in hand', () => {
  it('goes back at a drain, whatever it waits for', () => {
    const partner = target();
    partner.answers(() => undefined);
    const { take, consumer, counts, grouping, cells } = grouped([partner.route], { max: 2 });
    for (const key of ['a', 'a', 'b', 'c']) take({ key });
    expect([cells.waiting.value, cells.size.sum]).toEqual([2, 2]);
    consumer.draining = true;
    consumer.giveBackUnstarted(50);
    expect(counts()).toMatchObject({ returned: 2, in_flight: 2 });
    expect([grouping.waiting, cells.waiting.value, cells.size.sum]).toEqual([0, 0, 2]);
    partner.next().confirm();
    expect(counts()).toMatchObject({ returned: 2, delivered: 2, in_flight: 0 });
    later(5_000);
    expect(partner.came()).toEqual(['1 2']);
  });

  it('is kept alive, and does not run out of time', () => {
    const partner = target();
    const { take, consumer, acks, counts } = grouped(
      [partner.route],
      { within: 60_000 },
      { limits: { ackWait: 30_000 }, timeout: 5_000 },
    );
    take({});
    for (let second = 0; second < 59; second++) {
      later(1_000);
      consumer.sweep(performance.now());
    }
    expect(acks.answers.filter(([verb]) => verb === 'working').length).toBeGreaterThan(3);
    later(1_000);
    expect(counts()).toMatchObject({ delivered: 1, returned: 0 });
  });

  it('is let go with the event that leads it, when that goes back while their target is away', () => {
    const partner = target();
    const { breaker } = partner.route;
    for (let time = 0; time < 20; time++) breaker.failed(error('TARGET_UNAVAILABLE'));
    const { take, consumer, counts } = grouped([partner.route], { max: 2 }, { unavailable: () => breaker.isOpen });
    const run = take({});
    take({});
    expect(breaker.waiting).toBe(1);
    consumer.settle.giveBack(run);
    expect(counts()).toMatchObject({ returned: 2, in_flight: 0 });
    expect(breaker.waiting).toBe(0);
  });

  it('goes back when another plan is put in its place, to be collected by that', () => {
    const partner = target();
    const { take, consumer, plan, counts, closed, grouping } = grouped([partner.route], { within: 3_600_000 });
    take({});
    take({});
    consumer.replacePlan({ ...plan, revision: 'r2' });
    consumer.giveBackOutdated();
    expect(counts()).toMatchObject({ returned: 2, in_flight: 0 });
    expect([grouping.waiting, closed]).toEqual([0, ['r1']]);
    expect(partner.came()).toEqual([]);
  });

  it('goes on as one batch when its target is back', () => {
    const partner = target();
    const { breaker } = partner.route;
    for (let time = 0; time < 20; time++) breaker.failed(error('TARGET_UNAVAILABLE'));
    const { take, counts } = grouped([partner.route], { max: 2 }, { unavailable: () => breaker.isOpen });
    for (let index = 1; index <= 4; index++) take({});
    expect(partner.came()).toEqual([]);
    later(60_000);
    expect(partner.came()).toEqual(['1 2', '3 4']);
    expect(counts()).toMatchObject({ delivered: 4 });
  });

  it('runs out of time as a whole, which is one failure to the breaker', () => {
    const partner = target('partner', { timeout: 1_000 });
    const signals: AbortSignal[] = [];
    partner.answers(({ signal }) => signals.push(signal));
    const failed = vi.spyOn(partner.route.breaker, 'failed');
    const { take, consumer, counts } = grouped([partner.route], { max: 2 });
    take({});
    take({});
    later(1_001);
    consumer.sweep(performance.now());
    expect(counts()).toMatchObject({ retries: 2, in_flight: 0 });
    expect(failed).toHaveBeenCalledTimes(1);
    expect(partner.deliveries[0]?.state).toBe('failed');
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });

  it('keeps what a batch confirmed, when a drain cuts it off', () => {
    const [quick, slow] = [target('quick'), target('slow')];
    const signals: AbortSignal[] = [];
    slow.answers(({ signal }) => signals.push(signal));
    const { take, consumer, attempts } = grouped([quick.route, slow.route], { max: 2 });
    take({});
    take({});
    consumer.interrupt(0);
    expect([...attempts.records.values()].map(({ confirmed }) => confirmed)).toEqual([['quick'], ['quick']]);
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
  });
});

describe('together with the stages before it', () => {
  it('an event that is collected leaves its place, and no more batches are delivered at once than places', () => {
    const partner = target();
    partner.answers(() => undefined);
    const admission = new Admission(1);
    const { take, counts } = grouped([partner.route], { max: 2, atOnce: 1 }, { admission, steps: [admission.step] });
    for (let index = 1; index <= 6; index++) take({});
    expect(partner.came()).toEqual(['1 2']);
    partner.next().confirm();
    expect(partner.came()).toEqual(['1 2', '3 4']);
    partner.next().confirm();
    partner.next().confirm();
    expect(counts()).toMatchObject({ delivered: 6, in_flight: 0 });
    expect(admission.running).toBe(0);
  });

  it('an event that may have ended the process goes alone, and the attempt of each that is known is noted', () => {
    const attempts = new RecordingAttempts();
    const known: AttemptRecord = { ...NO_ATTEMPTS, used: 1, firstFailedAt: 1, failedAt: 1 };
    attempts.records.set(1, { ...known, open: true });
    attempts.records.set(2, known);
    const partner = target();
    partner.answers(() => undefined);
    const { take, counts } = grouped([partner.route], { max: 2 }, { attempts });
    take({}, { sequence: 1, deliveries: 2 });
    expect(partner.came()).toEqual(['1']);
    take({}, { sequence: 2, deliveries: 2 });
    // It only waits: if the process ends meanwhile, that is not over this one.
    expect(attempts.records.get(2)?.open).toBe(false);
    take({}, { sequence: 3, deliveries: 2 });
    later(1_000);
    expect(partner.came()).toEqual(['1', '2', '3']);
    expect([1, 2, 3].map((sequence) => attempts.records.get(sequence)?.open)).toEqual([true, true, true]);
    for (const delivery of partner.deliveries) delivery.confirm();
    expect(counts()).toMatchObject({ delivered: 3, in_flight: 0 });
    expect(attempts.records.size).toBe(0);
  });

  it('what takes no route, or has none to take, ends for all of a batch', () => {
    const nowhere = grouped([], { max: 2 });
    nowhere.take({});
    nowhere.take({});
    expect(nowhere.counts()).toMatchObject({ delivered: 2 });
    const before = NO_ROUTE.counter.value;
    const none = grouped(
      [target('a', { when: () => false }).route],
      { max: 2 },
      { steps: [step('x', () => undefined)] },
    );
    none.take({});
    none.take({});
    expect(NO_ROUTE.counter.value - before).toBe(2);
  });
});
