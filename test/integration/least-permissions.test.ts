/** The permissions that docs/operations.md gives: the daemon lives under exactly these, and needs each of them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { covers } from '../../src/core/subjects.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { untilReady } from '../helpers/readiness.ts';
import { startServer } from '../helpers/server.ts';

const page = await readFile(join(import.meta.dirname, '..', '..', 'docs', 'operations.md'), 'utf8');
/** The block of the page with the permissions, and the configuration that they are for. */
const [, permissions = ''] = /```\n(permissions: \{.*?\n\})\n```/s.exec(page) ?? [];
const [, yaml = ''] = /```yaml\n(version: 1\nnats: .*?)```/s.exec(page) ?? [];
const listed = (which: string): string[] =>
  [...(new RegExp(`${which}: \\{ allow: \\[(.*?)\\]`, 's').exec(permissions)?.[1] ?? '').matchAll(/"([^"]+)"/g)].map(
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
  const more = 'http: { listen: "@HTTP@" }\ntelemetry: { log: { format: json } }\n';
  const daemon = await startDaemon(config + more, { server });
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
