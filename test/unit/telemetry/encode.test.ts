/** Our own OTLP is read by a decoder that is not ours, and says what the SDK says of the same spans. */
import { ROOT_CONTEXT, trace } from '@opentelemetry/api';
import { ProtobufTraceSerializer } from '@opentelemetry/otlp-transformer';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { AlwaysOnSampler, InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from '@opentelemetry/sdk-trace';
import { describe, expect, it } from 'vitest';
import { SpanEncoder } from '../../../src/telemetry/otlp/encode.ts';
import { attributesOf, GivenIds, repeatSpan } from '../../../src/telemetry/sdk/exporter.ts';
import type { SpanRecord } from '../../../src/telemetry/span-record.ts';
import { spanIdOf, traceIdOf } from '../../../src/telemetry/trace-context.ts';
import { decodeSpans } from '../../helpers/otlp.ts';
import { error, jsonEvent, random, route, step } from '../core/helpers.ts';
import { described, traced } from './helpers.ts';

const ORIGIN = {
  resource: { 'service.name': 'ouzel', 'host.cpus': 2, 'host.load': 0.5 },
  scope: { name: 'ouzel', version: '1.2.3' },
};
const REMOTE = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';

function encoded(records: readonly SpanRecord[]): Buffer {
  const encoder = new SpanEncoder(ORIGIN, 1024 * 1024);
  for (const record of records) encoder.add(record);
  return encoder.take().body;
}

/** One of each kind of span there is. */
function allKinds(): readonly SpanRecord[] {
  const broken = step('broken', ({ event }) => {
    if (event.header('X-Break') !== undefined) throw error('EVENT_FAILED');
    return undefined;
  });
  const { receive, exporter } = traced({
    steps: [broken],
    routes: [
      route('ok', (delivery) => delivery.confirm()),
      route('no', (delivery) => delivery.fail(error('TARGET_UNAVAILABLE'))),
    ],
  });
  const now = Date.now();
  const headers = { traceparent: REMOTE, tracestate: 'vendor=1,other=2' };
  receive(jsonEvent({}, { milliseconds: now }));
  receive(jsonEvent({}, { milliseconds: now, headers, sequence: 2 ** 40 + 1, subject: 'events.größe.☃' }));
  receive(jsonEvent({}, { milliseconds: now - 600_000, headers: { ...headers, 'Nats-Msg-Id': 'm'.repeat(400) } }));
  receive(jsonEvent({ x: 'y'.repeat(300_000) }, { milliseconds: now, headers: { 'X-Break': '1' }, deliveries: 3 }));
  const [first, second, third] = exporter.records as [SpanRecord, SpanRecord, SpanRecord];
  const { bytes, at, template, ending, parent, remote, link, tracestate, facts, startedAt, endedAt } = first;
  const span = { bytes, at, template, ending, parent, remote, link, tracestate, facts, startedAt, endedAt };
  return [...exporter.records, { ...span, others: [second, third] }];
}

describe('an encoded span', () => {
  it('says everything that was recorded', () => {
    const records = allKinds();
    const spans = decodeSpans(encoded(records));
    expect(spans).toHaveLength(records.length);
    for (const [index, record] of records.entries()) {
      const {
        name,
        kind,
        traceId,
        spanId,
        parent = '',
        tracestate = '',
        attributes,
        error: failure,
      } = described(record);
      expect(spans[index]).toMatchObject({
        name,
        kind: kind.toUpperCase(),
        traceId,
        spanId,
        parentSpanId: parent,
        traceState: tracestate,
        attributes,
        status: failure === undefined ? 'UNSET' : 'ERROR',
        statusMessage: failure ?? '',
        flags: record.remote ? 0x301 : 0x101,
        resource: ORIGIN.resource,
        scope: 'ouzel 1.2.3',
      });
      expect(spans[index]?.attributes).toEqual(attributes);
      expect(spans[index]?.start).toBeCloseTo(record.startedAt, 2);
      expect(spans[index]?.end).toBeCloseTo(record.endedAt, 2);
    }
    expect(spans.flatMap(({ links }) => links)).toContainEqual({
      traceId: '0af7651916cd43dd8448eb211c80319c',
      spanId: 'b7ad6b7169203331',
      flags: 0x301,
    });
    // The delivery of a batch is linked to the attempts of its other events, which are in this process.
    expect(spans.at(-1)?.links).toEqual(
      [1, 2].map((index) => ({ traceId: spans[index]?.traceId, spanId: spans[index]?.spanId, flags: 0x101 })),
    );
  });

  it("is what OpenTelemetry's SDK makes of the same span", () => {
    const records = allKinds();
    const memory = new InMemorySpanExporter();
    const ids = new GivenIds();
    const provider = new TracerProvider({
      resource: resourceFromAttributes(ORIGIN.resource),
      sampler: new AlwaysOnSampler(),
      idGenerator: ids,
      spanProcessors: [new SimpleSpanProcessor({ exporter: memory })],
    });
    const tracer = provider.getTracer('ouzel', '1.2.3');
    for (const record of records) {
      ids.current = record;
      repeatSpan(tracer, record);
    }
    const theirs = decodeSpans(ProtobufTraceSerializer.serializeRequest(memory.getFinishedSpans()) ?? Buffer.alloc(0));
    const ours = decodeSpans(encoded(records));
    expect(ours).toHaveLength(records.length);
    // Times differ by less than a microsecond: the SDK rounds them another way.
    const untimed = ours.map((span, index) => ({ ...span, start: theirs[index]?.start, end: theirs[index]?.end }));
    expect(untimed).toEqual(theirs.map((span) => ({ ...span, status: span.status })));
    for (const [index, span] of ours.entries()) expect(span.start).toBeCloseTo(theirs[index]?.start ?? 0, 2);
    expect(trace.getSpan(ROOT_CONTEXT)).toBeUndefined();
  });

  it('holds text of any length and alphabet up to the bound', () => {
    const next = random(7);
    const alphabet = ['a', 'ü', '☃', '😀', '\u0000', '"'];
    const { receive, exporter } = traced();
    for (let round = 0; round < 300; round++) {
      const length = Math.floor(next() * 600);
      const id = Array.from({ length }, () => alphabet[Math.floor(next() * alphabet.length)]).join('');
      receive(jsonEvent({}, { subject: `events.${id}`, sequence: Math.floor(next() * 2 ** 50) }));
    }
    const { records } = exporter;
    const attributes = decodeSpans(encoded(records)).map((span) => span.attributes);
    // What JavaScript cut in the middle of a character has no form in UTF-8.
    const wellFormed = (value: unknown): unknown => (typeof value === 'string' ? value.toWellFormed() : value);
    expect(attributes).toEqual(
      records.map((record) =>
        Object.fromEntries(Object.entries(attributesOf(record)).map(([key, value]) => [key, wellFormed(value)])),
      ),
    );
  });
});

describe('the encoder', () => {
  it('starts anew after each batch, also in a buffer that was used before', () => {
    const records = allKinds();
    const encoder = new SpanEncoder(ORIGIN, 100_000);
    for (let round = 0; round < 3; round++) {
      for (const record of records.slice(round)) encoder.add(record);
      const batch = encoder.take();
      expect(batch.spans).toBe(records.length - round);
      expect(decodeSpans(batch.body).map(({ spanId }) => spanId)).toEqual(records.slice(round).map(spanIdOf));
      expect(decodeSpans(batch.body).map(({ traceId }) => traceId)).toEqual(records.slice(round).map(traceIdOf));
      encoder.recycle(batch);
    }
  });

  it('says when it is full before it is', () => {
    const [record] = allKinds();
    const encoder = new SpanEncoder(ORIGIN, 40_000);
    let count = 0;
    for (; !encoder.full && record !== undefined; count++) encoder.add(record);
    expect(count).toBeGreaterThan(10);
    expect(decodeSpans(encoder.take().body)).toHaveLength(count);
  });
});
