/** `ouzel explain` against a server: what it shows is what the daemon then does, and it does nothing itself. */
import { expect, it } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id, storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
transformers:
  with-vat: { set: { data.vat: event.data.total * 0.2 }, remove: [data.card] }
consumers:
  billing:
    stream: EVENTS
    types: ["orders.*"]
    start: all
    pipeline: [{ filter: event.data.total > 10 }, with-vat]
    deliver:
      - { to: { publish: { subject: "out.{{ event.data.customer }}", headers: { X-Id: "{{ event.id }}" } } } }
`;

interface Shown {
  readonly event: { readonly attributes: Record<string, string>; readonly key: string };
  readonly stages: readonly { readonly stage: string; readonly routes?: readonly { readonly sent?: Sent }[] }[];
  readonly outcome: { readonly kind: string; readonly reason: string };
}
interface Sent {
  readonly action: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string;
}

it('shows what the daemon then does, byte by byte, and does nothing itself', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG.replace('start: all', 'start: all\n    paused: true'), { server });
  const body = { id: 'o-1', total: 1500, customer: 'c-7', card: '4111' };
  const headers = { 'X-Trace': 'abc', 'Nats-Msg-Id': 'm-1' };
  await publish(client, { subject: 'events.orders.created', body, headers });
  await publish(client, { subject: 'events.orders.created', body: { id: 'o-2', total: 1500, customer: 'a b' } });

  const before = await client.jsm.streams.info('EVENTS');
  const { code, stdout, stderr } = await runCli(['explain', 'EVENTS:1', '--config', daemon.configFile, '--json']);
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const shown = JSON.parse(stdout) as Shown;
  expect(shown.event).toMatchObject({ attributes: { id: 'm-1', type: 'orders.created' }, key: 'o-1' });
  expect(shown.outcome).toEqual({ kind: 'delivered', reason: '' });
  const after = await client.jsm.streams.info('EVENTS');
  expect(after.state).toEqual(before.state);
  expect(await client.jsm.consumers.list('EVENTS').next()).toEqual([]);
  expect((await client.jsm.streams.info('OUT')).state.messages).toBe(0);

  // The same event, with the brake off.
  await daemon.write(CONFIG);
  const delivered = { consumer: 'billing', outcome: 'delivered' };
  await waitFor(async () => (await daemon.total('ouzel_events_total', delivered)) === 1, { what: 'the delivery' });
  const [sent] = shown.stages.find(({ stage }) => stage === 'deliver')?.routes ?? [];
  const [message] = await readStream(client, 'OUT');
  expect(sent?.sent?.action).toBe(`publish to ${message?.subject}`);
  expect(sent?.sent?.body).toBe(message?.body);
  expect(Object.fromEntries(sent?.sent?.headers ?? [])).toEqual(message?.headers);

  // The other one went into the dead letters, and is explained from there with its consumer.
  const dead = { consumer: 'billing', outcome: 'dead_lettered' };
  await waitFor(async () => (await daemon.total('ouzel_events_total', dead)) === 1, { what: 'the dead letter' });
  const letter = await runCli(['explain', 'dlq:1', '--config', daemon.configFile]);
  expect(letter.code).toBe(1);
  expect(letter.stdout).toMatch(/^decode {5}EVENTS:2 on events\.orders\.created/);
  expect(letter.stdout).toContain('settle     dead_lettered, reason invalid_subject');
});

it('says what is wrong with what it is asked', async () => {
  const server = await startServer();
  const daemon = await startDaemon(CONFIG, { server });
  const config = ['--config', daemon.configFile];
  const asked = async (...args: string[]) => {
    const { code, stderr } = await runCli(['explain', ...args, ...config]);
    return `${code} ${stderr.trim()}`;
  };
  expect(await asked('EVENTS:99')).toBe('1 stream EVENTS has no message 99');
  expect(await asked('NONE:1')).toBe('1 stream NONE has no message 1');
  expect(await asked('dlq:1')).toBe('1 there is no dead letter 1');
  expect(await asked('nothing.json')).toMatch(/^1 no event in nothing\.json: there is none/);
  expect(await asked('EVENTS:1', '--consumer', 'nobody')).toMatch(/^1 no consumer "nobody" in .*; there are: billing/);
  expect(await asked(daemon.configFile)).toBe(
    '64 an event in a file needs --subject or --type: billing takes events.orders.*',
  );
});
