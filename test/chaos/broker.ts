/** The server side of a run: one nats-server, on a store that can run full, or a cluster of three. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { startCluster } from '../helpers/cluster.ts';
import { startServer } from '../helpers/server.ts';
import type { Random } from './random.ts';
import { CONSUMERS, OUT, STREAM } from './scenario.ts';

const run = promisify(execFile);

/** Something that can be done to the servers. What exactly was done, for the report. */
export interface BrokerFault {
  readonly name: string;
  /** Milliseconds that it lasts, at least and at most. */
  readonly lasts: readonly [low: number, high: number];
  /** Whether it kills a server. */
  readonly kills?: boolean;
  inject(random: Random): Promise<string>;
}

export interface Broker {
  /** All servers, separated by commas. */
  readonly url: string;
  readonly ports: readonly number[];
  readonly replicas: number;
  readonly faults: readonly BrokerFault[];
  /** Mends whatever its faults broke. */
  bringBack(): Promise<void>;
  stop(): Promise<void>;
}

/** Size of the file system that a single server's store is put on. */
const STORE_SIZE = '1g';

/** Starts one server. */
export async function startSingle(): Promise<Broker> {
  const server = await startServer();
  await server.stop();
  const mounted = await mountSmallStore(server.storeDir);
  await server.restart();
  let away = false;
  const ballast = join(server.storeDir, 'ballast');
  const ending = (signal: string, end: () => Promise<void>) => async (): Promise<string> => {
    away = true;
    await end();
    return signal;
  };
  const fullDisk: BrokerFault = {
    name: 'disk full',
    lasts: [3_000, 8_000],
    inject: async () => {
      // The plan of a seed is the same everywhere, so this is not left out where it cannot be.
      if (typeof mounted === 'string') return `left out: ${mounted}`;
      // A freed disk needs a restart of the server.
      away = true;
      const { bavail, bsize } = await statfs(server.storeDir);
      await writeFile(ballast, Buffer.alloc(bavail * bsize)).catch(() => undefined);
      return `${Math.round((bavail * bsize) / 2 ** 20)} MiB taken`;
    },
  };
  return {
    url: server.url,
    ports: [server.port],
    replicas: 1,
    faults: [
      { name: 'kill server', lasts: [200, 4_000], kills: true, inject: ending('SIGKILL', () => server.kill()) },
      { name: 'stop server', lasts: [200, 4_000], inject: ending('SIGTERM', () => server.stop()) },
      fullDisk,
    ],
    bringBack: async () => {
      await rm(ballast, { force: true });
      if (away) await server.restart();
      away = false;
    },
    stop: async () => {
      await server.stop();
      if (typeof mounted !== 'string') await mounted.unmount();
      await server[Symbol.asyncDispose]();
    },
  };
}

/** Starts three servers that replicate everything. */
export async function startThree(): Promise<Broker> {
  const cluster = await startCluster({ gossip: false });
  const away = new Set<number>();
  const one = (name: string, end: (index: number) => Promise<void>, kills = false): BrokerFault => ({
    name,
    lasts: [500, 8_000],
    kills,
    inject: async (random) => {
      const index = random.integer(0, cluster.nodes.length - 1);
      away.add(index);
      await end(index);
      return cluster.nodes[index]?.name ?? '';
    },
  });
  return {
    url: cluster.url,
    ports: cluster.nodes.map(({ port }) => port),
    replicas: cluster.nodes.length,
    faults: [
      one('kill server', (index) => cluster.kill(index), true),
      one('stop server', (index) => cluster.stop(index)),
      one('lame duck', (index) => cluster.lameDuck(index)),
      {
        name: 'leader steps down',
        lasts: [500, 2_000],
        inject: async (random) => {
          const stream = random.pick([STREAM, OUT]);
          const consumer = random.pick([undefined, ...CONSUMERS]);
          const of = stream === OUT || consumer === undefined ? stream : consumer;
          await cluster.stepDown(stream, of === stream ? undefined : consumer);
          return of;
        },
      },
    ],
    bringBack: async () => {
      for (const index of away) await cluster.restart(index);
      away.clear();
    },
    stop: async () => cluster[Symbol.asyncDispose](),
  };
}

/** A file system of limited size in memory. */
interface SmallStore {
  unmount(): Promise<void>;
}

/** Mounts it. A shell that waits on a pipe from here unmounts it, however this process ends. @returns Why it cannot. */
async function mountSmallStore(storeDir: string): Promise<SmallStore | string> {
  try {
    await run('mount', ['-t', 'tmpfs', '-o', `size=${STORE_SIZE},mode=0700`, 'tmpfs', storeDir]);
  } catch (error) {
    return `mounting a tmpfs is not possible (${(error as Error).message.trim().split('\n').at(-1)})`;
  }
  const shell = spawn('/bin/sh', ['-c', 'read -r _; umount -l "$0"', storeDir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  return {
    unmount: async () => {
      shell.stdin.end();
      await once(shell, 'close');
    },
  };
}
