import { describe } from 'vitest';
import { type Case, checkAll } from './helpers.ts';

const V = 'version: 1\n';
const consumer = (rest: string): string => `${V}consumers:\n  c:\n    stream: EVENTS\n${rest}`;

const references: readonly Case[] = [
  [
    'an unknown filter',
    `${V}filters: { big: "true" }\nconsumers: { c: { stream: A, pipeline: [bgi] } }\n`,
    ['3:41 CONFIG_UNKNOWN_NAME «bgi»'],
    /no filter or transformer "bgi"/,
    /"big"/,
  ],
  [
    'a target in the pipeline',
    `${V}targets: { t: { log: {} } }\nconsumers: { c: { stream: A, pipeline: [t] } }\n`,
    ['3:41 CONFIG_UNKNOWN_NAME «t»'],
    /./,
    /under deliver/,
  ],
  [
    'an unknown target',
    `${V}targets: { partner: { log: {} } }\n${consumer('    deliver: [{ to: partnr }]\n').slice(V.length)}`,
    ['6:21 CONFIG_UNKNOWN_NAME «partnr»'],
    /./,
    /"partner"/,
  ],
  [
    'a target that needs options',
    consumer('    deliver: [{ to: publish }]\n'),
    ['5:21 CONFIG_UNKNOWN_NAME «publish»'],
    /./,
    /needs options/,
  ],
  [
    'a filter to deliver to',
    `${V}filters: { f: "true" }\nconsumers: { c: { stream: A, deliver: [{ to: f }] } }\n`,
    ['3:46 CONFIG_UNKNOWN_NAME «f»'],
    /./,
    /pipeline/,
  ],
  [
    'the stream of incidents misspelt',
    `${V}consumers: { c: { stream: OUZEL_EVENT } }\n`,
    ['2:27 CONFIG_UNKNOWN_NAME «OUZEL_EVENT»'],
    /no stream "OUZEL_EVENT"/,
    /"OUZEL_EVENTS"/,
  ],
  [
    'an incident that there is not',
    `${V}consumers: { c: { stream: OUZEL_EVENTS, types: [consumer.faling, "target.*", "x.>"] } }\n`,
    ['2:49 CONFIG_UNKNOWN_NAME «consumer.faling»', '2:78 CONFIG_UNKNOWN_NAME «"x.>"»'],
    /no incident "consumer.faling"/,
    /"consumer.failing"/,
  ],
  [
    'a stream misspelt',
    `${V}streams: { EVENTS: { subjects: [a] } }\nconsumers: { c: { stream: EVENT } }\n`,
    ['3:27 CONFIG_UNKNOWN_NAME «EVENT»'],
    /./,
    /"EVENTS"/,
  ],
  [
    'a subject that the stream never holds',
    `${V}streams: { EVENTS: { subjects: [events.>] } }\nconsumers: { c: { stream: EVENTS, subjects: ["events.a", "orders.*"] } }\n`,
    ['3:58 CONFIG_INVALID_VALUE «"orders.*"»'],
    /stream EVENTS never holds orders\.\*/,
    /holds events\.>/,
  ],
  [
    'one name for a filter and a transformer',
    `${V}filters: { a: "true" }\ntransformers: { a: { remove: [data.x] } }\n`,
    ['3:17 CONFIG_DUPLICATE_NAME «a»'],
    /filter at ouzel.yaml:2:12/,
  ],
  [
    'two routes of one name',
    consumer('    deliver:\n      - { name: x, to: log }\n      - { name: x, to: log }\n'),
    ['7:17 CONFIG_DUPLICATE_NAME «x»'],
    /ouzel.yaml:6:17/,
  ],
  [
    'two routes named after their target',
    consumer('    deliver:\n      - { to: log }\n      - { to: { log: {} } }\n'),
    ['7:11 CONFIG_DUPLICATE_NAME «to»'],
    /"log" is already at ouzel.yaml:6:15/,
    /give one of them a `name`/,
  ],
  [
    'else with when',
    consumer('    deliver: [{ to: log, when: "true", else: true }]\n'),
    ['5:46 CONFIG_INVALID_VALUE «true»'],
    /else and when/,
  ],
  [
    'an unknown filter in an expression',
    `${V}filters: { big: "true", b: "event.data.x && filters.bgi" }\n`,
    ['2:45 CONFIG_EXPRESSION «filters.bgi»'],
    /no filter "bgi"/,
    /filters\.big\?/,
  ],
  [
    'a hyphenated filter',
    `${V}filters:\n  not-test: "true"\n  b: filters.not-test && true\n`,
    ['4:6 CONFIG_EXPRESSION «filters.not-test»'],
    /./,
    /filters\['not-test'\]/,
  ],
  [
    'a transformer in an expression',
    `${V}transformers: { t: { remove: [data.x] } }\nfilters: { a: filters.t }\n`,
    ['3:15 CONFIG_EXPRESSION «filters.t»'],
    /./,
    /transformer/,
  ],
  ['a filter of itself', `${V}filters: { a: filters.a }\n`, ['2:15 CONFIG_EXPRESSION «filters.a»'], /itself/],
  [
    'a circle of filters',
    `${V}filters:\n  a: filters.b\n  b: filters.c || true\n  c: filters.a\n`,
    ['5:6 CONFIG_EXPRESSION «filters.a»'],
    /a → b → c → a/,
  ],
  [
    'an unknown filter in a template',
    consumer('    deliver: [{ to: { log: { message: "is {{ filters.x }}" } } }]\n'),
    ['5:46 CONFIG_EXPRESSION «filters.x»'],
  ],
];

const expressions: readonly Case[] = [
  [
    'in a plain value',
    `${V}filters:\n  a: event.data.x > evnt.y\n`,
    ['3:21 CONFIG_EXPRESSION «evnt»'],
    /evnt/,
    /event/,
  ],
  [
    'in double quotes, behind escapes',
    `${V}filters: { a: "\\"\\u0041\\U0001F600\\x41\\t\\"==evnt" }\n`,
    ['2:44 CONFIG_EXPRESSION «evnt»'],
  ],
  [
    'in single quotes, behind doubled ones',
    `${V}filters: { a: '''its'' == evnt' }\n`,
    ['2:27 CONFIG_EXPRESSION «evnt»'],
  ],
  ['in a literal block', `${V}filters:\n  a: |\n    true &&\n\n      evnt.x\n`, ['6:7 CONFIG_EXPRESSION «evnt»']],
  ['in a folded block', `${V}filters:\n  a: >-\n    true\n    && evnt.x\n`, ['5:8 CONFIG_EXPRESSION «evnt»']],
  [
    'in a block with indentation given',
    `${V}filters:\n  a: |2-\n    true &&\n    evnt.x\n`,
    ['5:5 CONFIG_EXPRESSION «evnt»'],
  ],
  ['in a plain value of two lines', `${V}filters:\n  a: true &&\n    evnt.x\n`, ['4:5 CONFIG_EXPRESSION «evnt»']],
  [
    'in a quoted value of two lines',
    `${V}filters:\n  a: "true &&\n    \\\n    evnt.x"\n`,
    ['5:5 CONFIG_EXPRESSION «evnt»'],
  ],
  ['with CRLF', `version: 1\r\nfilters:\r\n  a: |\r\n    true &&\r\n    evnt.x\r\n`, ['5:5 CONFIG_EXPRESSION «evnt»']],
  ['with a BOM', `\ufeff${V}filters: { a: evnt }\n`, ['2:15 CONFIG_EXPRESSION «evnt»']],
  [
    'at the end',
    `${V}filters:\n  a: event.data.x >\n`,
    ['3:20 CONFIG_EXPRESSION «»'],
    /ends where a value is expected/,
  ],
  [
    'in a template',
    `${V}targets: { a: { publish: { subject: "a.{{ evnt.x }}.b" } } }\n`,
    ['2:43 CONFIG_EXPRESSION «evnt»'],
  ],
  [
    'in a template that is not closed',
    `${V}targets: { a: { publish: { subject: "a.{{ event.x" } } }\n`,
    ['2:40 CONFIG_EXPRESSION «{{ event.x»'],
    /not closed/,
  ],
  [
    'at depth in set',
    `${V}transformers: { a: { set: { data.x: { y: ["1", evnt] } } } }\n`,
    ['2:48 CONFIG_EXPRESSION «evnt»'],
  ],
  [
    'a text without quotes of its own',
    `${V}transformers: { a: { set: { data.x: order } } }\n`,
    ['2:37 CONFIG_EXPRESSION «order»'],
    /order/,
    /quotes|'order'/,
  ],
  ['error outside of give_up', `${V}filters: { a: error.status == 409 }\n`, ['2:15 CONFIG_EXPRESSION «error»']],
  ['behind an alias', `${V}filters: { a: &x evnt.x, b: *x }\n`, ['2:18 CONFIG_EXPRESSION «evnt»']],
];

describe('broken configuration: references', () => {
  checkAll(references);
});

describe('broken configuration: expressions', () => {
  checkAll(expressions);
});
