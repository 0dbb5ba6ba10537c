import { spawn } from 'node:child_process';
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, inject, test } from 'vitest';
import { findNatsServer } from '../../src/nats/find-server.ts';
import type { ServerTry } from '../../src/nats/find-server.ts';
import { startNatsServer } from '../../src/nats/server.ts';
import { isFree } from '../helpers/ports.ts';
import { addStream, connectTo, publishMany } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

/** A script that answers --version and nothing else. */
async function fakeServer(directory: string, version: string): Promise<string> {
  const path = join(directory, 'nats-server');
  await mkdir(directory, { recursive: true });
  await writeFile(path, `#!/bin/sh\necho "nats-server: ${version}"\n`, { mode: 0o755 });
  return path;
}

async function search(env: NodeJS.ProcessEnv, fetch = false) {
  const tries: ServerTry[] = [];
  const outcome = await findNatsServer({ env, fetch, onTry: (attempt) => tries.push(attempt) }).catch(
    (error: unknown) => error as Error,
  );
  return { outcome, tries };
}

test('$NATS_SERVER comes before PATH', async () => {
  const directory = await temporaryDirectory();
  const named = await fakeServer(join(directory, 'named'), 'v2.12.0');
  const onPath = await fakeServer(join(directory, 'path'), 'v2.14.3-RC.1');
  const path = join(directory, 'path');
  expect((await search({ PATH: path, NATS_SERVER: named })).outcome).toEqual({
    binary: named,
    version: '2.12.0',
    origin: '$NATS_SERVER',
  });
  expect((await search({ PATH: path })).outcome).toEqual({ binary: onPath, version: '2.14.3-RC.1', origin: 'PATH' });
});

test('a server that is too old, or broken, is passed over with its reason', async () => {
  const directory = await temporaryDirectory();
  const old = await fakeServer(join(directory, 'old'), 'v2.11.9');
  const good = await fakeServer(join(directory, 'good'), 'v3.0.0');
  const path = `${join(directory, 'old')}:${join(directory, 'good')}`;
  const { outcome, tries } = await search({ NATS_SERVER: join(directory, 'missing'), PATH: path });
  expect(outcome).toMatchObject({ binary: good, origin: 'PATH' });
  expect(tries.map((attempt) => [attempt.origin, attempt.state])).toEqual([
    ['$NATS_SERVER', 'skipped'],
    ['PATH', 'skipped'],
    ['PATH', 'found'],
  ]);
  expect(tries[0]?.detail).toMatch(/missing cannot be run: .* is not there/);
  expect(tries[1]?.detail).toBe(`${old} is 2.11.9; 2.12 or newer is needed`);
});

test('what is in the cache is used', async () => {
  const directory = await temporaryDirectory();
  await mkdir(join(directory, 'ouzel'));
  const cached = join(directory, 'ouzel', 'nats-server-2.15.1');
  await copyFile(inject('natsServer'), cached);
  const { outcome } = await search({ XDG_CACHE_HOME: directory, PATH: '' });
  expect(outcome).toMatchObject({ binary: cached, origin: 'cache' });
});

test('where nothing works, the error has every reason and the ways that help, and leaves nothing in the cache', async () => {
  const directory = await temporaryDirectory();
  const { outcome, tries } = await search({ XDG_CACHE_HOME: directory, PATH: directory }, true);
  expect(outcome).toMatchObject({ code: 'NATS_SERVER_NOT_FOUND', exitCode: 69 });
  expect(tries.map((attempt) => `${attempt.origin} ${attempt.state}`)).toEqual([
    '$NATS_SERVER skipped',
    'PATH skipped',
    'cache skipped',
    'pip trying',
    'pip failed',
    'go trying',
    'go failed',
  ]);
  const { message } = outcome as Error;
  for (const part of ['PATH: no nats-server there', 'pip: python3 is not there', 'go: go is not there', '  3. ']) {
    expect(message).toContain(part);
  }
  expect(await readdir(join(directory, 'ouzel'))).toEqual([]);
});

test('a port in use is said, and left for another where that was asked for', async () => {
  await using first = await startServer();
  const options = { binary: inject('natsServer'), storeDir: await temporaryDirectory(), port: first.port };
  await expect(startNatsServer(options)).rejects.toMatchObject({
    code: 'NATS_UNAVAILABLE',
    message: `nats-server cannot listen on 127.0.0.1:${first.port}: the port is in use.`,
  });
  const second = await startNatsServer({ ...options, orAnyPort: true });
  expect(second.port).not.toBe(first.port);
  await second.stop();
});

test('a port that something else holds is said too', async () => {
  const blocker = createServer().listen(0, '127.0.0.1');
  await waitFor(() => blocker.listening, { what: 'the blocker to listen' });
  const address = blocker.address();
  const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
  const options = { binary: inject('natsServer'), storeDir: await temporaryDirectory(), port };
  await expect(startNatsServer(options)).rejects.toThrow('the port is in use');
  blocker.close();
});

test('a server that dies at once is reported with its last words', async () => {
  const options = { binary: inject('natsServer'), storeDir: await temporaryDirectory(), config: 'nonsense: {' };
  await expect(startNatsServer(options)).rejects.toThrow(/did not start \(ended\)[^]*Parse error/);
  await expect(startNatsServer({ ...options, binary: '/nowhere/nats-server' })).rejects.toThrow(/ENOENT/);
});

test('a store is never given to two servers, nor emptied under one', async () => {
  await using server = await startServer();
  const options = { binary: inject('natsServer'), storeDir: server.storeDir, reset: true };
  await expect(startNatsServer(options)).rejects.toThrow(`in use by a nats-server with the process id ${server.pid}`);
  expect(await readdir(server.storeDir)).toContain('jetstream');
});

test('a store can be emptied at start', async () => {
  const server = await startServer();
  await using before = await connectTo(server);
  await addStream(before, 'GONE', ['gone.>'], { storage: 'file' });
  await server.stop();
  const options = { binary: inject('natsServer'), storeDir: server.storeDir };
  for (const [reset, streams] of [
    [false, 1],
    [true, 0],
  ] as const) {
    const again = await startNatsServer({ ...options, reset });
    await using client = await connectTo(again);
    expect(await client.jsm.streams.list().next()).toHaveLength(streams);
    await client[Symbol.asyncDispose]();
    await again.stop();
  }
});

test('a restart, after a stop or a kill, keeps port and store', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'KEPT', ['kept.>'], { storage: 'file' });
  await publishMany(client, 1_000, (index) => ({ subject: `kept.${index}`, body: { index } }));
  const kept = async () => {
    await using fresh = await connectTo(server);
    return (await fresh.jsm.streams.info('KEPT')).state.messages;
  };
  const before = server.pid;
  await server.restart();
  expect(server.pid).not.toBe(before);
  expect(await kept()).toBe(1_000);
  await server.kill();
  await server.restart();
  expect(await kept()).toBe(1_000);
});

test('stop ends the server and frees the port', async () => {
  const server = await startServer();
  await server.stop();
  expect(await isFree(server.port)).toBe(true);
  await server.stop();
});

test('a server ends with its parent, even one killed with SIGKILL', async () => {
  const module = fileURLToPath(new URL('../../src/nats/server.ts', import.meta.url));
  const options = JSON.stringify({ binary: inject('natsServer'), storeDir: await temporaryDirectory() });
  const script = `const { startNatsServer } = await import(${JSON.stringify(module)});
    console.log((await startNatsServer(${options})).port);`;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  parent.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const port = Number(await waitFor(() => output.includes('\n') && output, { what: 'the server to be ready' }));
  expect(await isFree(port)).toBe(false);
  parent.kill('SIGKILL');
  await waitFor(() => isFree(port), { what: 'the server to end' });
});
