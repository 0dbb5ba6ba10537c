import { describe, expect, it } from 'vitest';
import { brief, failureOf, problemsIn } from './helpers.ts';

/** A file, the problems it must have (in order), and what message and hint of the first must say. */
type Case = readonly [name: string, text: string, problems: readonly string[], says?: RegExp, hint?: RegExp];

const V = 'version: 1\n';
const consumer = (rest: string): string => `${V}consumers:\n  c:\n    stream: EVENTS\n${rest}`;

const syntax: readonly Case[] = [
  ['nothing at all', '', ['1:1 CONFIG_EMPTY «»'], /no configuration/, /version: 1/],
  ['only a comment', '# nothing\n', ['1:1 CONFIG_EMPTY «#»']],
  ['only a document mark', '---\n', ['1:1 CONFIG_EMPTY «-»']],
  ['null', 'null\n', ['1:1 CONFIG_EMPTY «n»']],
  ['a list', '- a\n', ['1:3 CONFIG_INVALID_VALUE «a»'], /expected a mapping, found a list/],
  ['a text', 'hello\n', ['1:1 CONFIG_INVALID_VALUE «hello»'], /expected a mapping, found "hello"/],
  ['a tab', `${V}nats:\n\tservers: x\n`, ['3:1 CONFIG_SYNTAX « »'], /tab/, /spaces/],
  [
    'an unclosed double quote',
    `${V}nats:\n  user: "a\nhttp: {}\n`,
    ['3:9 CONFIG_SYNTAX «"»'],
    /not closed/,
    /close it with "/,
  ],
  [
    'an unclosed single quote',
    `${V}nats:\n  user: 'a\nhttp: {}\n`,
    ["3:9 CONFIG_SYNTAX «'»"],
    /not closed/,
    /close it with '/,
  ],
  [
    'an unclosed [',
    `${V}streams: { A: { subjects: ["a" }\n`,
    ['2:27 CONFIG_SYNTAX «[»'],
    /not closed/,
    /close it with ]/,
  ],
  [
    'an unclosed {',
    `${V}streams:\n  A: { strip: x\nhttp: {}\n`,
    ['3:6 CONFIG_SYNTAX «{»'],
    /not closed/,
    /close it with }/,
  ],
  ['a key without colon', `${V}nats\nhttp: {}\n`, ['2:1 CONFIG_SYNTAX «nats»'], /no ":"/, /key: value/],
  [
    'an indentation that fits nothing',
    `${V}nats:\n  user: x\n tls: {}\n`,
    ['4:1 CONFIG_SYNTAX « tls: {}»'],
    /indentation/,
  ],
  [
    'an indentation under a value',
    `${V}nats:\n  user: x\n    tls: y\n`,
    ['3:9 CONFIG_SYNTAX «x»'],
    /mapping cannot begin/,
  ],
  ['two documents', `${V}---\nversion: 1\n`, ['2:1 CONFIG_SYNTAX «---»'], /second document/],
  ['an alias without anchor', `${V}nats: *x\n`, ['2:7 CONFIG_SYNTAX «*x»'], /no anchor "&x"/],
  ['an alias inside of its anchor', `${V}nats: &x { tls: *x }\n`, ['2:17 CONFIG_SYNTAX «*x»'], /inside/],
  ['a bad escape', `${V}nats: { user: "\\q" }\n`, ['2:16 CONFIG_SYNTAX «\\»'], /escape/, /backslash/],
  [
    'a value that begins with @',
    `${V}nats: { user: @a }\n`,
    ['2:15 CONFIG_SYNTAX «@»'],
    /cannot begin with @/,
    /quotes/,
  ],
  ['a key that is a list', `${V}? [a, b]\n: 1\n`, ['2:3 CONFIG_SYNTAX «[a, b]»'], /key must be text/],
  ['deep nesting', `${V}x: ${'['.repeat(200)}${']'.repeat(200)}\n`, ['2:68 CONFIG_SYNTAX «[»'], /deeper than 64/],
  ['__proto__', `${V}consumers: { __proto__: { stream: A } }\n`, ['2:14 CONFIG_INVALID_VALUE «__proto__»']],
  ['a merge of no mapping', `${V}nats: { <<: 3 }\n`, ['2:13 CONFIG_SYNTAX «3»']],
];

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
    /^one of: listen, drain$/,
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
];

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
];

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
    'a stream misspelt',
    `${V}streams: { EVENTS: { subjects: [a] } }\nconsumers: { c: { stream: EVENT } }\n`,
    ['3:27 CONFIG_UNKNOWN_NAME «EVENT»'],
    /./,
    /"EVENTS"/,
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

const U = 'CONFIG_UNQUOTED_EXPRESSION';
const unquoted: readonly Case[] = [
  [
    'a call with a comma',
    consumer('    deliver: [{ when: f(a, b), to: log }]\n'),
    [`5:23 ${U} «f(a, b)»`],
    /took this expression apart/,
    /"f\(a, b\)"/,
  ],
  [
    'a comma in a text',
    consumer('    deliver: [{ when: event.data.x == "a, b", to: log }]\n'),
    [`5:23 ${U} «event.data.x == "a, b"»`],
    /./,
    /'event.data.x == "a, b"'/,
  ],
  [
    'a ternary',
    `${V}filters:\n  a: event.data.x ? 1 : 2\n`,
    [`3:6 ${U} «event.data.x ? 1 : 2»`],
    /./,
    /"event.data.x \? 1 : 2"/,
  ],
  [
    'a ternary in { }',
    consumer('    deliver: [{ when: event.data.x ? true : false, to: log }]\n'),
    [`5:23 ${U} «event.data.x ? true : false»`],
  ],
  [
    'a leading !',
    `${V}filters:\n  a: !event.data.x\n  b: !has(event.data.x) && true\n`,
    [`3:6 ${U} «!event.data.x»`, `4:6 ${U} «!has(event.data.x) && true»`],
  ],
  [
    'a leading ! with quotes',
    `${V}filters:\n  a: !event.source.startsWith("test/")\n`,
    [`3:6 ${U} «!event.source.startsWith("test/")»`],
  ],
  [
    'a leading ! in a list',
    consumer('    pipeline:\n      - !event.x\n      - filter: !event.y\n'),
    [`6:9 ${U} «!event.x»`, `7:17 ${U} «!event.y»`],
  ],
  ['a leading ! in { }', consumer('    pipeline: [{ filter: !event.x }]\n'), [`5:26 ${U} «!event.x»`]],
  ['a leading !( )', `${V}filters:\n  a: !(event.x || event.y)\n`, [`3:6 ${U} «!(event.x || event.y)»`]],
  [
    'an index in { }',
    consumer('    deliver: [{ when: event.data.a[0] == 1, to: log }]\n'),
    [`5:23 ${U} «event.data.a[0] == 1»`],
  ],
  [
    'a list in { }',
    consumer('    deliver: [{ when: event.type in ["a", "b"], to: log }]\n'),
    [`5:23 ${U} «event.type in ["a", "b"]»`],
  ],
  [
    'a leading list',
    `${V}filters:\n  a: [1, 2].exists(x, x == event.data.x)\n`,
    [`3:6 ${U} «[1, 2].exists(x, x == event.data.x)»`],
  ],
  [
    'a leading text',
    `${V}filters:\n  a: "x" == event.type\n  b: evnt\n`,
    [`3:6 ${U} «"x" == event.type»`, '4:6 CONFIG_EXPRESSION «evnt»'],
    /./,
    /'"x" == event.type'/,
  ],
  ['a colon in a text', `${V}filters:\n  a: event.data.x == "a: b"\n`, [`3:6 ${U} «event.data.x == "a: b"»`]],
  ['a: b', consumer('    deliver:\n      - when: a: b\n        to: log\n'), [`6:15 ${U} «a: b»`]],
  [
    '# in a text',
    `${V}filters:\n  a: event.data.x == "a # b"\n`,
    [`3:6 ${U} «event.data.x == "a # b"»`],
    /# begins a comment/,
  ],
  [
    'a lone {{ }}',
    `${V}targets:\n  a:\n    publish:\n      subject: {{ event.data.id }}\n`,
    [`5:16 ${U} «{{ event.data.id }}»`],
  ],
  [
    '{{ }} in { }',
    `${V}targets: { a: { publish: { subject: a.{{ event.data.id }} } } }\n`,
    [`2:37 ${U} «a.{{ event.data.id }}»`],
  ],
  ['${ } in { }', `${V}nats: { user: ${'$'}{NATS_USER} }\n`, [`2:15 ${U} «${'$'}{NATS_USER}»`]],
  ['an anchor that is none', `${V}filters:\n  a: &x && y\n`, [`3:6 ${U} «&x && y»`]],
];

describe.each([
  ['syntax', syntax],
  ['keys', keys],
  ['values', values],
  ['references', references],
  ['expressions', expressions],
  ['unquoted expressions', unquoted],
])('broken configuration: %s', (_kind, cases) => {
  it.each(cases)('%s', (_name, text, expected, says = /./, hint = undefined) => {
    const problems = problemsIn(text);
    expect(problems.map(brief)).toEqual(expected);
    expect(problems[0]?.message).toMatch(says);
    if (hint !== undefined) expect(problems[0]?.hint).toMatch(hint);
  });
});

describe('broken configurations', () => {
  it('tells all problems at once, in the order of the file', () => {
    const text = `${V}filtres: {}
streams: { EVENTS: { subjects: ["a b"] } }
filters:
  big: evnt.x
targets:
  partner: { publish: { subject: "a.{{ event.data.id + }}" } }
consumers:
  c:
    stream: EVENT
    piepline: []
    start: nwe
    deliver:
      - { to: partnr, wehn: true }
      - { to: log }
      - { to: log }
`;
    expect(problemsIn(text).map(({ code, place }) => `${place?.line} ${code}`)).toEqual([
      '2 CONFIG_UNKNOWN_KEY',
      '3 CONFIG_INVALID_VALUE',
      '5 CONFIG_EXPRESSION',
      '7 CONFIG_EXPRESSION',
      '10 CONFIG_UNKNOWN_NAME',
      '11 CONFIG_UNKNOWN_KEY',
      '12 CONFIG_INVALID_VALUE',
      '14 CONFIG_UNKNOWN_NAME',
      '14 CONFIG_UNKNOWN_KEY',
      '16 CONFIG_DUPLICATE_NAME',
    ]);
  });

  it('tells what stands before a break of the syntax, and nothing that follows from it', () => {
    const problems = problemsIn(
      `${V}filtres: {}\nhttp:\n  listen: "a\nconsumers:\n  c: { stream: A, pipeline: [x] }\n`,
    );
    expect(problems.map(brief)).toEqual(['2:1 CONFIG_UNKNOWN_KEY «filtres»', '4:11 CONFIG_SYNTAX «"»']);
  });

  it('bounds what aliases expand to', () => {
    const levels = Array.from(
      { length: 9 },
      (_, n) =>
        `x${n}: &x${n} [${Array(9)
          .fill(n === 0 ? '1' : `*x${n - 1}`)
          .join(', ')}]`,
    );
    const codes = problemsIn(`${V}${levels.join('\n')}\n`).map(({ code }) => code);
    expect(codes).toContain('CONFIG_ALIASES');
  });

  it('counts characters, not code units, and puts carets under wide ones', () => {
    const [problem] = problemsIn(`${V}filters: { a: 'event.data["日本😀"] == evnt' }\n`);
    expect(problem?.place).toEqual({ file: 'ouzel.yaml', line: 2, column: 37 });
    expect(problem?.excerpt?.indent).toBe(39);
    expect(problem?.excerpt?.width).toBe(4);
  });

  it('cuts long lines around the caret', () => {
    const [problem] = problemsIn(`${V}filters: { a: '${'true && '.repeat(60)}evnt${' && true'.repeat(60)}' }\n`);
    expect(problem?.excerpt?.text).toMatch(/^….*evnt.*…$/);
    expect(problem?.excerpt?.text.length).toBeLessThan(120);
    expect(brief(problem!)).toMatch(/«evnt»$/);
  });

  it('lets no control character of the file reach the terminal', () => {
    const { message } = failureOf(`${V}"\u001b[31m\u202ex": 1\nnats: { user: [ "\u0007" ] }\n`);
    // oxlint-disable-next-line no-control-regex -- that is what must not be there
    expect(message).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it('is an error with exit code 78 whose message is the text to show', () => {
    const error = failureOf(`${V}filtres: {}\n`);
    expect(error.exitCode).toBe(78);
    expect(error.message).toBe(
      [
        'ouzel.yaml:2:1  CONFIG_UNKNOWN_KEY  unknown key "filtres"',
        '  2 | filtres: {}',
        '    | ^^^^^^^',
        '  did you mean "filters"?',
        '',
        '1 problem',
      ].join('\n'),
    );
  });
});
