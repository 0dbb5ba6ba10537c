/** What takes part in a run: the server, a proxy and a daemon for each instance, the service, and the streams. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type Proxy, startProxy } from '../helpers/proxy.ts';
import { addStream, type Client, connectTo } from '../helpers/publish.ts';
import { waitFor } from '../helpers/wait.ts';
import { type Broker, startSingle, startThree } from './broker.ts';
import { type Hook, startHook } from './hook.ts';
import type { Ledger } from './ledger.ts';
import { ARM_FILE, LAST_WORDS, type Point } from './points.ts';
import { configuration, OUT, STREAM } from './scenario.ts';
import { type Service, startService } from './service.ts';

const PRELOAD = pathToFileURL(join(import.meta.dirname, 'preload.ts')).href;
/** Milliseconds for what must succeed in the end, whatever is broken just now. */
const PATIENCE = 60_000;

/** One daemon after the other, each behind the same proxies: one for each server. */
export class Instance {
  readonly name: string;
  readonly proxies: readonly Proxy[];
  daemon: Daemon | undefined;
  /** Bytes, when the daemon that runs now had started. */
  startMemory = 0;
  readonly #directory: string;
  #count = 0;

  constructor(index: number, proxies: readonly Proxy[], directory: string) {
    this.name = `daemon-${index}`;
    this.proxies = proxies;
    this.#directory = directory;
  }

  get #armFile(): string {
    return join(this.#directory, `${this.name}.armed.json`);
  }

  async start(yaml: string): Promise<void> {
    this.#count++;
    const env = { NODE_OPTIONS: `--import=${PRELOAD}`, [ARM_FILE]: this.#armFile };
    const url = this.proxies.map((proxy) => proxy.url).join(',');
    try {
      this.daemon = await startDaemon(yaml, { server: { url }, env, until: 'live', timeout: PATIENCE });
      this.startMemory = await this.daemon.total('process_resident_memory_bytes');
    } catch (error) {
      // A lethal event can meet it before it is there.
      if (!`${(error as Error).message}${this.daemon?.log() ?? ''}`.includes(LAST_WORDS)) throw error;
    }
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

  /** Whether the daemon killed itself, and nothing runs now. */
  async fell(): Promise<boolean> {
    if (this.daemon?.log().includes(LAST_WORDS) === true) await this.kill();
    return this.daemon === undefined;
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
  /** 1, or 3 for a cluster. */
  readonly servers: 1 | 3;
  /** Where logs go. */
  readonly directory: string;
  readonly ledger: Ledger;
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
  readonly broker: Broker;
  readonly ledger: Ledger;
  readonly client: Client;
  readonly service: Service;
  readonly hook: Hook;
  readonly instances: readonly Instance[];
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

  private constructor(
    broker: Broker,
    ledger: Ledger,
    client: Client,
    service: Service,
    hook: Hook,
    instances: readonly Instance[],
  ) {
    this.broker = broker;
    this.ledger = ledger;
    this.client = client;
    this.service = service;
    this.hook = hook;
    this.instances = instances;
  }

  static async start({ instances: count, servers, directory, ledger }: WorldOptions): Promise<World> {
    const broker = servers === 1 ? await startSingle() : await startThree();
    const client = await connectTo({ url: broker.url.split(',') }, { timeout: 5_000 });
    const stored = { storage: 'file', num_replicas: broker.replicas } as const;
    await addStream(client, STREAM, ['in.>'], stored);
    // A short window makes every repetition visible, with the id that it bears.
    await addStream(client, OUT, ['out.>'], { ...stored, duplicate_window: 100 * 1_000_000 });
    const service = await startService(client, ledger);
    const hook = await startHook(ledger);
    const instances: Instance[] = [];
    for (let index = 0; index < count; index++) {
      const proxies = await Promise.all(broker.ports.map((port) => startProxy({ port })));
      instances.push(new Instance(index, proxies, directory));
    }
    const world = new World(broker, ledger, client, service, hook, instances);
    await world.startMissing();
    return world;
  }

  get yaml(): string {
    return configuration(this.generation, this.broker.replicas, this.hook.url);
  }

  /** What a reload brings: another configuration that loads. */
  nextYaml(): string {
    this.generation++;
    return this.yaml;
  }

  /** Starts every daemon that does not run. One that nobody ended is a problem. */
  async startMissing(): Promise<void> {
    for (const instance of this.instances) {
      await instance.fell();
      const ended = await instance.endedByItself();
      if (ended !== undefined) this.problems.push(ended);
      if (instance.daemon === undefined) await instance.start(this.yaml);
    }
  }

  /** Starts again what killed itself, as an init system would. */
  async supervise(): Promise<void> {
    for (const instance of this.instances) {
      if (instance.daemon === undefined || !(await instance.fell())) continue;
      this.counts.kills++;
      await instance.start(this.yaml);
    }
  }

  /** Does something that must succeed in the end: tried again while the server is away. */
  async insist<T>(what: string, action: () => Promise<T>): Promise<void> {
    await waitFor(async () => [await action()], { timeout: PATIENCE, every: 200, what });
  }

  async stop(): Promise<void> {
    for (const instance of this.instances) {
      await instance.saveLog();
      await instance.daemon?.kill();
      for (const proxy of instance.proxies) await proxy[Symbol.asyncDispose]();
    }
    await this.hook.stop();
    await this.client[Symbol.asyncDispose]();
    await this.broker.stop();
  }
}
