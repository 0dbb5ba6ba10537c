/** Credentials that are replaced while the daemon runs, and the old ones revoked. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nkeys } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { linesWith, startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { connectTo } from '../helpers/publish.ts';
import { untilReady } from '../helpers/readiness.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer, type TestServer } from '../helpers/server.ts';

const config = (who: string): string => `
version: 1
nats: { servers: "@NATS@", ${who} }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
streams:
  EV: { subjects: ["ev.>"] }
  OUT: { subjects: ["out.>"] }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, deliver: [{ to: { publish: { subject: out.relay } } }] }
`;

const ADMIN = { user: 'admin', pass: 'admin' };
const users = (one: string): string => `authorization { users: [{ user: admin, password: admin }, { ${one} }] }\n`;

/** Revokes what the daemon has under load, gives it what is valid now, and sees that nothing is lost. */
async function rotated(server: TestServer, daemon: Daemon, valid: string, give: () => Promise<void>): Promise<void> {
  await using client = await connectTo(server, ADMIN);
  const load = startLoad(client, 'ev');
  await load.more(500);
  await server.reload(users(valid));
  expect(await untilReady(daemon, 503)).toContain('NATS: disconnected');
  expect(await daemon.total('ouzel_nats_connected')).toBe(0);
  await load.more(500);
  await give();
  await untilReady(daemon, 200);
  expect(await daemon.total('ouzel_nats_connected')).toBe(1);
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  await untilAtRest(client, 'EV', daemon, 'relay');
  // It was refused twice a second.
  expect(linesWith(daemon, 'Authorization Violation')).toBeLessThan(3);
}

test('an nkey that is revoked under load, and replaced in its file', async () => {
  const [first, second] = [nkeys.createUser(), nkeys.createUser()];
  const file = join(await temporaryDirectory(), 'user.nk');
  const write = async (user: typeof first): Promise<void> =>
    writeFile(file, `${Buffer.from(user.getSeed()).toString()}\n`);
  await write(first);
  await using server = await startServer({ config: users(`nkey: ${first.getPublicKey()}`) });
  await using daemon = await startDaemon(config(`nkey: "${file}"`), { server });
  await rotated(server, daemon, `nkey: ${second.getPublicKey()}`, () => write(second));
  for (const user of [first, second]) expect(daemon.log()).not.toContain(Buffer.from(user.getSeed()).toString());
}, 120_000);

test('a password that is revoked under load, and replaced in the file that the configuration names', async () => {
  const file = join(await temporaryDirectory(), 'password');
  await writeFile(file, 'first-password\n');
  await using server = await startServer({ config: users('user: ouzel, password: first-password') });
  await using daemon = await startDaemon(config(`user: ouzel, password: "\${file:${file}}"`), { server });
  await rotated(server, daemon, 'user: ouzel, password: second-password', () => writeFile(file, 'second-password\n'));
  expect(daemon.log()).not.toMatch(/(?:first|second)-password/);
}, 120_000);
