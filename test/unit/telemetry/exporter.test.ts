import { describe, expect, it } from 'vitest';
import { Cell } from '../../../src/telemetry/cells.ts';
import { OtlpExporter, type QueueLimits, type Sender, type SendResult } from '../../../src/telemetry/otlp/exporter.ts';
import type { SpanRecord } from '../../../src/telemetry/span-record.ts';
import { decodeSpans } from '../../helpers/otlp.ts';
import { waitFor } from '../../helpers/wait.ts';
import { jsonEvent } from '../core/helpers.ts';
import { traced } from './helpers.ts';

const TAKEN: SendResult = { kind: 'taken', rejected: 0, reason: '' };
const AWAY: SendResult = { kind: 'again', reason: 'ECONNREFUSED', after: 1 };
const NEVER = new Promise<void>(() => undefined);

function record(): SpanRecord {
  const { receive, exporter } = traced();
  receive(jsonEvent({}));
  const [made] = exporter.records;
  if (made === undefined) throw new Error('no span');
  return made;
}

/** A collector that answers what it is told to, or when it is told to. */
class FakeSender implements Sender {
  readonly spans: number[] = [];
  closed = false;
  answer: () => SendResult | Promise<SendResult> = () => TAKEN;

  async send(body: Uint8Array): Promise<SendResult> {
    this.spans.push(decodeSpans(body).length);
    return this.answer();
  }

  close(): void {
    this.closed = true;
  }
}

function exporting(limits: Partial<QueueLimits> = {}) {
  const sender = new FakeSender();
  const dropped = new Cell();
  const said: string[] = [];
  const exporter = new OtlpExporter({
    origin: { resource: {}, scope: { name: 'ouzel', version: '1' } },
    sender,
    limits: { queue: 100, batch: 10, delay: 60_000, timeout: 60_000, ...limits },
    dropped,
    health: { failing: (reason) => said.push(reason), recovered: () => said.push('recovered') },
  });
  const span = record();
  const send = (count: number): void => {
    for (let index = 0; index < count; index++) exporter.export(span);
  };
  return { exporter, sender, dropped, said, send };
}

describe('the exporter', () => {
  it('sends full batches at once, and what is left at the end', async () => {
    const { exporter, sender, dropped, send } = exporting();
    send(25);
    expect(sender.spans).toEqual([10, 10]);
    await exporter.shutdown(NEVER);
    expect(sender.spans).toEqual([10, 10, 5]);
    expect([dropped.value, sender.closed]).toEqual([0, true]);
  });

  it('sends what waits when the delay is over', async () => {
    const { exporter, sender, send } = exporting({ delay: 5 });
    send(3);
    await waitFor(() => sender.spans.length > 0, { what: 'a batch' });
    expect(sender.spans).toEqual([3]);
    await exporter.shutdown(NEVER);
  });

  it('holds no more than the queue has room for, and counts the rest', async () => {
    const { exporter, sender, dropped, send } = exporting();
    sender.answer = () => new Promise(() => undefined);
    send(1000);
    expect(dropped.value).toBe(900);
    // Some are on their way, the rest waits its turn.
    expect(sender.spans).toEqual([10, 10, 10, 10]);
    await exporter.shutdown(Promise.resolve());
    expect(dropped.value).toBe(1000);
    send(1);
    expect(dropped.value).toBe(1001);
  });

  it('tries again while the collector is away, says so once, and loses nothing when it comes back', async () => {
    const { exporter, sender, dropped, said, send } = exporting();
    sender.answer = () => AWAY;
    send(50);
    await waitFor(() => sender.spans.length > 8, { what: 'some attempts' });
    expect(said).toEqual(['ECONNREFUSED']);
    sender.answer = () => TAKEN;
    await exporter.shutdown(NEVER);
    expect(said).toEqual(['ECONNREFUSED', 'recovered']);
    expect(dropped.value).toBe(0);
  });

  it('gives a batch up in the end', async () => {
    const { sender, dropped, said, send, exporter } = exporting({ timeout: 1 });
    sender.answer = () => AWAY;
    send(20);
    await waitFor(() => dropped.value === 20, { what: 'both batches to be given up' });
    expect(said).toEqual(['ECONNREFUSED']);
    await exporter.shutdown(NEVER);
  });

  it('does not repeat what was refused, and counts what was rejected of a batch', async () => {
    const { exporter, sender, dropped, said, send } = exporting();
    const answers: SendResult[] = [
      { kind: 'refused', reason: 'HTTP 400' },
      { kind: 'taken', rejected: 3, reason: 'too old' },
      TAKEN,
    ];
    sender.answer = () => answers.shift() ?? TAKEN;
    send(30);
    await exporter.shutdown(NEVER);
    expect(sender.spans).toEqual([10, 10, 10]);
    expect(dropped.value).toBe(13);
    expect(said).toEqual(['HTTP 400', 'recovered']);
  });

  it('waits no longer than the deadline at the end', async () => {
    const { exporter, sender, dropped, send } = exporting();
    sender.answer = () => AWAY;
    send(15);
    await exporter.shutdown(Promise.resolve());
    expect([dropped.value, sender.closed]).toEqual([15, true]);
  });
});
