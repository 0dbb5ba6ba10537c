/** How records become batches: one under way at a time, in order, again under the same id, and within bounds. */
import { expect, it, vi } from 'vitest';
import pino from 'pino';
import { hashOf, readBatch, batchText, type Batch } from '../../../src/audit/chain.ts';
import { Trail } from '../../../src/audit/trail.ts';
import type { Anchor } from '../../../src/audit/anchor.ts';
import type { AuditTrail } from '../../../src/core/ports.ts';
import { Run } from '../../../src/core/run.ts';
import type { Publisher, PublishListener } from '../../../src/deliver/ports.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { error, harness, jsonEvent, stopClocks } from '../core/helpers.ts';

stopClocks();

interface Open {
  readonly id: string;
  readonly bytes: Uint8Array;
  /** Of data, none. */
  readonly batch: Batch;
  readonly listener: PublishListener;
}

const NONE = { records: [] } as unknown as Batch;

/** A trail whose batches are answered when a test says so. */
async function opened(mode: AuditTrail['mode'], payloads = false) {
  const open: Open[] = [];
  const publisher: Publisher = {
    publish: (subject, headers, body, _timeout, listener) => {
      const bytes = body as Uint8Array;
      const id = /Nats-Msg-Id: (\S+)/.exec(headers)?.[1] ?? '';
      const isData = subject.startsWith('ouzel.payloads.');
      open.push({ id, bytes, batch: isData ? NONE : readBatch(batchText(bytes)), listener });
    },
    publishCore: () => undefined,
  };
  const anchored: number[] = [];
  const anchor = {
    moved: ({ number }: { number: number }) => void anchored.push(number),
    close: async () => undefined,
  };
  const metrics = createMetrics();
  const trail = new Trail(
    { mode, payloads },
    {
      instance: 'host-1',
      keyOf: () => undefined,
      redact: (text) => text,
      metrics,
      logger: pino({ level: 'silent' }),
    },
  );
  let prepared = 0;
  await trail.connect(publisher, anchor as unknown as Anchor, () => {
    prepared++;
    return Promise.resolve();
  });
  const { plan, consumer } = harness();
  const audited: number[] = [];
  consumer.settle.audited = ({ sequence }) => void audited.push(sequence);
  const refused: [number, boolean][] = [];
  consumer.settle.unaudited = ({ sequence }, _error, _again, tell) => void refused.push([sequence, tell]);
  const add = (from: number, to = from): void => {
    for (let sequence = from; sequence <= to; sequence++)
      trail.outcome(new Run(consumer, plan, jsonEvent({}, { sequence }), performance.now()), plan.delivered);
  };
  const take = (): Open => {
    const first = open.shift();
    if (first === undefined) throw new Error('nothing is being published');
    return first;
  };
  const sequences = ({ batch }: Open) => batch.records.map((record) => (record.kind === 'act' ? -1 : record.seq));
  return { trail, add, open, take, sequences, audited, refused, anchored, metrics, prepared: () => prepared };
}

it('a batch leaves after 20 ms, or with 256 records at once', async () => {
  const { add, open, take, sequences } = await opened('best_effort');
  add(1, 3);
  vi.advanceTimersByTime(19);
  expect(open).toEqual([]);
  vi.advanceTimersByTime(1);
  const first = take();
  expect(sequences(first)).toEqual([1, 2, 3]);
  first.listener.confirmed(false, 1);
  add(4, 259);
  expect(sequences(take())).toHaveLength(256);
});

it('one is under way at a time, and each names the one before it', async () => {
  const { add, open, take, anchored } = await opened('best_effort');
  add(1, 256);
  add(257, 1_000);
  expect(open).toHaveLength(1);
  const first = take();
  first.listener.confirmed(false, 17);
  const second = take();
  expect([first.id, second.id]).toEqual(['host-1.0', 'host-1.1']);
  expect(second.batch.link).toMatchObject({
    number: 1,
    previous: hashOf(first.bytes),
    previous_sequence: 17,
    records: 744,
  });
  expect(anchored).toEqual([0]);
});

it('a batch that is refused comes again as it was, behind it what waits', async () => {
  const { add, take, sequences, open, prepared } = await opened('best_effort');
  add(1, 256);
  const first = take();
  first.listener.failed(error('TARGET_NO_STREAM'));
  add(257, 300);
  expect(open).toEqual([]);
  vi.advanceTimersByTime(500);
  await vi.waitFor(() => expect(open).toHaveLength(1));
  const again = take();
  expect([again.id, Buffer.from(again.bytes)]).toEqual([first.id, Buffer.from(first.bytes)]);
  expect(prepared()).toBe(2);
  again.listener.confirmed(true, 1);
  vi.advanceTimersByTime(20);
  expect(sequences(take())[0]).toBe(257);
});

it('runs end with the batch that they are in, in order, and hear of a refusal once for each consumer', async () => {
  const { add, take, audited, refused } = await opened('required');
  add(1, 256);
  add(257, 258);
  const first = take();
  first.listener.failed(error('TARGET_UNAVAILABLE'));
  expect(audited).toEqual([]);
  expect([refused.length, refused.filter(([, tell]) => tell)]).toEqual([258, [[1, true]]]);
  vi.advanceTimersByTime(500);
  take().listener.confirmed(false, 1);
  expect(audited).toEqual(Array.from({ length: 256 }, (_, index) => index + 1));
});

it('a batch that is too large is halved', async () => {
  const { add, take, sequences, metrics } = await opened('best_effort');
  add(1, 256);
  take().listener.failed(error('TARGET_TOO_LARGE'));
  const half = take();
  expect(sequences(half)).toHaveLength(128);
  expect(half.batch.link.number).toBe(0);
  half.listener.confirmed(false, 1);
  vi.advanceTimersByTime(20);
  expect(sequences(take())).toEqual(Array.from({ length: 128 }, (_, index) => index + 129));
  expect(metrics.auditDropped.with('outcome').value).toBe(0);
});

it('nobody waits: beyond 16,384 records the newest are dropped and counted', async () => {
  const { add, take, metrics } = await opened('best_effort');
  add(1, 256);
  add(257, 17_000);
  expect(metrics.auditDropped.with('outcome').value).toBe(17_000 - 256 - 16_384);
  take().listener.confirmed(false, 1);
  expect(take().batch.link.records).toBe(1_024);
});

it('the data of events is stored before the batch that names it, and again where it was refused', async () => {
  const { add, open, take } = await opened('best_effort', true);
  add(1, 2);
  vi.advanceTimersByTime(20);
  const [first, second] = [take(), take()];
  expect([first.id.split('.').length, open]).toEqual([2, []]);
  first.listener.confirmed(false, 1);
  second.listener.failed(error('TARGET_UNAVAILABLE'));
  vi.advanceTimersByTime(500);
  const again = take();
  expect([again.id, open]).toEqual([second.id, []]);
  again.listener.confirmed(false, 2);
  const batch = take();
  const hash = hashOf(Buffer.from('{}'));
  expect(batch.batch.records).toMatchObject([{ payload: hash }, { payload: hash }]);
});

it('at the end all goes out at once, and what does not is counted', async () => {
  const { trail, add, take, metrics } = await opened('best_effort');
  add(1, 3);
  const closed = trail.close(new Promise(() => undefined));
  take().listener.confirmed(false, 1);
  await closed;
  const late = await opened('best_effort');
  late.add(1, 3);
  await late.trail.close(Promise.resolve());
  expect([metrics.auditDropped.with('outcome').value, late.metrics.auditDropped.with('outcome').value]).toEqual([0, 3]);
});

it('an act is in the chain when its promise resolves, and waits for nothing while all is refused', async () => {
  const { trail, take, add } = await opened('best_effort');
  const act = { at: 1, act: 'x', what: 'consumer.put', resource: 'consumers/a', who: 'ci', sha256: hashOf('x') };
  const done = trail.act(act);
  const { batch, listener } = take();
  expect(batch.records).toEqual([{ kind: 'act', ...act }]);
  listener.confirmed(false, 1);
  await done;
  add(1, 256);
  take().listener.failed(error('TARGET_UNAVAILABLE', 'full'));
  await expect(trail.act(act)).rejects.toThrow('full');
});
