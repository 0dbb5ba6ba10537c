import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { type Case, checkAll, failureOf, parse } from './helpers.ts';

const V = 'version: 1\n';
const TOKEN = 'a-token-that-is-long-enough-0123456789';
const HASH = createHash('sha256').update(TOKEN).digest('hex');
const entry = (who: string, rest = 'may: read'): string => `${V}access:\n  - { who: { ${who} }, ${rest} }\n`;
const OIDC = 'http: { oidc: { issuer: "https://id.example", audience: ouzel } }\n';

describe('access', () => {
  it('keeps of a token its hash alone', () => {
    const { config, source, redact } = parse(entry('token: "${CI_TOKEN}"', 'may: admin'), { env: { CI_TOKEN: TOKEN } });
    expect(config.access).toEqual([{ who: { token: HASH }, may: ['admin'] }]);
    expect(JSON.stringify(source)).not.toContain(TOKEN);
    expect(redact(`it is ${TOKEN}`)).toBe('it is ***');
    expect(parse(entry(`token: "sha256:${HASH}"`)).config.access[0]?.who.token).toBe(HASH);
  });

  it('takes every way to say who, and every limit', () => {
    const { config } = parse(`${V}http:
  tls: { cert: tls/cert.pem, key: tls/key.pem, client_ca: tls/ca.pem }
  oidc: { issuer: "https://id.example", audience: [ouzel, ops] }
access:
  - { name: ops, who: { jwt: { claims: { groups: [ops, sre], "realm_access.roles": admin } } }, may: [operate, publish] }
  - { who: { jwt: { sub: ann } }, may: read, types: ["orders.*"], consumers: ["bill*"] }
  - { who: { cert: { san: "DNS:ops.example" } }, may: admin }
`);
    expect(config.access.map(({ may }) => may)).toEqual([['operate', 'publish'], ['read'], ['admin']]);
    expect(config.http.tls).toEqual({
      cert: '/etc/test/tls/cert.pem',
      key: '/etc/test/tls/key.pem',
      client_ca: '/etc/test/tls/ca.pem',
    });
    expect(config.http.oidc).toMatchObject({ algorithms: ['RS256', 'ES256'], cache: 600_000, timeout: 5_000 });
  });

  it('shows no token in what it says of one', () => {
    const short = 'hunter2-hunter2';
    const { message } = failureOf(entry(`token: ${short}`));
    expect(message).not.toContain('hunter2');
    expect(message).toMatch(/has 15 characters/);
  });

  const cases: readonly Case[] = [
    ['too short a token', entry('token: short'), ['3:21 CONFIG_INVALID_VALUE «*****»'], /5 characters/, /token new/],
    [
      'a hash that is none',
      entry('token: "sha256:12"'),
      ['3:21 CONFIG_INVALID_VALUE «***********»'],
      /no SHA-256/,
      /64 hex digits/,
    ],
    ['nobody', entry(''), ['3:7 CONFIG_INVALID_VALUE «who»'], /does not say who/, /token, jwt, cert/],
    [
      'two at once',
      `${V}${OIDC}access:\n  - { who: { token: "sha256:${HASH}", jwt: { sub: a } }, may: read }\n`,
      ['4:7 CONFIG_INVALID_VALUE «who»'],
      /token and jwt cannot stand together/,
    ],
    [
      'every token of an issuer',
      `${V}${OIDC}access:\n  - { who: { jwt: {} }, may: read }\n`,
      ['4:14 CONFIG_INVALID_VALUE «jwt»'],
      /every token/,
    ],
    ['tokens of nobody', entry('jwt: { sub: ann }'), ['3:14 CONFIG_MISSING_KEY «jwt»'], /whose tokens/, /http\.oidc/],
    [
      'certificates of nobody',
      entry('cert: { san: "DNS:a" }'),
      ['3:14 CONFIG_MISSING_KEY «cert»'],
      /asked for/,
      /client_ca/,
    ],
    [
      'a name of no kind',
      `${V}http: { tls: { cert: a, key: b, client_ca: c } }\naccess:\n  - { who: { cert: { san: ops } }, may: read }\n`,
      ['4:27 CONFIG_INVALID_VALUE «ops»'],
      /no subject alternative name/,
      /DNS:ops\.example/,
    ],
    [
      'a scope that is none',
      entry(`token: "sha256:${HASH}"`, 'may: write'),
      [expect.stringMatching(/CONFIG_INVALID_VALUE/) as string],
      /./,
    ],
    [
      'consumers of what is published',
      entry(`token: "sha256:${HASH}"`, 'may: publish, consumers: [a]'),
      [expect.stringMatching(/CONFIG_INVALID_VALUE/) as string],
      /belongs to no consumer/,
    ],
    [
      'an algorithm that anybody can use who can check it',
      `${V}http: { oidc: { issuer: "https://id.example", audience: a, algorithms: [HS256] } }\n`,
      [expect.stringMatching(/CONFIG_INVALID_VALUE «HS256»/) as string],
      /RS256/,
    ],
  ];
  checkAll(cases);
});
