/** Given an event and what becomes of it, then these spans. */
import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import { OuzelError } from '../../../src/errors.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { Grouping } from '../../../src/flow/group.ts';
import { error, type EventOptions, Gate, jsonEvent, later, outcome, route, step, stopClocks } from '../core/helpers.ts';
import { traced } from './helpers.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const SPAN = 'b7ad6b7169203331';
const SAMPLED = `00-${TRACE}-${SPAN}-01`;
const UNSAMPLED = `00-${TRACE}-${SPAN}-00`;

/** An event that was stored just now, so that it continues its producer's trace. */
const fresh = (options: EventOptions = {}) => jsonEvent({ n: 1 }, { milliseconds: Date.now(), ...options });

const confirming = (name: string, hear: (delivery: Delivery) => void = () => undefined) =>
  route(name, (delivery) => {
    hear(delivery);
    delivery.confirm();
  });

describe('an attempt', () => {
  stopClocks();

  it('is a consumer span named by the pattern, with what it was and how it ended', () => {
    const { receive, spans, attempts } = traced();
    attempts.records.set(7, { ...NO_ATTEMPTS, used: 1 });
    receive(fresh({ sequence: 7, deliveries: 3 }));
    expect(spans()).toEqual([
      {
        name: 'process events.>',
        kind: 'consumer',
        traceId: expect.stringMatching(/^(?!0{32})[0-9a-f]{32}$/) as string,
        spanId: expect.stringMatching(/^(?!0{16})[0-9a-f]{16}$/) as string,
        parent: undefined,
        remote: false,
        link: undefined,
        tracestate: undefined,
        error: undefined,
        attributes: {
          'messaging.system': 'nats',
          'messaging.operation.type': 'process',
          'messaging.operation.name': 'process',
          'messaging.consumer.group.name': 'billing',
          'messaging.destination.template': 'events.>',
          'messaging.destination.name': 'events.orders.created',
          'messaging.message.id': 'EVENTS:7',
          'messaging.message.body.size': 7,
          'ouzel.stream': 'EVENTS',
          'ouzel.sequence': 7,
          'ouzel.attempt': 2,
          'ouzel.outcome': 'delivered',
        },
      },
    ]);
  });

  it('says why an event was filtered, which is no error', () => {
    const filtered = outcome('filtered', 'not-test');
    const { receive, spans } = traced({ steps: [step('not-test', () => filtered)] });
    receive(fresh({ headers: { 'Nats-Msg-Id': 'm-1' } }));
    receive(fresh());
    expect(spans()).toMatchObject([
      {
        error: undefined,
        attributes: { 'ouzel.outcome': 'filtered', 'ouzel.reason': 'not-test', 'messaging.message.id': 'm-1' },
      },
      { error: undefined, attributes: { 'ouzel.outcome': 'filtered' } },
    ]);
  });

  it('begins with the handling and ends with the outcome', () => {
    const gate = new Gate();
    const { receive, exporter } = traced({ steps: [gate] });
    const before = Date.now() - 1;
    receive(fresh());
    expect(exporter.records).toEqual([]);
    gate.next().resume();
    const [record] = exporter.records;
    expect(record?.startedAt).toBeGreaterThanOrEqual(before);
    expect(record?.endedAt).toBeGreaterThanOrEqual(record?.startedAt ?? Infinity);
    expect(record?.endedAt).toBeLessThanOrEqual(Date.now() + 1);
  });

  it.each([
    ['events.orders.created', 'process events.orders.*'],
    ['events.users.signup', 'process events.users.>'],
    ['events.users', 'process EVENTS'],
  ])('of the subject %s is named "%s" where there are several patterns', (subject, name) => {
    const { receive, spans } = traced({ subjects: ['events.orders.*', 'events.users.>'] });
    receive(fresh({ subject }));
    expect(spans()).toMatchObject([{ name, attributes: { 'messaging.destination.name': subject } }]);
  });

  it('that failed is an error, once for each attempt, and the last one says where the event went', () => {
    const { receive, spans, consumer } = traced({
      steps: [
        step('broken', () => {
          throw error('TARGET_REJECTED', 'customer 4711 is unknown');
        }),
      ],
      attempts: 2,
    });
    receive(fresh());
    receive(fresh({ deliveries: 2 }));
    expect(consumer.held).toBe(0);
    const failed = { 'error.type': 'TARGET_REJECTED', 'ouzel.attempt': 1, 'ouzel.retry_delay_ms': 1000 };
    expect(spans()).toMatchObject([
      { error: 'TARGET_REJECTED: The target said no to this event.', attributes: failed },
      { error: expect.stringContaining('TARGET_REJECTED') as string, attributes: { 'ouzel.attempt': 2 } },
    ]);
    expect(spans()[0]?.attributes).not.toHaveProperty('ouzel.outcome');
    expect(spans()[1]?.attributes).toMatchObject({ 'ouzel.outcome': 'dead_lettered', 'ouzel.reason': 'rejected' });
  });

  it('goes on while its dead letter is refused, and ends when that is stored', () => {
    const made = traced({
      steps: [
        step('broken', () => {
          throw error('EVENT_UNDECODABLE');
        }),
      ],
    });
    made.letters.answer = ({ done }) => done(error('TARGET_UNAVAILABLE', 'storage full'));
    made.receive(fresh());
    expect(made.spans()).toEqual([]);
    made.letters.answer = ({ done }) => done();
    later(5000);
    expect(made.spans()).toMatchObject([
      { attributes: { 'error.type': 'EVENT_UNDECODABLE', 'ouzel.outcome': 'dead_lettered' } },
    ]);
  });

  it('that was given back unstarted has no span', () => {
    const { consumer, exporter } = traced();
    consumer.settle.giveBack(consumer.refuse(fresh()));
    expect(exporter.records).toEqual([]);
  });
});

describe('the trace of the producer', () => {
  it('goes on', () => {
    const { receive, spans } = traced();
    receive(fresh({ headers: { traceparent: SAMPLED, tracestate: 'vendor=1' } }));
    expect(spans()).toMatchObject([
      { traceId: TRACE, parent: SPAN, remote: true, link: undefined, tracestate: 'vendor=1' },
    ]);
  });

  it('is linked to when the event is older than five minutes', () => {
    const { receive, spans } = traced();
    receive(fresh({ headers: { traceparent: SAMPLED }, milliseconds: Date.now() - 301_000 }));
    receive(fresh({ headers: { traceparent: SAMPLED }, milliseconds: Date.now() - 290_000 }));
    const [old, young] = spans();
    expect(old).toMatchObject({ parent: undefined, link: `${TRACE} ${SPAN}` });
    expect(old?.traceId).not.toBe(TRACE);
    expect(young).toMatchObject({ parent: SPAN, link: undefined });
  });

  it.each([
    '',
    'garbage',
    `00-${TRACE.toUpperCase()}-${SPAN}-01`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `00-${TRACE}-${'0'.repeat(16)}-01`,
    `ff-${TRACE}-${SPAN}-01`,
    `00-${TRACE}-${SPAN}-01-more`,
    `00-${TRACE}-${SPAN}-1`,
  ])('is a new one where the header is no valid traceparent: "%s"', (traceparent) => {
    const { receive, spans } = traced();
    receive(fresh({ headers: { traceparent } }));
    expect(spans()).toMatchObject([{ parent: undefined, link: undefined }]);
    expect(spans()[0]?.traceId).not.toBe(TRACE);
  });

  it.each(['', 'ü=1', 'a='.repeat(257)])('has a tracestate only where it is a valid one: not "%s"', (tracestate) => {
    const { receive, spans } = traced();
    receive(fresh({ headers: { traceparent: SAMPLED, tracestate } }));
    expect(spans()).toMatchObject([{ traceId: TRACE, tracestate: undefined }]);
  });

  it('of a later version of the header is read as far as it is known', () => {
    const { receive, spans } = traced();
    receive(fresh({ headers: { traceparent: `01-${TRACE}-${SPAN}-01-more` } }));
    expect(spans()).toMatchObject([{ traceId: TRACE, parent: SPAN }]);
  });

  it('that is not recorded makes no span, and is handed on as it came', () => {
    const sent: unknown[] = [];
    const routes = [confirming('r', ({ span }) => sent.push([span?.traceparent, span?.tracestate]))];
    const { receive, exporter } = traced({ routes });
    receive(fresh({ headers: { traceparent: UNSAMPLED, tracestate: 'a=b' } }));
    expect(exporter.records).toEqual([]);
    expect(sent).toEqual([[UNSAMPLED, 'a=b']]);
  });

  it('that is not recorded is recorded all the same when the sampler follows no parent', () => {
    const { receive, spans } = traced({ sampler: { parentBased: false, ratio: 1 } });
    receive(fresh({ headers: { traceparent: UNSAMPLED } }));
    expect(spans()).toMatchObject([{ traceId: TRACE, parent: SPAN }]);
  });
});

describe('sampling', () => {
  it('of nothing makes no spans of what begins here, and says so to those that follow', () => {
    const sent: (string | undefined)[] = [];
    const routes = [confirming('r', ({ span }) => sent.push(span?.traceparent))];
    const { receive, exporter } = traced({ routes, sampler: { parentBased: true, ratio: 0 } });
    receive(fresh());
    expect(exporter.records).toEqual([]);
    expect(sent).toEqual([expect.stringMatching(/^00-[0-9a-f]{32}-[0-9a-f]{16}-00$/) as string]);
    receive(fresh({ headers: { traceparent: SAMPLED } }));
    expect(exporter.records).toHaveLength(2);
  });
});

describe('a delivery', () => {
  it('is a span within the attempt, whose own context goes out', () => {
    const sent: unknown[] = [];
    const hear = ({ span }: Delivery) => sent.push([span?.traceparent, span?.tracestate]);
    const { receive, spans } = traced({ routes: [confirming('large', hear)] });
    receive(fresh({ headers: { traceparent: SAMPLED, tracestate: 'a=b' } }));
    const [delivery, attempt] = spans();
    expect(delivery).toMatchObject({
      name: 'deliver large',
      kind: 'client',
      traceId: TRACE,
      parent: attempt?.spanId,
      remote: false,
      error: undefined,
      attributes: { 'ouzel.route': 'large', 'ouzel.target': 'large', 'ouzel.result': 'confirmed' },
    });
    expect(sent).toEqual([[`00-${TRACE}-${delivery?.spanId}-01`, 'a=b']]);
    expect(attempt).toMatchObject({ name: 'process events.>', traceId: TRACE, parent: SPAN });
  });

  it('is shown as its target says', () => {
    const target = {
      deliver: (delivery: Delivery) => delivery.confirm(),
      span: { kind: 'producer', name: 'publish out.x', attributes: { 'messaging.system': 'nats' } },
    } as const;
    const { receive, spans } = traced({ routes: [route('r', () => undefined, { target })] });
    receive(fresh());
    receive(fresh());
    expect(spans().filter(({ kind }) => kind === 'producer')).toMatchObject([
      { name: 'publish out.x', attributes: { 'messaging.system': 'nats', 'ouzel.route': 'r' } },
      { name: 'publish out.x' },
    ]);
  });

  it.each([
    ['TARGET_REJECTED', 'rejected'],
    ['TARGET_UNAVAILABLE', 'unavailable'],
  ] as const)('that failed with %s is an error: %s', (code, result) => {
    const failing = route('bad', (delivery) => delivery.fail(error(code, 'card 4111 1111')));
    const { receive, spans } = traced({ routes: [confirming('good'), failing] });
    receive(fresh());
    expect(spans()).toMatchObject([
      { name: 'deliver good', error: undefined },
      { name: 'deliver bad', attributes: { 'ouzel.result': result, 'error.type': code } },
      { name: 'process events.>', attributes: { 'error.type': code } },
    ]);
    expect(spans()[1]?.error).toContain(code);
  });

  it('has one span, however often its target answers', () => {
    const eager = route('eager', (delivery) => {
      delivery.confirm();
      delivery.fail(error());
      delivery.confirm();
    });
    const { receive, spans } = traced({ routes: [eager] });
    receive(fresh());
    expect(spans().map(({ name }) => name)).toEqual(['deliver eager', 'process events.>']);
  });

  it('that ran out of time ends with the attempt', () => {
    const { receive, consumer, spans } = traced({ routes: [route('silent', () => undefined)] });
    receive(fresh());
    consumer.sweep(performance.now() + 60_000);
    expect(spans()).toMatchObject([
      { name: 'deliver silent', attributes: { 'error.type': 'TARGET_TIMEOUT' } },
      { name: 'process events.>', attributes: { 'error.type': 'TARGET_TIMEOUT' } },
    ]);
  });
});

describe('the delivery of a batch', () => {
  stopClocks();

  it('is one span within the attempt of its first event, linked to those of the others', () => {
    const grouping = new Grouping(
      { max: 3, maxBytes: 1000, within: 1000, atOnce: 1 },
      { keyOf: () => null, after: () => () => undefined },
    );
    const partner = { ...confirming('partner'), batch: { whole: true, bisect: true } };
    const { receive, exporter } = traced({ steps: [grouping.step], routes: [partner] });
    for (const sequence of [1, 2, 3]) receive(fresh({ sequence }));
    const attempts = exporter.records.filter(({ facts }) => facts !== undefined);
    const deliveries = exporter.records.filter(({ facts }) => facts === undefined);
    expect(attempts.map(({ facts }) => facts?.sequence)).toEqual([1, 2, 3]);
    expect(deliveries).toHaveLength(1);
    expect(deliveries[0]?.parent).toBe(attempts[0]);
    expect(deliveries[0]?.others).toEqual([attempts[1], attempts[2]]);
  });
});

describe('what a span never holds', () => {
  it('is the text of an error, which can hold data', () => {
    const { receive, exporter } = traced({
      steps: [
        step('broken', () => {
          throw new OuzelError('EVENT_EXPRESSION', 'cannot add "4711-SECRET" to a number');
        }),
      ],
    });
    receive(jsonEvent({ password: '4711-SECRET' }));
    const { records } = exporter;
    expect(records).toHaveLength(1);
    const [record] = records;
    expect(JSON.stringify([record?.template, record?.ending, record?.facts?.subject])).not.toContain('4711');
  });

  it('is a secret of the configuration', () => {
    const { receive, spans } = traced({
      subjects: ['events.s3cret.>'],
      redact: (text) => text.replaceAll('s3cret', '***'),
    });
    receive(fresh());
    expect(spans()[0]?.name).toBe('process events.***.>');
  });

  it('is more of a subject or an id than is sane', () => {
    const { receive, spans } = traced();
    receive(fresh({ subject: `events.${'x'.repeat(5000)}`, headers: { 'Nats-Msg-Id': 'ü'.repeat(5000) } }));
    expect(spans()[0]?.attributes).toMatchObject({ 'messaging.message.id': 'ü'.repeat(512) });
    expect(String(spans()[0]?.attributes['messaging.destination.name'])).toHaveLength(512);
  });
});

describe('an exporter that throws', () => {
  it('breaks nothing, and is counted', () => {
    const { receive, exporter, acks, dropped } = traced({ routes: [confirming('r')] });
    exporter.export = () => {
      throw new Error('broken');
    };
    receive(fresh());
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    expect(dropped.value).toBe(2);
  });
});
