/** `ouzel validate --plan`: what it says is what then happens, and asking changes nothing. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { addStream, connectTo } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events." }
  OUT: { subjects: ["out.>"] }
consumers:
  billing:
    stream: EVENTS
    deliver:
      - { to: { publish: { subject: "out.{{ event.data.id }}.x" } } }
`;

interface Item {
  readonly kind: string;
  readonly name: string;
  readonly action: string;
  readonly detail?: string;
  readonly code?: string;
  readonly place?: string;
  readonly differences?: readonly { readonly field: string }[];
}

async function plan(text: string, url: string) {
  const cwd = await temporaryDirectory('plan');
  await writeFile(join(cwd, 'ouzel.yaml'), text.replaceAll('@NATS@', url).replaceAll('@HTTP@', '127.0.0.1:0'));
  const args = ['validate', 'ouzel.yaml', '--plan'];
  const { code, stdout, stderr } = await runCli([...args, '--json'], { cwd });
  const items = stdout === '' ? [] : (JSON.parse(stdout) as { plan: { items: Item[] } }).plan.items;
  return { code, stderr, items, text: () => runCli(args, { cwd }) };
}

const SYSTEM = [
  'make stream OUZEL_DLQ',
  'make stream KV_OUZEL_ATTEMPTS',
  'make stream OUZEL_TIMERS',
  'make stream KV_OUZEL_CONFIG',
  'make stream OUZEL_EVENTS',
  'make stream OUZEL_AUDIT',
  'make stream OUZEL_OUTCOMES',
  'make stream KV_OUZEL_AUDIT',
];

const brief = ({ kind, name, action, code }: Item): string =>
  `${action} ${kind} ${name}${code === undefined ? '' : ` ${code}`}`;

it('says what would be made, makes nothing, and then has nothing to say', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const before = await plan(CONFIG, server.url);
  expect(before).toMatchObject({ code: 0, stderr: '' });
  expect(before.items.map(brief)).toEqual([
    ...SYSTEM,
    'make stream EVENTS',
    'make stream OUT',
    'make consumer billing',
  ]);
  expect(await client.jsm.streams.names().next()).toEqual([]);

  const daemon = await startDaemon(CONFIG, { server });
  await daemon.terminate();
  const after = await plan(CONFIG.replace('@HTTP@', daemon.http.slice('http://'.length)), server.url);
  expect(after.code).toBe(0);
  expect(new Set(after.items.map(({ action }) => action))).toEqual(new Set(['none']));
});

it('says what would be changed, left as it is, and refused, and where it stands', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'EVENTS', ['events.>'], { max_age: 60_000_000_000, storage: 'file' });
  await addStream(client, 'KEPT', ['kept.>'], { max_age: 60_000_000_000, storage: 'file' });
  await addStream(client, 'TAKEN', ['taken.>']);
  await addStream(client, 'SERVER', ['server.>']);
  await client.jsm.consumers.add('EVENTS', { durable_name: 'foreign', ack_policy: 'explicit' });
  await client.jsm.consumers.add('EVENTS', {
    durable_name: 'adopted',
    ack_policy: 'explicit',
    ack_wait: 5_000_000_000,
  });
  await client.jsm.consumers.add('EVENTS', { durable_name: 'ackless', ack_policy: 'none' });
  const { code, items, text } = await plan(
    `
version: 1
nats: { servers: "@NATS@" }
streams:
  EVENTS: { subjects: ["events.>"], max_age: 2m, manage: true }
  KEPT: { subjects: ["kept.>"], max_age: 2m }
  CLASH: { subjects: ["taken.x"] }
targets:
  lost: { publish: { subject: "nowhere.{{ event.data.id }}" } }
consumers:
  foreign: { stream: EVENTS }
  adopted: { stream: EVENTS, adopt: true }
  ackless: { stream: EVENTS, adopt: true }
  streamless: { stream: NONE }
  elsewhere: { stream: SERVER, subjects: ["events.x"] }
  fine:
    stream: SERVER
    deliver:
      - { to: lost }
      - { name: core, to: { publish: { subject: "nowhere.x", core: true } } }
      - { name: held, to: { publish: { subject: "taken.{{ event.data.id }}" } } }
`,
    server.url,
  );
  expect(code).toBe(78);
  expect(items.map(brief)).toEqual([
    ...SYSTEM,
    'change stream EVENTS',
    'keep stream KEPT',
    'refuse stream CLASH STREAM_REFUSED',
    'refuse consumer foreign DURABLE_FOREIGN',
    'change consumer adopted',
    'refuse consumer ackless DURABLE_REFUSED',
    'refuse consumer streamless STREAM_NOT_FOUND',
    'refuse consumer elsewhere STREAM_NOT_FOUND',
    'make consumer fine',
    'refuse target lost TARGET_NO_STREAM',
  ]);
  expect(items[SYSTEM.length]?.differences).toEqual([
    { field: 'max_age', server: 60_000_000_000, config: 120_000_000_000 },
  ]);
  expect(items[SYSTEM.length + 2]).toMatchObject({
    place: 'ouzel.yaml:7:3',
    detail: expect.stringContaining('TAKEN') as string,
  });

  const printed = await text();
  expect(printed.code).toBe(78);
  for (const line of printed.stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(80);
  expect(printed.stdout).toContain('max_age: 1m → 2m');
  expect(printed.stdout).toMatch(/9 to make, 2 to change, 1 left as they are, 6 refused\.\n$/);
});

const user = (allow: readonly string[]): string =>
  `authorization { users = [{ user: u, password: p, permissions: { publish: { allow: ${JSON.stringify(allow)} }, subscribe: ">" } }] }`;

it.each([
  ['that may ask for its permissions', ['$SYS.REQ.USER.INFO']],
  ['that may not', []],
])('names what a user %s may not do', async (_who, more) => {
  const server = await startServer({
    config: user([...more, '$JS.API.STREAM.INFO.>', '$JS.API.STREAM.CREATE.EVENTS', '$JS.API.CONSUMER.INFO.>']),
  });
  const { code, items } = await plan(CONFIG, server.url.replace('nats://', 'nats://u:p@'));
  expect(code).toBe(78);
  const missing = items
    .filter(({ kind, action }) => kind === 'permission' && action === 'refuse')
    .map(({ name }) => name);
  const certain = [
    '$JS.ACK.EVENTS.billing.>',
    '$JS.ACK.OUZEL_TIMERS.billing.>',
    '$JS.API.CONSUMER.CREATE.EVENTS.billing',
    '$JS.API.CONSUMER.CREATE.KV_OUZEL_CONFIG.>',
    '$JS.API.CONSUMER.CREATE.OUZEL_TIMERS.billing',
    '$JS.API.CONSUMER.MSG.NEXT.EVENTS.billing',
    '$JS.API.CONSUMER.MSG.NEXT.KV_OUZEL_CONFIG.>',
    '$JS.API.CONSUMER.MSG.NEXT.OUZEL_TIMERS.billing',
    '$JS.API.STREAM.CREATE.KV_OUZEL_ATTEMPTS',
    '$JS.API.STREAM.CREATE.KV_OUZEL_AUDIT',
    '$JS.API.STREAM.CREATE.KV_OUZEL_CONFIG',
    '$JS.API.STREAM.CREATE.OUT',
    '$JS.API.STREAM.CREATE.OUZEL_AUDIT',
    '$JS.API.STREAM.CREATE.OUZEL_DLQ',
    '$JS.API.STREAM.CREATE.OUZEL_EVENTS',
    '$JS.API.STREAM.CREATE.OUZEL_OUTCOMES',
    '$JS.API.STREAM.CREATE.OUZEL_TIMERS',
    '$JS.API.STREAM.MSG.GET.KV_OUZEL_ATTEMPTS',
  ];
  const publishes = [
    'ouzel.events.>',
    'ouzel.outcomes.*',
    '$KV.OUZEL_AUDIT.>',
    'ouzel.dlq.billing',
    '$KV.OUZEL_ATTEMPTS.billing.>',
    'ouzel.timer.billing.retry.*',
    '$KV.OUZEL_CONFIG.>',
    'out.*.x',
  ];
  expect(missing.toSorted()).toEqual(more.length > 0 ? [...certain, ...publishes].toSorted() : certain);
  const unknown = items
    .filter(({ kind, action }) => kind === 'permission' && action === 'unknown')
    .map(({ name }) => name);
  expect(unknown).toEqual(more.length > 0 ? [] : publishes);
});

it('says when there is no server to ask', async () => {
  const { code, stderr } = await plan(CONFIG, 'nats://127.0.0.1:9');
  expect(code).toBe(69);
  expect(stderr).toMatch(/cannot connect to nats:\/\/127\.0\.0\.1:9/);
});
