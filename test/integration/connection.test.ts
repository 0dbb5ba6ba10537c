/** Servers that go away, come back, forget, or say goodbye: nothing is lost, and it can be seen meanwhile. */
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { nkeys } from '@nats-io/transport-node';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { startLoad, untilAtRest, untilThrough } from '../helpers/load.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, publishMany } from '../helpers/publish.ts';
import { readyz, untilReady } from '../helpers/readiness.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { respondOn } from '../helpers/responder.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { backoff: { first: 200ms, max: 1s } } }
streams:
  EV: { subjects: ["ev.>"] }
  OUT: { subjects: ["out.>"] }
consumers:
  relay: { stream: EV, start: all, ack_wait: 3s, deliver: [{ to: { publish: { subject: out.relay } } }] }
`;

// redpanda-data/connect#3312, connect#3311, connect#3257, dapr/components-contrib#4563.
test('a server that is away at the start is waited for, and can be told from one that is there', async () => {
  await using server = await startServer();
  await server.stop();
  await using daemon = await startDaemon(CONFIG, { server, until: 'live' });
  expect((await fetch(`${daemon.http}/healthz`)).status).toBe(200);
  expect(await readyz(daemon)).toMatchObject({
    code: 503,
    body: expect.stringContaining('NATS: connecting') as string,
  });
  expect(await daemon.total('ouzel_nats_connected')).toBe(0);

  // One that is told to stop before it was ever connected does so.
  await using other = await startDaemon(CONFIG, { server, until: 'live' });
  expect(await other.terminate()).toBe(0);

  await server.restart();
  await untilReady(daemon, 200);
  expect(await daemon.total('ouzel_nats_connected')).toBe(1);
  await using client = await connectTo(server);
  await publish(client, { subject: 'ev.x', body: { n: 0 } });
  await untilEnded(daemon, 'relay', 1);
});

test('a server without JetStream, or one that refuses the user, is a reason and not an end', async () => {
  await using server = await startServer({ jetstream: false });
  await using daemon = await startDaemon(CONFIG, { server, until: 'live' });
  await waitFor(async () => (await readyz(daemon)).body.includes('JetStream'), {
    what: '/readyz to speak of JetStream',
  });
  await server.restart({ config: 'authorization { token: "other-token" }' });
  await waitFor(async () => (await readyz(daemon)).code === 503 && /authorization/i.test(daemon.log()), {
    what: 'the refusal to be logged',
  });
  await server.restart({});
  await untilReady(daemon, 200);
});

// nats-io/nats.js#213, wombatwisdom/wombat#132: what is published while disconnected is not lost nor falsely acked.
test('a server that is killed under load loses nothing that it had acknowledged', async () => {
  await using server = await startServer();
  await using daemon = await startDaemon(CONFIG, { server });
  await using client = await connectTo(server);
  const load = startLoad(client, 'ev', 20);
  for (const round of [1, 2]) {
    await load.more(2000);
    await server.kill();
    expect(await untilReady(daemon, 503)).toContain('NATS: disconnected');
    expect(await daemon.total('ouzel_nats_connected')).toBe(0);
    expect((await fetch(`${daemon.http}/healthz`)).status).toBe(200);
    await server.restart();
    await untilReady(daemon, 200);
    expect(await daemon.total('ouzel_nats_connected')).toBe(1);
    expect(await daemon.total('ouzel_nats_reconnects_total')).toBe(round);
  }
  const count = await load.stop();
  expect((await untilThrough(client, 'OUT', count)).length).toBe(count);
  expect((await untilAtRest(client, 'EV', daemon, 'relay')).delivered).toBeGreaterThanOrEqual(count);
}, 120_000);

test('a delivery that the loss of the connection cut off is made again', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  const target = await respondOn(client, 'slow.out');
  await using daemon = await startDaemon(CONFIG.replace('out.relay', 'slow.out, timeout: 20s'), { server });
  await publishMany(client, 3, (n) => ({ subject: 'ev.x', body: { n } }));
  await target.untilOpen(3);
  await server.kill();
  const cutOff = { consumer: 'relay', result: 'unavailable' };
  await waitFor(async () => (await daemon.total('ouzel_deliveries_total', cutOff)) === 3, { what: 'three to fail' });
  // Nothing is given back before the failure is noted, and there is nobody to note it now.
  expect(outcomesOf(await daemon.metrics(), 'relay')).toMatchObject({ inFlight: 3, retries: 0 });
  await server.restart();
  target.releaseAll();
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'relay').retries === 3, { what: 'three retries' });
  expect(await untilEnded(daemon, 'relay', 3, 30_000)).toMatchObject({ delivered: 3, deadLettered: 0 });
}, 120_000);

// nats.node#570.
test('a durable that is deleted is made again from the first event without an outcome', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'OLD', ['old.>']);
  for (let n = 0; n < 5; n++) await publish(client, { subject: 'old.x', body: { n } });
  const target = await respondOn(client, 'slow.held');
  await using daemon = await startDaemon(
    `${CONFIG}
  quiet: { stream: OLD, start: new }
  held: { stream: HELD, start: all, deliver: [{ to: { publish: { subject: slow.held, timeout: 20s } } }] }
`.replace('streams:', 'streams:\n  HELD: { subjects: ["held.>"] }'),
    { server },
  );
  const recreated = async (consumer: string): Promise<number> =>
    daemon.total('ouzel_consumer_recreated_total', { consumer });

  // All settled: nothing is repeated.
  await publishMany(client, 10, (n) => ({ subject: 'ev.x', body: { n } }));
  await untilEnded(daemon, 'relay', 10);
  await client.jsm.consumers.delete('EV', 'relay');
  await publishMany(client, 10, (n) => ({ subject: 'ev.x', body: { n: n + 10 } }));
  expect(await untilEnded(daemon, 'relay', 20)).toMatchObject({ delivered: 20 });
  expect(await recreated('relay')).toBe(1);

  // Nothing received yet: it goes on where it would have, not at `start` anew and not at the beginning.
  await client.jsm.consumers.delete('OLD', 'quiet');
  await publish(client, { subject: 'old.x', body: { n: 5 } });
  expect(await untilEnded(daemon, 'quiet', 1)).toMatchObject({ received: 1 });
  expect(await recreated('quiet')).toBe(1);

  // Some in hand: those come again, and the runs that are at work answer for them.
  await publishMany(client, 5, (n) => ({ subject: 'held.x', body: { n } }));
  await target.untilOpen(5);
  target.release();
  target.release();
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'held').delivered === 2, { what: 'two deliveries' });
  await client.jsm.consumers.delete('HELD', 'held');
  await waitFor(async () => outcomesOf(await daemon.metrics(), 'held').returned >= 3, { what: 'three to come again' });
  const open = target.open.map(({ data }) => (JSON.parse(Buffer.from(data).toString()) as { n: number }).n);
  expect(open).toEqual([2, 3, 4]);
  target.releaseAll();
  expect(await untilEnded(daemon, 'held', 5)).toMatchObject({ delivered: 5 });
  expect(target.received).toBe(5);
  await waitFor(
    async () => {
      const { num_ack_pending: unacked, num_pending: pending } = await client.jsm.consumers.info('HELD', 'held');
      return unacked === 0 && pending === 0;
    },
    { what: 'the durable that was made anew to have nothing left' },
  );
  expect(daemon.log()).toContain('the durable was gone and has been made anew');
  await untilReady(daemon, 200);
}, 120_000);

test('a stream that is deleted and made anew starts anew, whatever its numbers say', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await using daemon = await startDaemon(CONFIG, { server });
  await publishMany(client, 20, (n) => ({ subject: 'ev.x', body: { n } }));
  await untilEnded(daemon, 'relay', 20);
  // Before the daemon looks, there are as many again and more: where the old one ended is the middle of the new one.
  daemon.signal('SIGSTOP');
  await client.jsm.streams.delete('EV');
  await addStream(client, 'EV', ['ev.>']);
  await publishMany(client, 30, (n) => ({ subject: 'ev.x', body: { n: n + 20 } }));
  daemon.signal('SIGCONT');
  expect(await untilEnded(daemon, 'relay', 50)).toMatchObject({ received: 50, delivered: 50 });
  expect((await untilThrough(client, 'OUT', 50)).length).toBe(50);
  // And the durable of the new one is looked after as well.
  await client.jsm.consumers.delete('EV', 'relay');
  await publishMany(client, 5, (n) => ({ subject: 'ev.x', body: { n: n + 50 } }));
  expect(await untilEnded(daemon, 'relay', 55)).toMatchObject({ delivered: 55 });
  expect((await untilThrough(client, 'OUT', 55)).length).toBe(55);
}, 120_000);

test('a stream that goes away is a reason, and its consumer goes on when it is back', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await using daemon = await startDaemon(CONFIG, { server });
  await client.jsm.streams.delete('EV');
  expect(await untilReady(daemon, 503)).toContain('there is no stream EV on the server');
  expect(await daemon.total('ouzel_consumer_state', { consumer: 'relay', state: 'failed' })).toBe(1);
  await addStream(client, 'EV', ['ev.>']);
  await publish(client, { subject: 'ev.x', body: { n: 0 } });
  await untilEnded(daemon, 'relay', 1);
  await untilReady(daemon, 200);
}, 120_000);

// nats-io/nats.node#649: missed heartbeats never end the process.
test('a server that hangs, dies and forgets the durable is taken up again where it was', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await using daemon = await startDaemon(CONFIG, { server });
  await publishMany(client, 10, (n) => ({ subject: 'ev.x', body: { n } }));
  await untilEnded(daemon, 'relay', 10);
  process.kill(server.pid, 'SIGSTOP');
  await waitFor(() => daemon.log().includes('missed heartbeats'), { what: 'the silence to be noticed' });
  await server.kill();
  await untilReady(daemon, 503);
  await rm(join(server.storeDir, 'jetstream', '$G', 'streams', 'EV', 'obs', 'relay'), { recursive: true });
  await server.restart();
  await untilReady(daemon, 200);
  await publishMany(client, 10, (n) => ({ subject: 'ev.x', body: { n: n + 10 } }));
  // A durable that began at `start` again would bring the first ten once more.
  expect(await untilEnded(daemon, 'relay', 20)).toMatchObject({ delivered: 20 });
  expect(await daemon.total('ouzel_consumer_recreated_total', { consumer: 'relay' })).toBe(1);
}, 120_000);

// vectordotdev/vector#24932: no stale pull is left behind.
test('a server in lame duck mode is left, and the next one serves', async () => {
  const config = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"\n';
  await using server = await startServer({ config });
  await using daemon = await startDaemon(CONFIG, { server });
  process.kill(server.pid, 'SIGUSR2');
  await waitFor(() => daemon.log().includes('lame duck'), { what: 'lame duck mode to be logged' });
  await untilReady(daemon, 503);
  await server.restart();
  await untilReady(daemon, 200);
  await using client = await connectTo(server);
  await publishMany(client, 10, (n) => ({ subject: 'ev.x', body: { n } }));
  expect(await untilEnded(daemon, 'relay', 10)).toMatchObject({ delivered: 10, received: 10 });
}, 120_000);

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** A JWT as the servers of NATS read it, signed by `issuer`. */
function tokenOf(issuer: KeyPair, subject: string, claims: object, expires?: number): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const body = {
    jti: subject,
    iat: Math.floor(Date.now() / 1000),
    iss: issuer.getPublicKey(),
    sub: subject,
    ...(expires === undefined ? {} : { exp: expires }),
    nats: { version: 2, ...claims },
  };
  const signed = `${part({ typ: 'JWT', alg: 'ed25519-nkey' })}.${part(body)}`;
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString('base64url')}`;
}

// nats.js#89.
test('credentials that expire are read again, and the connection recovers', async () => {
  const [operator, system, account, user] = [
    nkeys.createOperator(),
    nkeys.createAccount(),
    nkeys.createAccount(),
    nkeys.createUser(),
  ];
  const unlimited = { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
  const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
  const accountToken = (key: KeyPair, limits: object): string =>
    tokenOf(operator, key.getPublicKey(), { type: 'account', limits });
  const config = `operator: ${tokenOf(operator, operator.getPublicKey(), { type: 'operator' })}
system_account: ${system.getPublicKey()}
resolver: MEMORY
resolver_preload: {
  ${system.getPublicKey()}: ${accountToken(system, unlimited)}
  ${account.getPublicKey()}: ${accountToken(account, { ...unlimited, ...storage })}
}
`;
  const file = join(await temporaryDirectory(), 'user.creds');
  const write = async (seconds: number): Promise<void> => {
    const claims = { type: 'user', subs: -1, data: -1, payload: -1 };
    const token = tokenOf(account, user.getPublicKey(), claims, Math.floor(Date.now() / 1000) + seconds);
    const seed = Buffer.from(user.getSeed()).toString();
    await writeFile(
      file,
      `-----BEGIN NATS USER JWT-----\n${token}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
    );
  };
  // Long enough for a start on a busy machine.
  await write(15);
  await using server = await startServer({ config });
  await using daemon = await startDaemon(CONFIG.replace('nats: {', `nats: { creds: "${file}",`), { server });
  await untilReady(daemon, 503);
  // It is refused with what has expired, as often as it likes, and stays alive.
  await waitFor(() => (daemon.log().match(/expired|authorization/gi) ?? []).length > 1, {
    what: () => `a second refusal. Its log:\n${daemon.log()}`,
  });
  await write(600);
  await untilReady(daemon, 200);
}, 120_000);

test('credentials that were replaced are read again when the connection is made anew', async () => {
  const [first, second] = [nkeys.createUser(), nkeys.createUser()];
  const authorization = (user: typeof first): string => `authorization { users: [{ nkey: ${user.getPublicKey()} }] }\n`;
  const file = join(await temporaryDirectory(), 'user.nk');
  const write = async (user: typeof first): Promise<void> =>
    writeFile(file, `${Buffer.from(user.getSeed()).toString()}\n`);
  await write(first);
  await using server: TestServer = await startServer({ config: authorization(first) });
  await using daemon = await startDaemon(CONFIG.replace('nats: {', `nats: { nkey: "${file}",`), { server });
  await server.restart({ config: authorization(second) });
  await untilReady(daemon, 503);
  await write(second);
  await untilReady(daemon, 200);
  expect(daemon.log()).not.toContain(Buffer.from(first.getSeed()).toString());
  expect(await daemon.total('ouzel_nats_reconnects_total')).toBe(1);
}, 120_000);
