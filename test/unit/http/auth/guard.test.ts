/** Who is let in: a real server's rules, asked from addresses that a test cannot come from. */
import { createHash } from 'node:crypto';
import { fastify, type FastifyInstance, type InjectOptions } from 'fastify';
import { pino } from 'pino';
import { describe, expect, it } from 'vitest';
import type { AccessEntry, Config } from '../../../../src/config/schema.ts';
import { Authenticator } from '../../../../src/http/auth/authenticate.ts';
import { guard } from '../../../../src/http/auth/index.ts';
import type { Needs } from '../../../../src/http/auth/needs.ts';
import { sendProblem } from '../../../../src/http/problem.ts';
import { parse } from '../../config/helpers.ts';

const OTHER = '10.1.2.3';
const token = (name: string): string => `${name}-token-that-is-long-enough-to-be-one`;
const entry = (name: string, rest: Partial<AccessEntry> = {}): AccessEntry => ({
  name,
  who: { token: createHash('sha256').update(token(name)).digest('hex') },
  may: ['read'],
  ...rest,
});

const ROUTES: Readonly<Record<string, Needs>> = {
  see: { scope: 'read' },
  filtered: { scope: 'read', narrows: true },
  'see/:consumer': { scope: 'read', consumer: ({ params }) => (params as { consumer: string }).consumer },
  post: { scope: 'publish', write: true },
  pause: { scope: 'operate', write: true },
  put: { scope: 'admin', write: true },
};

function serverWith(access: readonly AccessEntry[]): FastifyInstance {
  const config: Config = { ...parse('version: 1\n').config, access: [...access] };
  const app = fastify();
  guard(app, new Authenticator(() => config, pino({ level: 'silent' })));
  app.setNotFoundHandler((_request, reply) => sendProblem(reply, 404, 'NOT_FOUND', 'nothing'));
  app.get('/metrics', { config: { open: true } }, () => 'metrics');
  for (const [path, needs] of Object.entries(ROUTES))
    app.get(`/${path}`, { config: { needs } }, ({ actor }) => ({ name: actor.name, from: actor.from }));
  return app;
}

const ask = async (app: FastifyInstance, url: string, options: InjectOptions = {}) => {
  const headers = { host: 'localhost:9464', ...options.headers };
  const answer = await app.inject({ url, ...options, headers });
  return { status: answer.statusCode, headers: answer.headers, body: answer.json<Record<string, unknown>>() };
};
const as = (name: string): InjectOptions => ({ headers: { authorization: `Bearer ${token(name)}` } });
const statusOf = async (app: FastifyInstance, url: string, options?: InjectOptions): Promise<number> =>
  (await app.inject({ url, ...options, headers: { host: 'localhost', ...options?.headers } })).statusCode;

describe('a route', () => {
  it('says what it needs, or that it is open, or is not there', async () => {
    const app = serverWith([]);
    expect(() => app.get('/forgotten', () => 'secret')).toThrow(/has to say/);
    expect(() => app.get('/both', { config: { open: true, needs: { scope: 'read' } } }, () => 0)).toThrow(/either/);
    expect(() => app.post('/w', { config: { needs: { scope: 'read', write: true } } }, () => 0)).toThrow(/writes/);
    app.register(async (scope) => {
      await Promise.resolve();
      scope.get('/inside', () => 'secret');
    });
    await expect(app.ready()).rejects.toThrow(/has to say/);
  });
});

describe('without `access`', () => {
  const app = serverWith([]);
  it('who sits at the machine may do everything', async () => {
    for (const path of ['see', 'filtered', 'see/billing', 'post', 'pause', 'put'])
      expect(await ask(app, `/${path}`), path).toMatchObject({ status: 200, body: { name: 'local' } });
  });

  it('anybody else gets nothing but what is open', async () => {
    for (const path of ['see', 'filtered', 'see/billing', 'post', 'pause', 'put', 'nothing'])
      expect(await ask(app, `/${path}`, { remoteAddress: OTHER }), path).toMatchObject({
        status: 403,
        body: { code: 'FORBIDDEN' },
      });
    expect(await statusOf(app, '/metrics', { remoteAddress: OTHER })).toBe(200);
    expect(await statusOf(app, '/put', { headers: { 'x-forwarded-for': OTHER } })).toBe(403);
    expect(await statusOf(app, '/put', { headers: { host: 'rebound.example' } })).toBe(403);
    expect(await statusOf(app, '/put', { headers: { origin: 'https://evil.example' } })).toBe(403);
  });

  it('no token is right', async () => {
    expect(await statusOf(app, '/see', as('nobody'))).toBe(401);
  });
});

describe('with `access`', () => {
  const app = serverWith([
    entry('reader'),
    entry('publisher', { may: ['publish'] }),
    entry('operator', { may: ['operate'] }),
    entry('admin', { may: ['admin'] }),
    entry('billing', { may: ['operate'], consumers: ['billing*'] }),
  ]);

  it.each([
    ['reader', { see: 200, filtered: 200, 'see/billing': 200, post: 403, pause: 403, put: 403 }],
    ['publisher', { see: 403, filtered: 403, 'see/billing': 403, post: 200, pause: 403, put: 403 }],
    ['operator', { see: 200, filtered: 200, 'see/billing': 200, post: 403, pause: 200, put: 403 }],
    ['admin', { see: 200, filtered: 200, 'see/billing': 200, post: 200, pause: 200, put: 200 }],
    // What cannot say whom it is about is not for who is limited, unless it leaves out what they may not see.
    ['billing', { see: 403, filtered: 200, 'see/billing-2': 200, 'see/orders': 403, post: 403, pause: 403, put: 403 }],
  ])('%s may do what its entry says, from anywhere', async (name, expected) => {
    for (const remoteAddress of ['127.0.0.1', OTHER, '2001:db8::1'])
      for (const [path, status] of Object.entries(expected))
        expect(await statusOf(app, `/${path}`, { ...as(name), remoteAddress }), `${path} ${remoteAddress}`).toBe(
          status,
        );
    expect(
      await ask(app, `/${name === 'publisher' ? 'post' : 'filtered'}`, { ...as(name), remoteAddress: OTHER }),
    ).toMatchObject({
      status: 200,
      body: { name, from: OTHER },
    });
  });

  it('who sits at the machine sees, and needs credentials for more', async () => {
    expect(await ask(app, '/see')).toMatchObject({ status: 200, body: { name: 'local', from: '127.0.0.1' } });
    for (const path of ['post', 'pause', 'put'])
      expect(await ask(app, `/${path}`), path).toMatchObject({
        status: 401,
        headers: { 'www-authenticate': 'Bearer realm="ouzel"' },
        body: { code: 'UNAUTHORIZED' },
      });
  });

  it('anybody else needs credentials for everything that is not open, there or not', async () => {
    for (const path of ['see', 'post', 'put', 'nothing', '%2e%2e/see'])
      expect(await statusOf(app, `/${path}`, { remoteAddress: OTHER }), path).toBe(401);
    expect(await statusOf(app, '/nothing', { ...as('reader'), remoteAddress: OTHER })).toBe(404);
    expect(await statusOf(app, '/see', { remoteAddress: OTHER, method: 'HEAD' })).toBe(401);
    expect(await statusOf(app, '/metrics', { remoteAddress: OTHER })).toBe(200);
  });

  it('a token that is sent is checked, also where none is needed', async () => {
    expect(await ask(app, '/see', as('nobody'))).toMatchObject({
      status: 401,
      headers: { 'www-authenticate': 'Bearer realm="ouzel", error="invalid_token"' },
    });
    for (const authorization of [
      'Basic YWRtaW46YWRtaW4=',
      'Bearer',
      'Bearer  ',
      token('admin'),
      `Bearer ${token('admin')} x`,
    ])
      expect(
        await statusOf(app, '/see', { remoteAddress: '10.9.9.9', headers: { authorization } }),
        authorization,
      ).toBe(401);
    const authorization = `bearer ${token('admin')}`;
    expect(await statusOf(app, '/put', { headers: { authorization } }), 'the scheme in any case').toBe(200);
  });

  it('a browser of another site is refused, whatever it sends', async () => {
    const headers = { ...as('admin').headers, origin: 'https://evil.example', host: 'ouzel.example' };
    expect(await statusOf(app, '/put', { remoteAddress: OTHER, headers })).toBe(403);
    const own = { ...as('admin').headers, origin: 'https://ouzel.example', host: 'ouzel.example' };
    expect(await statusOf(app, '/put', { remoteAddress: OTHER, headers: own })).toBe(200);
  });

  it('too many headers are refused, since what is beyond a limit would be left out', async () => {
    const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x-${index}`, '1']));
    expect(await statusOf(app, '/see', { headers: many })).toBe(431);
    expect(await statusOf(app, '/metrics', { headers: many })).toBe(431);
  });
});

it('an address with too many wrong tokens has to wait, and the right one is let in all the same', async () => {
  const app = serverWith([entry('admin', { may: ['admin'] })]);
  const found: number[] = [];
  for (let index = 0; index < 12; index++)
    found.push(await statusOf(app, '/see', { ...as(`wrong-${index}`), remoteAddress: OTHER }));
  expect(found).toEqual([...Array<number>(10).fill(401), 429, 429]);
  const late = await ask(app, '/see', { ...as('wrong'), remoteAddress: OTHER });
  expect(late).toMatchObject({ status: 429, body: { code: 'TOO_MANY_ATTEMPTS' } });
  expect(Number(late.headers['retry-after'])).toBeGreaterThan(0);
  expect(await statusOf(app, '/put', { ...as('admin'), remoteAddress: OTHER })).toBe(200);
  expect(await statusOf(app, '/see', { ...as('wrong'), remoteAddress: '10.4.5.6' })).toBe(401);
});
