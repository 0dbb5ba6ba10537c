/** A webhook that answers 410: its target is disabled on all instances and over restarts, and no event is lost. */
import { expect, test } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const config = (url: string, more = ''): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { retry: { attempts: 3, backoff: { first: 50ms, max: 200ms, jitter: 0 } } }
targets: { partner: { webhook: { url: '${url}', allow_private: true${more} } } }
consumers: { a: { stream: IN, start: all, deliver: [{ to: partner }] } }
`;

const isDisabled = async (daemon: Daemon): Promise<boolean> => {
  const { degraded } = (await (await fetch(`${daemon.http}/readyz`)).json()) as {
    degraded: { target: string; error: string }[];
  };
  return degraded.some(({ target, error }) => target === 'partner' && error.includes('answered 410 Gone'));
};

const untilDisabled = (daemon: Daemon, disabled = true): Promise<boolean> =>
  waitFor(async () => (await isDisabled(daemon)) === disabled, { what: `disabled: ${disabled}` });

async function setUp() {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  let gone = true;
  const target = await startHttpTarget(() => (gone ? { status: 410, body: 'moved away' } : {}));
  const send = async (count: number): Promise<void> => {
    for (let index = 0; index < count; index++) await publish(client, { subject: 'in.a', body: { index } });
  };
  const incidents = async (): Promise<string[]> =>
    (await readStream(client, 'OUZEL_EVENTS')).map(({ subject }) => subject.replace('ouzel.events.', ''));
  return { server, client, target, send, incidents, setGone: (value: boolean) => void (gone = value) };
}

test('410 disables the target for the fleet and over restarts, until somebody enables it', async () => {
  const { server, client, target, send, incidents, setGone } = await setUp();
  const [one, two] = await Promise.all([1, 2].map(() => startDaemon(config(target.url), { server })));
  if (one === undefined || two === undefined) throw new Error('two daemons');
  await send(1);
  await untilDisabled(one);
  await untilDisabled(two);
  const { length } = target.requests;
  // One event: the second daemon may have tried it too, before it heard of what the first was told.
  expect(length).toBeLessThanOrEqual(2);
  await send(20);
  await two.terminate();
  await one.terminate();
  const again = await startDaemon(config(target.url), { server });
  await untilDisabled(again);
  setGone(false);
  await send(1);
  const waiting = async (): Promise<number> =>
    (await again.total('ouzel_consumer_pending', { consumer: 'a' })) +
    (await again.total('ouzel_consumer_ack_pending', { consumer: 'a' }));
  await waitFor(async () => (await waiting()) === 22, { what: 'all to wait', timeout: 20_000 });
  expect(target.requests).toHaveLength(length);
  expect((await readStream(client, 'OUZEL_DLQ')).length).toBe(0);
  expect((await incidents()).filter((kind) => kind.startsWith('target.'))).toEqual(['target.disabled']);

  const { stdout, code } = await runCli(['targets', 'enable', 'partner', '--url', again.http]);
  expect([stdout.trim(), code]).toEqual(['partner is delivered to', 0]);
  await waitFor(() => new Set(target.requests.map(({ headers }) => headers['webhook-id'])).size === 22, {
    what: 'every event to be delivered',
    timeout: 40_000,
  });
  await untilDisabled(again, false);
  expect((await readStream(client, 'OUZEL_DLQ')).length).toBe(0);
});

test('a change of its configuration enables it, that of another one does not', async () => {
  const { server, target, send, setGone } = await setUp();
  const daemon = await startDaemon(config(target.url), { server });
  await send(3);
  await untilDisabled(daemon);
  setGone(false);
  const { length } = target.requests;
  await daemon.write(`${config(target.url)}filters: { big: event.data.total > 1 }\n`);
  await waitFor(async () => (await daemon.total('ouzel_config_reloads_total')) >= 1, { what: 'the reload' });
  await untilDisabled(daemon);
  expect(target.requests).toHaveLength(length);
  await daemon.write(config(target.url, ', headers: { x-key: new }'));
  expect(await untilEnded(daemon, 'a', 3)).toMatchObject({ delivered: 3, deadLettered: 0 });
  expect(await isDisabled(daemon)).toBe(false);
});
