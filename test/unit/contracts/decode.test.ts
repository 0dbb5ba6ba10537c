import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/core/event.ts';
import { OuzelError } from '../../../src/errors.ts';
import { parseExpression } from '../../../src/expression/index.ts';
import { bodyText, bytes, eventOf, jsonEvent } from '../core/helpers.ts';

const attributes = ({
  id,
  source,
  type,
  time,
  subject,
  datacontenttype,
  dataschema,
  extensions,
  specversion,
}: Event) => ({
  specversion,
  id,
  source,
  type,
  time,
  subject,
  datacontenttype,
  dataschema,
  extensions,
});

/** The code of what reading throws, or the value. */
const attempt = (read: () => unknown): unknown => {
  try {
    return read();
  } catch (error) {
    return error instanceof OuzelError ? error.code : error;
  }
};

describe('a plain message', () => {
  it('has its attributes from the stream', () =>
    expect(attributes(jsonEvent({ a: 1 }))).toEqual({
      specversion: '1.0',
      id: 'EVENTS:42',
      source: 'nats:EVENTS',
      type: 'orders.created',
      time: '2026-01-02T03:04:05.006Z',
      subject: undefined,
      datacontenttype: undefined,
      dataschema: undefined,
      extensions: {},
    }));

  it.each<[id: string | undefined, expected: string]>([
    ['m-1', 'm-1'],
    ['', 'EVENTS:42'],
    [undefined, 'EVENTS:42'],
  ])('with the message id %j has the id %s', (id, expected) =>
    expect(jsonEvent({}, id === undefined ? {} : { headers: { 'nats-msg-id': id } }).id).toBe(expected),
  );

  it.each([
    ['events.', 'events.a.b', 'a.b'],
    ['', 'events.a.b', 'events.a.b'],
    ['other.', 'events.a.b', 'events.a.b'],
  ])('with strip %j on %s is of type %s', (strip, subject, type) =>
    expect(jsonEvent({}, { strip, subject }).type).toBe(type),
  );

  it.each<[expression: string, data: unknown, source: string]>([
    ['event.data.shop', { shop: 'berlin' }, 'berlin'],
    ['event.data.shop', { shop: 7 }, '7'],
    ['event.data.shop', {}, 'nats:EVENTS'],
    ['event.data.shop', { shop: '' }, 'nats:EVENTS'],
    ['event.data.?shop', {}, 'nats:EVENTS'],
    ['msg.subject', {}, 'events.orders.created'],
    ['event.data.a / 0', { a: 1 }, 'nats:EVENTS'],
  ])('has the source %s of %j: %s', (expression, data, source) => {
    const evaluate = parseExpression(expression, 'event').bind(new Map());
    expect(jsonEvent(data, { source: evaluate }).source).toBe(source);
  });

  it.each<[name: string, body: string | Uint8Array, type: string | undefined, data: unknown]>([
    ['JSON', '{"a":[1]}', undefined, { a: [1] }],
    ['JSON that says so', '[1]', 'application/json; charset=utf-8', [1]],
    ['a JSON dialect', '{"a":1}', 'application/vnd.api+json', { a: 1 }],
    ['JSON with a byte order mark', '\ufeff{"a":1}', undefined, { a: 1 }],
    ['text', 'Grüße', 'text/plain', 'Grüße'],
    ['text with a replacement character of its own', 'a\ufffdb', 'text/plain', 'a\ufffdb'],
    ['text in JSON form', '{"a":1}', 'text/plain', '{"a":1}'],
    ['no body', '', undefined, null],
    ['no body under a text type', '', 'text/plain', ''],
    ['bytes', new Uint8Array([0, 255]), 'application/octet-stream', new Uint8Array([0, 255])],
    ['no JSON', 'hello', undefined, 'EVENT_UNDECODABLE'],
    ['no UTF-8', new Uint8Array([0x22, 0xff, 0x22]), undefined, 'EVENT_UNDECODABLE'],
    ['no UTF-8 as text', new Uint8Array([0xc3]), 'text/plain', 'EVENT_UNDECODABLE'],
    ['JSON cut off', '{"a":', undefined, 'EVENT_UNDECODABLE'],
    ['JSON lines', '{}\n{}', 'application/json-seq', new Uint8Array(bytes('{}\n{}'))],
  ])('with %s', (_name, body, type, data) => {
    const options = type === undefined ? {} : { headers: { 'Content-Type': type } };
    const given = typeof body === 'string' ? bytes(body) : body;
    // The same whether or not the transport hands over a Buffer.
    for (const each of [Buffer.from(given), new Uint8Array(given)]) {
      const event = eventOf(each, options);
      const got = attempt(() => event.data);
      expect(got instanceof Uint8Array ? new Uint8Array(got) : got).toEqual(data);
      expect(event.type).toBe('orders.created');
    }
  });

  it('reads its data once', () => {
    const event = jsonEvent({ a: {} });
    expect(event.data).toBe(event.data);
  });
});

const BINARY = { 'ce-specversion': '1.0', 'ce-id': 'i', 'ce-source': '/s', 'ce-type': 't' };

describe('binary mode', () => {
  it('has its attributes from the headers', () => {
    const headers = {
      ...BINARY,
      'CE-Subject': 'sub',
      'ce-time': '2020-01-01T00:00:00Z',
      'ce-dataschema': 'urn:s',
      'Content-Type': 'application/json',
      'ce-tenant': 'a',
      'Ce-Region': 'eu',
      Other: 'x',
    };
    const event = eventOf('{"a":1}', { headers });
    expect(attributes(event)).toEqual({
      specversion: '1.0',
      id: 'i',
      source: '/s',
      type: 't',
      time: '2020-01-01T00:00:00Z',
      subject: 'sub',
      datacontenttype: 'application/json',
      dataschema: 'urn:s',
      extensions: { tenant: 'a', region: 'eu' },
    });
    expect(event.data).toEqual({ a: 1 });
    expect(event.body()).toBe(event.carrier.body);
  });

  it("without a time has the stream's, without a content type has JSON", () => {
    const event = eventOf('[1]', { headers: BINARY });
    expect(event.time).toBe('2026-01-02T03:04:05.006Z');
    expect(event.data).toEqual([1]);
  });

  it.each([
    ['Euro%20%E2%82%AC%20%F0%9F%98%80', 'Euro € 😀'],
    ['100%25', '100%'],
    ['%0D%0ANats-Rollup: all', '\r\nNats-Rollup: all'],
    ['100%', '100%'],
    ['%zz', '%zz'],
    ['%C3', '%C3'],
    ['plain', 'plain'],
    ['ünencoded', 'ünencoded'],
  ])('decodes %s', (value, text) =>
    expect(eventOf('', { headers: { ...BINARY, 'ce-subject': value, 'ce-x': value } })).toMatchObject({
      subject: text,
      extensions: { x: text },
    }),
  );

  it('takes the first of several headers of one name, as every other reader here', () => {
    const headerBlock = bytes(
      'NATS/1.0\r\nce-specversion: 1.0\r\nce-id: first\r\nce-source: s\r\nce-type: t\r\nce-id: second\r\nCE-ID: third\r\n\r\n',
    );
    const event = eventOf('', { headerBlock });
    expect(event.id).toBe('first');
    expect(event.header('ce-id')).toBe('first');
  });

  it('keeps an extension called __proto__ as data', () => {
    const event = eventOf('', { headers: { ...BINARY, 'ce-__proto__': 'x', 'ce-constructor': 'y' } });
    expect(Object.keys(event.extensions)).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(event.extensions)).toBe(Object.prototype);
  });

  it.each<[name: string, headers: Record<string, string>, message: RegExp]>([
    ['an id', { 'ce-id': '' }, /it has no id among the ce- headers/],
    ['a source', { 'ce-source': '' }, /no source/],
    ['a type', { 'ce-type': '' }, /no type/],
    ['a version that is known', { 'ce-specversion': '0.3' }, /specversion is not 1\.0/],
  ])('is refused without %s', (_name, headers, message) => {
    const event = eventOf('{}', { headers: { ...BINARY, ...headers } });
    expect(() => event.type).toThrow(message);
    expect(attempt(() => event.data)).toBe('EVENT_UNDECODABLE');
  });

  it('is not what has some ce- headers without a version', () =>
    expect(jsonEvent({}, { headers: { 'ce-id': 'x', 'ce-type': 'y' } })).toMatchObject({
      id: 'EVENTS:42',
      type: 'orders.created',
      extensions: {},
    }));
});

const ENVELOPE = { specversion: '1.0', id: 'i', source: '/s', type: 't' };
const STRUCTURED = { 'Content-Type': 'application/cloudevents+json; charset=utf-8' };

describe.each([
  ['declared', STRUCTURED],
  ['undeclared', undefined],
])('structured mode, %s', (mode, headers) => {
  const event = (envelope: unknown): Event => jsonEvent(envelope, headers === undefined ? {} : { headers });

  const full = {
    ...ENVELOPE,
    time: '2020-01-01T00:00:00Z',
    subject: 'sub',
    dataschema: 'urn:s',
    datacontenttype: 'application/json',
    tenant: 'a',
    level: 3,
    flag: true,
    data: { a: 1 },
  };

  it('has its attributes from the document', () => {
    expect(attributes(event(full))).toEqual({
      specversion: '1.0',
      id: 'i',
      source: '/s',
      type: 't',
      time: '2020-01-01T00:00:00Z',
      subject: 'sub',
      datacontenttype: 'application/json',
      dataschema: 'urn:s',
      extensions: { tenant: 'a', level: 3, flag: true },
    });
    expect(event(full).data).toEqual({ a: 1 });
    expect(bodyText(event(full))).toBe('{"a":1}');
  });

  it('is the same event whether attributes or data are read first', () => {
    const [first, second] = [event(full), event(full)];
    const { data } = first;
    const { type } = second;
    expect([data, first.type, first.id]).toEqual([second.data, type, second.id]);
    expect(bodyText(first)).toBe(bodyText(second));
  });

  it.each<[name: string, more: object, data: unknown, body: string]>([
    ['data', { data: [1, 'ü'] }, [1, 'ü'], '[1,"ü"]'],
    ['a string', { data: 'text' }, 'text', '"text"'],
    ['text', { data: 'text', datacontenttype: 'text/plain' }, 'text', 'text'],
    ['null', { data: null }, null, 'null'],
    ['nothing', {}, null, 'null'],
    ['base64', { data_base64: 'aGk=', datacontenttype: 'image/png' }, new Uint8Array([104, 105]), 'hi'],
    ['both', { data_base64: 'aGk=', data: 1 }, new Uint8Array([104, 105]), 'hi'],
  ])('with %s', (_name, more, data, body) => {
    expect(event({ ...ENVELOPE, ...more }).data).toEqual(data);
    expect(bodyText(event({ ...ENVELOPE, ...more }))).toBe(body);
  });

  it('leaves out attributes that are null', () =>
    expect(event({ ...ENVELOPE, subject: null, time: null, tenant: null })).toMatchObject({
      subject: undefined,
      time: '2026-01-02T03:04:05.006Z',
      extensions: {},
    }));

  it('keeps an extension called __proto__ as data', () => {
    const text = JSON.stringify(ENVELOPE).replace('}', ',"__proto__":{"id":"evil","polluted":1},"data":1}');
    const hostile = eventOf(text, headers === undefined ? {} : { headers });
    expect(Object.keys(hostile.extensions)).toEqual(['__proto__']);
    expect(Object.getPrototypeOf(hostile.extensions)).toBe(Object.prototype);
    expect(hostile.extensions['polluted']).toBeUndefined();
    expect(hostile.id).toBe('i');
  });

  it('keeps large integers', () => {
    const text = JSON.stringify(ENVELOPE).replace('}', ',"data":{"n":1234567890123456789}}');
    const large = eventOf(text, headers === undefined ? {} : { headers });
    expect(bodyText(large)).toBe('{"n":1234567890123456789}');
  });

  it.each<[name: string, envelope: unknown]>([
    ['no id', { ...ENVELOPE, id: undefined }],
    ['an empty source', { ...ENVELOPE, source: '' }],
    ['a type that is no string', { ...ENVELOPE, type: 5 }],
    ['another version', { ...ENVELOPE, specversion: '0.3' }],
    ['a list', [ENVELOPE]],
    ['text', 'specversion'],
    ['null', null],
  ])('%s is refused where it was declared, else plain', (_name, envelope) => {
    const odd = event(envelope);
    if (mode === 'declared') {
      expect(attempt(() => odd.type)).toBe('EVENT_UNDECODABLE');
      expect(attempt(() => odd.data)).toBe('EVENT_UNDECODABLE');
      return;
    }
    expect(odd.type).toBe('orders.created');
    expect(odd.data).toEqual(JSON.parse(JSON.stringify(envelope)));
    expect(odd.body()).toBe(odd.carrier.body);
  });
});

describe('what is not declared', () => {
  it.each([
    ['text', 'text/plain'],
    ['bytes', 'application/octet-stream'],
  ])('is no CloudEvent under the type of %s, whatever is read first', (_name, type) => {
    const given = { headers: { 'Content-Type': type } };
    const [first, second] = [jsonEvent({ ...ENVELOPE, data: 1 }, given), jsonEvent({ ...ENVELOPE, data: 1 }, given)];
    expect(first.type).toBe('orders.created');
    expect(second.data).not.toBe(1);
    expect(second.type).toBe('orders.created');
    expect(first.data).toEqual(second.data);
    expect(first.body()).toBe(first.carrier.body);
  });

  it('is a plain event where specversion stands deeper', () => {
    const event = jsonEvent({ inner: ENVELOPE });
    expect(event.type).toBe('orders.created');
    expect(event.data).toEqual({ inner: ENVELOPE });
  });

  it('is found at any place in a long body', () => {
    for (const pad of [0, 1, 5, 13, 14, 100, 5000]) {
      const event = eventOf(
        JSON.stringify({ pad: 'x'.repeat(pad), id: 'i', source: '/s', type: 't', specversion: '1.0' }),
      );
      expect(event.type).toBe('t');
    }
  });
});

describe('a declared document that is no JSON', () => {
  it.each(['', 'hello', '{"id":'])('%j is refused', (body) =>
    expect(attempt(() => eventOf(body, { headers: STRUCTURED }).type)).toBe('EVENT_UNDECODABLE'),
  );
});
