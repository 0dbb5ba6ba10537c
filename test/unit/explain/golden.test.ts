/** What people read, as they read it: at 80 columns. `vitest -u` writes the files of `golden/` anew. */
import { expect, it } from 'vitest';
import type { Style } from '../../../src/cli/terminal.ts';
import { displayWidth } from '../../../src/config/problems.ts';
import { explain } from '../../../src/explain/explain.ts';
import { wouldFail } from '../../../src/explain/explanation.ts';
import { plainEvent, type PlainOptions } from '../../../src/explain/input.ts';
import { renderExplanation } from '../../../src/explain/render.ts';
import { parse } from '../config/helpers.ts';
import { bytes } from '../core/helpers.ts';

const LOADED = parse(`
version: 1
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id }
  ALERTS: { subjects: ["alerts.>"] }
filters:
  big: event.data.total > 1000 && event.data.total < 1000000
  not-test: '!event.source.startsWith("test/")'
transformers:
  with-vat:
    rename: { data.cust: data.customer }
    set:
      data.vat: event.data.total * 0.2
      data.lines[0].name: event.data.lines[0].name.upper()
      type: "'paid.' + event.type"
    remove: [data.card]
targets:
  ops: { log: { message: "{{ event.data.id }}: nobody wants {{ event.type }}" } }
consumers:
  billing:
    stream: EVENTS
    types: [orders.*]
    concurrency: { max: 16 }
    pipeline:
      - not-test
      - { filter: "(filters.big || event.data.vip == true) && event.data.lines.exists(l, l.name == event.data.wanted && l.n > 2)" }
      - with-vat
    deliver:
      - name: large
        when: filters.big && event.data.total > 5000
        stop: true
        to: { publish: { subject: "alerts.{{ event.data.customer }}", headers: { X-Total: "{{ event.data.total }}" } } }
      - { name: small, when: event.data.total <= 5000, to: { publish: { subject: alerts.small, cloudevents: structured } } }
      - { to: ops, else: true }
  narrow: { stream: EVENTS, subjects: [events.orders.created] }
  asking:
    stream: EVENTS
    pipeline:
      - { request: { subject: "customers.get", body: "{{ event.data.cust }}", into: data.profile } }
    deliver:
      - { name: gold, when: event.data.profile.gold, to: { log: {} } }
      - { to: { request: { subject: "orders.check.{{ event.data.cust }}", reply: { publish: { subject: alerts.checks } } } } }
      - { to: { file: { path: "/var/orders/{{ event.data.cust }}.ndjson", format: data } } }
  failing:
    stream: EVENTS
    pipeline: [{ set: { data.rate: event.data.total / event.data.count } }]
`);

const ORDER = {
  id: 'o-1',
  total: 6000,
  cust: 'c-7',
  wanted: 'bolt',
  lines: [{ name: 'bolt', n: 3 }, { name: 'nut' }],
  card: '4111',
};

interface Case {
  readonly name: string;
  readonly consumer?: string;
  readonly body: unknown;
  readonly fails?: boolean;
  readonly options?: Partial<PlainOptions>;
}

const CASES: readonly Case[] = [
  { name: 'delivered', body: ORDER },
  { name: 'second-route', body: { ...ORDER, total: 2000 } },
  { name: 'filtered', body: { ...ORDER, total: 10 } },
  { name: 'missing-field', body: { id: 'o-2' } },
  { name: 'other-type', body: ORDER, options: { type: 'customers.new' } },
  { name: 'not-taken', consumer: 'narrow', body: ORDER, options: { subject: 'events.orders.paid' } },
  { name: 'expression-error', consumer: 'failing', body: { total: 1, count: 0 }, fails: true },
  { name: 'invalid-subject', body: { ...ORDER, cust: 'a.b c' }, fails: true },
  { name: 'asking', consumer: 'asking', body: ORDER },
  { name: 'undecodable', body: '{"id": ', fails: true },
  {
    name: 'cloudevent',
    consumer: 'narrow',
    body: {
      specversion: '1.0',
      id: 'e-1',
      source: 'shop',
      type: 'orders.created',
      tenant: 'de',
      data: { name: '名前', long: 'x'.repeat(200) },
    },
  },
];

const STYLE: Style = { width: 80, color: false };

async function explained({ consumer = 'billing', body, options = {} }: Case) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const given = { type: 'orders.created', headers: [], ...options };
  const now = Date.UTC(2026, 0, 2, 3, 4, 5, 6);
  return explain(LOADED, consumer, plainEvent(LOADED.config, consumer, bytes(text), given, now));
}

it.each(CASES)('$name', async (each) => {
  const explanation = await explained(each);
  const text = renderExplanation(explanation, STYLE);
  await expect(`${text}\n`).toMatchFileSnapshot(`golden/${each.name}.txt`);
  for (const line of text.split('\n')) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
  expect(wouldFail(explanation)).toBe(each.fails ?? false);
});

it.each([40, 60, 120])('fits into %i columns', async (width) => {
  for (const each of CASES) {
    const text = renderExplanation(await explained(each), { ...STYLE, width });
    for (const line of text.split('\n')) expect(displayWidth(line), line).toBeLessThanOrEqual(width);
  }
});

it('says the same in colour', async () => {
  const [first] = CASES;
  if (first === undefined) throw new Error('no cases');
  const explanation = await explained(first);
  const colored = renderExplanation(explanation, { ...STYLE, color: true });
  // oxlint-disable-next-line no-control-regex -- the escapes of colours
  expect(colored.replace(/\u001b\[\d+m/g, '')).toBe(renderExplanation(explanation, STYLE));
  expect(colored).not.toBe(renderExplanation(explanation, STYLE));
});
