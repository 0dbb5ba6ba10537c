/** What Ouzel itself cannot do without is taken away while it runs, and given back: it says so and goes on. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { linesWith, startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';

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

test.each([
  ['the acks', 'publish: { deny: ["$JS.ACK.>"] }', 'publish to $JS.ACK.EV.relay.>'],
  ['the pull', 'publish: { deny: ["$JS.API.CONSUMER.MSG.NEXT.>"] }', 'publish to $JS.API.CONSUMER.MSG.NEXT.EV.relay'],
  ['the whole API', 'publish: { deny: ["$JS.API.>"] }', 'publish to $JS.API.CONSUMER.MSG.NEXT.EV.relay'],
  ['the inboxes', 'subscribe: { deny: ["_INBOX.>"] }', 'subscribe to _INBOX.>'],
])(
  '%s: not ready, with the reason, until they are given back',
  async (_what, denied, refused) => {
    await using server = await startServer({ config: users() });
    await using daemon = await startDaemon(CONFIG, { server });
    await using client = await connectTo(server, ADMIN);
    const load = startLoad(client, 'ev');
    await load.more(500);
    await server.reload(users(denied));
    const refusal = `the NATS user may not ${refused}`;
    // Where much is denied, something else may be refused first.
    await untilReady(daemon, 503, new RegExp(`NATS: ${refusal}`.replaceAll(/[$.>]/g, String.raw`\$&`)));
    await load.more(500);
    expect((await fetch(`${daemon.http}/healthz`)).status).toBe(200);
    expect(await daemon.total('ouzel_nats_connected')).toBe(1);

    await server.reload(users());
    await untilReady(daemon, 200);
    const count = await load.stop();
    expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
    await untilAtRest(client, 'EV', daemon, 'relay');
    expect(linesWith(daemon, refusal)).toBe(2);
    expect(linesWith(daemon, 'the pull ended')).toBeLessThan(2);
    await publish(client, { subject: 'ev.x', body: { n: count } });
    await untilThrough(client, 'OUT', count + 1);
  },
  120_000,
);
