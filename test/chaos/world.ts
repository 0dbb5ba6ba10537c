/** What takes part in a run: the server, a proxy and a daemon for each instance, the service, and the streams. */
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { addStream, type Client, connectTo } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';
import type { Ledger } from './ledger.ts';
import { ARM_FILE, LAST_WORDS, type Point } from './points.ts';
import { configuration, OUT, STREAM } from './scenario.ts';
import { type Service, startService } from './service.ts';

const run = promisify(execFile);
const PRELOAD = pathToFileURL(join(import.meta.dirname, 'preload.ts')).href;
/** Milliseconds for what must succeed in the end, whatever is broken just now. */
const PATIENCE = 60_000;
/** Size of the file system that the server's store is put on. */
const STORE_SIZE = '1g';

/** One daemon after the other, behind one proxy. */
export class Instance {
  readonly name: string;
  readonly proxy: Proxy;
  daemon: Daemon | undefined;
  /** Bytes, when the daemon that runs now had started. */
  startMemory = 0;
  readonly #directory: string;
  #count = 0;

  constructor(index: number, proxy: Proxy, directory: string) {
    this.name = `daemon-${index}`;
    this.proxy = proxy;
    this.#directory = directory;
  }

  get #armFile(): string {
    return join(this.#directory, `${this.name}.armed.json`);
  }

  async start(yaml: string): Promise<void> {
    this.#count++;
    const env = { NODE_OPTIONS: `--import=${PRELOAD}`, [ARM_FILE]: this.#armFile };
    this.daemon = await startDaemon(yaml, { server: this.proxy, env, until: 'live', timeout: PATIENCE });
    this.startMemory = await this.daemon.total('process_resident_memory_bytes');
  }

  /** Has the running daemon kill itself at a point. Whether it got there within that many milliseconds. */
  async killAt(point: Point, within: number): Promise<boolean> {
    const { daemon } = this;
    if (daemon === undefined) return false;
    await writeFile(this.#armFile, JSON.stringify(point));
    daemon.signal('SIGUSR2');
    await daemon.exited(within).catch(() => undefined);
    const there = daemon.log().includes(LAST_WORDS);
    await this.kill();
    return there;
  }

  async kill(): Promise<void> {
    await this.daemon?.kill();
    await this.#gone();
  }

  /** Its exit code after SIGTERM. */
  async drain(): Promise<number | null> {
    const code = (await this.daemon?.terminate()) ?? null;
    await this.#gone();
    return code;
  }

  /** The log of a daemon that nobody ended and that ended all the same; undefined as long as it runs. */
  async endedByItself(): Promise<string | undefined> {
    const { daemon } = this;
    if (daemon === undefined) return undefined;
    try {
      const code = await daemon.exited(0);
      const log = daemon.log();
      await this.#gone();
      return `${this.name} ended with ${code}: ${log.slice(-1_000)}`;
    } catch {
      return undefined;
    }
  }

  async saveLog(): Promise<void> {
    if (this.daemon !== undefined)
      await writeFile(join(this.#directory, `${this.name}.${this.#count}.log`), this.daemon.log());
  }

  async #gone(): Promise<void> {
    await this.saveLog();
    await this.daemon?.[Symbol.asyncDispose]();
    this.daemon = undefined;
  }
}

export interface WorldOptions {
  readonly instances: number;
  /** Where logs go. */
  readonly directory: string;
  readonly ledger: Ledger;
  readonly say: (line: string) => void;
}

export interface Counts {
  kills: number;
  serverKills: number;
  /** Stops and cuts after which the server delivers again. */
  interruptions: number;
  pointsReached: Map<string, number>;
  /** Deliveries of durables that were deleted meanwhile. */
  deliveriesBefore: number;
}

export class World {
  readonly server: TestServer;
  readonly client: Client;
  readonly service: Service;
  readonly instances: readonly Instance[];
  /** Undefined: the store cannot run full here. */
  readonly smallStore: SmallStore | undefined;
  readonly counts: Counts = {
    kills: 0,
    serverKills: 0,
    interruptions: 0,
    pointsReached: new Map(),
    deliveriesBefore: 0,
  };
  /** What must not happen and was seen while the run went on. */
  readonly problems: string[] = [];
  generation = 0;
  serverAway = false;

  private constructor(
    server: TestServer,
    client: Client,
    service: Service,
    instances: readonly Instance[],
    smallStore: SmallStore | undefined,
  ) {
    this.server = server;
    this.client = client;
    this.service = service;
    this.instances = instances;
    this.smallStore = smallStore;
  }

  static async start({ instances: count, directory, ledger, say }: WorldOptions): Promise<World> {
    const server = await startServer();
    await server.stop();
    const mounted = await mountSmallStore(server.storeDir);
    const smallStore = typeof mounted === 'string' ? undefined : mounted;
    if (typeof mounted === 'string') say(`no full disk in this run: ${mounted}`);
    await server.restart();
    const client = await connectTo(server, { timeout: 5_000 });
    await addStream(client, STREAM, ['in.>'], { storage: 'file' });
    // A short window makes every repetition visible, with the id that it bears.
    await addStream(client, OUT, ['out.>'], { storage: 'file', duplicate_window: 100 * 1_000_000 });
    const service = await startService(client, ledger);
    const instances: Instance[] = [];
    for (let index = 0; index < count; index++)
      instances.push(new Instance(index, await startProxy(server), directory));
    const world = new World(server, client, service, instances, smallStore);
    await world.startMissing();
    return world;
  }

  get yaml(): string {
    return configuration(this.generation);
  }

  /** Starts every daemon that does not run. One that nobody ended is a problem. */
  async startMissing(): Promise<void> {
    for (const instance of this.instances) {
      const ended = await instance.endedByItself();
      if (ended !== undefined) this.problems.push(ended);
      if (instance.daemon === undefined) await instance.start(this.yaml);
    }
  }

  async bringServerBack(): Promise<void> {
    if (this.serverAway) await this.server.restart();
    this.serverAway = false;
  }

  /** Does something that must succeed in the end: tried again while the server is away. */
  async insist<T>(what: string, action: () => Promise<T>): Promise<void> {
    await waitFor(async () => [await action()], { timeout: PATIENCE, every: 200, what });
  }

  async stop(): Promise<void> {
    for (const instance of this.instances) {
      await instance.saveLog();
      await instance.daemon?.kill();
      await instance.proxy[Symbol.asyncDispose]();
    }
    await this.client[Symbol.asyncDispose]();
    await this.server.stop();
    await this.smallStore?.unmount();
    await this.server[Symbol.asyncDispose]();
  }
}

/** A file system of limited size in memory under the server's store. */
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
