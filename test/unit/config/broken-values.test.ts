import { describe } from 'vitest';
import { type Case, checkAll } from './helpers.ts';

const V = 'version: 1\n';
const consumer = (rest: string): string => `${V}consumers:\n  c:\n    stream: EVENTS\n${rest}`;

const values: readonly Case[] = [
  [
    'a number for a duration',
    `${V}http: { drain: 40 }\n`,
    ['2:16 CONFIG_INVALID_VALUE «40»'],
    /expected a duration/,
    /with a unit/,
  ],
  [
    'a duration of no unit',
    `${V}defaults: { timeout: 5x }\n`,
    ['2:22 CONFIG_INVALID_VALUE «5x»'],
    /"5x" is not a duration/,
    /250ms/,
  ],
  [
    'a duration out of bounds',
    `${V}consumers: { c: { stream: A, ack_wait: 1ms } }\n`,
    ['2:40 CONFIG_INVALID_VALUE «1ms»'],
    /out of bounds/,
    /from 1s to 1d/,
  ],
  [
    'a size of no unit',
    `${V}streams: { A: { subjects: [a], max_bytes: 5XB } }\n`,
    ['2:43 CONFIG_INVALID_VALUE «5XB»'],
    /not a size/,
    /64KiB/,
  ],
  [
    'a text for a number',
    `${V}consumers: { c: { stream: A, prefetch: "5" } }\n`,
    ['2:40 CONFIG_INVALID_VALUE «"5"»'],
    /whole number/,
    /without quotes: 5/,
  ],
  [
    'a fraction',
    `${V}consumers: { c: { stream: A, prefetch: 1.5 } }\n`,
    ['2:40 CONFIG_INVALID_VALUE «1.5»'],
    /whole number/,
  ],
  [
    'too small a number',
    `${V}consumers: { c: { stream: A, prefetch: 0 } }\n`,
    ['2:40 CONFIG_INVALID_VALUE «0»'],
    /at least 1, found 0/,
  ],
  [
    'a number for a text',
    `${V}nats: { user: 12 }\n`,
    ['2:15 CONFIG_INVALID_VALUE «12»'],
    /expected text, found 12/,
    /"12"/,
  ],
  [
    'yes for true',
    `${V}consumers: { c: { stream: A, paused: yes } }\n`,
    ['2:38 CONFIG_INVALID_VALUE «yes»'],
    /true or false, found "yes"/,
  ],
  [
    'a word that is none of the choice',
    consumer('    on_remove: kep\n'),
    ['5:16 CONFIG_INVALID_VALUE «kep»'],
    /one of keep, delete/,
    /"keep"/,
  ],
  [
    'a word, where a mapping may be',
    consumer('    start: nwe\n'),
    ['5:12 CONFIG_INVALID_VALUE «nwe»'],
    /one of new, all, last/,
    /"new"/,
  ],
  [
    'an instant that is none',
    consumer('    start: { time: yesterday }\n'),
    ['5:20 CONFIG_INVALID_VALUE «yesterday»'],
    /not an instant/,
    /2026/,
  ],
  [
    'two starts',
    consumer('    start: { time: "2026-01-01T00:00:00Z", sequence: 3 }\n'),
    ['5:5 CONFIG_INVALID_VALUE «start»'],
    /one point/,
  ],
  [
    'a listener without port',
    `${V}http: { listen: localhost }\n`,
    ['2:17 CONFIG_INVALID_VALUE «localhost»'],
    /listen/,
    /host:port/,
  ],
  ['a port alone', `${V}http: { listen: 9464 }\n`, ['2:17 CONFIG_INVALID_VALUE «9464»'], /./, /host:port/],
  ['a port beyond all', `${V}http: { listen: "a:70000" }\n`, ['2:17 CONFIG_INVALID_VALUE «"a:70000"»']],
  [
    'a bad server',
    `${V}nats: { servers: "http://x" }\n`,
    ['2:18 CONFIG_INVALID_VALUE «"http://x"»'],
    /NATS server/,
    /nats:/,
  ],
  [
    'subjects',
    `${V}streams: { A: { subjects: ["a..b", "a b", ">.x", "a*"] } }\n`,
    [
      '2:28 CONFIG_INVALID_VALUE «"a..b"»',
      '2:36 CONFIG_INVALID_VALUE «"a b"»',
      '2:43 CONFIG_INVALID_VALUE «">.x"»',
      '2:50 CONFIG_INVALID_VALUE «"a*"»',
    ],
    /empty token/,
  ],
  ['an empty list', consumer('    deliver: []\n'), ['5:5 CONFIG_INVALID_VALUE «deliver»'], /empty/],
  [
    'nothing for a value',
    consumer('    ack_wait:\n'),
    ['5:5 CONFIG_INVALID_VALUE «ack_wait»'],
    /found nothing/,
    /leave the key out/,
  ],
  [
    'a mapping for a text',
    `${V}nats: { user: { a: b } }\n`,
    ['2:9 CONFIG_INVALID_VALUE «user»'],
    /expected text, found a mapping/,
  ],
  [
    'a name with a space',
    `${V}targets: { "a b": { log: {} } }\n`,
    ['2:12 CONFIG_INVALID_VALUE «"a b"»'],
    /cannot be a name/,
    /letters/,
  ],
  ['a name with a dot', `${V}consumers: { a.b: { stream: A } }\n`, ['2:14 CONFIG_INVALID_VALUE «a.b»']],
  ['the name constructor', `${V}filters: { constructor: "true" }\n`, ['2:12 CONFIG_INVALID_VALUE «constructor»']],
  [
    'a stream of Ouzel',
    `${V}streams: { OUZEL_DLQ: { subjects: [a] } }\n`,
    ['2:12 CONFIG_INVALID_VALUE «OUZEL_DLQ»'],
    /kept by Ouzel/,
  ],
  [
    'a timeout beyond the drain',
    `${V}http: { drain: 20s }\ndefaults: { timeout: 10s }\ntargets: { a: { log: {}, timeout: 30s } }\n`,
    ['4:35 CONFIG_INVALID_VALUE «30s»'],
    /30s.*http.drain.*20s/,
  ],
  ...[
    'targets: { a: { publish: { subject: x, timeout: 50s } } }',
    'targets: { a: { request: { subject: x, timeout: 50s } } }',
    'targets: { a: { request: { subject: x, reply: { publish: { subject: y, timeout: 50s } } } } }',
    'transformers: { a: { request: { subject: x, into: data.r, timeout: 50s } } }',
    'consumers: { a: { stream: S, deliver: [{ to: { log: {}, timeout: 50s } }] } }',
    'consumers: { a: { stream: S, deliver: [{ to: { publish: { subject: x, timeout: 50s } } }] } }',
    'consumers: { a: { stream: S, pipeline: [{ request: { subject: x, into: data.r, timeout: 50s } }] } }',
  ].map((text): Case => [
    `a timeout beyond the drain: ${text}`,
    `${V}${text}\n`,
    [`2:${text.indexOf('50s') + 1} CONFIG_INVALID_VALUE «50s»`],
    /50s.*http.drain.*35s/,
  ]),
  [
    'a drain shorter than the default timeout',
    `${V}http: { drain: 20s }\n`,
    ['2:16 CONFIG_INVALID_VALUE «20s»'],
    /defaults.timeout.*30s/,
  ],
  [
    'a path that is none',
    `${V}transformers: { a: { remove: [data.a., event.data.x] } }\n`,
    ['2:38 CONFIG_EXPRESSION «,»', '2:40 CONFIG_EXPRESSION «event.data.x»'],
  ],
  [
    'a key that is no path',
    `${V}transformers: { a: { set: { "dat.x": "1" } } }\n`,
    ['2:29 CONFIG_EXPRESSION «"dat.x"»'],
    /cannot be changed/,
  ],
  [
    'a limit that is none',
    consumer('    throttle: { limit: 3000000, per: 1s }\n    rate_limit: { limit: 0, per: 1s, scope: all }\n'),
    ['5:24 CONFIG_INVALID_VALUE «3000000»', '6:26 CONFIG_INVALID_VALUE «0»', '6:45 CONFIG_INVALID_VALUE «all»'],
    /more than 1,000,000 a second/,
  ],
  [
    'a throttle of a target that is nobody else\u2019s',
    consumer('    deliver: [{ to: { log: {}, throttle: { limit: 5, per: 1s } } }]\n'),
    ['5:32 CONFIG_INVALID_VALUE «throttle»'],
    /by this consumer alone/,
    /throttle the consumer/,
  ],
];

describe('broken configuration: values', () => {
  checkAll(values);
});
