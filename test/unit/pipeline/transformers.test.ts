import { describe, expect, it } from 'vitest';
import { bodyText, eventOf, jsonEvent } from '../core/helpers.ts';
import type { PipelineComponent } from '../../../src/pipeline/component.ts';
import { transformers } from '../../../src/pipeline/transformers/index.ts';
import { NOBODY } from '../deliver/helpers.ts';
import { NO_LOOKUPS, pass, transformed } from './helpers.ts';

type Case = readonly [options: unknown, data: unknown, body: string];

const table = (key: string, cases: readonly Case[]): void => {
  it.each(cases)('%j of %j → %s', (options, data, body) => expect(transformed(key, options, data)).toBe(body));
};

const ENVELOPE = { specversion: '1.0', id: 'i', source: '/s', type: 't' };

describe('set', () => {
  table('set', [
    [{ 'data.vat': 'event.data.total * 0.2' }, { total: 10 }, '{"total":10,"vat":2}'],
    [{ 'data.a.b': '1' }, {}, '{"a":{"b":1}}'],
    [{ 'data.kind': "'order'" }, {}, '{"kind":"order"}'],
    [{ 'data.n': 5, 'data.t': true, 'data.x': null }, {}, '{"n":5,"t":true,"x":null}'],
    [{ data: '[1, 2]' }, { a: 1 }, '[1,2]'],
    [{ 'data.o': { a: 'event.data.n + 1', b: [1, 'event.data.n'] } }, { n: 1 }, '{"n":1,"o":{"a":2,"b":[1,1]}}'],
    // An empty optional writes nothing, wherever it stands.
    [{ 'data.phone': 'event.data.?phone' }, { a: 1 }, '{"a":1}'],
    [{ 'data.o': { p: 'event.data.?phone', q: '1' } }, {}, '{"o":{"q":1}}'],
    [{ 'data.l': ['event.data.?phone', '1'] }, {}, '{"l":[1]}'],
    [{ 'data.phone': 'event.data.?phone' }, { phone: null }, '{"phone":null}'],
    [{ 'data.phone': 'event.data.?phone.orValue("none")' }, {}, '{"phone":"none"}'],
    [{ 'data.items[1].n': '7' }, { items: [{}, {}] }, '{"items":[{},{"n":7}]}'],
    [{ 'data.items[2]': '7' }, {}, '{"items":[null,null,7]}'],
    [{ 'data["unit price"]': '1' }, {}, '{"unit price":1}'],
    [
      { 'data.copy': 'event.data.from' },
      { from: { __proto__x: 1 } },
      '{"from":{"__proto__x":1},"copy":{"__proto__x":1}}',
    ],
  ]);

  it('lets every expression see the event as it was before', () => {
    expect(transformed('set', { 'data.a': 'event.data.b', 'data.b': 'event.data.a' }, { a: 1, b: 2 })).toBe(
      '{"a":2,"b":1}',
    );
    expect(transformed('set', { 'data.a.x': '1', 'data.old': 'event.data.a' }, { a: { y: 2 } })).toBe(
      '{"a":{"y":2,"x":1},"old":{"y":2}}',
    );
    const { event } = pass('set', { type: 'event.data.k', 'data.was': 'event.type' }, jsonEvent({ k: 'new' }));
    expect([event.type, bodyText(event)]).toEqual(['new', '{"k":"new","was":"orders.created"}']);
  });

  it('keeps large integers and hostile keys of what it copies', () => {
    const { event } = pass(
      'set',
      { 'data.copy': 'event.data.from' },
      eventOf('{"from":{"__proto__":{"n":1234567890123456789}}}'),
    );
    expect(bodyText(event)).toBe(
      '{"from":{"__proto__":{"n":1234567890123456789}},"copy":{"__proto__":{"n":1234567890123456789}}}',
    );
  });

  it('writes attributes and extensions', () => {
    const { event } = pass(
      'set',
      {
        type: "'x.' + event.type",
        source: "'/here'",
        subject: 'event.data.n',
        'ext.tenant': 'event.data.t',
        dataschema: "'urn:x'",
      },
      jsonEvent({ n: 5, t: { a: 1 } }),
    );
    expect(event).toMatchObject({
      type: 'x.orders.created',
      source: '/here',
      subject: '5',
      dataschema: 'urn:x',
      extensions: { tenant: { a: 1 } },
    });
    expect(event.body()).toBe(event.carrier.body);
  });

  it('takes an optional attribute or an extension away with null, and refuses a type of null or nothing', () => {
    const given = () => jsonEvent({ ...ENVELOPE, subject: 's', tenant: 'a', data: { n: null, e: '' } });
    const { event } = pass('set', { subject: 'event.data.n', 'ext.tenant': 'event.data.n' }, given());
    expect([event.subject, event.extensions]).toEqual([undefined, {}]);
    expect(() => pass('set', { type: 'event.data.n' }, given())).toThrow(/event\.type cannot be removed/);
    expect(() => pass('set', { type: 'event.data.e' }, given())).toThrow(/type cannot be empty/);
  });

  it.each<[options: Record<string, unknown>, data: unknown, code: string, missing: string[]]>([
    [{ 'data.a': 'event.data.b.c' }, {}, 'EVENT_MISSING_FIELD', ['event.data.b']],
    [{ 'data.a': { x: ['event.data.b'] } }, {}, 'EVENT_MISSING_FIELD', ['event.data.b']],
    [{ 'data.a': '1 / event.data.n' }, { n: 0 }, 'EVENT_EXPRESSION', []],
    [{ 'data.n.x': '1' }, { n: 5 }, 'EVENT_EXPRESSION', []],
  ])('%j of %j fails with %s', (options, data, code, counted) => {
    const event = jsonEvent(data);
    const component = transformers.find(({ name }) => name === 'set');
    const missing: string[] = [];
    const step = component?.compile(component.options.parse(options) as never, {
      name: 'stage',
      consumer: 'billing',
      stream: 'EVENTS',
      requester: NOBODY,
      lookups: NO_LOOKUPS,
      bind: (expression) => expression.bind(new Map()),
      bindTemplate: (template) => template.bind(new Map()),
      missing: (where) => missing.push(where),
      filtered: () => {
        throw new Error('a transformer filters nothing');
      },
    });
    const before = bodyText(event);
    expect(() => step?.run({ event, msg: {}, now: 0 } as never)).toThrow(expect.objectContaining({ code }) as Error);
    expect(missing.map((each) => each.replace(/^event\.data\.b.*/, 'event.data.b'))).toEqual(counted);
    if (code === 'EVENT_MISSING_FIELD') expect(bodyText(event)).toBe(before);
  });
});

describe('rename', () => {
  table('rename', [
    [{ 'data.cust': 'data.customer' }, { cust: 1, a: 2 }, '{"a":2,"customer":1}'],
    [{ 'data.a': 'data.b.c' }, { a: 1 }, '{"b":{"c":1}}'],
    [{ 'data.a': 'data.b' }, { a: 1, b: 2 }, '{"b":1}'],
    [{ 'data.x': 'data.y' }, { a: 1 }, '{"a":1}'],
    [{ 'data.a': 'data.b' }, { a: null }, '{"b":null}'],
    // All at once, in whatever order they are written.
    [{ 'data.a': 'data.b', 'data.b': 'data.a' }, { a: 1, b: 2 }, '{"b":1,"a":2}'],
    [{ 'data.b': 'data.a', 'data.a': 'data.b' }, { a: 1, b: 2 }, '{"a":2,"b":1}'],
    [{ 'data.a': 'data.b', 'data.b': 'data.c' }, { a: 1, b: 2 }, '{"b":1,"c":2}'],
    [{ 'data.b': 'data.c', 'data.a': 'data.b' }, { a: 1, b: 2 }, '{"c":2,"b":1}'],
    [{ 'data.l[0]': 'data.first', 'data.l[1]': 'data.second' }, { l: [1, 2, 3] }, '{"l":[3],"first":1,"second":2}'],
    [{ 'data.a': 'data.a.inner' }, { a: 1 }, '{"a":{"inner":1}}'],
    [{ 'data.in': 'data' }, { in: { a: 1 } }, '{"a":1}'],
    [{ 'data.a': 'data.a' }, { a: 1 }, '{"a":1}'],
  ]);

  it('moves between data, attributes and extensions', () => {
    const { event } = pass(
      'rename',
      { 'data.kind': 'type', 'ext.tenant': 'data.tenant', subject: 'ext.about' },
      jsonEvent({ ...ENVELOPE, subject: 's', tenant: 'a', data: { kind: 'k' } }),
    );
    expect(event).toMatchObject({ type: 'k', subject: undefined, extensions: { about: 's' } });
    expect(event.data).toEqual({ tenant: 'a' });
  });

  it('leaves the bytes of an event alone that has none of them', () => {
    const { event } = pass('rename', { 'data.x': 'data.y' }, eventOf('{ "a": 1 }'));
    expect(event.body()).toBe(event.carrier.body);
  });
});

describe('mask', () => {
  table('mask', [
    [['data.card'], { card: '4111111111111111' }, '{"card":"****"}'],
    [{ 'data.card': 4 }, { card: '4111111111111111' }, '{"card":"****1111"}'],
    [{ 'data.card': 4 }, { card: '12345678' }, '{"card":"****5678"}'],
    [{ 'data.card': 4 }, { card: '1234567' }, '{"card":"****"}'],
    [{ 'data.card': 0 }, { card: '12345678' }, '{"card":"****"}'],
    [{ 'data.n': 2 }, { n: 123456 }, '{"n":"****56"}'],
    [{ 'data.s': 2 }, { s: 'ab😀😀' }, '{"s":"****😀😀"}'],
    [['data.o'], { o: { secret: 1 } }, '{"o":"****"}'],
    [['data.l[0]'], { l: ['a', 'b'] }, '{"l":["****","b"]}'],
    [['data.x'], { a: 1 }, '{"a":1}'],
    [['data.x'], { x: null }, '{"x":null}'],
    [['data.x'], { x: '' }, '{"x":"****"}'],
    [['data'], 'text', '"****"'],
  ]);

  it('masks attributes and extensions', () => {
    const { event } = pass('mask', ['subject', 'ext.tenant'], jsonEvent({ ...ENVELOPE, subject: 's', tenant: 'a' }));
    expect(event).toMatchObject({ subject: '****', extensions: { tenant: '****' } });
  });

  it('masks a large integer by its digits', () => {
    const { event } = pass('mask', { 'data.n': 4 }, eventOf('{"n":1234567890123456789}'));
    expect(bodyText(event)).toBe('{"n":"****6789"}');
  });
});

describe('keep', () => {
  table('keep', [
    [['data.a', 'data.c.d'], { a: 1, b: 2, c: { d: 3, e: 4 } }, '{"a":1,"c":{"d":3}}'],
    [['data.x'], { a: 1 }, '{}'],
    [['data.a'], { a: null }, '{"a":null}'],
    [['data.l[0].sku'], { l: [{ sku: 'a', n: 1 }] }, '{"l":[{"sku":"a"}]}'],
    [['data.l[1]'], { l: [1, 2, 3] }, '{"l":[null,2]}'],
    [['data'], { a: 1 }, '{"a":1}'],
    [['data.a', 'data.a.b'], { a: { b: 1, c: 2 } }, '{"a":{"b":1,"c":2}}'],
    [['data.a.b', 'data.a'], { a: { b: 1, c: 2 } }, '{"a":{"b":1,"c":2}}'],
    [['data.a'], 'text', '{}'],
    [['data.a'], null, '{}'],
  ]);

  it('names fields of the data only', () =>
    expect(() => pass('keep', ['type'], jsonEvent({}))).toThrow(/keep names fields of the data/));
});

describe('remove', () => {
  table('remove', [
    [['data.a', 'data.b.c'], { a: 1, b: { c: 2, d: 3 } }, '{"b":{"d":3}}'],
    [['data.x'], { a: 1 }, '{"a":1}'],
    [['data'], { a: 1 }, 'null'],
    // Positions are those of the event as it came, in whatever order they are written.
    [['data.l[0]', 'data.l[1]'], { l: [1, 2, 3] }, '{"l":[3]}'],
    [
      ['data.l[0]', 'data.x', 'data.l[1]', 'data.l[10]'],
      { x: 1, l: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11] },
      '{"l":[3,4,5,6,7,8,9,10]}',
    ],
    [['data.l[0]', 'data.l[1].a'], { l: [1, { a: 1, b: 2 }] }, '{"l":[{"b":2}]}'],
    [['data.l["length"]'], { l: [1, 2] }, '{"l":[1,2]}'],
  ]);

  it('takes optional attributes and extensions away', () => {
    const { event } = pass(
      'remove',
      ['subject', 'dataschema', 'ext.tenant'],
      jsonEvent({ ...ENVELOPE, subject: 's', dataschema: 'd', tenant: 'a' }),
    );
    expect(event).toMatchObject({ subject: undefined, dataschema: undefined, extensions: {} });
  });

  it.each(['type', 'source'])('refuses to take away %s, before any event comes', (attribute) =>
    expect(() => pass('remove', [attribute], jsonEvent({}))).toThrow(/type and source cannot be taken away/),
  );
});

describe('every transformer', () => {
  it('stands under its own name, with an example that its schema takes', async () => {
    const { parse } = await import('yaml');
    for (const { name, example, options, summary, kind } of transformers as readonly PipelineComponent[]) {
      expect(kind).toBe('transformer');
      expect(summary).toMatch(/\.$/);
      expect(options.safeParse(parse(example)).success, name).toBe(true);
    }
    expect(new Set(transformers.map(({ name }) => name)).size).toBe(transformers.length);
  });

  it('never writes to what was parsed', () => {
    const options: Record<string, unknown> = {
      set: { 'data.a.b': '2', 'data.l[0].x': '1' },
      rename: { 'data.a.b': 'data.l[0].x' },
      mask: ['data.a.b', 'data.l[0]'],
      keep: ['data.a.b'],
      remove: ['data.a.b', 'data.l[0]'],
    };
    for (const { name } of transformers) {
      // They answer later, and are tested apart.
      if (name === 'request' || name === 'lookup') continue;
      const event = jsonEvent({ a: { b: 1 }, l: [{}] });
      const { data } = event;
      pass(name, options[name], event);
      expect(data, name).toEqual({ a: { b: 1 }, l: [{}] });
      expect(event.data, name).not.toEqual(data);
    }
  });
});
