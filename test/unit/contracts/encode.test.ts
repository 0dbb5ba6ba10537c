import { describe, expect, it } from 'vitest';
import { cloudEventHeaders, structuredEvent, structuredText } from '../../../src/contracts/encode.ts';
import type { Event } from '../../../src/core/event.ts';
import { headerBlock, headerEntries, headerLine } from '../../../src/core/headers.ts';
import { stringifyJson } from '../../../src/core/json.ts';
import { bodyText, bytes, eventOf, jsonEvent } from '../core/helpers.ts';

const ENVELOPE = { specversion: '1.0', id: 'i', source: '/s', type: 't' };

/** The event that arrives when this one is published in binary mode. */
function overBinary(event: Event): Event {
  const body = event.body();
  return eventOf(typeof body === 'string' ? bytes(body) : body, {
    headerBlock: bytes(headerBlock(cloudEventHeaders(event))),
    sequence: 99,
  });
}

const overStructured = (event: Event): Event =>
  eventOf(stringifyJson(structuredEvent(event)), {
    headers: { 'Content-Type': 'application/cloudevents+json' },
    sequence: 99,
  });

const overText = (event: Event): Event =>
  eventOf(structuredText(event), { headers: { 'Content-Type': 'application/cloudevents+json' }, sequence: 99 });

const said = ({ id, source, type, time, subject, dataschema, extensions, data }: Event) => ({
  id,
  source,
  type,
  time,
  subject,
  dataschema,
  extensions,
  data,
});

const HOSTILE = [
  '\r\nNats-Rollup: all',
  '\nce-id: other',
  'a\u0000b',
  'Grüße 😀 €',
  '100% "quoted"',
  ' spaces ',
  '\u007f\u0085\u2028',
  '%0D%0A',
  'a:b',
];

describe.each([
  ['binary', overBinary],
  ['structured', overStructured],
  ['structured, as text', overText],
])('a round trip in %s mode', (mode, over) => {
  it.each<[name: string, event: () => Event]>([
    ['a plain event', () => jsonEvent({ a: [1, 'ü'] }, { headers: { 'Nats-Msg-Id': 'm-1' } })],
    ['an event without data', () => eventOf('')],
    ['a string', () => jsonEvent('text')],
    ['a large integer', () => eventOf('{"n":1234567890123456789}')],
    ['text', () => eventOf('Grüße', { headers: { 'Content-Type': 'text/plain; charset=utf-8' } })],
    ['bytes', () => eventOf(new Uint8Array([0, 1, 254, 255]), { headers: { 'Content-Type': 'image/png' } })],
    ['a JSON dialect', () => eventOf('{"a":1}', { headers: { 'Content-Type': 'application/vnd.api+json' } })],
    [
      'a whole CloudEvent',
      () => jsonEvent({ ...ENVELOPE, subject: 's', dataschema: 'urn:d', tenant: 'a', data: { a: 1 } }),
    ],
    [
      'a CloudEvent with bytes',
      () => jsonEvent({ ...ENVELOPE, datacontenttype: 'image/png', data_base64: 'AAEC/w==' }),
    ],
    ['a CloudEvent with text', () => jsonEvent({ ...ENVELOPE, datacontenttype: 'text/plain', data: 'text' })],
  ])('keeps %s', (_name, event) => {
    const arrived = over(event());
    expect(said(arrived)).toEqual(said(event()));
    expect(arrived.datacontenttype).toBe(event().datacontenttype ?? 'application/json');
  });

  it.each(HOSTILE)('keeps attributes that hold %j, and they add nothing', (text) => {
    const event = jsonEvent({
      ...ENVELOPE,
      id: text,
      source: text,
      type: text,
      time: text,
      subject: text,
      dataschema: text,
      tenant: text,
    });
    expect(said(over(event))).toEqual(said(event));
  });

  it('leaves out what is null', () => {
    const event = jsonEvent({ ...ENVELOPE, tenant: null, subject: null });
    expect(said(over(event)).extensions).toEqual({});
  });

  it('keeps changes', () => {
    const event = jsonEvent({ a: 1 });
    event.setAttribute('type', 'other');
    event.setExtension('tenant', 'ä');
    event.replaceData({ b: 2n ** 60n });
    expect(said(over(event))).toEqual(said(event));
    expect(mode).toBeDefined();
  });
});

describe('cloudEventHeaders', () => {
  it('writes the attributes as the NATS binding says', () => {
    const event = jsonEvent({
      ...ENVELOPE,
      time: '2020-01-01T00:00:00Z',
      subject: 'Euro €',
      tenant: 'a b',
      n: 3,
      data: 1,
    });
    expect(cloudEventHeaders(event)).toBe(
      'ce-specversion: 1.0\r\nce-id: i\r\nce-source: /s\r\nce-type: t\r\nce-time: 2020-01-01T00:00:00Z\r\n' +
        'ce-subject: Euro%20%E2%82%AC\r\nce-tenant: a%20b\r\nce-n: 3\r\nContent-Type: application/json\r\n',
    );
  });

  it('replaces a lone surrogate, which has no UTF-8 form', () => {
    const event = eventOf(`{"specversion":"1.0","id":"i","source":"/s","type":"a\\ud800b"}`);
    expect(cloudEventHeaders(event)).toContain('ce-type: a%EF%BF%BDb\r\n');
  });

  it.each(['id:evil', 'id: evil\r\nce-type', 'a\r\nNats-Rollup', ': x', 'ä', 'type ', '\u0000'])(
    'cannot be made to write another header by an extension named %j',
    (name) => {
      const event = jsonEvent({ ...ENVELOPE, [name]: 'evil', data: 1 });
      const names = headerEntries(bytes(headerBlock(cloudEventHeaders(event)))).map(([each]) => each);
      expect(names).toHaveLength(7);
      expect(names.slice(0, 5)).toEqual(['ce-specversion', 'ce-id', 'ce-source', 'ce-type', 'ce-time']);
      expect(names[5]).toMatch(/^ce-[!-9;-~]+$/);
      expect(['ce-id', 'ce-type']).not.toContain(names[5]);
      expect(said(overBinary(event))).toMatchObject({ id: 'i', source: '/s', type: 't' });
    },
  );

  it('cannot be made to write another header by the content type', () => {
    const event = jsonEvent({ ...ENVELOPE, datacontenttype: 'a/b\r\nNats-Rollup: all', data: 'x' });
    const entries = headerEntries(bytes(headerBlock(cloudEventHeaders(event) + headerLine('X', '1'))));
    expect(entries.map(([name]) => name)).toEqual([
      'ce-specversion',
      'ce-id',
      'ce-source',
      'ce-type',
      'ce-time',
      'Content-Type',
      'X',
    ]);
  });
});

describe('structuredEvent', () => {
  it('has what is there and no more', () =>
    expect(structuredEvent(jsonEvent({ a: 1 }))).toEqual({
      specversion: '1.0',
      id: 'EVENTS:42',
      source: 'nats:EVENTS',
      type: 'orders.created',
      time: '2026-01-02T03:04:05.006Z',
      datacontenttype: 'application/json',
      data: { a: 1 },
    }));

  it('keeps the exact JSON type', () =>
    expect(structuredEvent(eventOf('{}', { headers: { 'Content-Type': 'application/vnd.api+json' } }))).toMatchObject({
      datacontenttype: 'application/vnd.api+json',
    }));

  it('writes bytes as base64', () =>
    expect(
      structuredEvent(eventOf(new Uint8Array([255, 0]), { headers: { 'Content-Type': 'image/png' } })),
    ).toMatchObject({
      datacontenttype: 'image/png',
      data_base64: '/wA=',
    }));

  it('is refused for data that cannot be read', () =>
    expect(() => structuredEvent(eventOf('hello'))).toThrow(/not JSON/));

  it('is not needed to forward such data', () => expect(bodyText(eventOf('hello'))).toBe('hello'));
});

describe('the text of structured mode', () => {
  const received = (body: string, headers = {}): Event => eventOf(Buffer.from(body), { headers });
  const dataIn = (text: string): string => text.slice(text.indexOf(',"data":') + ',"data":'.length, -1);

  it.each(['{"n":1e400}', '{ "n": 1.0,\n "n": 2 }', '[12345678901234567890123]', '"ü"', 'null', 'false', '0'])(
    'has the JSON %s as it came',
    (body) => expect(dataIn(structuredText(received(body)))).toBe(body),
  );

  it('has what a transformer made of it', () => {
    const event = received('{ "n": 1.0 }');
    event.replaceData({ n: 2 });
    expect(dataIn(structuredText(event))).toBe('{"n":2}');
  });

  it('is JSON where a byte order mark stands before it, and where the body is an envelope', () => {
    expect(dataIn(structuredText(received('\ufeff{"n":1}')))).toBe('{"n":1}');
    const envelope = received(JSON.stringify({ ...ENVELOPE, data: { n: 1 } }));
    expect(JSON.parse(structuredText(envelope))).toMatchObject({ ...ENVELOPE, data: { n: 1 } });
  });

  it('is refused for what is said to be JSON and is none', () => {
    for (const body of ['{', '{"a":1}}', 'ouzel']) expect(() => structuredText(received(body))).toThrow(/not JSON/);
  });
});
