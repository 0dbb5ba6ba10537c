import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/core/event.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { log } from '../../../src/deliver/targets/log.ts';
import { MAX_HOPS } from '../../../src/deliver/outgoing.ts';
import { publish } from '../../../src/deliver/targets/publish.ts';
import { bytes, eventOf, harness, jsonEvent, outcome, route } from '../core/helpers.ts';
import { RecordingPublisher, targetContext, valuesOf } from './helpers.ts';

/** A consumer that publishes, with everything that comes of it. */
function publishing(options: Record<string, unknown>) {
  const publisher = new RecordingPublisher();
  const missing: string[] = [];
  const target = publish.prepare(
    publish.options.parse({ subject: 'out.x', ...options }),
    targetContext({ missing: (path) => missing.push(path), publisher }),
  );
  const deliver = target.deliver.bind(target);
  const made = harness({ steps: [deliverStep([route('r', deliver)], outcome('filtered'))] });
  /** Publishes an event, and answers with the reason of its dead letter, if it became one. */
  const send = (event: Event): string | undefined => {
    made.receive(event);
    const letter = made.letters.letters.at(-1);
    return letter === undefined ? undefined : `${letter.reason}: ${letter.failure.error.message}`;
  };
  return { publisher, missing, send, ...made };
}

describe('publish', () => {
  it('is confirmed by its PubAck, and only then', () => {
    const { publisher, send, acks } = publishing({});
    send(jsonEvent({}));
    expect(acks.final).toEqual([]);
    publisher.last.listener?.confirmed(false);
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    publisher.last.listener?.confirmed(true);
    expect(acks.final).toHaveLength(1);
  });

  it('hands over the bytes that came, with attributes and an id of its own', () => {
    const { publisher, send } = publishing({ timeout: '3s' });
    send(eventOf('{ "a": 1 }', { headers: { 'Nats-Msg-Id': 'm-1', 'X-Own': 'kept' } }));
    const { body, subject, timeout } = publisher.last;
    expect([body, subject, timeout]).toEqual(['{ "a": 1 }', 'out.x', 3000]);
    expect(valuesOf(publisher.last)).toMatchObject({
      'ce-id': 'm-1',
      'ce-type': 'orders.created',
      'ce-source': 'nats:EVENTS',
      'Content-Type': 'application/json',
      'Ouzel-Hops': '1',
      'X-Own': 'kept',
    });
    expect(valuesOf(publisher.last)['Nats-Msg-Id']).toMatch(/^[\w-]{22}\.16\./);
  });

  it('never forwards what the server obeys or Ouzel writes, in whatever spelling', () => {
    const headers = [
      'Nats-Rollup: all',
      'nats-expected-stream: X',
      'NATS-TTL: 1s',
      ' Nats-Schedule: @at x',
      '\tNats-Marker-Reason: x',
      'Nats\u0000-Rollup: sub',
      '\rNats-Rollup: sub',
      'Nats-Msg-Id: m',
      'ce-foo: x',
      'CE-bar: x',
      'Ouzel-Consumer: x',
      'Ouzel-Hops: 2',
      'Content-Type: application/json',
      'Keep: yes',
    ];
    const { publisher, send } = publishing({});
    send(eventOf('{}', { headerBlock: bytes(`NATS/1.0\r\n${headers.join('\r\n')}\r\n\r\n`) }));
    const names = publisher.last.headers.map(([name]) => name);
    expect(names.filter((name) => /nats/i.test(name))).toEqual(['Nats-Msg-Id']);
    expect(names.filter((name) => /ouzel/i.test(name))).toEqual(['Ouzel-Hops']);
    expect(names.filter((name) => /content-type/i.test(name))).toEqual(['Content-Type']);
    expect(names).not.toContain('ce-foo');
    expect(names).toContain('Keep');
    expect(valuesOf(publisher.last)['Ouzel-Hops']).toBe('3');
  });

  it.each<[hops: string, next: string | undefined]>([
    ['0', '1'],
    [String(MAX_HOPS - 1), String(MAX_HOPS)],
    [String(MAX_HOPS), undefined],
    ['99999', undefined],
    // A producer cannot buy itself more rounds.
    ['-1000', '1'],
    ['nonsense', '1'],
    ['', '1'],
  ])('with %j hops behind it has %s', (hops, next) => {
    const { publisher, send } = publishing({});
    const reason = send(jsonEvent({}, { headers: { 'Ouzel-Hops': hops } }));
    if (next === undefined) expect(reason).toMatch(/too_many_hops/);
    else expect(valuesOf(publisher.last)['Ouzel-Hops']).toBe(next);
  });

  it.each<[value: unknown, subject: string | undefined]>([
    ['a', 'out.a.end'],
    [7, 'out.7.end'],
    ['ä-_1', 'out.ä-_1.end'],
    ['', undefined],
    ['a.b', undefined],
    ['*', undefined],
    ['>', undefined],
    ['a b', undefined],
    ['a\r\nPUB x 0\r\n', undefined],
    ['\u0000', undefined],
    ['$JS', undefined],
    ['x'.repeat(400), `out.${'x'.repeat(400)}.end`],
    // The server closes the connection over a line that is too long.
    ['x'.repeat(5000), undefined],
  ])('with %j in its subject goes to %s', (value, subject) => {
    const { publisher, send } = publishing({ subject: 'out.{{ event.data.k }}.end' });
    const reason = send(jsonEvent({ k: value }));
    if (subject === undefined) {
      expect(reason).toMatch(/^invalid_subject/);
      expect(publisher.publications).toEqual([]);
    } else expect(publisher.last.subject).toBe(subject);
  });

  it.each(['out {{ event.data.k }}', 'out..{{ event.data.k }}', '{{ event.data.k }}.', 'out.*.{{ event.data.k }}'])(
    'does not hand on a subject that its template spoils: %s',
    (subject) => {
      const { publisher, send } = publishing({ subject });
      expect(send(jsonEvent({ k: 'a' }))).toMatch(/^invalid_subject/);
      expect(publisher.publications).toEqual([]);
    },
  );

  it.each(['', 'a b', 'a..b', '.a', 'a.', 'a.*', '>'])('refuses the subject %j before any event comes', (subject) =>
    expect(publish.options.safeParse({ subject }).success).toBe(false),
  );

  it('counts a field that its subject misses', () => {
    const { missing, send } = publishing({ subject: 'out.{{ event.data.k }}' });
    expect(send(jsonEvent({}))).toMatch(/^missing_field/);
    expect(missing).toEqual(['event.data.k']);
  });

  it('writes a structured CloudEvent, or the data alone', () => {
    const structured = publishing({ cloudevents: 'structured' });
    structured.send(eventOf('{"n":1234567890123456789}'));
    expect(structured.publisher.last.body).toContain('"data":{"n":1234567890123456789}');
    expect(valuesOf(structured.publisher.last)['Content-Type']).toBe('application/cloudevents+json');
    const raw = publishing({ cloudevents: 'raw' });
    raw.send(eventOf('hello', { headers: { 'Content-Type': 'text/plain' } }));
    expect(raw.publisher.last.body).toBe('hello');
    expect(valuesOf(raw.publisher.last)).toMatchObject({ 'Content-Type': 'text/plain' });
    expect(raw.publisher.last.headers.some(([name]) => name.startsWith('ce-'))).toBe(false);
  });

  it('has the headers of the configuration once, whoever else has them', () => {
    const { publisher, send } = publishing({
      headers: { 'X-Tenant': '{{ event.data.t }}', 'content-type': 'application/x' },
    });
    send(jsonEvent({ t: 'a\r\nNats-Rollup: all' }, { headers: { 'x-tenant': 'other', 'X-TENANT': 'third' } }));
    const { headers } = publisher.last;
    expect(headers.filter(([name]) => /x-tenant/i.test(name))).toEqual([['X-Tenant', 'a  Nats-Rollup: all']]);
    expect(headers.filter(([name]) => /content-type/i.test(name))).toEqual([['content-type', 'application/x']]);
    expect(headers.some(([name]) => /rollup/i.test(name))).toBe(false);
  });

  it('is delivered once written, without an ack of anyone, where it is core', () => {
    const { publisher, send, acks } = publishing({ core: true });
    send(jsonEvent({}));
    expect(publisher.last.listener).toBeUndefined();
    expect(acks.final).toEqual([['ack', 'reply.42']]);
  });

  it('bears the same id again when it is tried again', () => {
    const { publisher, send } = publishing({});
    send(jsonEvent({}));
    publisher.last.listener?.failed(new (class extends Error {})() as never);
    send(jsonEvent({}, { deliveries: 2 }));
    const ids = publisher.publications.map((each) => valuesOf(each)['Nats-Msg-Id']);
    expect(ids).toHaveLength(2);
    expect(new Set(ids).size).toBe(1);
  });
});

describe('log', () => {
  const lines: [Readonly<Record<string, unknown>>, string][] = [];
  const logging = (options: Record<string, unknown>, event: Event): string | undefined => {
    lines.length = 0;
    const target = log.prepare(
      log.options.parse(options),
      targetContext({ log: (fields, message) => lines.push([fields, message]) }),
    );
    const { receive, letters } = harness({
      steps: [deliverStep([route('r', target.deliver.bind(target))], outcome('filtered'))],
    });
    receive(event);
    return letters.letters[0]?.reason;
  };

  it('writes type and data, a message of its own, or no data', () => {
    logging({}, jsonEvent({ a: 1 }));
    expect(lines).toEqual([[expect.objectContaining({ data: { a: 1 }, id: 'EVENTS:42', seq: 42 }), 'orders.created']]);
    logging({ message: 'order {{ event.data.a }}', data: false }, jsonEvent({ a: 1 }));
    expect(lines[0]?.[1]).toBe('order 1');
    expect(lines[0]?.[0]).not.toHaveProperty('data');
  });

  it('bounds what it writes', () => {
    logging({}, jsonEvent('x'.repeat(100_000)));
    expect(String(lines[0]?.[0]['data']).length).toBeLessThan(9000);
    logging({}, eventOf(new Uint8Array(5000), { headers: { 'Content-Type': 'image/png' } }));
    expect(lines[0]?.[0]['data']).toBe('5000 bytes');
  });

  it('fails where its message does', () => {
    expect(logging({ message: '{{ event.data.x }}' }, jsonEvent({}))).toBe('missing_field');
    expect(logging({}, eventOf('hello'))).toBe('undecodable');
    expect(lines).toEqual([]);
  });
});
