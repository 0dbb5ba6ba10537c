/** What a replay does when the server goes, when bodies are large, and who may have one. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { MAIN, processEnv, runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const config = (more = ''): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events." }
  OUT: { subjects: ["out.>"] }
consumers:
  billing: { stream: EVENTS, start: all, deliver: [{ name: out, to: { publish: { subject: out.billing } } }] }
  search: { stream: EVENTS, start: all }
${more}`;

test('goes on after the server was killed in the middle, with every event once', async () => {
  const count = 3_000;
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(config(), { server });
  await publishMany(client, count, (index) => ({ subject: 'events.a', body: { index } }));
  await untilEnded(daemon, 'billing', count, 60_000);
  const args = ['replay', 'EVENTS', '--to', 'billing', '--run', 'storm', '--rate', '600/s', '-c', daemon.configFile];
  const child = spawn(process.execPath, [MAIN, ...args], { env: processEnv(), stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const sent = async (): Promise<number[]> =>
    (await readStream(client, 'OUT'))
      .filter(({ headers }) => headers['Ouzel-Replay'] === 'storm')
      .map(({ body }) => (JSON.parse(body) as { index: number }).index);
  await waitFor(async () => (await sent()).length > 200, { what: 'the first events', timeout: 30_000 });
  await server.kill();
  await server.restart();
  const [code] = (await once(child, 'close')) as [number];
  expect({ code, output }).toMatchObject({ code: 0 });
  expect(output).toContain(`${count} of ${count} events, as run replay-storm`);
  const all = Array.from({ length: count }, (_, index) => index);
  await waitFor(async () => new Set(await sent()).size === count, { what: 'all events', timeout: 60_000 });
  expect((await sent()).toSorted((left, right) => left - right)).toEqual(all);
}, 120_000);

test('hands over bodies that leave no room for headers, in their turn', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(config(), { server });
  await publish(client, { subject: 'events.a', body: { index: 0 } });
  await client.js.publish('events.a', JSON.stringify({ index: 1, filler: 'x'.repeat(1024 * 1024 - 60) }));
  await publish(client, { subject: 'events.a', body: { index: 2 } });
  await untilEnded(daemon, 'search', 3);
  const { code, stdout } = await runCli([
    'replay',
    'EVENTS',
    '--to',
    'search',
    '--run',
    'large',
    '-c',
    daemon.configFile,
  ]);
  expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining('3 of 3 events') as string });
  expect(await untilEnded(daemon, 'search', 6)).toMatchObject({ delivered: 6 });
}, 120_000);

test('over the API is for those who may operate all of its consumers', async () => {
  const server = await startServer();
  await connectTo(server);
  const token = (name: string): string => `ouzel-${name}-0123456789abcdef0123456789abcdef`;
  const entry = (name: string, more: string): string =>
    `  - { name: ${name}, who: { token: "sha256:${createHash('sha256').update(token(name)).digest('hex')}" }, ${more} }`;
  const access = [
    'access:',
    entry('reader', 'may: read'),
    entry('narrow', 'may: operate, consumers: [billing]'),
    entry('operator', 'may: operate'),
  ].join('\n');
  const daemon = await startDaemon(config(access), { server });
  const ask = async (who: string, method: string, path: string, body?: unknown): Promise<number> => {
    const headers: Record<string, string> = { authorization: `Bearer ${token(who)}` };
    if (body !== undefined) headers['content-type'] = 'application/json';
    const init = body === undefined ? {} : { body: JSON.stringify(body) };
    return (await fetch(`${daemon.http}/api/v1/replays${path}`, { method, headers, ...init })).status;
  };
  const asked = (name: string, ...to: readonly string[]) => ({ stream: 'EVENTS', to, name });
  expect(await ask('reader', 'POST', '', asked('a', 'billing'))).toBe(403);
  expect(await ask('narrow', 'POST', '', asked('a', 'billing', 'search'))).toBe(403);
  expect(await ask('narrow', 'POST', '', asked('a', 'billing'))).toBe(202);
  expect(await ask('operator', 'POST', '', asked('b', 'billing', 'search'))).toBe(202);
  expect(await ask('reader', 'GET', '/b')).toBe(200);
  expect(await ask('narrow', 'GET', '/a')).toBe(200);
  expect(await ask('narrow', 'GET', '/b')).toBe(404);
  expect(await ask('narrow', 'DELETE', '/b')).toBe(404);
  expect(await ask('reader', 'DELETE', '/b')).toBe(403);
}, 120_000);
