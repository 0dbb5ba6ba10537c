/** The API with credentials: what each scope and limit allows of every route, and what the audit keeps of it. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { type ApiOptions, callApi } from '../helpers/api.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';

const token = (name: string): string => `${name}-token-that-is-long-enough-to-be-one`;
const who = (name: string): string =>
  `who: { token: "sha256:${createHash('sha256').update(token(name)).digest('hex')}" }`;

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
targets: { out: { publish: { subject: events.out } } }
consumers:
  billing: { stream: EVENTS }
  shipping: { stream: EVENTS }
access:
  - { name: reader, ${who('reader')}, may: read }
  - { name: publisher, ${who('publisher')}, may: publish }
  - { name: operator, ${who('operator')}, may: operate }
  - { name: admin, ${who('admin')}, may: admin }
  - { name: bills, ${who('bills')}, may: admin, consumers: ["bill*"] }
  - { name: orders, ${who('orders')}, may: publish, types: ["orders.*"] }
`;

const SECRET = 'a-secret-in-a-target';
const hook = { webhook: { url: 'https://partner.example/in', headers: { authorization: SECRET } } };
const event = (type: string) => ({ body: { subject: `events.${type}`, data: 1 } });

interface Row {
  readonly at: readonly [method: string, path: string, options?: ApiOptions];
  /** Statuses by credentials; those that are not named are refused with 403. */
  readonly allowed: Readonly<Record<string, number>>;
}

/** Each is asked by all, in this order; the first that may makes or removes, and the next finds it so. */
const ROWS: readonly Row[] = [
  { at: ['GET', '/consumers'], allowed: { reader: 200, operator: 200, admin: 200, bills: 200 } },
  { at: ['GET', '/consumers/billing'], allowed: { reader: 200, operator: 200, admin: 200, bills: 200 } },
  { at: ['GET', '/consumers/shipping'], allowed: { reader: 200, operator: 200, admin: 200 } },
  { at: ['GET', '/targets'], allowed: { reader: 200, operator: 200, admin: 200 } },
  { at: ['GET', '/config'], allowed: { reader: 200, operator: 200, admin: 200 } },
  { at: ['GET', '/status'], allowed: { reader: 200, operator: 200, admin: 200, bills: 200 } },
  { at: ['PUT', '/targets/hook', { body: hook }], allowed: { admin: 201 } },
  { at: ['POST', '/targets/out/test'], allowed: { operator: 200, admin: 200 } },
  { at: ['PUT', '/consumers/bill-made', { body: { stream: 'EVENTS' } }], allowed: { admin: 201, bills: 200 } },
  { at: ['PUT', '/consumers/other', { body: { stream: 'EVENTS' } }], allowed: { admin: 201 } },
  { at: ['POST', '/consumers/billing/pause'], allowed: { operator: 200, admin: 200, bills: 200 } },
  { at: ['POST', '/consumers/billing/resume'], allowed: { operator: 200, admin: 200, bills: 200 } },
  { at: ['POST', '/config/apply', { body: { resources: [], dry_run: true } }], allowed: { admin: 200 } },
  { at: ['DELETE', '/consumers/other'], allowed: { admin: 204 } },
  { at: ['POST', '/events', event('orders.made')], allowed: { publisher: 201, admin: 201, orders: 201 } },
  { at: ['POST', '/events', event('users.made')], allowed: { publisher: 201, admin: 201 } },
];

test('every route asks for its scope, within the limits of whoever asks', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server, timeout: 90_000 });
  const ask = (name: string | undefined, [method, path, { headers, ...options } = {}]: Row['at']) =>
    callApi(daemon, method, path, {
      ...options,
      headers: { ...headers, ...(name === undefined ? {} : { authorization: `Bearer ${token(name)}` }) },
    });
  const names = ['reader', 'publisher', 'operator', 'admin', 'bills', 'orders'];
  for (const { at, allowed } of ROWS) {
    const [method, path] = at;
    // Without credentials who sits at this machine may look, and no more.
    const without = await ask(undefined, at);
    expect({ path, status: without.status }).toEqual({ path, status: method === 'GET' ? 200 : 401 });
    for (const name of names) {
      const { status, type } = await ask(name, at);
      expect({ method, path, name, status }).toEqual({ method, path, name, status: allowed[name] ?? 403 });
      if (status >= 400) expect(type).toBe('application/problem+json');
    }
  }
  // Wrong ones are worse than none.
  expect((await ask('nobody', ['GET', '/consumers'])).status).toBe(401);
  const list = await ask('bills', ['GET', '/consumers']);
  expect((list.body['consumers'] as { name: string }[]).map(({ name }) => name)).toEqual(['bill-made', 'billing']);
  expect((await ask('bills', ['GET', '/status'])).body['consumers']).toHaveLength(2);

  const acts = (await readStream(client, 'OUZEL_AUDIT')).map(
    ({ body }) => JSON.parse(body) as { who: string; what: string; resource: string; outcome: string; after?: unknown },
  );
  const of = (what: string, outcome: string) =>
    acts.filter((each) => each.what === what && each.outcome === outcome).map((each) => `${each.who} ${each.resource}`);
  expect(of('target.put', 'done')).toEqual(['admin targets/hook']);
  expect(of('consumer.put', 'done')).toEqual([
    'admin consumers/bill-made',
    'bills consumers/bill-made',
    'admin consumers/other',
  ]);
  expect(of('consumer.delete', 'done')).toEqual(['admin consumers/other']);
  expect(of('target.put', 'refused')).toContain('reader /api/v1/targets/hook');
  expect(acts.find(({ what, outcome }) => what === 'target.put' && outcome === 'done')?.after).toContain('"***"');
  expect(JSON.stringify(acts) + daemon.log()).not.toContain(SECRET);
}, 120_000);
