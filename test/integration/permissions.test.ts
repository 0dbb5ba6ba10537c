/** Permissions that are taken away while the daemon runs, and given back: nothing is lost, and it is said once. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { linesWith, startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { connectTo } from '../helpers/publish.ts';
import { readyz } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@", user: ouzel, password: secret-o }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
streams:
  EV: { subjects: ["ev.>"] }
  OUT: { subjects: ["out.>"] }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, deliver: [{ to: { publish: { subject: out.relay } } }] }
`;

/** Two users; what is given is denied to the daemon's. */
const users = (denied = ''): string => `authorization { users: [
  { user: admin, password: admin }
  { user: ouzel, password: secret-o${denied === '' ? '' : `, permissions: { ${denied} }`} }
] }
`;
const ADMIN = { user: 'admin', pass: 'admin' };

test('the subject of a target: nothing is lost, used up or logged a thousand times', async () => {
  await using server = await startServer({ config: users() });
  await using daemon = await startDaemon(CONFIG, { server });
  await using client = await connectTo(server, ADMIN);
  const load = startLoad(client, 'ev');
  await load.more(500);
  await server.reload(users('publish: { deny: ["out.>"] }'));
  await waitFor(() => linesWith(daemon, 'NATS_PERMISSION') > 0, { what: 'a publish to be refused' });
  await load.more(500);
  const refusal = 'the NATS user may not publish to out.relay';
  expect(linesWith(daemon, refusal)).toBe(1);
  expect(daemon.logLines().find(({ code }) => code === 'NATS_PERMISSION')).toMatchObject({
    consumer: 'relay',
    error: 'publish to out.relay: the NATS user may not publish to this subject',
  });
  expect(linesWith(daemon, 'event failed and will be tried again')).toBeLessThan(20);
  // One target that refuses is not the end of the daemon.
  expect((await readyz(daemon)).code).toBe(200);

  await server.reload(users());
  await waitFor(() => linesWith(daemon, `${refusal}: no longer`) === 1, { what: 'the end of it to be said' });
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  expect(linesWith(daemon, refusal)).toBe(2);
}, 120_000);
