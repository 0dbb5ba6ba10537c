/** TLS of the admin listener, client certificates, and their renewal. */
import { readFile, writeFile } from 'node:fs/promises';
import { request as httpsRequest } from 'node:https';
import { join } from 'node:path';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import { expect, it } from 'vitest';
import { pino } from 'pino';
import { createServer } from 'node:tls';
import { followRenewals, tlsOptions } from '../../src/http/tls.ts';
import { authority } from '../helpers/authority.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = (folder: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@", tls: { cert: ${folder}/own-localhost.pem, key: ${folder}/own-localhost.key, client_ca: ${folder}/own.pem } }
access:
  - { who: { cert: { san: "DNS:ops.example" } }, may: operate }
  - { name: viewer, who: { cert: { san: "URI:spiffe://example/viewer" } }, may: read }
`;

type Pair = { readonly cert: string; readonly key: string } | undefined;

const POST = { method: 'POST', headers: { 'content-type': 'application/json' } } as const;

const asking =
  (daemon: Daemon, ca: string) =>
  async (path: string, pair: Pair, init: { method?: string; headers?: Record<string, string>; body?: string } = {}) => {
    const { port } = new URL(daemon.http);
    const files = pair === undefined ? {} : { cert: await readFile(pair.cert), key: await readFile(pair.key) };
    const { promise, resolve, reject } = Promise.withResolvers<{ status: number; body: string }>();
    const asked = httpsRequest(
      {
        host: '127.0.0.1',
        port,
        path,
        servername: 'localhost',
        agent: false,
        ca: await readFile(ca),
        ...files,
        ...init,
      },
      (answer) => {
        let body = '';
        answer.setEncoding('utf8').on('data', (chunk: string) => (body += chunk));
        answer.on('end', () => resolve({ status: answer.statusCode ?? 0, body }));
      },
    );
    asked.on('error', reject).end(init.body);
    return promise;
  };

it('lets in by the names in a client certificate of its authority, and by no other', async () => {
  const folder = await temporaryDirectory('tls');
  const own = await authority(folder, 'own');
  const other = await authority(folder, 'other');
  await own.issue('localhost', 'DNS:localhost,IP:127.0.0.1');
  const ops = await own.issue('ops', 'DNS:ops.example');
  const viewer = await own.issue('viewer', 'URI:spiffe://example/viewer');
  const unnamed = await own.issue('unnamed', 'DNS:unnamed.example');
  const forged = await other.issue('forged', 'DNS:ops.example');
  const server = await startServer();
  const daemon = await startDaemon(CONFIG(folder), { server, until: 'spawned' });
  const ask = asking(daemon, own.ca);
  await waitFor(async () => (await ask('/readyz', undefined)).status === 200, {
    what: () => `the daemon to be ready: ${daemon.log()}`,
    timeout: 25_000,
  });

  const write = { ...POST, body: JSON.stringify({ all: true, dry_run: true }) };
  const remote = { headers: { 'x-forwarded-for': '203.0.113.9' } };
  const status = async (pair: Pair, path: string, init = {}): Promise<number> => (await ask(path, pair, init)).status;
  expect(await status(undefined, '/metrics', remote)).toBe(200);
  expect(await status(undefined, '/api/v1/dead-letters', remote)).toBe(401);
  expect(await status(undefined, '/api/v1/dead-letters/redrive', write)).toBe(401);
  expect(await status(ops, '/api/v1/dead-letters', remote)).toBe(200);
  expect(await status(ops, '/api/v1/dead-letters/redrive', write)).toBe(200);
  expect(await status(viewer, '/api/v1/dead-letters', remote)).toBe(200);
  expect(await status(viewer, '/api/v1/dead-letters/redrive', write)).toBe(403);
  // Known to the authority, and named by nobody.
  expect(await status(unnamed, '/api/v1/dead-letters', remote)).toBe(401);
  // Of another authority, with the right name.
  expect(await status(forged, '/api/v1/dead-letters', remote)).toBe(401);
  expect(await status(forged, '/api/v1/dead-letters/redrive', write)).toBe(401);
  // A page of somewhere else, in a browser that has the certificate.
  const foreign = { ...write, headers: { ...POST.headers, origin: 'https://evil.example' } };
  expect(await status(ops, '/api/v1/dead-letters/redrive', foreign)).toBe(403);
  expect(await daemon.terminate()).toBe(0);
});

it('does not start with a certificate that is not there or is none, and says which', async () => {
  const folder = await temporaryDirectory('tls');
  const server = await startServer();
  const absent = await startDaemon(CONFIG(folder), { server, until: 'spawned' });
  expect(await absent.exited()).toBe(78);
  expect(absent.log()).toMatch(/http\.tls\.cert: the file .*own-localhost\.pem cannot be read: there is no such file/);
  const own = await authority(folder, 'own');
  await own.issue('localhost', 'DNS:localhost');
  await writeFile(join(folder, 'own-localhost.key'), 'no key');
  const broken = await startDaemon(CONFIG(folder), { server, until: 'spawned' });
  expect(await broken.exited()).toBe(78);
  expect(broken.log()).toMatch(/http\.tls: the certificate, its key or the authorities are not valid/);
});

it('takes over a renewed certificate, and keeps the one in use where the new one is not valid', async () => {
  const folder = await temporaryDirectory('tls');
  const own = await authority(folder, 'own');
  const { cert, key } = await own.issue('localhost', 'DNS:localhost');
  const server = createServer(await tlsOptions({ cert, key }), (socket) => socket.on('error', () => undefined).end());
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
  const end = followRenewals(server, { cert, key }, pino({ level: 'silent' }), 20);
  const { port } = server.address() as { port: number };
  const serial = async (): Promise<string> => {
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false });
    await new Promise((resolve, reject) => void socket.once('secureConnect', resolve).once('error', reject));
    const { serialNumber }: PeerCertificate = socket.getPeerCertificate();
    socket.destroy();
    return serialNumber;
  };
  try {
    const first = await serial();
    expect(await serial()).toBe(first);
    await own.issue('localhost', 'DNS:localhost');
    await waitFor(async () => (await serial()) !== first, { what: 'the new certificate' });
    const second = await serial();
    await writeFile(cert, 'no certificate');
    // Whatever a look at the broken file does, it is done before what is written after it is seen.
    for (let look = 0; look < 5; look++) expect(await serial()).toBe(second);
    await own.issue('localhost', 'DNS:localhost');
    await waitFor(async () => (await serial()) !== second, { what: 'the third certificate' });
  } finally {
    end();
    server.close();
  }
});
