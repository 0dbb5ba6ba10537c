/** How a webhook is signed and shows who it is: verified by what its receivers would verify it with. */
import type { webcrypto } from 'node:crypto';
import { copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { authority } from '../helpers/authority.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type HttpRequest, startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json, level: debug } }
defaults: { retry: { attempts: 3, backoff: { first: 50ms, max: 1s, jitter: 0 } } }
`;

/** A daemon whose consumer `a` takes everything of the stream IN to one webhook. */
async function deliveringTo(webhook: string, env: Record<string, string> = {}) {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const config = (options: string): string =>
    `${HEAD}targets: { partner: { webhook: ${options} } }
consumers: { a: { stream: IN, start: all, deliver: [{ to: partner }] } }
`;
  const daemon = await startDaemon(config(webhook), { server, env });
  let sequence = 0;
  const send = (subject = 'in.a'): Promise<unknown> =>
    publish(client, { subject, body: { n: sequence++, text: 'grün "x"' } });
  return { daemon, send, config };
}

const untilRetried = (daemon: Daemon, count = 1) =>
  waitFor(async () => (await daemon.total('ouzel_event_retries_total', { consumer: 'a' })) >= count, {
    what: `${count} retries`,
  });

/** By WebCrypto: other code than what signs. */
async function verifies(algorithm: 'SHA-256' | 'SHA-512', secret: Uint8Array, signature: Buffer, text: string) {
  const key = await crypto.subtle.importKey('raw', new Uint8Array(secret), { name: 'HMAC', hash: algorithm }, false, [
    'verify',
  ]);
  return crypto.subtle.verify('HMAC', key, new Uint8Array(signature), new TextEncoder().encode(text));
}

const header = ({ headers }: HttpRequest, name: string): string => String(headers[name]);

test('a delivery bears a signature for each secret, of this attempt, and one id over its attempts', async () => {
  const target = await startHttpTarget(({ index }) =>
    index === 0 ? { status: 503, headers: { 'retry-after': '2' } } : {},
  );
  const [first, second] = [Buffer.alloc(32, 'first secret'), Buffer.alloc(32, 'second secret')];
  const pair = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const seed = Buffer.from(await crypto.subtle.exportKey('pkcs8', pair.privateKey)).subarray(-32);
  const secrets = {
    FIRST_SECRET: `whsec_${first.toString('base64')}`,
    SECOND_SECRET: `whsec_${second.toString('base64')}`,
    PRIVATE_KEY: `whsk_${seed.toString('base64')}`,
    PLAIN_SECRET: 'hush-hush-hush',
  };
  const { daemon, send } = await deliveringTo(
    `{ url: '${target.url}/in', allow_private: true, sign: { standard: { secrets: ['\${FIRST_SECRET}', '\${SECOND_SECRET}', '\${PRIVATE_KEY}'] },
       github: { secret: '\${PLAIN_SECRET}' }, hmac: { secret: '\${PLAIN_SECRET}', header: X-Sig, algorithm: sha512, encoding: base64, prefix: 'v0=' } } }`,
    secrets,
  );
  await send();
  await untilEnded(daemon, 'a', 1);
  const [failed, delivered] = target.requests;
  if (failed === undefined || delivered === undefined) throw new Error('two requests were to come');
  expect(header(delivered, 'webhook-id')).toBe(header(failed, 'webhook-id'));
  expect(header(delivered, 'webhook-id')).not.toContain('.');
  expect(Number(header(delivered, 'webhook-timestamp'))).toBeGreaterThan(Number(header(failed, 'webhook-timestamp')));
  for (const request of [failed, delivered]) {
    const signed = `${header(request, 'webhook-id')}.${header(request, 'webhook-timestamp')}.${request.body}`;
    const signatures = header(request, 'webhook-signature').split(' ');
    expect(signatures.map((each) => each.split(',')[0])).toEqual(['v1', 'v1', 'v1a']);
    const [one, two, three] = signatures.map((each) => Buffer.from(each.replace(/^.*,/, ''), 'base64'));
    expect(await verifies('SHA-256', first, one ?? Buffer.of(), signed)).toBe(true);
    expect(await verifies('SHA-256', second, two ?? Buffer.of(), signed)).toBe(true);
    expect(
      await crypto.subtle.verify(
        'Ed25519',
        pair.publicKey,
        new Uint8Array(three ?? []),
        new TextEncoder().encode(signed),
      ),
    ).toBe(true);
    const plain = Buffer.from(secrets.PLAIN_SECRET);
    const hub = Buffer.from(header(request, 'x-hub-signature-256').replace(/^sha256=/, ''), 'hex');
    expect(await verifies('SHA-256', plain, hub, request.body)).toBe(true);
    const own = Buffer.from(header(request, 'x-sig').replace(/^v0=/, ''), 'base64');
    expect(await verifies('SHA-512', plain, own, request.body)).toBe(true);
  }
  const shown = await fetch(`${daemon.http}/api/v1/config`);
  expect(shown.status).toBe(200);
  const text = (await shown.text()) + daemon.log();
  for (const secret of Object.values(secrets)) expect(text).not.toContain(secret.slice(8));
});

test('a secret that stands in the configuration itself is shown nowhere', async () => {
  const target = await startHttpTarget((request) => ({ status: 403, body: JSON.stringify(request.headers) }));
  const { daemon, send, config } = await deliveringTo(
    `{ url: '${target.url}', allow_private: true, auth: { header: { name: X-Api-Key, value: written-here } }, sign: { github: { secret: written-there } } }`,
  );
  await send();
  await untilEnded(daemon, 'a', 1);
  expect(target.requests[0]?.headers['x-api-key']).toBe('written-here');
  const outputs = await Promise.all(
    ['/api/v1/config', '/api/v1/targets/partner', '/api/v1/dead-letters'].map(async (path) =>
      (await fetch(daemon.http + path)).text(),
    ),
  );
  // What is wrong with a secret is said without it.
  await daemon.write(
    config(`{ url: '${target.url}', allow_private: true, sign: { standard: { secrets: [written-wrongly] } } }`),
  );
  await waitFor(() => daemon.log().includes('begins neither with whsec_'), { what: 'the configuration to be refused' });
  for (const text of [...outputs, daemon.log()]) expect(text).not.toMatch(/written-(?:here|there|wrongly)/);
});

test.each([
  ['{ bearer: t0ken }', 'authorization', 'Bearer t0ken'],
  [`{ basic: { user: ada, password: 'p:ss' } }`, 'authorization', `Basic ${btoa('ada:p:ss')}`],
  ['{ header: { name: X-Key, value: k3y } }', 'x-key', 'k3y'],
])('auth: %s', async (auth, name, value) => {
  const target = await startHttpTarget();
  const { daemon, send } = await deliveringTo(`{ url: '${target.url}', allow_private: true, auth: ${auth} }`);
  await send();
  await untilEnded(daemon, 'a', 1);
  expect(target.requests.map(({ headers }) => headers[name])).toEqual([value]);
});

const OAUTH = (target: string, issuer: string, more = ''): string =>
  `{ url: '${target}', allow_private: true, timeout: 3s, auth: { oauth2: { token_url: '${issuer}/token', client_id: 'me&you', client_secret: 's3cret/+', scope: 'a b', audience: partner${more} } } }`;

test('an OAuth token is fetched once for many, and anew when the target takes no notice of it any more', async () => {
  let gate = Promise.withResolvers<void>();
  const issuer = await startHttpTarget(async ({ index }) => {
    await gate.promise;
    return { body: JSON.stringify({ access_token: `t-${index}`, token_type: 'bearer', expires_in: 3600 }) };
  });
  let valid = 'Bearer t-0';
  const target = await startHttpTarget(({ headers }) => ({ status: headers.authorization === valid ? 204 : 401 }));
  const { daemon, send } = await deliveringTo(OAUTH(target.url, issuer.url));
  for (let index = 0; index < 20; index++) await send();
  await waitFor(async () => (await daemon.total('ouzel_events_in_flight', { consumer: 'a' })) === 20, {
    what: 'all to wait for the token',
  });
  gate.resolve();
  await untilEnded(daemon, 'a', 20);
  expect(issuer.requests).toHaveLength(1);
  expect(target.requests).toHaveLength(20);
  const [asked] = issuer.requests;
  expect(asked?.headers.authorization).toBe(`Basic ${btoa('me%26you:s3cret%2F%2B')}`);
  expect(Object.fromEntries(new URLSearchParams(asked?.body))).toEqual({
    grant_type: 'client_credentials',
    scope: 'a b',
    audience: 'partner',
  });

  // The target takes the token back: each delivery tries once more with a new one, and no attempt is used up.
  gate = Promise.withResolvers();
  gate.resolve();
  valid = 'Bearer t-1';
  await send();
  expect(await untilEnded(daemon, 'a', 21)).toMatchObject({ delivered: 21, retries: 0 });
  expect(issuer.requests).toHaveLength(2);
  // It takes none: then that is its answer.
  valid = 'none';
  await send();
  expect(await untilEnded(daemon, 'a', 22)).toMatchObject({ delivered: 21, deadLettered: 1 });
  expect(target.requests).toHaveLength(20 + 2 + 3 * 2);
  expect(daemon.log()).not.toMatch(/t-[0-9]\b|s3cret/);
});

test('an issuer that is away or refuses makes the target unavailable; an expired token is fetched anew', async () => {
  let answer: () => { status?: number; body: string } = () => ({
    status: 401,
    body: '{"error":"invalid_client","you_sent":"s3cret/+"}',
  });
  const issuer = await startHttpTarget(() => answer());
  const target = await startHttpTarget();
  const { daemon, send } = await deliveringTo(OAUTH(target.url, issuer.url, ', client_auth: body'));
  await send();
  await untilRetried(daemon);
  expect(daemon.log()).toContain(`no token: POST ${issuer.url}: answered 401`);
  expect(Object.fromEntries(new URLSearchParams(issuer.requests[0]?.body))).toMatchObject({
    client_id: 'me&you',
    client_secret: 's3cret/+',
  });
  expect(issuer.requests[0]?.headers.authorization).toBeUndefined();
  for (const body of ['no JSON: t0p', '{}', '{"access_token":"t0p","token_type":"mac"}']) {
    answer = () => ({ body });
    const { length } = issuer.requests;
    await issuer.untilRequests(length + 1);
  }
  expect(target.requests).toHaveLength(0);
  // Valid for the shortest time that there is: none is used twice.
  answer = () => ({ body: '{"access_token":"t0p","expires_in":0.001}' });
  expect(await untilEnded(daemon, 'a', 1)).toMatchObject({ delivered: 1, deadLettered: 0 });
  const { length } = issuer.requests;
  await send();
  expect(await untilEnded(daemon, 'a', 2)).toMatchObject({ delivered: 2 });
  expect(issuer.requests.length).toBe(length + 1);
  await issuer.stop();
  await send();
  await waitFor(() => daemon.log().includes('ECONNREFUSED'), { what: 'the issuer to be away' });
  await issuer.start();
  expect(await untilEnded(daemon, 'a', 3)).toMatchObject({ delivered: 3, deadLettered: 0 });
  expect(daemon.log()).not.toMatch(/s3cret|t0p/);
});

test('an address of the issuer is checked as that of the target is', async () => {
  const target = await startHttpTarget();
  const issuer = await startHttpTarget();
  const { daemon, send } = await deliveringTo(
    OAUTH('http://partner.invalid', `http://localhost:${issuer.port}`).replace(
      'allow_private: true',
      'allow_private: false',
    ),
  );
  await send();
  await untilRetried(daemon);
  expect(daemon.log()).toMatch(/no token: localhost resolves to \S+, a loopback address/);
  expect(issuer.connections + target.connections).toBe(0);
});

test('TLS with a client certificate and an authority of its own; a renewed certificate needs no reload', async () => {
  const folder = await temporaryDirectory('tls');
  const own = await authority(folder, 'own');
  const other = await authority(folder, 'other');
  const served = await own.issue('served', 'IP:127.0.0.1');
  const ours = await own.issue('ouzel', 'DNS:ouzel.example');
  const strangers = await other.issue('stranger', 'DNS:stranger.example');
  const server = { cert: await readFile(served.cert), key: await readFile(served.key), ca: await readFile(own.ca) };
  const target = await startHttpTarget(undefined, { ...server, requestCert: true, rejectUnauthorized: true });
  const tls = (cert: string, key: string, ca: string): string =>
    `{ url: '${target.url}', allow_private: true, tls: { cert: '${cert}', key: '${key}', ca: '${ca}' } }`;
  const { daemon, send, config } = await deliveringTo(tls(strangers.cert, strangers.key, own.ca));
  await send();
  await untilRetried(daemon);
  expect(daemon.log()).toMatch(/POST https:\S+: .*(?:TLS|ECONNRESET|closed|alert)/i);
  await daemon.write(config(tls(ours.cert, ours.key, other.ca)));
  await waitFor(() => /self.signed certificate|unable to (?:verify|get)/.test(daemon.log()), {
    what: 'the server not to be trusted',
  });
  await daemon.write(config(tls(join(folder, 'none.pem'), ours.key, own.ca)));
  await waitFor(() => daemon.log().includes('none.pem (tls.cert) cannot be read: there is no such file'), {
    what: 'the file to be missed',
  });
  expect(target.requests).toHaveLength(0);
  await copyFile(ours.cert, join(folder, 'none.pem'));
  expect(await untilEnded(daemon, 'a', 1)).toMatchObject({ delivered: 1, deadLettered: 0 });
});
