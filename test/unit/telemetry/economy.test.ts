/** The log of failing events: a flood of them is a few lines, and the counts on these add up. */
import { pino } from 'pino';
import { expect, it } from 'vitest';
import { createDecoder } from '../../../src/contracts/decode.ts';
import { Event } from '../../../src/core/event.ts';
import { Cell } from '../../../src/telemetry/cells.ts';
import { LogEconomy } from '../../../src/telemetry/economy.ts';
import { LogObserver } from '../../../src/telemetry/observe.ts';
import { error, harness, jsonEvent, outcome, step } from '../core/helpers.ts';

interface Logged {
  readonly level: string;
  readonly msg: string;
  readonly suppressed?: number;
  readonly consumer?: string;
  readonly failures?: number;
  readonly reason?: string;
}

/** A logger that keeps its lines, and a clock that goes when it is told to. */
function recorder() {
  const lines: Logged[] = [];
  const logger = pino(
    { base: null, timestamp: false, formatters: { level: (label) => ({ level: label }) } },
    { write: (line) => void lines.push(JSON.parse(line) as Logged) },
  );
  const clock = { now: 0 };
  return { lines, logger, clock, suppressed: new Cell() };
}

const sum = (lines: readonly Logged[]): number => lines.reduce((total, { suppressed = 0 }) => total + suppressed, 0);
const written = (lines: readonly Logged[], message: string): Logged[] => lines.filter(({ msg }) => msg === message);

it('makes a flood of 200,000 failing events a few lines, whose counts add up', () => {
  const { lines, logger, clock, suppressed } = recorder();
  const log = new LogObserver(logger, suppressed, () => clock.now);
  const [broken, away] = [error('EVENT_EXPRESSION'), error('TARGET_UNAVAILABLE')];
  const { consumer, counts } = harness({
    observer: log,
    steps: [
      step('fails', ({ sequence }) => {
        if (sequence <= 200_000) throw sequence % 2 === 0 ? broken : away;
        return undefined;
      }),
    ],
  });
  // Made of one, as the errors are two: what the log makes of so many is of interest, not what it takes to make them.
  const { carrier, position } = jsonEvent({});
  const decode = createDecoder({ stream: 'EVENTS', strip: 'events.', source: undefined });
  for (let sequence = 1; sequence <= 200_000; sequence++) {
    clock.now = sequence / 10; // 10,000 events a second
    if (sequence % 10_000 === 0) log.tick();
    consumer.receive(new Event(carrier, { ...position, sequence }, 'EVENTS', decode));
  }
  expect(counts()).toMatchObject({ received: 200_000, dead_lettered: 100_000 });
  // What the server cannot hold back in such numbers waits elsewhere.
  expect(counts()).toMatchObject({ retries: 2_000, parked: 98_000 });
  // Two kinds, a line a second each.
  expect(lines.length).toBeLessThanOrEqual(2 * 21);
  const retried = written(lines, 'event failed and will be tried again');
  const dead = written(lines, 'event went into the dead letters');
  const before = sum(lines);

  clock.now += 5_000;
  log.tick();
  const last = lines.filter(({ msg }) => msg.startsWith('left out: '));
  expect(last).toHaveLength(2);
  expect(retried.length + dead.length + before + sum(last)).toBe(200_000);
  expect(retried.length + sum(retried) + sum(last.filter(({ level }) => level === 'warn'))).toBe(100_000);
  expect(dead.length + sum(dead) + sum(last.filter(({ level }) => level === 'error'))).toBe(100_000);
  expect(suppressed.value).toBe(before + sum(last));

  // Nothing came since, so nobody knows whether events are handled again; then they are.
  expect(written(lines, 'events are handled again')).toEqual([]);
  consumer.receive(jsonEvent({}, { sequence: 200_001 }));
  log.tick();
  expect(written(lines, 'events are handled again')).toEqual([
    expect.objectContaining({ level: 'info', consumer: 'billing', failures: 200_000 }),
  ]);
  log.close();
  expect(sum(lines)).toBe(suppressed.value);
}, 30_000);

it('says at shutdown what was left out', () => {
  const { lines, logger, clock, suppressed } = recorder();
  const log = new LogObserver(logger, suppressed, () => clock.now);
  const { consumer } = harness({
    observer: log,
    steps: [
      step('fails', () => {
        throw error('EVENT_EXPRESSION');
      }),
    ],
  });
  for (let sequence = 1; sequence <= 10; sequence++) consumer.receive(jsonEvent({}, { sequence }));
  expect(lines).toHaveLength(1);
  log.close();
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatchObject({ level: 'error', suppressed: 9, reason: 'expression_error', consumer: 'billing' });
});

it('needs no all-clear for an event that failed among others that did not', () => {
  const { lines, logger, clock, suppressed } = recorder();
  const log = new LogObserver(logger, suppressed, () => clock.now);
  const { consumer } = harness({
    observer: log,
    steps: [
      step('fails', ({ sequence }) => {
        if (sequence % 10 === 0) throw error('EVENT_EXPRESSION');
        return outcome('filtered', 'other');
      }),
    ],
  });
  for (let sequence = 1; sequence <= 101; sequence++) consumer.receive(jsonEvent({}, { sequence }));
  clock.now += 60_000;
  log.tick();
  expect(written(lines, 'events are handled again')).toEqual([]);
  log.close();
});

it('tells a bounded number of kinds apart, and counts the others all the same', () => {
  const { lines, logger, clock, suppressed } = recorder();
  const economy = new LogEconomy({ logger, suppressed, clock: () => clock.now });
  for (let kind = 0; kind < 5_000; kind++)
    economy.write({ kind: `kind ${kind}`, level: 'warn', message: 'failed' }, {}, () => ({}));
  expect(economy.size).toBeLessThanOrEqual(1_002);
  economy.flush();
  expect(lines.filter(({ msg }) => !msg.startsWith('left out')).length + suppressed.value).toBe(5_000);
  expect(economy.size).toBe(0);
});

it('does not make the fields of a line that is left out', () => {
  const { logger, clock, suppressed } = recorder();
  const economy = new LogEconomy({ logger, suppressed, clock: () => clock.now });
  const made: number[] = [];
  for (let index = 0; index < 3; index++)
    economy.write({ kind: 'one', level: 'warn', message: 'failed' }, {}, () => {
      made.push(index);
      return {};
    });
  clock.now += 1_000;
  economy.write({ kind: 'one', level: 'warn', message: 'failed' }, {}, () => {
    made.push(3);
    return {};
  });
  expect(made).toEqual([0, 3]);
});
