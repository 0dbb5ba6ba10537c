/** The permissions that docs/operations.md gives: daemon and commands live under exactly these, and need each of them. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { covers } from '../../src/core/subjects.ts';
import { callApi } from '../helpers/api.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'operations.md'), 'utf8');
/** The block of the page with the permissions, and the configuration that they are for. */
const [, permissions = ''] = /```\n(permissions: \{.*?\n\})\n```/s.exec(page) ?? [];
const [, yaml = ''] = /```yaml\n(version: 1\nnats: .*?)```/s.exec(page) ?? [];
const [, letters = ''] = /```\nletters: (\{.*?\n\})\n```/s.exec(page) ?? [];
const [, replays = ''] = /```\nreplays: (\{.*?\n\})\n```/s.exec(page) ?? [];
const listedIn = (block: string, which: string): string[] =>
  [...(new RegExp(`${which}: \\{ allow: \\[(.*?)\\]`, 's').exec(block)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(
    ([, subject = '']) => subject,
  );
const listed = (which: string): string[] => listedIn(permissions, which);
/** What the daemon needs beside them, as the table says. */
const more = (row: string): string[] =>
  [...(page.split('\n').find((line) => line.startsWith(`| ${row}`)) ?? '').matchAll(/`(\$[^`]+)`/g)].map(
    ([, subject = '']) => subject,
  );

test('the daemon lives under exactly the least permissions, and uses each of them', async () => {
  await using server = await startServer({
    config: `authorization { users: [
  { user: admin, password: admin }
  { user: ouzel, password: secret-o, ${permissions} }
] }
`,
  });
  await using client = await connectTo(server, { user: 'admin', pass: 'admin' });
  /** What it published, or anybody: nothing of what is looked for here comes from elsewhere. */
  const published = new Set<string>();
  client.nc.subscribe('>', { callback: (_error, { subject }) => void published.add(subject) });

  // The second attempt comes soon, the third from a timer.
  const refusals = new Map<string, number>();
  await using partner = await startHttpTarget(({ body }) => {
    const { id, refuse = 0 } = (JSON.parse(body) as { data: { id: string; refuse?: number } }).data;
    const so = refusals.get(id) ?? 0;
    refusals.set(id, so + 1);
    return { status: so < refuse ? 409 : 200 };
  });
  const config = yaml
    .replace(/servers: \S+,/, 'servers: "@NATS@",')
    .replace(/creds: \S+/, 'user: ouzel, password: secret-o')
    .replace('https://partner.example/in"', `${partner.url}", allow_private: true`)
    .replace('stream: EVENTS\n', `stream: EVENTS\n    start: all\n    ack_wait: 1s\n    ${RETRY}\n`);
  const rest = 'http: { listen: "@HTTP@" }\ntelemetry: { log: { format: json } }\n';
  const daemon = await startDaemon(config + rest, { server });
  await publish(client, { subject: 'events.orders.created', body: { id: 'a', total: 2000 } });
  await publish(client, { subject: 'events.orders.created', body: { id: 'b', total: 2000, refuse: 2 } });
  await publish(client, { subject: 'events.orders.created', body: { id: 'c', total: 1 } });
  await publish(client, { subject: 'events.orders.created', body: 'no JSON' });
  await untilEnded(daemon, 'billing', 4);
  expect(await daemon.total('ouzel_events_parked_total')).toBe(1);
  const cli = async (...args: string[]): Promise<void> => {
    const { code, stderr } = await runCli(args, { cwd: daemon.directory });
    expect(code, stderr).toBe(0);
  };
  await cli('consumers', 'pause', 'billing', '--url', daemon.http);
  await cli('consumers', 'resume', 'billing', '--url', daemon.http);
  await untilReady(daemon, 200);
  expect(await daemon.terminate()).toBe(0);
  // What is due is published by the server.
  const asked = [...published].filter((subject) => !/^(_INBOX|\$JS\.EVENT|events\.|ouzel\.due\.)/.test(subject));
  expect(daemon.log()).not.toMatch(/permission/i);
  expect(asked.filter((subject) => !listed('publish').some((allowed) => covers(allowed, subject)))).toEqual([]);
  expect(listed('publish').filter((allowed) => !asked.some((subject) => covers(allowed, subject)))).toEqual([]);
}, 120_000);

const RETRY = 'retry: { attempts: 4, backoff: { first: 500ms, factor: 4, jitter: 0 } }';

test('`ouzel dlq` and `ouzel replay` live under exactly the permissions of those who operate, and use each', async () => {
  const extra = [...more('re-drives'), ...more('letters and replays that are too large')];
  expect(extra.length).toBeGreaterThan(3);
  const own = permissions.replace('allow: [', `allow: [ ${extra.map((subject) => `"${subject}"`).join(', ')},`);
  await using server = await startServer({
    config: `authorization { users: [
  { user: admin, password: admin }
  { user: ouzel, password: secret-o, ${own} }
  { user: letters, password: secret-l, permissions: ${letters} }
  { user: replays, password: secret-r, permissions: ${replays} }
] }
`,
  });
  await using client = await connectTo(server, { user: 'admin', pass: 'admin' });
  let refuses = true;
  await using partner = await startHttpTarget(() => ({ status: refuses ? 422 : 200 }));
  const config = `${yaml
    .replace(/servers: \S+,/, 'servers: "@NATS@",')
    .replace(/creds: \S+/, 'user: ouzel, password: secret-o')
    .replace('https://partner.example/in"', `${partner.url}", allow_private: true`)
    .replace('stream: EVENTS\n', 'stream: EVENTS\n    start: all\n')}http: { listen: "@HTTP@" }\n`;
  const first = await startDaemon(config, { server });
  const bodies = [{ id: 'a', total: 2000 }, 'no JSON', 'no JSON either', 'x'.repeat(1024 ** 2 - 64)];
  for (const [index, body] of bodies.entries()) {
    await publish(client, { subject: 'events.orders.created', body });
    await untilEnded(first, 'billing', index + 1);
  }
  // The fleet has something, too.
  expect((await callApi(first, 'PUT', '/filters/large', { body: 'event.data.total > 5000' })).status).toBe(201);
  // From here on nobody publishes but the commands.
  expect(await first.terminate()).toBe(0);
  expect(first.log()).not.toMatch(/permission/i);

  const published = new Set<string>();
  client.nc.subscribe('>', { callback: (_error, { subject }) => void published.add(subject) });
  const text = await readFile(first.configFile, 'utf8');
  for (const user of ['letters', 'replays']) {
    const credentials = `user: ${user}, password: secret-${user[0]}`;
    await writeFile(
      join(first.directory, `${user}.yaml`),
      text.replace('user: ouzel, password: secret-o', credentials),
    );
  }
  const as =
    (user: string) =>
    async (...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await runCli([...args, '--config', `${user}.yaml`], { cwd: first.directory });
      expect(code, `${args.join(' ')}: ${stderr}`).toBe(0);
      return stdout;
    };
  const expectUsed = async (block: string): Promise<void> => {
    await client.nc.flush();
    // What is read is handed out under its own subject.
    const asked = [...published].filter(
      (subject) => !/^(_INBOX|\$JS\.EVENT|events\.|ouzel\.dlq\.|\$KV\.OUZEL_CONFIG\.)/.test(subject),
    );
    const allowed = listedIn(block, 'publish');
    expect(asked.filter((subject) => !allowed.some((each) => covers(each, subject)))).toEqual([]);
    expect(allowed.filter((each) => !asked.some((subject) => covers(each, subject)))).toEqual([]);
    published.clear();
  };

  const dlq = as('letters');
  expect(await dlq('dlq', 'list')).toContain('undecodable');
  await dlq('dlq', 'show', '4');
  await dlq('dlq', 'redrive', '2');
  await dlq('dlq', 'discard', '3', '4', '--why', 'a test');
  await expectUsed(letters);

  const replay = as('replays');
  await replay('replay', 'EVENTS', '--to', 'billing', '--run', 'january');
  // Stopped, it ends with a 1.
  const slow = replay('replay', 'EVENTS', '--to', 'billing', '--rate', '1/h', '--run', 'slow').catch(() => undefined);
  await waitFor(async () => (await replay('replay', 'list')).includes('running'), { what: 'the slow one to run' });
  await replay('replay', 'stop', 'slow');
  await slow;
  await replay('replay', '--resume', 'slow', '--rate', '100/s');
  await expectUsed(replays);

  refuses = false;
  const second = await startDaemon(config, { server });
  await dlq('dlq', 'redrive', '1', '--wait');
  expect(await second.terminate()).toBe(0);
  expect(second.log()).not.toMatch(/permission/i);
}, 120_000);
