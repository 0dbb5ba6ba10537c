/** What expressions answer: numbers, fields that are not there, logic, equality, loops. */

import { describe, expect, it } from 'vitest';
import { Fault, isFault, parseExpression } from '../../../src/expression/index.ts';
import { evaluate, fault, json, scopeOf } from './helpers.ts';

const DATA = {
  id: 'o-1',
  total: 1500,
  status: 'paid',
  rate: 0.5,
  big: 9007199254740993n,
  vip: true,
  nothing: null,
  customer: { name: 'Ann', tags: ['a', 'b'] },
  items: [{ price: 2 }, { price: 3.5 }],
  'unit-price': 7,
};

const answers = (cases: readonly (readonly [string, unknown])[]): void => {
  it.each(cases)('%s', (source, expected) => expect(json(source, { data: DATA })).toEqual(expected));
};

describe('numbers', () => {
  answers([
    ['1 / 2', 0.5],
    ['7 % 4', 3],
    ['1 + 2.5', 3.5],
    ['2 * 0.1 == 0.2', true],
    ['1 == 1.0', true],
    ['event.data.total > 1000', true],
    ['event.data.total > 1500.5', false],
    ['1000 < event.data.total', true],
    ['event.data.total * 0.2', 300],
    ['-event.data.total', -1500],
    ['0x10', 16],
    ['1u + 1', 2],
    ['event.data.vip ? 1 : "none"', 1],
    ['[1, "a", 2.5]', [1, 'a', 2.5]],
    ['event.data.big', 9007199254740993n],
    ['event.data.big > 9007199254740992', true],
    ['event.data.big > 9007199254740992.5', true],
    ['event.data.big == 9007199254740993', true],
    ['event.data.big == 9007199254740992', false],
    ['event.data.big + 1', 9007199254740994n],
    ['event.data.big - event.data.big', 0],
    ['event.data.big * 2', 18014398509481986n],
    ['event.data.big / 3', 3002399751580331],
    ['event.data.big / 2', 4503599627370496],
    ['event.data.big % 10', 3],
    ['event.data.big * 0.5', 4503599627370496],
    ['-event.data.big', -9007199254740993n],
    ['9007199254740991 + 2', 9007199254740993n],
    ['9007199254740993 - 2', 9007199254740991],
    ['string(event.data.big)', '9007199254740993'],
    ['[9007199254740993, 1].max()', 9007199254740993n],
  ]);

  it.each([
    '1 / event.data.zero',
    'event.data.total % event.data.zero',
    '1.0 / event.data.zero',
    'event.data.big / event.data.zero',
  ])('%s is a fault', (source) =>
    expect(fault(source, { data: { ...DATA, zero: 0 } })).toMatchObject({ kind: 'evaluation', message: /zero/ }),
  );

  it('has no infinity', () => {
    expect(fault('event.data.x * 10', { data: { x: 1e308 } }).message).toContain('out of range');
    expect(fault('event.data.x + event.data.x', { data: { x: Infinity } }).message).toContain('out of range');
    expect(json('event.data.x', { data: { x: Infinity } })).toBeNull();
    expect(fault('event.data.x * event.data.x', { data: { x: 1n << 1023n } }).message).toContain('out of range');
    expect(fault('event.data.x + 1', { data: { x: 1n << 5000n } }).message).toContain('out of range');
  });
});

describe('a field that is not there', () => {
  it.each([
    ['event.data.missing > 1', 'event.data.missing'],
    ['event.data.a.b', 'event.data.a.b'],
    ['event.data.a.b.c.d == 1', 'event.data.a.b.c.d'],
    ['event.data.nothing.x', 'event.data.nothing.x'],
    ['event.data.status.x', 'event.data.status.x'],
    ['event.data.total.x.y', 'event.data.total.x.y'],
    ['event.data.items.price', 'event.data.items.price'],
    ['event.data["unit-cost"]', 'event.data["unit-cost"]'],
    ['event.data.items[0].cost', 'event.data.items[0].cost'],
    ['event.data.none[0]', 'event.data.none[0]'],
    ['event.data.customer[event.data.id]', 'event.data.customer[event.data.id]'],
    ['event.data.items.all(i, i.cost > 1)', 'event.data.items[].cost'],
    ['event.subject', 'event.subject'],
    ['event.subject.size()', 'event.subject'],
    ['event.ext.colour', 'event.ext.colour'],
    ['msg.headers["X-Bar"]', 'msg.headers["X-Bar"]'],
    ['-event.data.a', 'event.data.a'],
    ['!event.data.a', 'event.data.a'],
    ['[event.data.a]', 'event.data.a'],
    ['{"x": event.data.a}', 'event.data.a'],
    ['event.data.a ? 1 : 2', 'event.data.a'],
    ['event.data.a == event.data.b', 'event.data.a'],
    ['event.data.id == event.data.b', 'event.data.b'],
    ['1 in event.data.a', 'event.data.a'],
    ['event.data.a.size()', 'event.data.a'],
    ['event.data.id + event.data.a', 'event.data.a'],
    ['cel.bind(x, event.data.a, x)', 'event.data.a'],
    ['true && event.data.a', 'event.data.a'],
  ])('%s shows %s', (source, path) => {
    expect(fault(source, { data: DATA })).toMatchObject({
      kind: 'missing_field',
      path,
      message: `${path} is not there`,
    });
  });

  it('is shown for an empty body', () => {
    expect(fault('event.data.total > 1', { data: null }).path).toBe('event.data.total');
    expect(fault('event.data.a.b.c', { data: 'text' }).path).toBe('event.data.a.b.c');
    expect(json('event.data == null', { data: null })).toBe(true);
  });

  it('is absent in has()', () => {
    const cases: readonly (readonly [string, boolean])[] = [
      ['has(event.data.id)', true],
      ['has(event.data.nothing)', true],
      ['has(event.data.a)', false],
      ['has(event.data.a.b.c)', false],
      ['has(event.data.id.b.c)', false],
      ['!has(event.data.a.b.c)', true],
      ['has(event.data["unit-price"])', true],
      ['has(event.data.items[0].price)', true],
      ['has(event.data.items[7].price)', false],
      ['has(event.subject)', false],
      ['has(event.type)', true],
      ['has(event.ext.region)', true],
      ['has(msg.headers["X-Foo"])', true],
      ['has(msg.headers.nope)', false],
      ['has(event.data.?a.b)', false],
      ['has(event.data.?customer.name)', true],
    ];
    for (const [source, expected] of cases)
      expect([source, evaluate(source, { data: DATA })]).toEqual([source, expected]);
  });

  it('is one Fault for all events, for it is common', () => {
    const run = parseExpression('event.data.a > 1', 'event').bind(new Map());
    expect(run(scopeOf({}))).toBe(run(scopeOf({})));
  });

  it('is where it stands', () => {
    expect(fault('event.data.id == "x" || event.data.a.b > 1')).toMatchObject({
      path: 'event.data.id',
      offset: 0,
      length: 13,
    });
    expect(fault('1 + event.data.a.b')).toMatchObject({ offset: 4, length: 14 });
  });
});

describe('optionals', () => {
  answers([
    ['event.data.?id', 'o-1'],
    ['event.data.?phone', undefined],
    ['event.data.?phone.orValue("none")', 'none'],
    ['event.data.?customer.?name.orValue("none")', 'Ann'],
    ['event.data.?customer.name.orValue("none")', 'Ann'],
    ['event.data.?a.b.c.orValue(1)', 1],
    ['event.data.?nothing.?x.hasValue()', false],
    ['event.data[?"unit-price"].value()', 7],
    ['event.data.items[?5].hasValue()', false],
    ['event.data.items[?1].price.orValue(0)', 3.5],
    ['event.data.?phone.or(event.data.?id).value()', 'o-1'],
    ['optional.of(1).value()', 1],
    ['optional.none().hasValue()', false],
    ['optional.ofNonZeroValue("").hasValue()', false],
    ['optional.ofNonZeroValue(0).hasValue()', false],
    ['optional.ofNonZeroValue("x").value()', 'x'],
    ['event.data.?id.optMap(x, x + "!").orValue("")', 'o-1!'],
    ['event.data.?phone.optMap(x, x + "!").orValue("-")', '-'],
    ['event.data.?id.optFlatMap(x, optional.of(x)).value()', 'o-1'],
    ['event.?subject.orValue("none")', 'none'],
    ['msg.headers[?"x-foo"].orValue("none")', 'none'],
    ['[1, event.data.?phone, 2]', [1, 2]],
    ['{"a": event.data.?phone}', {}],
  ]);

  it('makes value() of nothing a fault', () => {
    expect(fault('event.data.?phone.value()', { data: DATA }).message).toContain('empty');
    expect(fault('event.data.id.orValue("x")', { data: DATA }).message).toContain('.?field');
  });
});

describe('logic', () => {
  answers([
    ['false && event.data.a', false],
    ['event.data.a && false', false],
    ['event.data.a > 1 && event.data.b > 1 && false', false],
    ['true || event.data.a', true],
    ['event.data.a || true', true],
    ['event.data.a || false || true', true],
    ['event.data.id || true', true],
    ['true ? 1 : event.data.a', 1],
    ['false ? event.data.a : 2', 2],
    ['!(event.data.total > 1000)', false],
    ['event.data.items.exists(i, i.cost > 1 || i.price > 3)', true],
    ['[1, 2, 0].exists(i, 1 / i == 0.5)', true],
    ['[0, 1].all(i, 1 / i > 5)', false],
    ['[].all(i, i.x)', true],
  ]);

  it('answers the first fault when nothing decides', () => {
    expect(fault('event.data.a && event.data.b').path).toBe('event.data.a');
    expect(fault('true && event.data.b').path).toBe('event.data.b');
    expect(fault('event.data.a || false || event.data.b').path).toBe('event.data.a');
    expect(fault('event.data.id && true', { data: DATA })).toMatchObject({ kind: 'evaluation', value: 'o-1' });
    expect(fault('[0].all(i, 1 / i > 0)').message).toBe('division by zero');
  });

  it('takes faults of filters', () => {
    const missing = parseExpression('event.data.a > 1', 'event').bind(new Map());
    const filters = new Map([
      ['big', missing],
      ['not-test', () => true],
    ]);
    expect(evaluate('filters.big', { filters })).toBeInstanceOf(Fault);
    expect(fault('filters.big && true', { filters })).toMatchObject({ kind: 'missing_field', path: 'event.data.a' });
    expect(evaluate("filters.big || filters['not-test']", { filters })).toBe(true);
    expect(isFault(evaluate('!filters.big', { filters }))).toBe(true);
  });
});

describe('equality', () => {
  answers([
    ['event.data.customer == {"tags": ["a", "b"], "name": "Ann"}', true],
    ['event.data.customer == {"tags": ["b", "a"], "name": "Ann"}', false],
    ['event.data.id == 1', false],
    ['event.data.id != 1', true],
    ['event.data.nothing == null', true],
    ['event.data.total == null', false],
    ['1 == true', false],
    ['"1" == 1', false],
    ['[1, 2] == [1.0, 2.0]', true],
    ['{"a": 1} == {"a": 1, "b": 2}', false],
    ['timestamp("2026-01-01T00:00:00Z") == timestamp("2026-01-01T01:00:00+01:00")', true],
    ['duration("60s") == duration("1m")', true],
    ['b"abc" == b"abc"', true],
    ['b"é" == bytes("é")', true],
    ['type(1) == int && type("") == string', true],
    ['type(event.time) == google.protobuf.Timestamp', true],
    ['event.data.status in ["paid", "open"]', true],
    ['3 in [1, 2]', false],
    ['"id" in event.data', true],
    ['"nope" in event.data', false],
    ['event.data.items.exists(i, i == {"price": 2})', true],
    ['"x-foo" in msg.headers', true],
    ['"b" < "c" && false < true && b"a" < b"b"', true],
    ['event.time < timestamp("2027-01-01T00:00:00Z")', true],
    ['duration("1s") < duration("1m")', true],
  ]);

  it('has no order between types', () => {
    expect(fault('event.data.id > 5', { data: DATA })).toMatchObject({
      kind: 'evaluation',
      value: 'o-1',
      message: '">" cannot compare a string with a number',
    });
    expect(fault('event.data.nothing > 5', { data: DATA }).message).toContain('null');
    expect(fault('event.data.customer > 5', { data: DATA }).message).toContain('map');
  });
});

describe('loops', () => {
  answers([
    ['event.data.items.map(i, i.price)', [2, 3.5]],
    ['event.data.items.map(i, i.price > 3, i.price)', [3.5]],
    ['event.data.items.filter(i, i.price > 3)', [{ price: 3.5 }]],
    ['event.data.items.exists_one(i, i.price > 3)', true],
    ['[[1, 2], [3]].map(a, a.map(b, b * 2))', [[2, 4], [6]]],
    ['event.data.customer.map(k, k)', ['name', 'tags']],
    ['{"a": 1}.exists(k, k == "a")', true],
    ['["x", "y"].transformList(i, v, v + string(i))', ['x0', 'y1']],
    ['{"a": 1, "b": 2}.transformMap(k, v, v > 1, v * 10)', { b: 20 }],
    ['{"a": 1}.transformMapEntry(k, v, {k + "!": v})', { 'a!': 1 }],
    ['["x"].all(i, v, i == 0 && v == "x")', true],
    ['cel.bind(x, event.data.total, x * x)', 2250000],
    ['[1, 2].map(event, event + 1)', [2, 3]],
  ]);

  it('are bounded', () => {
    const data = { list: Array.from({ length: 1000 }, (_, index) => index) };
    expect(
      fault('event.data.list.all(a, event.data.list.all(b, event.data.list.all(c, true)))', { data }).message,
    ).toContain('100000');
    const long = { list: Array.from({ length: 50_000 }, (_, index) => index) };
    expect(json('event.data.list.all(a, a >= 0)', { data: long })).toBe(true);
    expect(fault('event.data.list.all(a, a in event.data.list)', { data: long }).message).toContain('iterations');
    // The filters that an expression names are part of its evaluation.
    const slow = parseExpression('event.data.list.all(a, a >= 0)', 'event').bind(new Map());
    expect(
      fault('event.data.list.all(a, filters.slow)', { data, filters: new Map([['slow', slow]]) }).message,
    ).toContain('iterations');
    // The budget is that of one evaluation.
    const run = parseExpression('event.data.list.all(a, a >= 0)', 'event').bind(new Map());
    for (let index = 0; index < 5; index++) expect(run(scopeOf(long))).toBe(true);
  });
});

describe('variables', () => {
  it.each([
    ['event.id', 'e-1'],
    ['event.source.startsWith("sh")', true],
    ['event["type"]', 'orders.created'],
    ['event.time', '2026-03-29T00:30:15.250Z'],
    ['event.ext.region', 'eu'],
    ['msg.seq + msg.attempt', 43],
    ['msg.stream', 'EVENTS'],
    ['msg.headers["x-foo"]', 'bar'],
    ['msg.headers["Nats-Msg-Id"]', 'm-1'],
    ['msg.headers.size()', 2],
    ['now - event.time', '41384.75s'],
    ['now > event.time', true],
    ['event.size() > 5', true],
    ['"subject" in event', false],
  ])('%s', (source, expected) => expect(json(source)).toEqual(expected));

  it('lets what reading the data throws pass', () => {
    const scope = scopeOf({});
    const broken = {
      ...scope,
      event: {
        ...scope.event,
        get data(): unknown {
          throw new SyntaxError('not JSON');
        },
      },
    };
    const run = parseExpression('event.data.total > 1 || true', 'event').bind(new Map());
    expect(() => run(broken)).toThrow(SyntaxError);
  });

  it('has error only where there is one', () => {
    const error = { code: 'TARGET_REJECTED', message: 'no', kind: 'rejected', status: 409 };
    expect(json('error.status == 409 && error.code == "TARGET_REJECTED"', { error })).toBe(true);
    expect(fault('error.status == 409', { error: { ...error, status: undefined } }).path).toBe('error.status');
    expect(() => parseExpression('error.status == 409', 'event')).toThrow('there is no "error" here');
  });
});
