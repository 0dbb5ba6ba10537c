import { describe, expect, it } from 'vitest';
import { type Case, checkAll, parse } from './helpers.ts';

const V = 'version: 1\n';
const consumer = (group: string, deliver: string): string =>
  `consumers: { c: { stream: S, ${group}deliver: [${deliver}] } }\n`;
const GROUP = 'group: { by: event.data.k }, ';

const cases: readonly Case[] = [
  [
    'a target that looks at one event',
    `${V}targets: { w: { webhook: { url: "https://a.example/{{ event.id }}" } } }\n${consumer(GROUP, '{ to: w }')}`,
    ['2:55 CONFIG_EXPRESSION «event»'],
    /no single event behind `group`/,
    /events\[0\]/,
  ],
  [
    'a condition that looks at one event, its message and a filter',
    `${V}filters: { big: "true" }\n${consumer(GROUP, '{ when: filters.big || event.id == "x" || msg.seq > 1, to: log }')}`,
    ['3:77 CONFIG_EXPRESSION «filters.big»', '3:92 CONFIG_EXPRESSION «event»', '3:111 CONFIG_EXPRESSION «msg»'],
    /./,
    /events/,
  ],
  [
    'a target that looks at a batch where there is none',
    `${V}${consumer('', '{ to: { publish: { subject: "a.{{ key }}.{{ size(events) }}" } } }')}`,
    ['2:74 CONFIG_EXPRESSION «key»', '2:89 CONFIG_EXPRESSION «events»'],
    /delivers one event at a time/,
    /group/,
  ],
  [
    'a target of which each event is a row, and that looks at a batch',
    `${V}${consumer(GROUP, '{ to: { log: { message: "{{ key }}" } } }')}`,
    ['2:97 CONFIG_EXPRESSION «key»'],
    /there is no "key" here/,
    /group/,
  ],
  [
    'a stage of the pipeline that looks at a batch',
    `${V}consumers: { c: { stream: S, ${GROUP}pipeline: [{ filter: size(events) > 1 }] } }\n`,
    ['2:85 CONFIG_EXPRESSION «events»'],
    /there is no "events" here/,
    /behind `group`/,
  ],
  [
    'a target that takes no batches',
    `${V}${consumer(GROUP, '{ to: { request: { subject: a.b } } }')}`,
    ['2:71 CONFIG_INVALID_VALUE «to»'],
    /request takes no batches/,
    /webhook/,
  ],
  [
    'a batch of events that go one at a time',
    `${V}consumers: { c: { stream: S, order_by: event.data.k, group: { max: 60 } } }\n`,
    ['2:54 CONFIG_INVALID_VALUE «group»'],
    /cannot stand together/,
    /./,
  ],
  [
    'a batch that is never full',
    `${V}consumers: { c: { stream: S, prefetch: 50, group: { max: 60 } } }\n`,
    ['2:58 CONFIG_INVALID_VALUE «60»'],
    /never full/,
    /prefetch/,
  ],
];

describe('what stands behind a group', () => {
  checkAll(cases);

  it('may look at the batch, and at one event where each of them is a row', () => {
    const text = `${V}${consumer(
      GROUP,
      `{ name: a, when: "events.exists(event, event.data.n > 1)", to: { publish: { subject: "a.{{ key }}" } } },
       { name: b, to: { log: { message: "{{ event.id }}" } } }`,
    )}`;
    const { group } = parse(text).config.consumers['c'] ?? {};
    expect(group).toMatchObject({ max: 100, max_bytes: 1_048_576, within: 1000, bisect: true });
  });
});
