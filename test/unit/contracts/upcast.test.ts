import { describe, expect, it } from 'vitest';
import { upcastStep, versionOf, type VersionRules } from '../../../src/contracts/upcast.ts';
import type { Event } from '../../../src/core/event.ts';
import type { Step } from '../../../src/core/plan.ts';
import type { Run } from '../../../src/core/run.ts';
import { parseExpression } from '../../../src/expression/index.ts';
import { Cell } from '../../../src/telemetry/cells.ts';
import { jsonEvent } from '../core/helpers.ts';

const TYPE = 'orders.created';

const runOf = (event: Event): Run => ({ event, now: 0 }) as Run;

function rulesOf(more: Partial<VersionRules> & { from?: string } = {}): VersionRules {
  const { from, ...rules } = more;
  const source = from === undefined ? undefined : parseExpression(from, 'event');
  return {
    type: TYPE,
    version: 3,
    oldest: 1,
    acceptsNewer: false,
    versionFrom: source && { source, evaluate: source.bind(new Map()) },
    upcasts: new Map(),
    count: () => new Cell(),
    ...rules,
  };
}

const headersOf = (more: Record<string, string>): Record<string, string> => ({
  'ce-specversion': '1.0',
  'ce-id': '1',
  'ce-source': '/shop',
  'ce-type': TYPE,
  ...more,
});

const eventWith = (headers: Record<string, string>, data: unknown = {}): Event =>
  jsonEvent(data, { headers: headersOf(headers) });

describe('the version of an event', () => {
  it.each<[dataschema: string, version: number]>([
    ['https://x.example/orders.created.2.json', 2],
    ['https://x.example/orders/v3', 3],
    ['https://x.example/orders/3', 3],
    ['orders-created-v12.schema.json', 12],
    ['https://x.example/orders_2.yaml#', 2],
    ['urn:orders:4', 4],
    // A part of a date, or of a version of three parts, is none.
    ['https://x.example/2024-01-15', 1],
    ['https://x.example/1.2.3', 1],
    ['https://x.example/orders0', 1],
    ['https://x.example/orders', 1],
  ])('is at the end of the dataschema %s', (dataschema, version) =>
    expect(versionOf(rulesOf(), runOf(eventWith({ 'ce-dataschema': dataschema })))).toBe(version),
  );

  it('is 1 where nothing says it', () => expect(versionOf(rulesOf(), runOf(jsonEvent({})))).toBe(1));

  it('is what the extension says, before all else', () => {
    const headers = { 'ce-dataversion': '2', 'ce-dataschema': 'x.1.json' };
    expect(versionOf(rulesOf({ from: 'event.data.v' }), runOf(eventWith(headers, { v: 7 })))).toBe(2);
    // Somebody else's extension of that name.
    const other = { 'ce-dataversion': '1.0' };
    expect(versionOf(rulesOf({ from: 'event.data.v' }), runOf(eventWith(other, { v: 7 })))).toBe(7);
  });

  it('is what the expression says, and without the field what else there is', () => {
    const rules = rulesOf({ from: 'event.data.v' });
    expect(versionOf(rules, runOf(eventWith({}, { v: 'v2' })))).toBe(2);
    expect(versionOf(rules, runOf(eventWith({ 'ce-dataschema': 'x.5.json' }, {})))).toBe(5);
    for (const v of ['secret', 0, 1.5, -1, null, true, {}])
      expect(() => versionOf(rules, runOf(eventWith({}, { v })))).toThrow(
        expect.objectContaining({ code: 'EVENT_VERSION', message: expect.not.stringContaining('secret') as string }),
      );
  });
});

describe('upcasting', () => {
  /** A step that notes that it was taken. */
  const noting = (name: string, taken: string[]): Step => ({
    name,
    run: () => {
      taken.push(name);
      return undefined;
    },
  });

  it('takes every step from the version of the event on, in order', () => {
    const taken: string[] = [];
    const upcasts = new Map([
      [2, [noting('2a', taken), noting('2b', taken)]],
      [1, [noting('1', taken)]],
    ]);
    const step = upcastStep(new Map([[TYPE, rulesOf({ upcasts })]]));
    step.run(runOf(jsonEvent({})));
    expect(taken.splice(0)).toEqual(['1', '2a', '2b']);
    step.run(runOf(eventWith({ 'ce-dataversion': '2' })));
    expect(taken.splice(0)).toEqual(['2a', '2b']);
    for (const event of [eventWith({ 'ce-dataversion': '3' }), jsonEvent({}, { subject: 'events.other' })]) {
      step.run(runOf(event));
      expect(event.extensions['dataversion']).not.toBe(3);
    }
    expect(taken).toEqual([]);
  });

  it('says on the event which version it is of then, so that nobody does it again', () => {
    const step = upcastStep(new Map([[TYPE, rulesOf()]]));
    const event = eventWith({ 'ce-dataschema': 'https://x.example/v1/orders-v1.json' });
    step.run(runOf(event));
    expect(event.extensions['dataversion']).toBe(3);
    expect(event.dataschema).toBe('https://x.example/v1/orders-v3.json');
    expect(versionOf(rulesOf({ from: '"1"' }), runOf(event))).toBe(3);
  });

  it('lets nothing pass whose version is not known, unless newer ones are accepted', () => {
    const newer = eventWith({ 'ce-dataversion': '4' });
    const run = (rules: VersionRules, event: Event) => upcastStep(new Map([[TYPE, rules]])).run(runOf(event));
    expect(() => run(rulesOf(), newer)).toThrow(expect.objectContaining({ code: 'EVENT_VERSION' }));
    expect(() => run(rulesOf({ oldest: 2 }), eventWith({}))).toThrow(
      expect.objectContaining({ code: 'EVENT_VERSION' }),
    );
    expect(run(rulesOf({ acceptsNewer: true }), newer)).toBeUndefined();
    expect(newer.extensions['dataversion']).toBe('4');
  });
});
