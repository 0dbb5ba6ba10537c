import { describe, expect, it } from 'vitest';
import { EventEditor, inRemovalOrder, pathProblem } from '../../../src/pipeline/slots.ts';
import { jsonEvent, random } from '../core/helpers.ts';
import { path } from './helpers.ts';

describe('pathProblem', () => {
  it.each([
    'data',
    'data.a',
    'data[0]',
    'data["any key"].b',
    'type',
    'source',
    'subject',
    'datacontenttype',
    'dataschema',
    'ext.tenant',
    'ext.x1',
    'ext["9a"]',
  ])('%s can be changed', (source) => expect(pathProblem(path(source))).toBeUndefined());

  it.each<[source: string, problem: RegExp]>([
    ['event.data.a', /without `event\.`/],
    ['id', /starts with data, ext, type/],
    ['time', /starts with data, ext, type/],
    ['specversion', /starts with data, ext, type/],
    ['msg.subject', /starts with data, ext, type/],
    ['foo', /starts with data, ext, type/],
    ['type.x', /type has no fields/],
    ['subject[0]', /subject has no fields/],
    ['ext', /ext\.name/],
    ['ext.a.b', /ext\.name/],
    ['ext[0]', /ext\.name/],
    ['ext.Tenant', /lower-case/],
    ['ext.my_tenant', /lower-case/],
    ['ext.averyveryverylongname', /ext\.name/],
    ['ext.id', /id is no extension/],
    ['ext.time', /time is no extension/],
    ['ext.data', /data is no extension/],
    ['ext.specversion', /specversion is no extension/],
  ])('%s cannot: %s', (source, problem) => expect(pathProblem(path(source))).toMatch(problem));
});

describe('EventEditor', () => {
  it('reads data, attributes and extensions', () => {
    const event = jsonEvent({ specversion: '1.0', id: 'i', source: '/s', type: 't', tenant: 'a', data: { n: null } });
    const editor = new EventEditor(event);
    expect(editor.get(path('data.n'))).toEqual({ found: true, value: null });
    expect(editor.get(path('type'))).toEqual({ found: true, value: 't' });
    expect(editor.get(path('subject'))).toEqual({ found: false, value: undefined });
    expect(editor.get(path('ext.tenant'))).toEqual({ found: true, value: 'a' });
    expect(editor.get(path('ext.other'))).toEqual({ found: false, value: undefined });
  });
});

describe('inRemovalOrder', () => {
  it('takes later positions first, whatever the order given', () => {
    const sources = [
      'data.l[0]',
      'data.l[2]',
      'data.l[10]',
      'data.l[2].a',
      'data.l[10].b[1]',
      'data.l[10].b[0]',
      'data.x',
      'data',
    ];
    const chance = random(3);
    for (let round = 0; round < 200; round++) {
      const shuffled = sources.toSorted(() => chance() - 0.5);
      const order = inRemovalOrder(shuffled.map(path)).map(({ source }) => source);
      const before = (first: string, second: string): void =>
        expect(order.indexOf(first), `${first} before ${second} in ${order.join()}`).toBeLessThan(
          order.indexOf(second),
        );
      before('data.l[10]', 'data.l[2]');
      before('data.l[2]', 'data.l[0]');
      before('data.l[10].b[1]', 'data.l[10].b[0]');
      before('data.l[10].b[1]', 'data.l[2]');
      before('data.l[2].a', 'data.l[0]');
    }
  });
});
