import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { TapHub, type LeftOut, type TapQuery, type TapSink } from '../../../src/telemetry/tap.ts';
import { tapQuery, type TapSelectors } from '../../../src/telemetry/tap-query.ts';
import type { TapRecord } from '../../../src/telemetry/tap-record.ts';
import { error, harness, jsonEvent, outcome, step } from '../core/helpers.ts';
import { parse } from '../config/helpers.ts';

const ALL: TapQuery = { consumer: undefined, outcome: undefined, reason: undefined, matches: undefined };

const CONFIG = parse(`
version: 1
streams: { EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id } }
filters: { big: event.data.total > 1000 }
consumers: { billing: { stream: EVENTS }, other: { stream: EVENTS } }
`).config;

class RecordingSink implements TapSink {
  full = false;
  readonly records: TapRecord[] = [];
  readonly counts: LeftOut[] = [];
  ended: string | undefined;

  event(json: string): void {
    this.records.push(JSON.parse(json) as TapRecord);
  }

  leftOut(counts: LeftOut): void {
    this.counts.push(counts);
  }

  end(reason: string): void {
    this.ended = reason;
  }
}

/** A consumer that does with an event what its data says, and a hub that looks on. */
function tapped() {
  const asked: string[] = [];
  const keyOf = () => {
    asked.push('key');
    return 'o-1';
  };
  const hub = new TapHub({ keyOf, redact: (text) => text.replaceAll('s3cret', '***') });
  const { consumer } = harness({
    observer: hub,
    steps: [
      step('by data', ({ event }) => {
        const { does } = event.data as { does?: string };
        if (does === 'filter') return outcome('filtered', 'big');
        if (does === 'retry') throw error('TARGET_UNAVAILABLE', 'away');
        if (does === 'fail') throw error('EVENT_EXPRESSION', 'bad');
        return undefined;
      }),
    ],
  });
  const handle = (data: object): void => consumer.receive(jsonEvent(data));
  const open = (query: Partial<TapQuery> | TapSelectors = {}): RecordingSink => {
    const sink = new RecordingSink();
    hub.open({ ...ALL, ...query }, sink);
    return sink;
  };
  return { hub, handle, open, asked, keyOf };
}

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] }));
afterEach(() => void vi.useRealTimers());

it('shows each way in which an event can end, once', () => {
  const { handle, open } = tapped();
  const sink = open();
  handle({});
  handle({ does: 'filter' });
  handle({ does: 'retry' });
  handle({ does: 'fail' });
  expect(sink.records).toMatchObject([
    {
      outcome: 'delivered',
      reason: '',
      consumer: 'billing',
      stream: 'EVENTS',
      seq: 42,
      type: 'orders.created',
      key: 'o-1',
    },
    { outcome: 'filtered', reason: 'big' },
    {
      outcome: 'retried',
      reason: 'unavailable',
      error: { code: 'TARGET_UNAVAILABLE', message: 'away' },
      delay_ms: 1000,
    },
    { outcome: 'dead_lettered', reason: 'expression_error', error: { code: 'EVENT_EXPRESSION', message: 'bad' } },
  ]);
  expect(sink.records[1]).toMatchObject({ data: { does: 'filter' }, size: 17 });
  expect(sink.records[1]).not.toHaveProperty('error');
});

it('costs nothing while nobody looks on', () => {
  const { hub, handle, open, asked } = tapped();
  handle({});
  expect(asked).toEqual([]);
  const close = hub.open(ALL, new RecordingSink());
  close();
  expect(hub.size).toBe(0);
  expect(vi.getTimerCount()).toBe(0);
  handle({ does: 'fail' });
  expect(asked).toEqual([]);
  expect(open().records).toEqual([]);
});

it('shows so many a second, and says how many it left out', () => {
  const { handle, open } = tapped();
  const sink = open();
  for (let index = 0; index < 1_000; index++) handle({});
  expect(sink.records).toHaveLength(100);
  expect(sink.counts).toEqual([]);
  vi.advanceTimersByTime(1_000);
  expect(sink.counts).toEqual([{ left_out: 900, not_looked_at: 0 }]);
  handle({});
  expect(sink.records).toHaveLength(101);
  vi.advanceTimersByTime(1_000);
  expect(sink.counts).toHaveLength(1);
});

it('leaves out what a slow reader does not take, and says so when it reads again', () => {
  const { handle, open } = tapped();
  const sink = open();
  sink.full = true;
  for (let index = 0; index < 10; index++) handle({});
  vi.advanceTimersByTime(5_000);
  expect([sink.records, sink.counts]).toEqual([[], []]);
  sink.full = false;
  vi.advanceTimersByTime(1_000);
  expect(sink.counts).toEqual([{ left_out: 10, not_looked_at: 0 }]);
});

it('bounds what it looks into, and counts what it did not', () => {
  const { handle, open } = tapped();
  let asked = 0;
  const sink = open({ matches: () => ++asked < 0 });
  for (let index = 0; index < 20_005; index++) handle({});
  vi.advanceTimersByTime(1_000);
  expect(asked).toBe(20_000);
  expect(sink.counts).toEqual([{ left_out: 0, not_looked_at: 5 }]);
});

it('selects', () => {
  const { handle, open, keyOf } = tapped();
  const by = (selectors: TapSelectors) => open(tapQuery(selectors, CONFIG, keyOf));
  const sinks = {
    billing: by({ consumer: 'billing' }),
    other: by({ consumer: 'other' }),
    type: by({ type: 'orders.*' }),
    otherType: by({ type: 'customers.>,payments.made' }),
    key: by({ key: 'o-1' }),
    otherKey: by({ key: 'o-2' }),
    retried: by({ outcome: 'retried' }),
    reason: by({ reason: 'big' }),
    where: by({ where: 'filters.big && event.type == "orders.created"' }),
  };
  handle({ total: 1500 });
  handle({ does: 'filter' });
  handle({ does: 'retry' });
  const shown = Object.fromEntries(Object.entries(sinks).map(([name, { records }]) => [name, records.length]));
  expect(shown).toEqual({
    billing: 3,
    other: 0,
    type: 3,
    otherType: 0,
    key: 3,
    otherKey: 0,
    retried: 1,
    reason: 1,
    where: 1,
  });
});

it.each<[TapSelectors, RegExp]>([
  [{ consumer: 'nobody' }, /no consumer "nobody"; there are: billing, other/],
  [{ outcome: 'lost' }, /no outcome "lost"/],
  [{ where: 'event.dat.total > 1' }, /has no attribute "dat"\nevent\.dat\.total > 1\n {6}\^\nDid you mean event\.data/],
  [{ where: 'filters.huge' }, /there is no filter "huge"/],
])('refuses %j', (selectors, message) => {
  expect(() => tapQuery(selectors, CONFIG, () => undefined)).toThrow(message);
});

it('bounds what it shows of an event, and takes secrets out', () => {
  const { handle, open } = tapped();
  const sink = open();
  handle({ text: 'x'.repeat(100_000) });
  handle({ password: 's3cret' });
  expect(sink.records[0]).toMatchObject({ size: 100_011 });
  expect(sink.records[0]?.excerpt).toHaveLength(2_048);
  expect(sink.records[1]?.data).toEqual({ password: '***' });
});

it('has room for a bounded number of lookers-on', () => {
  const { hub, open } = tapped();
  for (let index = 0; index < 16; index++) open();
  expect(() => open()).toThrow(/16 taps are open/);
  hub.close('over');
  expect(hub.size).toBe(0);
});

it('tells whoever looks on when it is over', () => {
  const { hub, open, handle } = tapped();
  const sink = open();
  for (let index = 0; index < 150; index++) handle({});
  hub.close('the daemon stops');
  expect(sink.ended).toBe('the daemon stops');
  expect(sink.counts).toEqual([{ left_out: 50, not_looked_at: 0 }]);
});
