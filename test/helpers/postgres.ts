/** A PostgreSQL of the test's own, where there is one to be found: it is not fetched. */
import { execFile, spawn } from 'node:child_process';
import { access, chown, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { endWithThisProcess } from '../../src/nats/server.ts';
import { freePort } from './ports.ts';
import { releasing } from './resources.ts';

export interface Postgres extends AsyncDisposable {
  /** `postgres://ouzel@127.0.0.1:<port>/postgres`; every password is taken. */
  readonly url: string;
  /** SIGINT: connections are cut. */
  stop(): Promise<void>;
  /** Starts it again on the same port and data. */
  start(): Promise<void>;
}

/** Where Debian and others keep what is not in PATH. */
const HOMES = '/usr/lib/postgresql';

async function folderOfBinaries(): Promise<string | undefined> {
  const versions = await readdir(HOMES).catch(() => []);
  const folders = [
    ...(process.env['PATH'] ?? '').split(delimiter),
    ...versions.map((version) => join(HOMES, version, 'bin')),
  ];
  for (const folder of folders) {
    const both = ['initdb', 'postgres'].map((name) => access(join(folder, name)));
    if (
      await Promise.all(both).then(
        () => true,
        () => false,
      )
    )
      return folder;
  }
  return undefined;
}

/** It refuses to run as root; then it runs as the user that its package made. */
async function userToRunAs(): Promise<{ readonly uid?: number; readonly gid?: number } | undefined> {
  if (userInfo().uid !== 0) return {};
  const ids = async (flag: string): Promise<number> =>
    Number((await promisify(execFile)('id', [flag, 'postgres'])).stdout.trim());
  return Promise.all([ids('-u'), ids('-g')]).then(
    ([uid, gid]) => ({ uid, gid }),
    () => undefined,
  );
}

/** Why there is none; undefined where there is. */
export async function noPostgres(): Promise<string | undefined> {
  if ((await folderOfBinaries()) === undefined)
    return 'no PostgreSQL (initdb, postgres) in PATH or in its usual places';
  return (await userToRunAs()) === undefined
    ? 'PostgreSQL does not run as root, and there is no user postgres'
    : undefined;
}

/**
 * Starts a server with an empty database. It ends with the test, or with `await using`.
 *
 * @param durable Whether a commit waits for the disk.
 */
export async function startPostgres(durable = false): Promise<Postgres> {
  const binaries = await folderOfBinaries();
  const user = await userToRunAs();
  if (binaries === undefined || user === undefined) throw new Error(await noPostgres());
  // Not below the directory of the run, where another user could not get.
  const data = await mkdtemp(join(tmpdir(), 'ouzel-postgres-'));
  if (user.uid !== undefined && user.gid !== undefined) await chown(data, user.uid, user.gid);
  const options = { ...user, cwd: data, env: { ...process.env, LC_ALL: 'C' } };
  await promisify(execFile)(
    join(binaries, 'initdb'),
    ['--pgdata', data, '--username', 'ouzel', '--auth', 'trust', '--no-sync', '--encoding', 'UTF8'],
    options,
  );
  const port = await freePort();
  let stopping: (() => Promise<void>) | undefined;

  const start = async (): Promise<void> => {
    const settings = [
      'listen_addresses=127.0.0.1',
      `port=${port}`,
      'unix_socket_directories=',
      `fsync=${durable ? 'on' : 'off'}`,
    ];
    const child = spawn(join(binaries, 'postgres'), ['-D', data, ...settings.flatMap((each) => ['-c', each])], {
      ...options,
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    endWithThisProcess(child);
    const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
    stopping = async () => {
      stopping = undefined;
      child.kill('SIGINT');
      await ended;
    };
    let log = '';
    await new Promise<void>((resolve, reject) => {
      child.once('error', reject);
      child.once('close', () => reject(new Error(`postgres ended:\n${log}`)));
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        log = (log + chunk).slice(-10_000);
        if (log.includes('ready to accept connections')) resolve();
      });
    });
  };

  await start();
  return {
    url: `postgres://ouzel:pencil-case@127.0.0.1:${port}/postgres`,
    start,
    stop: async () => stopping?.(),
    [Symbol.asyncDispose]: releasing(async () => {
      await stopping?.();
      await rm(data, { recursive: true, force: true });
    }),
  };
}
