/** JSON Web Tokens of a real issuer: an HTTP server with keys. */
import { createHmac, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { fastify } from 'fastify';
import { base64url, exportJWK, exportSPKI, SignJWT } from 'jose';
import { pino } from 'pino';
import { expect, it } from 'vitest';
import type { AccessEntry, Config } from '../../src/config/schema.ts';
import { Authenticator } from '../../src/http/auth/authenticate.ts';
import { guard } from '../../src/http/auth/index.ts';
import { type HttpTarget, startHttpTarget } from '../helpers/http-target.ts';
import { waitFor } from '../helpers/wait.ts';
import { parse } from '../unit/config/helpers.ts';

interface Key {
  readonly kid: string;
  readonly alg: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
}

const ellipticKey = (kid: string): Key => ({
  kid,
  alg: 'ES256',
  ...generateKeyPairSync('ec', { namedCurve: 'P-256' }),
});
const rsaKey = (kid: string): Key => ({ kid, alg: 'RS256', ...generateKeyPairSync('rsa', { modulusLength: 2048 }) });

interface Issuer {
  readonly url: string;
  readonly target: HttpTarget;
  keys: readonly Key[];
  /** Documents and keys that were asked for. */
  asked(path: string): number;
}

async function startIssuer(...first: Key[]): Promise<Issuer> {
  const target = await startHttpTarget();
  const issuer: Issuer = {
    url: target.url,
    target,
    keys: first,
    asked: (path) => target.requests.filter((request) => request.path === path).length,
  };
  target.answer = async ({ path }) => {
    if (path === '/.well-known/openid-configuration')
      return { body: JSON.stringify({ issuer: target.url, jwks_uri: `${target.url}/keys` }) };
    const jwks = issuer.keys.map(async ({ kid, alg, publicKey }) => ({
      ...(await exportJWK(publicKey)),
      kid,
      alg,
      use: 'sig',
    }));
    return { body: JSON.stringify({ keys: await Promise.all(jwks) }) };
  };
  return issuer;
}

const OPS: AccessEntry = { who: { jwt: { claims: { groups: 'ops' } } }, may: ['operate'] };

/** A guarded server that trusts an issuer. */
function serverFor(issuer: string, settings: Partial<NonNullable<Config['http']['oidc']>> = {}) {
  const { config } = parse(
    `version: 1\nhttp: { oidc: { issuer: "${issuer}", audience: ouzel, allow_private: true, cooldown: 1ms } }\n`,
  );
  const { http } = config;
  if (http.oidc === undefined) throw new Error('no oidc');
  const used: Config = { ...config, access: [OPS], http: { ...http, oidc: { ...http.oidc, ...settings } } };
  const app = fastify();
  guard(app, new Authenticator(() => used, pino({ level: 'silent' })));
  app.get('/pause', { config: { needs: { scope: 'operate', write: true } } }, ({ actor }) => actor.name);
  let asked = 0;
  return async (token: string) => {
    // Each from another address: how often one may be wrong is not what is asked here.
    const remoteAddress = `10.0.${Math.trunc(asked / 200)}.${asked++ % 200}`;
    const { statusCode, body } = await app.inject({
      url: '/pause',
      remoteAddress,
      headers: { authorization: `Bearer ${token}` },
    });
    return { status: statusCode, body };
  };
}

const CLAIMS = { groups: ['dev', 'ops'] };
interface Made {
  readonly issuer: string;
  readonly audience?: string;
  readonly subject?: string | undefined;
  readonly expires?: number | undefined;
  readonly claims?: Record<string, unknown>;
  readonly kid?: string | undefined;
}

function sign(key: Key, made: Made): Promise<string> {
  const { issuer, audience = 'ouzel', claims = CLAIMS, kid = key.kid } = made;
  const token = new SignJWT(claims)
    .setProtectedHeader({ alg: key.alg, kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setIssuedAt();
  if (!('subject' in made) || made.subject !== undefined) token.setSubject(made.subject ?? 'ann');
  if (!('expires' in made) || made.expires !== undefined)
    token.setExpirationTime(Math.trunc(Date.now() / 1000) + (made.expires ?? 600));
  return token.sign(key.privateKey);
}

const encode = (value: unknown): string => base64url.encode(JSON.stringify(value));

it('lets in by subject and claims whom the issuer vouches for, and nobody else', async () => {
  const [key, rsa, stranger] = [ellipticKey('one'), rsaKey('two'), ellipticKey('one')];
  const issuer = await startIssuer(key, rsa);
  const ask = serverFor(issuer.url);
  const made: Made = { issuer: issuer.url };
  expect(await ask(await sign(key, made))).toEqual({ status: 200, body: 'ann' });
  expect(await ask(await sign(rsa, { ...made, subject: 'bob' }))).toEqual({ status: 200, body: 'bob' });
  expect(await ask(await sign(key, { ...made, claims: { groups: ['dev'] } }))).toMatchObject({ status: 403 });
  expect(await ask(await sign(key, { ...made, claims: {} }))).toMatchObject({ status: 403 });

  const now = Math.trunc(Date.now() / 1000);
  const payload = { iss: issuer.url, aud: 'ouzel', sub: 'mallory', exp: now + 600, ...CLAIMS };
  const none = `${encode({ alg: 'none' })}.${encode(payload)}.`;
  // The public key, which everybody has, as if it were a shared secret.
  const spki = await exportSPKI(rsa.publicKey);
  const confused = `${encode({ alg: 'HS256', kid: 'two' })}.${encode(payload)}`;
  const hmac = createHmac('sha256', spki).update(confused).digest('base64url');
  const good = await sign(key, made);
  const [head = '', , signature = ''] = good.split('.');
  const inline = new SignJWT(CLAIMS)
    .setProtectedHeader({ alg: 'ES256', kid: 'one', jwk: await exportJWK(stranger.publicKey) })
    .setIssuer(issuer.url)
    .setAudience('ouzel')
    .setSubject('mallory')
    .setExpirationTime('5m')
    .sign(stranger.privateKey);
  const wrong: Readonly<Record<string, string>> = {
    expired: await sign(key, { ...made, expires: -60 }),
    'without an end': await sign(key, { ...made, expires: undefined }),
    'without a subject': await sign(key, { ...made, subject: undefined }),
    'of another audience': await sign(key, { ...made, audience: 'grafana' }),
    'of another issuer': await sign(key, { ...made, issuer: 'https://elsewhere.example' }),
    'signed by a stranger': await sign(stranger, made),
    'with its own key': await inline,
    'of an unknown key': await sign(key, { ...made, kid: 'nine' }),
    'of no algorithm': none,
    'of no algorithm, with a signature': `${encode({ alg: 'none', kid: 'one' })}.${encode(payload)}.${signature}`,
    'signed with the public key': `${confused}.${hmac}`,
    'with other claims': `${head}.${encode(payload)}.${signature}`,
    'of an algorithm that is not accepted': await sign({ ...rsa, alg: 'RS512' }, made),
    'of two parts': good.split('.').slice(0, 2).join('.'),
  };
  for (const [what, token] of Object.entries(wrong)) {
    const { status, body } = await ask(token);
    expect(status, what).toBe(401);
    // Nobody learns what was wrong with it.
    expect(JSON.parse(body), what).toMatchObject({ detail: 'the credentials are not valid' });
  }
});

it('takes a new key when the issuer has one, and asks no more often than it may', async () => {
  const [old, fresh] = [ellipticKey('old'), ellipticKey('new')];
  const issuer = await startIssuer(old);
  const ask = serverFor(issuer.url);
  const slow = serverFor(issuer.url, { cooldown: 600_000 });
  const made: Made = { issuer: issuer.url };
  expect(await ask(await sign(old, made))).toMatchObject({ status: 200 });
  expect(await slow(await sign(old, made))).toMatchObject({ status: 200 });
  const asked = issuer.asked('/keys');
  expect(asked).toBe(2);

  issuer.keys = [fresh];
  expect(await ask(await sign(fresh, made))).toMatchObject({ status: 200 });
  expect(issuer.asked('/keys')).toBe(asked + 1);
  expect(await ask(await sign(old, made))).toMatchObject({ status: 401 });

  const before = issuer.asked('/keys');
  for (let index = 0; index < 20; index++)
    expect(await slow(await sign(fresh, { ...made, kid: `k-${index}` }))).toMatchObject({ status: 401 });
  expect(issuer.asked('/keys')).toBe(before);
});

it('lets nobody in by tokens while the issuer cannot be asked, and is well again with it', async () => {
  const key = ellipticKey('one');
  const issuer = await startIssuer(key);
  const ask = serverFor(issuer.url, { timeout: 200 });
  const token = await sign(key, { issuer: issuer.url });
  const well = issuer.target.answer;
  for (const answer of [
    { fault: 'reset' },
    { fault: 'hang' },
    { status: 500 },
    { body: 'no json' },
    { status: 302, headers: { location: 'http://127.0.0.1:1/' } },
    { body: JSON.stringify({ issuer: 'https://another.example', jwks_uri: `${issuer.url}/keys` }) },
  ] as const) {
    issuer.target.answer = () => answer;
    const found = await ask(token);
    expect(found.status, JSON.stringify(answer)).toBe(503);
    expect(found.body).not.toContain('127.0.0.1');
  }
  issuer.target.answer = well;
  await waitFor(async () => (await ask(token)).status === 200, { what: 'the token to be let in' });
});

it('asks no private address unless it is told to', async () => {
  const key = ellipticKey('one');
  const issuer = await startIssuer(key);
  const ask = serverFor(issuer.url, { allow_private: false });
  expect(await ask(await sign(key, { issuer: issuer.url }))).toMatchObject({ status: 503 });
  expect(issuer.target.requests).toEqual([]);
});
