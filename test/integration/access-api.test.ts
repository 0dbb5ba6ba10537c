/** Every operation of the API document, asked by those who may not; and what the audit says of a change. */
import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';

const SCOPES = ['read', 'publish', 'operate', 'admin'] as const;
type Scope = (typeof SCOPES)[number];
const INCLUDES: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ['read'],
  publish: ['publish'],
  operate: ['read', 'operate'],
  admin: SCOPES,
};
const token = (scope: string): string => `${scope}-token-that-is-long-enough-to-be-one`;
const hash = (scope: string): string => createHash('sha256').update(token(scope)).digest('hex');

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory } }
consumers: { billing: { stream: EVENTS } }
access:
${SCOPES.map((scope) => `  - { name: ${scope}, who: { token: "sha256:${hash(scope)}" }, may: ${scope} }`).join('\n')}
`;

interface Operation {
  readonly method: string;
  readonly path: string;
  readonly scope: Scope;
}

async function operationsOf(daemon: Daemon): Promise<Operation[]> {
  const { paths } = (await (await fetch(`${daemon.http}/api/v1/openapi.json`)).json()) as {
    paths: Record<string, Record<string, { description?: string }>>;
  };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { description = '' }]) => {
      const scope = /Needs the scope `(\w+)`/.exec(description)?.[1] as Scope | undefined;
      // Names that are nowhere: what is let in finds nothing to do.
      const filled = path.replaceAll(/\{(\w+)\}/g, (_whole, name: string) => (name === 'sequence' ? '999' : 'absent'));
      return scope === undefined ? [] : [{ method: method.toUpperCase(), path: filled, scope }];
    }),
  );
}

const ask = async (daemon: Daemon, { method, path }: Operation, headers: Record<string, string>): Promise<number> => {
  const controller = new AbortController();
  const url = path.startsWith('/api/') ? `${daemon.http}${path}` : `${daemon.http}/api/v1${path}`;
  const response = await fetch(url, { method, headers, signal: controller.signal });
  // A tap never ends.
  controller.abort();
  return response.status;
};
const bearer = (scope: string): Record<string, string> => ({ authorization: `Bearer ${token(scope)}` });

it('lets nobody do what their scope does not hold', async () => {
  const server = await startServer();
  const daemon = await startDaemon(CONFIG, { server });
  const operations = await operationsOf(daemon);
  expect(operations.length).toBeGreaterThan(25);
  expect(new Set(operations.map(({ scope }) => scope))).toEqual(new Set(SCOPES));
  for (const operation of operations) {
    const what = `${operation.method} ${operation.path}`;
    expect(await ask(daemon, operation, { 'x-forwarded-for': '203.0.113.9' }), `${what} from elsewhere`).toBe(401);
    if (operation.scope !== 'read') expect(await ask(daemon, operation, {}), `${what} without a token`).toBe(401);
    for (const scope of SCOPES) {
      const status = await ask(daemon, operation, bearer(scope));
      if (INCLUDES[scope].includes(operation.scope)) expect([401, 403], `${what} as ${scope}`).not.toContain(status);
      else expect(status, `${what} as ${scope}`).toBe(403);
    }
  }
});

it('says in the audit who changed what, from what to what, and no secret', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server });
  const send = async (method: string, path: string, body?: unknown): Promise<number> => {
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    const headers = { ...bearer('admin'), ...(body === undefined ? {} : { 'content-type': 'application/json' }) };
    return (await fetch(`${daemon.http}/api/v1${path}`, { method, headers, ...init })).status;
  };
  const secret = 'hunter2-hunter2-hunter2';
  const target = (path: string) => ({
    webhook: { url: `https://ouzel:${secret}@partner.example/${path}`, headers: { authorization: `Bearer ${secret}` } },
  });
  expect(await send('PUT', '/targets/partner', target('one'))).toBe(201);
  expect(await send('PUT', '/targets/partner', target('two'))).toBe(200);
  expect(await send('PUT', '/targets/partner', { webhook: { url: `ftp://ouzel:${secret}@x` } })).toBe(422);
  expect(await send('PUT', '/consumers/billing', { stream: 'EVENTS' })).toBe(409);
  expect(await send('DELETE', '/targets/partner')).toBe(204);
  const records = await readStream(client, 'OUZEL_AUDIT');
  const acts = records.map(({ body }) => JSON.parse(body) as Record<string, unknown>);
  expect(acts.map(({ who, what, resource, outcome, status }) => [who, what, resource, outcome, status])).toEqual([
    ['admin', 'target.put', 'targets/partner', 'done', 201],
    ['admin', 'target.put', 'targets/partner', 'done', 200],
    ['admin', 'target.put', 'targets/partner', 'refused', 422],
    ['admin', 'consumer.put', 'consumers/billing', 'refused', 409],
    ['admin', 'target.delete', 'targets/partner', 'done', 204],
  ]);
  expect(acts[0]).not.toHaveProperty('before');
  expect(JSON.stringify(acts[1]?.['before'])).toContain('partner.example/one');
  expect(JSON.stringify(acts[1]?.['after'])).toContain('partner.example/two');
  expect(acts[4]).not.toHaveProperty('after');
  expect(records.map(({ body }) => body).join('\n')).not.toContain('hunter2');
  expect(daemon.log()).not.toContain('hunter2');
});
