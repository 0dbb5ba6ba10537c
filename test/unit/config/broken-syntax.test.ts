import { describe } from 'vitest';
import { type Case, checkAll } from './helpers.ts';

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

describe('broken configuration: syntax', () => {
  checkAll(syntax);
});

describe('broken configuration: unquoted expressions', () => {
  checkAll(unquoted);
});
