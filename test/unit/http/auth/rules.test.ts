import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { AccessEntry } from '../../../../src/config/schema.ts';
import type { About, Scope } from '../../../../src/http/auth/needs.ts';
import { allows, compileAccess, couldAllow } from '../../../../src/http/auth/rules.ts';

const TOKEN = 'ouzel_0123456789abcdef0123456789abcdef';
const hash = (text: string): string => createHash('sha256').update(text).digest('hex');
const entry = (rest: Partial<AccessEntry>, token = TOKEN): AccessEntry => ({
  who: { token: hash(token) },
  may: ['read'],
  ...rest,
});
const grantsOf = (...entries: AccessEntry[]) => compileAccess(entries).byToken(TOKEN)?.grants ?? [];

describe('scopes', () => {
  const all: readonly Scope[] = ['read', 'publish', 'operate', 'admin'];
  it.each<[Scope, readonly Scope[]]>([
    ['read', ['read']],
    ['publish', ['publish']],
    ['operate', ['read', 'operate']],
    ['admin', all],
  ])('%s holds %j', (scope, held) => {
    const grants = grantsOf(entry({ may: [scope] }));
    expect(all.filter((each) => allows(grants, each))).toEqual(held);
  });

  it('add up over entries for the same token', () => {
    const grants = grantsOf(entry({ may: ['read'] }), entry({ may: ['publish'] }));
    expect(all.filter((each) => allows(grants, each))).toEqual(['read', 'publish']);
  });
});

describe('limits', () => {
  const limited = (rest: Partial<AccessEntry>, about: About): boolean => allows(grantsOf(entry(rest)), 'read', about);

  it.each<[readonly string[], string, boolean]>([
    [['billing'], 'billing', true],
    [['billing'], 'billing-2', false],
    [['bill*'], 'billing', true],
    [['*-eu'], 'billing-eu', true],
    [['*-eu'], 'billing-europe', false],
    [['a*b*c'], 'axbyc', true],
    [['*'], 'anything', true],
  ])('consumers %j and %s', (consumers, consumer, expected) => {
    expect(limited({ consumers: [...consumers] }, { consumer })).toBe(expected);
  });

  it.each<[readonly string[], string, boolean]>([
    [['orders.*'], 'orders.created', true],
    [['orders.*'], 'orders.created.eu', false],
    [['orders.>'], 'orders.created.eu', true],
    [['orders.created'], 'orders.Created', false],
  ])('types %j and %s', (types, type, expected) => {
    expect(limited({ types: [...types] }, { type })).toBe(expected);
  });

  it('leave nothing of what does not say what it belongs to', () => {
    expect(limited({ consumers: ['*'] }, {})).toBe(false);
    expect(limited({ consumers: ['*'] }, { type: 'a' })).toBe(false);
    expect(limited({ types: ['>'] }, {})).toBe(false);
    expect(limited({ types: ['>'] }, { consumer: 'a' })).toBe(false);
    expect(limited({ types: ['>'], consumers: ['a'] }, { consumer: 'a', type: 't' })).toBe(true);
    expect(limited({ types: ['>'], consumers: ['a'] }, { consumer: 'b', type: 't' })).toBe(false);
  });

  it('of one entry do not lend scopes to another', () => {
    const grants = grantsOf(entry({ may: ['operate'], consumers: ['a'] }), entry({ may: ['read'], consumers: ['b'] }));
    expect(allows(grants, 'operate', { consumer: 'a' })).toBe(true);
    expect(allows(grants, 'operate', { consumer: 'b' })).toBe(false);
    expect(allows(grants, 'read', { consumer: 'b' })).toBe(true);
  });

  it('say what could be allowed where not all is known yet', () => {
    const grants = grantsOf(entry({ consumers: ['a'], types: ['t'] }));
    expect(couldAllow(grants, 'read', {})).toBe(true);
    expect(couldAllow(grants, 'read', { consumer: 'a' })).toBe(true);
    expect(couldAllow(grants, 'read', { consumer: 'b' })).toBe(false);
    expect(couldAllow(grants, 'read', { type: 'u' })).toBe(false);
    expect(couldAllow(grants, 'operate', {})).toBe(false);
  });
});

describe('who', () => {
  it('is whose token it is, and nobody else', () => {
    const rules = compileAccess([entry({ name: 'ci' }), entry({}, 'another-token-that-is-long-enough-too')]);
    expect(rules.byToken(TOKEN)?.name).toBe('ci');
    expect(rules.byToken('another-token-that-is-long-enough-too')?.name).toMatch(/^token:[0-9a-f]{8}$/);
    for (const wrong of [
      '',
      TOKEN.slice(0, -1),
      `${TOKEN}x`,
      TOKEN.toUpperCase(),
      hash(TOKEN),
      `sha256:${hash(TOKEN)}`,
    ])
      expect(rules.byToken(wrong), wrong).toBeUndefined();
  });

  const byClaims = (jwt: AccessEntry['who']['jwt'], claims: Record<string, unknown>): boolean =>
    compileAccess([{ who: { jwt }, may: ['read'] }]).byClaims(claims).length === 1;

  it.each<[AccessEntry['who']['jwt'], Record<string, unknown>, boolean]>([
    [{ sub: 'ann' }, { sub: 'ann' }, true],
    [{ sub: 'ann' }, { sub: 'bob' }, false],
    [{ claims: { groups: 'ops' } }, { groups: ['dev', 'ops'] }, true],
    [{ claims: { groups: 'ops' } }, { groups: 'ops' }, true],
    [{ claims: { groups: 'ops' } }, { groups: ['opsy'] }, false],
    [{ claims: { groups: 'ops' } }, { groups: 'dev,ops' }, false],
    [{ claims: { groups: ['ops', 'sre'] } }, { groups: ['sre'] }, true],
    [{ claims: { groups: 'ops' } }, {}, false],
    [{ claims: { level: 1 } }, { level: '1' }, false],
    [{ claims: { admin: true } }, { admin: true }, true],
    [{ claims: { 'realm_access.roles': 'ops' } }, { realm_access: { roles: ['ops'] } }, true],
    [{ claims: { 'https://x.example/groups': 'ops' } }, { 'https://x.example/groups': ['ops'] }, true],
    [{ claims: { 'groups.constructor.name': 'Array' } }, { groups: [] }, false],
    [{ sub: 'ann', claims: { groups: 'ops' } }, { sub: 'ann', groups: ['dev'] }, false],
    [{ claims: { a: 1, b: 2 } }, { a: 1 }, false],
  ])('%j of %j: %s', (jwt, claims, expected) => expect(byClaims(jwt, claims)).toBe(expected));

  it('is who has a name in its certificate', () => {
    const rules = compileAccess([{ who: { cert: { san: 'DNS:ops.example' } }, may: ['admin'] }]);
    expect(rules.byCertificate(['URI:x', 'DNS:OPS.example'])?.name).toBe('DNS:ops.example');
    expect(rules.byCertificate(['URI:ops.example', 'DNS:x.ops.example'])).toBeUndefined();
    expect(rules.byCertificate([])).toBeUndefined();
  });
});
