import { describe, expect, it } from 'vitest';
import { DataEditor, type Event, isJsonType } from '../../../src/core/event.ts';
import { bodyText, bytes, eventOf, jsonEvent, random } from './helpers.ts';

type Path = readonly (string | number)[];

const edited = (data: unknown, edit: (editor: DataEditor, event: Event) => void): string => {
  const event = jsonEvent(data);
  edit(new DataEditor(event), event);
  return bodyText(event);
};

describe('body', () => {
  it('is the very bytes that came, where nothing changed', () => {
    const body = bytes('{ "a" : 1.0, "a": 2 }\n');
    const event = eventOf(body);
    expect(event.data).toEqual({ a: 2 });
    expect(event.body()).toBe(body);
  });

  it.each([
    ['not JSON', 'hello'],
    ['not UTF-8', new Uint8Array([0xff, 0xfe])],
    ['nothing', ''],
  ])('is forwarded untouched even if it is %s', (_name, body) => {
    const event = eventOf(body);
    expect(event.body()).toBe(event.carrier.body);
  });

  it('is untouched when only attributes change', () => {
    const event = jsonEvent({ a: 1 });
    event.setAttribute('type', 'x');
    event.setExtension('tenant', 't');
    expect(event.body()).toBe(event.carrier.body);
  });

  it.each<[name: string, headers: Readonly<Record<string, string>>, data: unknown, body: string]>([
    ['JSON', {}, { a: [1, 2n ** 70n] }, '{"a":[1,1180591620717411303424]}'],
    ['a JSON string', {}, 'text', '"text"'],
    ['JSON null', {}, null, 'null'],
    ['text', { 'Content-Type': 'text/plain' }, 'text', 'text'],
    ['an object under a text type as JSON', { 'Content-Type': 'text/plain' }, { a: 1 }, '{"a":1}'],
    ['bytes', { 'Content-Type': 'image/png' }, new Uint8Array([104, 105]), 'hi'],
  ])('is %s after a change', (_name, headers, data, body) => {
    const event = eventOf('{}', { headers });
    event.replaceData(data);
    expect(bodyText(event)).toBe(body);
  });
});

describe('attributes', () => {
  it('change without touching what the message said', () => {
    const event = jsonEvent({}, { headers: { 'Nats-Msg-Id': 'm-1' } });
    event.setAttribute('type', 'other');
    event.setAttribute('subject', 's');
    event.setAttribute('source', '/x');
    expect([event.type, event.subject, event.source, event.id]).toEqual(['other', 's', '/x', 'm-1']);
    expect(event.contents.type).toBe('orders.created');
    event.setAttribute('subject', undefined);
    expect(event.subject).toBeUndefined();
  });

  it('that every event has cannot be taken away', () => {
    expect(() => jsonEvent({}).setAttribute('type', undefined)).toThrow(/event\.type cannot be removed/);
    expect(() => jsonEvent({}).setAttribute('source', undefined)).toThrow(/event\.source cannot be removed/);
  });

  it('of extensions are own properties, whatever their name, and null is none', () => {
    const event = jsonEvent({});
    event.setExtension('a', 1);
    const before = event.extensions;
    event.setExtension('__proto__', { polluted: true });
    event.setExtension('b', null);
    expect(before).toEqual({ a: 1 });
    expect(Object.keys(event.extensions)).toEqual(['a', '__proto__']);
    expect(Object.getPrototypeOf(event.extensions)).toBe(Object.prototype);
    event.setExtension('a', undefined);
    expect(Object.keys(event.extensions)).toEqual(['__proto__']);
  });
});

describe('shed', () => {
  it('changes nothing of an event that nobody changed', () => {
    const event = jsonEvent({ a: 1 }, { headers: { 'Nats-Msg-Id': 'm-1' } });
    event.setAttribute('subject', 's');
    event.setExtension('tenant', 't');
    const data = event.data;
    event.shed();
    expect(event.data).toEqual(data);
    expect(event.data).not.toBe(data);
    expect([event.id, event.type, event.subject, event.extensions]).toEqual([
      'm-1',
      'orders.created',
      's',
      { tenant: 't' },
    ]);
  });

  it('shows the data as it came, whatever a transformer made of it', () => {
    const event = jsonEvent({ a: 1 });
    new DataEditor(event).set(['a'], 2);
    event.shed();
    expect([event.data, bodyText(event), event.original.data]).toEqual([{ a: 1 }, '{"a":1}', { a: 1 }]);
  });
});

describe('DataEditor.set', () => {
  it.each<[name: string, data: unknown, path: Path, body: string]>([
    ['writes a field', { a: 1 }, ['b'], '{"a":1,"b":"new"}'],
    ['replaces a field', { a: 1 }, ['a'], '{"a":"new"}'],
    ['writes below', { a: { b: 1 } }, ['a', 'c'], '{"a":{"b":1,"c":"new"}}'],
    ['makes what is missing', {}, ['a', 'b', 'c'], '{"a":{"b":{"c":"new"}}}'],
    ['makes lists for positions', {}, ['a', 1, 'b'], '{"a":[null,{"b":"new"}]}'],
    ['writes into a list', { a: [1, 2] }, ['a', 0], '{"a":["new",2]}'],
    ['fills a list up to the position', { a: [1] }, ['a', 3], '{"a":[1,null,null,"new"]}'],
    ['writes in an object of a list', { a: [{ b: 1 }] }, ['a', 0, 'c'], '{"a":[{"b":1,"c":"new"}]}'],
    ['takes a number as a name in an object', { a: {} }, ['a', 7], '{"a":{"7":"new"}}'],
    ['puts an object in the place of null', { a: null }, ['a', 'b'], '{"a":{"b":"new"}}'],
    ['puts an object in the place of null data', null, ['a'], '{"a":"new"}'],
    ['replaces all data for an empty path', { a: 1 }, [], '"new"'],
    ['writes __proto__ as data', {}, ['__proto__'], '{"__proto__":"new"}'],
    ['writes below __proto__ as data', {}, ['__proto__', 'polluted'], '{"__proto__":{"polluted":"new"}}'],
    [
      'writes below constructor as data',
      {},
      ['constructor', 'prototype', 'p'],
      '{"constructor":{"prototype":{"p":"new"}}}',
    ],
    ['writes toString as data', {}, ['toString', 'a'], '{"toString":{"a":"new"}}'],
  ])('%s', (_name, data, path, body) => {
    expect(edited(data, (editor) => editor.set(path, 'new'))).toBe(body);
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined();
    expect(Object.prototype.toString.call({})).toBe('[object Object]');
  });

  it.each<[data: unknown, path: Path, message: RegExp]>([
    ['text', ['a'], /below data: it is a string/],
    [5, ['a'], /below data: it is a number/],
    [{ a: 'x' }, ['a', 'b'], /below a: it is a string/],
    [{ a: false }, ['a', 'b'], /below a: it is a boolean/],
    [{ a: 1234567890123456789n.toString() }, ['a', 0], /below a: it is a string/],
    [{ a: [] }, ['a', 'length'], /"length" into a list/],
    [{ a: [] }, ['a', 'b', 'c'], /"b" into a list/],
    [[1], ['x'], /"x" into a list/],
  ])('refuses to write in %j at %j', (data, path, message) =>
    expect(() => edited(data, (editor) => editor.set(path, 1))).toThrow(message),
  );

  it('leaves no holes in a list', () => {
    const event = jsonEvent({ a: [] });
    const editor = new DataEditor(event);
    editor.set(['a', 2], 1);
    expect(editor.get(['a', 0])).toEqual({ found: true, value: null });
    expect(editor.get(['a', 1])).toEqual({ found: true, value: null });
  });

  it('refuses to write below bytes', () => {
    const event = eventOf(new Uint8Array([1, 2]), { headers: { 'Content-Type': 'image/png' } });
    expect(() => new DataEditor(event).set(['a'], 1)).toThrow(/cannot write below data/);
  });
});

describe('DataEditor.get and remove', () => {
  it.each<[data: unknown, path: Path, found: boolean, value: unknown]>([
    [{ a: { b: 1 } }, ['a', 'b'], true, 1],
    [{ a: null }, ['a'], true, null],
    [{ a: [1, 2] }, ['a', 1], true, 2],
    [{ a: [1, 2] }, ['a', 2], false, undefined],
    [{ a: [1, 2] }, ['a', 'length'], false, undefined],
    [{ a: 'text' }, ['a', 'length'], false, undefined],
    [{}, ['constructor'], false, undefined],
    [{}, ['__proto__'], false, undefined],
    [null, ['a'], false, undefined],
    [[1], [], true, [1]],
  ])('%j at %j', (data, path, found, value) =>
    expect(new DataEditor(jsonEvent(data)).get(path)).toEqual({ found, value }),
  );

  it.each<[data: unknown, path: Path, body: string]>([
    [{ a: 1, b: 2 }, ['a'], '{"b":2}'],
    [{ a: { b: 1, c: 2 } }, ['a', 'b'], '{"a":{"c":2}}'],
    [{ a: [1, 2, 3] }, ['a', 1], '{"a":[1,3]}'],
    [{ a: [1] }, ['a', 0], '{"a":[]}'],
    [{ a: 1 }, [], 'null'],
  ])('%j without %j', (data, path, body) => expect(edited(data, (editor) => editor.remove(path))).toBe(body));

  it.each<[data: unknown, path: Path]>([
    [{ a: 1 }, ['b']],
    [{ a: 1 }, ['a', 'b']],
    [{ a: [1, 2] }, ['a', 'length']],
    [{ a: [1, 2] }, ['a', 9]],
    [null, ['a']],
    ['text', ['length']],
    [{}, ['constructor', 'prototype']],
  ])('%j has no %j, so its bytes stay', (data, path) => {
    const event = jsonEvent(data);
    new DataEditor(event).remove(path);
    expect(event.body()).toBe(event.carrier.body);
  });
});

describe('copy on write', () => {
  const freeze = (value: unknown): unknown => {
    if (typeof value === 'object' && value !== null) {
      Object.freeze(value);
      for (const item of Object.values(value)) freeze(item);
    }
    return value;
  };

  it('never writes to what was parsed', () => {
    const event = jsonEvent({ a: { b: [{ c: 1 }] }, d: {} });
    const parsed = freeze(event.data) as { d: unknown };
    const editor = new DataEditor(event);
    editor.set(['a', 'b', 0, 'c'], 2);
    editor.set(['a', 'x'], 1);
    editor.remove(['a', 'b', 0]);
    expect(parsed).toEqual({ a: { b: [{ c: 1 }] }, d: {} });
    expect(event.data).toEqual({ a: { b: [], x: 1 }, d: {} });
    expect((event.data as { d: unknown }).d).toBe(parsed.d);
  });

  it('copies a container once for an editor, and again for the next', () => {
    const event = jsonEvent({ a: {} });
    const first = new DataEditor(event);
    first.set(['a', 'x'], 1);
    const seen = event.data;
    first.set(['a', 'y'], 2);
    expect(event.data).toBe(seen);
    new DataEditor(event).set(['a', 'z'], 3);
    expect(event.data).not.toBe(seen);
    expect(seen).toEqual({ a: { x: 1, y: 2 } });
  });

  it('keeps two paths apart that share a value', () => {
    const event = jsonEvent({ from: { n: 1, deep: { m: 1 } } });
    const shared = (event.data as { from: unknown }).from;
    const editor = new DataEditor(event);
    editor.set(['copy'], shared);
    editor.set(['copy', 'n'], 2);
    editor.set(['from', 'deep', 'm'], 3);
    expect(event.data).toEqual({ from: { n: 1, deep: { m: 3 } }, copy: { n: 2, deep: { m: 1 } } });
    expect(shared).toEqual({ n: 1, deep: { m: 1 } });
  });

  it('holds for any edits', () => {
    const chance = random(11);
    const pick = <T>(items: readonly T[]): T => items[Math.floor(chance() * items.length)] as T;
    const source = { a: { b: { c: 1 } }, l: [{ x: 1 }, [1, 2], 'text'], s: 't', n: null };
    const names = ['a', 'b', 'c', 'l', 'x', 's', 'n', '__proto__', 0, 1, 5];
    for (let round = 0; round < 500; round++) {
      const event = jsonEvent(source);
      const parsed = freeze(event.data);
      const editor = new DataEditor(event);
      for (let edits = 0; edits < 4; edits++) {
        const path = Array.from({ length: 1 + Math.floor(chance() * 3) }, () => pick(names));
        try {
          if (chance() < 0.3) editor.remove(path);
          else editor.set(path, pick([1, { n: 1 }, event.data, [1]]));
        } catch (error) {
          expect(error).toMatchObject({ code: 'EVENT_EXPRESSION' });
        }
      }
      expect(JSON.stringify(parsed)).toBe(JSON.stringify(source));
      expect(Object.getPrototypeOf(event.data)).toBe(Object.prototype);
    }
  });
});

describe('isJsonType', () => {
  it.each([
    undefined,
    'application/json',
    'Application/JSON; charset=utf-8',
    'text/json',
    'application/vnd.api+json',
    'application/cloudevents+json',
    'application/json-patch+json;v=1',
    'application/json ; a=b',
  ])('%s is', (type) => expect(isJsonType(type)).toBe(true));

  it.each([
    '',
    'json',
    'text/plain',
    'application/json-seq',
    'application/jsonlines',
    'application/json5',
    'application/x-json+xml',
    'a/b; c=d/json',
  ])('%s is not', (type) => expect(isJsonType(type)).toBe(false));

  it('decides on a long hostile one at once', () => expect(isJsonType(`a/${'+'.repeat(100_000)}`)).toBe(false));
});
