import { describe } from 'vitest';
import { type Case, checkAll } from './helpers.ts';

const V = 'version: 1\n';
const consumer = (rest: string): string => `${V}consumers:\n  c:\n    stream: EVENTS\n${rest}`;

const keys: readonly Case[] = [
  [
    'an unknown section',
    `${V}filtres: {}\n`,
    ['2:1 CONFIG_UNKNOWN_KEY «filtres»'],
    /"filtres"/,
    /did you mean "filters"\?/,
  ],
  [
    'an unknown key that is like none',
    `${V}http: { foo: 1 }\n`,
    ['2:9 CONFIG_UNKNOWN_KEY «foo»'],
    /"foo"/,
    /^one of: listen, ingress, ingress_tls, tls, oidc, drain$/,
  ],
  [
    'an unknown key in a list',
    consumer('    deliver:\n      - { to: log, wehn: true }\n'),
    ['6:20 CONFIG_UNKNOWN_KEY «wehn»'],
    /./,
    /"when"/,
  ],
  [
    'a key that belongs to a target',
    `${V}targets: { a: { publish: { subjct: a } } }\n`,
    ['2:17 CONFIG_MISSING_KEY «publish»', '2:28 CONFIG_UNKNOWN_KEY «subjct»'],
  ],
  [
    'a key twice',
    `${V}nats: { user: a, user: b }\n`,
    ['2:18 CONFIG_DUPLICATE_KEY «user»'],
    /already at ouzel.yaml:2:9/,
  ],
  [
    'a consumer twice',
    `${V}consumers:\n  a: { stream: A }\n  a: { stream: B }\n`,
    ['4:3 CONFIG_DUPLICATE_KEY «a»'],
    /ouzel.yaml:3:3/,
  ],
  ['no version', 'http: {}\n', ['1:1 CONFIG_MISSING_KEY «http»'], /"version" is missing/, /write version: 1/],
  ['another version', 'version: 2\n', ['1:10 CONFIG_VERSION «2»'], /reads version 1, not 2/],
  ['a version in quotes', 'version: "1"\n', ['1:10 CONFIG_VERSION «"1"»']],
  [
    'no stream',
    `${V}consumers:\n  c: { start: all }\n`,
    ['3:3 CONFIG_MISSING_KEY «c»'],
    /"stream" is missing/,
    /stream to take events from/,
  ],
  ['no subjects', `${V}streams: { A: {} }\n`, ['2:12 CONFIG_MISSING_KEY «A»'], /"subjects"/],
  [
    'a target of no kind',
    `${V}targets: { a: {} }\n`,
    ['2:12 CONFIG_MISSING_KEY «a»'],
    /./,
    /exactly one of: .*publish/,
  ],
  [
    'a target of two kinds',
    `${V}targets: { a: { log: {}, publish: { subject: a } } }\n`,
    ['2:12 CONFIG_INVALID_VALUE «a»'],
    /publish and log cannot stand together/,
  ],
  [
    'a transformer of no kind',
    `${V}transformers: { a: {} }\n`,
    ['2:17 CONFIG_MISSING_KEY «a»'],
    /./,
    /at least one of: .*set/,
  ],
  [
    'a filter together with others',
    consumer('    pipeline: [{ filter: "true", remove: [data.x] }]\n'),
    ['5:18 CONFIG_INVALID_VALUE «filter»'],
    /stands alone/,
  ],
  [
    'two ways to say who one is',
    `${V}nats: { token: a, user: b }\n`,
    ['2:19 CONFIG_INVALID_VALUE «user»'],
    /token and user/,
  ],
  [
    'a password of nobody',
    `${V}nats: { password: abcdef }\n`,
    ['2:9 CONFIG_MISSING_KEY «password»'],
    /without nats.user/,
  ],
  ['a certificate without key', `${V}nats: { tls: { cert: a } }\n`, ['2:16 CONFIG_MISSING_KEY «cert»'], /nats.tls.key/],
];

describe('broken configuration: keys', () => {
  checkAll(keys);
});
