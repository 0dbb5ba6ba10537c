/** What `priority` and `lanes` refuse, with the place. */
import { describe, expect, it } from 'vitest';
import { type Case, checkAll, parse } from './helpers.ts';

const STREAM = 'version: 1\nstreams: { E: { subjects: [e.>] } }\n';
const lanes = (text: string, rest = ''): string => `${STREAM}consumers: { c: { stream: E, lanes: ${text}${rest} } }\n`;

const cases: readonly Case[] = [
  [
    'priority where nothing waits',
    `${STREAM}consumers: { c: { stream: E, priority: [{ when: event.data.vip, ahead: 60s }] } }\n`,
    ['3:30 CONFIG_INVALID_VALUE «priority»'],
    /nothing without a bound/,
    /concurrency: \{ max: 16 \}.*max_in_flight/,
  ],
  [
    'lanes that overlap',
    lanes('[{ name: a, subjects: [e.x.>] }, { name: b, subjects: [e.y, e.*.z] }]'),
    ['3:97 CONFIG_INVALID_VALUE «e.*.z»'],
    /e\.\*\.z overlaps with e\.x\.> of the lane "a"/,
  ],
  [
    'a lane that overlaps with itself',
    lanes('[{ name: a, subjects: [e.x, e.x] }]'),
    ['3:65 CONFIG_INVALID_VALUE «e.x»'],
    /of this lane/,
  ],
  [
    'a name that stands twice',
    lanes('[{ name: a, subjects: [e.x] }, { name: a, subjects: [e.y] }]'),
    ['3:76 CONFIG_INVALID_VALUE «a»'],
    /already at ouzel\.yaml:3:46/,
  ],
  [
    'two lanes for the rest',
    lanes('[{ name: a, subjects: [e.x] }, { name: b }, { name: d }]'),
    ['3:89 CONFIG_INVALID_VALUE «d»'],
    /"b" takes the rest already/,
  ],
  ['no lane with subjects', lanes('[{ name: a }]'), ['3:30 CONFIG_INVALID_VALUE «lanes»'], /no lane has subjects/],
  [
    'the name of the rest for another',
    lanes('[{ name: rest, subjects: [e.x] }]'),
    ['3:46 CONFIG_INVALID_VALUE «rest»'],
    /in no other/,
  ],
  [
    'what the stream never holds',
    lanes('[{ name: a, subjects: [f.x] }]'),
    ['3:60 CONFIG_INVALID_VALUE «f.x»'],
    /never holds f\.x/,
    /it holds e\.>/,
  ],
  [
    'what the consumer does not take',
    lanes('[{ name: a, subjects: [e.*.z] }]', ', subjects: [e.x.>]'),
    ['3:60 CONFIG_INVALID_VALUE «e.*.z»'],
    /takes less than e\.\*\.z/,
    /it takes e\.x\.>/,
  ],
  [
    'the durable of another consumer',
    `${STREAM}consumers: { c: { stream: E, lanes: [{ name: a, subjects: [e.x] }] }, c-a: { stream: E } }\n`,
    ['3:46 CONFIG_INVALID_VALUE «a»'],
    /durable of this lane, c-a, would be that of the consumer "c-a"/,
  ],
  [
    'an order over several durables',
    lanes('[{ name: a, subjects: [e.x] }]', ', order_by: event.data.k'),
    ['3:69 CONFIG_INVALID_VALUE «order_by»'],
    /order_by and lanes cannot stand together/,
    /disjoint subjects/,
  ],
];

describe('broken configuration: priority and lanes', () => {
  checkAll(cases);
});

describe('priority and lanes', () => {
  it('are read with their defaults', () => {
    const text = `${STREAM}consumers: { c: { stream: E, concurrency: { max: 2 }, priority: [{ when: event.data.vip, ahead: 1m }], lanes: [{ name: a, subjects: [e.x, e.y] }, { name: b, weight: 3 }] } }\n`;
    const { c } = parse(text).config.consumers;
    expect(c?.priority?.[0]).toMatchObject({ when: { source: 'event.data.vip' }, ahead: 60_000 });
    expect(c?.lanes).toEqual([
      { name: 'a', subjects: ['e.x', 'e.y'], weight: 1 },
      { name: 'b', weight: 3 },
    ]);
  });
});
