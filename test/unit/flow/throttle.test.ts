import { describe, expect, it } from 'vitest';
import { PENDING, type Run } from '../../../src/core/run.ts';
import type { Rate } from '../../../src/flow/gcra.ts';
import { FleetQuota, LocalQuota, type SharedStandings } from '../../../src/flow/quota.ts';
import { RateLimit } from '../../../src/flow/rate-limit.ts';
import { Throttle } from '../../../src/flow/throttle.ts';
import { Cell } from '../../../src/telemetry/cells.ts';
import { harness, jsonEvent, later, outcome, random, step, stopClocks } from '../core/helpers.ts';

const settled = (): Promise<void> => new Promise((resolve) => queueMicrotask(resolve));

/** Lets milliseconds pass, one by one, with what is to be done in between. */
async function pass(milliseconds: number): Promise<void> {
  for (let each = 0; each < milliseconds; each++) {
    later(1);
    await settled();
  }
}

/** A consumer behind a throttle; when each event went on. */
function throttled(rate: Rate, options: { keys?: (run: Run) => string; prefetch?: number; ackWait?: number } = {}) {
  const { keys, prefetch = 2000, ackWait = 3_600_000 } = options;
  const limit = new Throttle(new LocalQuota(rate));
  const seconds = new Cell();
  const gone: { readonly sequence: number; readonly at: number; readonly key: string }[] = [];
  const keyOf = keys ?? (() => '');
  const made = harness({
    limits: { prefetch, ackWait },
    timeout: 1_000,
    steps: [
      step('throttle', (run) =>
        limit.admits(run, { key: keyOf(run), selective: keys !== undefined, seconds }) ? undefined : PENDING,
      ),
      step('note', (run) => {
        gone.push({ sequence: run.sequence, at: performance.now(), key: keyOf(run) });
        return undefined;
      }),
    ],
  });
  let sequence = 0;
  const take = (data: unknown = {}): Run => made.receive(jsonEvent(data, { sequence: ++sequence }));
  return { ...made, limit, seconds, gone, take };
}

describe('Throttle', () => {
  stopClocks();

  it('lets go a burst at once, and the others at the rate, first come, first served', async () => {
    const { gone, take, limit, seconds, counts } = throttled({ interval: 100, burst: 3 });
    const begin = performance.now();
    for (let count = 0; count < 6; count++) take();
    await settled();
    expect(gone.map(({ sequence }) => sequence)).toEqual([1, 2, 3]);
    expect(limit.waiting).toBe(3);
    await pass(300);
    expect(gone.map(({ sequence, at }) => [sequence, at - begin])).toEqual([
      [1, 0],
      [2, 0],
      [3, 0],
      [4, 100],
      [5, 200],
      [6, 300],
    ]);
    expect(seconds.value).toBeCloseTo(0.6, 5);
    expect(limit.waiting).toBe(0);
    expect(counts()).toMatchObject({ delivered: 6, retries: 0, dead_lettered: 0 });
  });

  it('never lets go more than a burst after a time without any, and uses the rate up while many wait', async () => {
    const rate = { interval: 7, burst: 4 };
    const { gone, take, consumer } = throttled(rate);
    const next = random(5);
    for (let round = 0; round < 60; round++) {
      for (let count = Math.floor(next() * 30); count > 0; count--) take();
      await pass(Math.floor(next() ** 3 * 300));
      consumer.sweep(performance.now());
    }
    const times = gone.map(({ at }) => at);
    let excess = 0;
    for (let from = 0; from < times.length; from++)
      for (let to = from; to < times.length; to++) {
        const stretch = (times[to] as number) - (times[from] as number);
        excess = Math.max(excess, to - from + 1 - rate.burst - stretch / rate.interval);
      }
    expect(excess).toBeLessThanOrEqual(1e-3);
    expect(gone.map(({ sequence }) => sequence)).toEqual(gone.map((_each, index) => index + 1));
    // A tick of the clock late at the most, which costs no rate: the slots are taken ahead.
    const begin = performance.now();
    for (let count = 0; count < 100; count++) take();
    const before = gone.length;
    await pass(700);
    expect(gone.length - before).toBeGreaterThanOrEqual(Math.floor((performance.now() - begin) / rate.interval) - 1);
  });

  it('does not count the time that an event waits for it as time of the attempt', async () => {
    const { take, consumer, counts } = throttled({ interval: 5_000, burst: 1 });
    take();
    const second = take();
    await settled();
    expect(second.started).toBe(false);
    for (let count = 0; count < 10; count++) {
      await pass(450);
      consumer.sweep(performance.now());
    }
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 1, dead_lettered: 0, retries: 0 });
    await pass(600);
    expect(counts()).toMatchObject({ delivered: 2 });
    expect(second.throttledFor).toBeGreaterThanOrEqual(5_000);
  });

  it('gives its place to the next one when an event goes otherwise', async () => {
    const { take, consumer, gone } = throttled({ interval: 100, burst: 1 });
    take();
    const second = take();
    take();
    await settled();
    consumer.settle.giveBack(second);
    await pass(100);
    expect(gone.map(({ sequence }) => sequence)).toEqual([1, 3]);
  });

  it('hands to timers what waits too long for one key, each for another instant, and lets the other keys go on', async () => {
    const keys = (run: Run): string => String((run.event.data as { key?: unknown }).key);
    const { take, gone, parking, counts } = throttled(
      { interval: 1_000, burst: 1 },
      { keys, ackWait: 5_000, prefetch: 400 },
    );
    for (let count = 0; count < 20; count++) take({ key: 'hot' });
    take({ key: 'other' });
    await settled();
    expect(gone.map(({ key }) => key)).toEqual(['hot', 'other']);
    // The first went at once; so many wait in hand as go within ack_wait.
    expect(parking.parked.map(({ kind }) => kind)).toEqual(Array.from({ length: 14 }, () => 'throttle'));
    const due = parking.parked.map(({ record }) => record.next - Date.now());
    expect(due).toEqual(Array.from({ length: 14 }, (_each, index) => 5_000 + index * 1_000));
    expect(counts()).toMatchObject({ parked: 14, in_flight: 5, delivered: 2 });
    await pass(5_100);
    expect(counts()).toMatchObject({ delivered: 7, in_flight: 0 });
  });

  it('never lets one key take more than a part of the room', async () => {
    const keys = (run: Run): string => String((run.event.data as { key?: unknown }).key);
    const { take, limit, parking } = throttled({ interval: 10, burst: 1 }, { keys, prefetch: 40 });
    for (let count = 0; count < 40; count++) take({ key: 'hot' });
    await settled();
    expect([limit.waiting, parking.parked.length]).toEqual([10, 29]);
  });

  it('is passed once in an attempt, also where its step is come to again', async () => {
    const limit = new Throttle(new LocalQuota({ interval: 100, burst: 1 }));
    const terms = { key: '', selective: false, seconds: undefined };
    const { receive } = harness({ steps: [step('wait', () => PENDING)] });
    const run = receive();
    expect(limit.admits(run, terms)).toBe(true);
    expect(limit.admits(run, terms)).toBe(true);
    expect(limit.admits(receive(jsonEvent({}, { sequence: 2 })), terms)).toBe(false);
  });
});

describe('RateLimit', () => {
  stopClocks();

  it('drops what comes faster, and counts a retry no second time', () => {
    const dropped = outcome('dropped', 'rate_limited');
    const limit = new RateLimit(new LocalQuota({ interval: 100, burst: 2 }));
    let fail = true;
    const { receive, counts } = harness({
      steps: [
        { name: 'rate_limit', once: 'rate_limit', run: (run) => limit.verdict(run, '', dropped) },
        step('fails', (run) => {
          if (fail) run.fail(new Error('no'));
          return fail ? PENDING : undefined;
        }),
      ],
    });
    receive(jsonEvent({}, { sequence: 1 }));
    fail = false;
    for (const sequence of [2, 3, 4]) receive(jsonEvent({}, { sequence }));
    expect([counts().delivered, dropped.counter.value]).toEqual([1, 2]);
    later(100);
    receive(jsonEvent({}, { sequence: 5 }));
    expect([counts().delivered, dropped.counter.value]).toEqual([2, 2]);
    // The first one comes again: nothing is left, and it needs nothing.
    later(900);
    expect(limit.verdict(receive(jsonEvent({}, { sequence: 6 })), '', dropped)).toBe(undefined);
    receive(jsonEvent({}, { sequence: 1, deliveries: 2 }));
    expect([counts().delivered, dropped.counter.value]).toEqual([4, 2]);
  });
});

/** What all instances share, with nobody else at it: it answers after two milliseconds. */
function standings(): SharedStandings {
  let sequence = 0;
  return {
    swap: (_limit, _key, _value, _expected, _keep, done) => void setTimeout(() => done(undefined, ++sequence), 2),
    read: (_limit, _key, done) => void setTimeout(() => done(undefined, 0, sequence), 2),
  };
}

describe('a limit of the fleet under a load that it lets through', () => {
  stopClocks();

  const PLENTY: Rate = { interval: 0.001, burst: 1_000_000 };
  const quota = () => new FleetQuota('test', PLENTY, false, standings(), () => undefined);

  it.each([
    ['throttle', () => new Throttle(quota())],
    ['rate_limit', () => new RateLimit(quota())],
  ])('%s: hardly any event waits', async (_name, make) => {
    const limit = make();
    const dropped = outcome('dropped', 'rate_limited');
    const { receive, counts } = harness({
      limits: { prefetch: 2_000 },
      steps: [
        step('limit', (run) => {
          if (limit instanceof RateLimit) return limit.verdict(run, '', dropped);
          return limit.admits(run, { key: '', selective: false, seconds: undefined }) ? undefined : PENDING;
        }),
      ],
    });
    let waited = 0;
    for (let round = 0; round < 100; round++) {
      for (let count = 0; count < 100; count++)
        if (!receive(jsonEvent({}, { sequence: round * 100 + count + 1 })).settled) waited++;
      await pass(1);
    }
    await pass(20);
    expect(counts()).toMatchObject({ delivered: 10_000, in_flight: 0 });
    expect(waited).toBeLessThan(1_000);
  });
});
