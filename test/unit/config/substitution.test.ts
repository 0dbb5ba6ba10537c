import { describe, expect, it } from 'vitest';
import { Expression } from '../../../src/expression/index.ts';
import { brief, failureOf, parse, problemsIn } from './helpers.ts';

const V = 'version: 1\n';
const user = (value: string, env: Record<string, string> = {}): string | undefined =>
  parse(`${V}nats: { user: ${JSON.stringify(value)} }\n`, { env }).config.nats.user;

describe('substitution', () => {
  it.each([
    ['${A}', { A: 'x' }, 'x'],
    ['a${A}b${A}c', { A: 'x' }, 'axbxc'],
    ['${A:-d}', {}, 'd'],
    ['${A:-d}', { A: '' }, 'd'],
    ['${A:-d}', { A: 'x' }, 'x'],
    ['${A:-${B:-e}}', {}, 'e'],
    ['${A:-${B}}', { B: 'b' }, 'b'],
    ['${A:?no A}', { A: 'x' }, 'x'],
    ['$${A}', { A: 'x' }, '${A}'],
    ['$${A} ${A}', { A: 'x' }, '${A} x'],
    ['$A $ {A}', { A: 'x' }, '$A $ {A}'],
    ['${A:-a: b}', {}, 'a: b'],
    ['${A}', { A: '${B}' }, '${B}'],
    ['${A}', { A: 'x\ny: [z' }, 'x\ny: [z'],
  ])('%s', (value, env, expected) => {
    expect(user(value, env)).toBe(expected);
  });

  it('reads files, without one line end at their end, relative to the file that names them', () => {
    const read = (content: string): string | undefined =>
      parse(`${V}nats: { user: "\${file:s/x}" }\n`, { files: { '/etc/test/s/x': content } }).config.nats.user;
    expect(read('a')).toBe('a');
    expect(read('a\n')).toBe('a');
    expect(read('a\r\n')).toBe('a');
    expect(read('a\n\n')).toBe('a\n');
  });

  it('makes a lone ${VAR} a number or a boolean where one is wanted, and only there', () => {
    const text = `${V}nats: { user: "\${N}" }
defaults: { retry: { attempts: "\${N}" } }
streams: { A: { subjects: [a], max_bytes: "\${N}", max_age: "\${D}" } }
filters: { f: "\${N}" }
consumers: { c: { stream: A, paused: "\${T}", prefetch: "\${N:-5}" } }
`;
    const { config, source } = parse(text, { env: { N: '12', T: 'true', D: '5m' } });
    expect(config.nats.user).toBe('12');
    expect(config.defaults.retry.attempts).toBe(12);
    expect(config.streams['A']).toMatchObject({ max_bytes: 12, max_age: 300_000 });
    expect(config.filters['f']).toHaveProperty('source', '12');
    expect(config.consumers['c']).toMatchObject({ paused: true, prefetch: 12 });
    expect(source).toMatchObject({ consumers: { c: { paused: true, prefetch: 12 } } });
  });

  it.each([
    [
      'a variable that is not set',
      'x ${NOPE} y',
      '2:18 CONFIG_SUBSTITUTION «${NOPE}»',
      /NOPE is not set/,
      /NOPE:-default/,
    ],
    ['a message', '${NOPE:?ask Ann}', '2:16 CONFIG_SUBSTITUTION «${NOPE:?ask Ann}»', /not set: ask Ann/],
    ['another form', '${A-x}', '2:16 CONFIG_SUBSTITUTION «${A-x}»', /cannot be filled in/, /\$\{VAR:-default\}/],
    ['nothing', '${}', '2:16 CONFIG_SUBSTITUTION «${}»'],
    ['an open end', 'a ${A', '2:18 CONFIG_SUBSTITUTION «${A»', /not closed/, /\$\$\{/],
    [
      'a file that is not there',
      '${file:x}',
      '2:16 CONFIG_SUBSTITUTION «${file:x}»',
      /file x cannot be read: there is no such file/,
    ],
    ['a file without name', '${file:}', '2:16 CONFIG_SUBSTITUTION «${file:}»', /no name/],
    ['deep nesting', '${A:-'.repeat(12) + 'x' + '}'.repeat(12), '2:56 CONFIG_SUBSTITUTION «'],
  ] as const)('tells where: %s', (_name, value, expected, says = /./, hint?) => {
    const problems = problemsIn(`${V}nats: { user: "${value}" }\n`);
    expect(problems).toHaveLength(1);
    expect(brief(problems[0]!)).toContain(expected);
    expect(problems[0]?.message).toMatch(says);
    if (hint !== undefined) expect(problems[0]?.hint).toMatch(hint);
  });

  it('refuses files that are too large or not UTF-8', () => {
    const text = `${V}nats: { user: "\${file:/x}" }\n`;
    expect(problemsIn(text, { files: { '/x': 'a'.repeat(1024 * 1024 + 1) } })[0]?.message).toMatch(/larger than/);
    expect(problemsIn(text, { files: { '/x': Uint8Array.of(0xff, 0xfe) } })[0]?.message).toMatch(/not UTF-8/);
  });

  it('cannot add structure to the file', () => {
    const evil = 'x\nnats: { user: evil }\n- "\n';
    const { config } = parse(`${V}nats: { user: "\${A}" }\nstreams: { S: { subjects: [a], strip: "\${A}" } }\n`, {
      env: { A: evil },
    });
    expect(config.nats.user).toBe(evil);
    expect(config.streams['S']?.strip).toBe(evil);
  });

  it('does not look into keys', () => {
    expect(problemsIn(`${V}targets: { "\${A}": { log: {} } }\n`, { env: { A: 'x' } })[0]?.message).toMatch(
      /cannot be a name/,
    );
  });

  it('takes no variable from the prototype of the environment', () => {
    expect(problemsIn(`${V}nats: { user: "\${constructor}" }\n`)[0]?.code).toBe('CONFIG_SUBSTITUTION');
  });
});

describe('substitution in expressions', () => {
  const filter = (value: string, env: Record<string, string>): unknown =>
    parse(`${V}filters: { f: '${value.replaceAll("'", "''")}' }\n`, { env }).config.filters['f'];

  it.each([
    ['event.data.x > ${N}', '5'],
    ['event.data.x > ${N}', '-1.5e3'],
    ['event.data.x == ${N}', 'true'],
    ['event.data.x == "${N}"', "it's"],
    ["event.data.x == '${N}'", 'a "b"'],
    ['${N}', 'event.data.x > 5 || true'],
  ])('%s with %s', (text, N) => {
    expect(filter(text, { N })).toBeInstanceOf(Expression);
  });

  it.each([
    ['event.data.x > ${N}', '5 || true', /not a number, true or false/],
    ['event.data.x == ${N}', 'event.data.y', /not a number/],
    ['event.data.x == "${N}"', '" || true || "', /would end the text/],
    ['event.data.x == "${N}"', 'a\\', /would end the text|quote|expected|string/],
    ["event.data.x == '${N}'", "' || true || '", /would end the text/],
  ])('refuses %s with %s', (text, N, says) => {
    const problems = problemsIn(`${V}filters: { f: '${text.replaceAll("'", "''")}' }\n`, { env: { N } });
    expect(problems[0]?.message).toMatch(says);
  });

  it('refuses an expression in the text of a template, unless it is all of it', () => {
    const subject = (value: string) => `${V}targets: { t: { publish: { subject: "${value}" } } }\n`;
    const env = { T: '{{ event.data.x }}' };
    expect(problemsIn(subject('a.${T}'), { env }).map(brief)).toEqual(['2:40 CONFIG_SUBSTITUTION «${T}»']);
    expect(() => parse(subject('${T}'), { env })).not.toThrow();
    expect(() => parse(subject('a.${T}'), { env: { T: 'b.c' } })).not.toThrow();
    expect(problemsIn(subject('a.{{ event.data.x + ${T} }}'), { env: { T: 'event.id' } })[0]?.code).toBe(
      'CONFIG_SUBSTITUTION',
    );
  });

  it('puts the caret behind what was put in', () => {
    const text = `${V}filters: { f: "event.data.x == '\${LONG}' && evnt" }\n`;
    expect(problemsIn(text, { env: { LONG: 'x'.repeat(100) } }).map(brief)).toEqual(['2:45 CONFIG_EXPRESSION «evnt»']);
  });

  it('puts the caret under ${…} for what is wrong inside of it', () => {
    const text = `${V}filters: { f: "\${F}" }\n`;
    expect(problemsIn(text, { env: { F: 'event.data.x > evnt' } }).map(brief)).toEqual([
      '2:16 CONFIG_EXPRESSION «${F}»',
    ]);
  });
});

describe('secrets', () => {
  const SECRET = 'hunter2-hunter2';
  const env = { DB_PASSWORD: SECRET, API_TOKEN: SECRET, MY_KEY: SECRET, SECRET_URL: `nats://u:${SECRET}@h:1` };
  const files = { '/s': `${SECRET}\n` };

  it.each([
    ['an unknown word', 'consumers: { c: { stream: A, on_remove: "${DB_PASSWORD}" } }'],
    ['a number', 'defaults: { retry: { attempts: "${API_TOKEN}" } }'],
    ['a duration', 'http: { drain: "${MY_KEY}" }'],
    ['a size', 'streams: { A: { subjects: [a], max_bytes: "${file:/s}" } }'],
    ['a subject', 'streams: { A: { subjects: ["${file:/s} x"] } }'],
    ['an address', 'http: { listen: "${file:/s}" }'],
    ['an expression', 'filters: { f: "${file:/s} ==" }'],
    ['an unknown variable', 'filters: { f: "event.data.x == ${file:/s}" }'],
    ['a template', 'targets: { t: { publish: { subject: "{{ ${file:/s} }}" } } }'],
    ['a path', 'transformers: { t: { remove: ["${file:/s}"] } }'],
    ['a name', 'consumers: { c: { stream: A, pipeline: ["${file:/s}"] } }'],
    ['a target', 'consumers: { c: { stream: A, deliver: [{ to: "${file:/s}" }] } }'],
    [
      'a route',
      'consumers: { c: { stream: A, deliver: [{ to: log, name: "${file:/s}" }, { to: log, name: "${file:/s}" }] } }',
    ],
    ['a file that is named by a secret', 'nats: { user: "${file:/x/${API_TOKEN}}" }'],
    ['a server', 'nats: { servers: "http://u:${file:/s}@h" }'],
    ['a server that is a secret', 'nats: { servers: "x ${SECRET_URL}" }'],
    ['a literal password beside an error', `nats: { password: ${SECRET}, foo: 1 }`],
    ['a literal token of the wrong kind', `nats: { token: [${SECRET}] }`],
    ['a literal password in a URL', `nats: { servers: "nats://u:${SECRET}@h:x" }`],
    ['a literal password in what is no YAML', `nats: { password: "${SECRET}`],
  ])('are not in the error about %s', (_name, text) => {
    const error = failureOf(`${V}${text}\n`, { env, files });
    expect(error.message).not.toContain(SECRET);
    expect(JSON.stringify(error.problems)).not.toContain(SECRET);
  });

  it('are in the configuration, not in its source, which changes with them', () => {
    const text = `${V}nats: { servers: "nats://u:\${file:/s}@h:1", password: "\${DB_PASSWORD}" , user: u }\n`;
    const first = parse(text, { env, files });
    expect(first.config.nats.password).toBe(SECRET);
    expect(first.config.nats.servers).toEqual([`nats://u:${SECRET}@h:1`]);
    expect(JSON.stringify(first.source)).not.toContain(SECRET);
    expect(parse(text, { env, files })).toMatchObject({ source: first.source, hash: first.hash });
    const second = parse(text, { env: { ...env, DB_PASSWORD: 'another one' }, files });
    expect(second.source).not.toEqual(first.source);
    expect(second.hash).not.toBe(first.hash);
    expect(first.files).toEqual(['/etc/test/ouzel.yaml', '/s']);
  });

  it('are taken out of any text', () => {
    const { redact } = parse(`${V}nats: { servers: "nats://u:pass+word@h:1", password: 'to"ken', user: u }\n`);
    expect(redact('a pass+word b')).toBe('a *** b');
    expect(redact(JSON.stringify({ error: 'to"ken' }))).toBe('{"error":"***"}');
    expect(redact(`x=${encodeURIComponent('pass+word')}`)).toBe('x=***');
    expect(redact('nothing here')).toBe('nothing here');
  });

  it('are told by the name of their variable', () => {
    const shown = (name: string): boolean =>
      parse(`${V}nats: { user: "\${${name}}" }\n`, { env: { [name]: 'abcdefgh' } }).redact('abcdefgh') === 'abcdefgh';
    for (const name of [
      'SECRET',
      'A_TOKEN',
      'PASSWORD_A',
      'DB_PASSWD',
      'NATS_KEY',
      'NATS_CREDS',
      'aws_credentials',
      'API_KEYS',
    ])
      expect([name, shown(name)]).toEqual([name, false]);
    for (const name of ['USER', 'MONKEY', 'KEYBOARD', 'TOKENIZER', 'SECRET_FILE', 'KEY_PATH', 'KEY_ID'])
      expect([name, shown(name)]).toEqual([name, true]);
  });

  it('are not the paths of credentials', () => {
    const { config, redact } = parse(`${V}nats: { creds: "\${NATS_CREDS}" }\n`, { env: { NATS_CREDS: 'nats.creds' } });
    expect(config.nats.creds).toBe('/etc/test/nats.creds');
    expect(redact('nats.creds')).toBe('nats.creds');
  });
});
