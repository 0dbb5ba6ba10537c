/** Webhooks that are verified by a token of an issuer, as Google Pub/Sub sends them: an HTTP server with keys. */
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { exportJWK, SignJWT } from 'jose';
import { expect, test } from 'vitest';
import { verifierOf, webhook } from '../../src/sources/webhook.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { sendingTo } from '../helpers/ingress.ts';
import { freePort } from '../helpers/ports.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const EMAIL = 'push@project.example';

interface Made {
  readonly issuer: string;
  readonly audience?: string;
  readonly email?: string;
  readonly expires?: string;
  readonly key?: KeyObject;
}

const token = ({
  issuer,
  audience = 'orders',
  email = EMAIL,
  expires = '5m',
  key = privateKey,
}: Made): Promise<string> =>
  new SignJWT({ email })
    .setProtectedHeader({ alg: 'RS256', kid: 'k' })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('112233')
    .setIssuedAt()
    .setExpirationTime(expires)
    .sign(key);

const config = (issuer: string, port: number): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@", ingress: "127.0.0.1:${port}" }
streams: { EVENTS: { subjects: ["events.>"], storage: memory } }
sources:
  push:
    webhook:
      path: /hooks/push
      verify: { jwt: { issuer: "${issuer}", audience: orders, claims: { email: ${EMAIL} }, allow_private: true, cooldown: 1ms } }
    publish: { subject: events.push, id: "{{ request.body.message.messageId }}" }
`;

const post = async (daemon: { send: ReturnType<typeof sendingTo> }, jwt: string, id: string) =>
  daemon.send('/hooks/push', {
    body: JSON.stringify({ message: { messageId: id } }),
    headers: { authorization: `Bearer ${jwt}` },
  });

test('a token of the issuer, for this audience and of this account, and no other', async () => {
  const target = await startHttpTarget();
  const issuer = target.url;
  target.answer = async ({ path }) =>
    path === '/.well-known/openid-configuration'
      ? { body: JSON.stringify({ issuer, jwks_uri: `${issuer}/keys` }) }
      : { body: JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'k', alg: 'RS256', use: 'sig' }] }) };
  const server = await startServer();
  const port = await freePort();
  const daemon: Daemon = await startDaemon(config(issuer, port), { server, timeout: 60_000 });
  const asked = { send: sendingTo(`http://127.0.0.1:${port}`) };
  expect(await post(asked, await token({ issuer }), '1')).toMatchObject({ status: 200, body: { duplicate: false } });
  expect(await post(asked, await token({ issuer }), '1')).toMatchObject({ status: 200, body: { duplicate: true } });
  const other = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
  const wrong: Readonly<Record<string, string>> = {
    'another account': await token({ issuer, email: 'somebody@project.example' }),
    'another audience': await token({ issuer, audience: 'other' }),
    'another issuer': await token({ issuer: 'https://other.example' }),
    'another key': await token({ issuer, key: other }),
    'out of date': await token({ issuer, expires: '-1m' }),
    'no token': 'abc',
  };
  for (const [what, jwt] of Object.entries(wrong)) {
    const { status, body } = await post(asked, jwt, '2');
    expect({ status, detail: body['detail'] }, what).toEqual({
      status: 401,
      detail: 'the request could not be verified',
    });
  }
  target.answer = () => ({ status: 500 });
  await daemon.terminate();
  const again = await startDaemon(config(issuer, port), { server, timeout: 60_000 });
  const away = await post(asked, await token({ issuer }), '3');
  expect(away).toMatchObject({
    status: 503,
    body: { code: 'OIDC_UNAVAILABLE', detail: 'tokens cannot be checked now' },
  });
  expect(JSON.stringify(away.body)).not.toContain(issuer);
  await waitFor(() => again.log().includes('cannot be fetched'), { what: 'the log to say why' });
});

test('a verifier that was never asked closes all the same', () => {
  const { verify } = webhook.options.parse({
    path: '/a',
    verify: { jwt: { issuer: 'https://a.example', audience: 'b' } },
  });
  const verifier = verifierOf(verify);
  expect(verifier.needsBody).toBe(false);
  expect(() => verifier.close?.()).not.toThrow();
});
