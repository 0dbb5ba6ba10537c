import { rm } from 'node:fs/promises';
import { startNatsServer } from '../../src/nats/server.ts';
import type { NatsServer } from '../../src/nats/server.ts';
import { freePort } from './ports.ts';
import { connectTo } from './publish.ts';
import { natsServer, releasing, temporaryDirectory } from './resources.ts';
import { waitFor } from './wait.ts';

export interface ClusterOptions {
  /** Whether the servers tell clients of each other. Default true; false keeps clients behind a proxy. */
  readonly gossip?: boolean;
  /** More of each server's configuration file. */
  readonly config?: string;
}

/** Three nats-servers as one JetStream cluster on loopback. Ports and stores stay the same over restarts. */
export interface TestCluster extends AsyncDisposable {
  /** All three, separated by commas. */
  readonly url: string;
  readonly nodes: readonly ClusterNode[];
  /** SIGKILL of one node, and waits for its end. */
  kill(index: number): Promise<void>;
  /** SIGTERM of one node, and waits for its end. */
  stop(index: number): Promise<void>;
  /** Lame duck mode of one node: it tells its clients, hands its leaderships over and ends. Waits for its end. */
  lameDuck(index: number): Promise<void>;
  /** Starts a node again that ended (or stops it first), and waits until the cluster is whole. */
  restart(index: number): Promise<void>;
  /** The node that leads a stream, or a durable of it; waits until there is one. */
  leaderOf(stream: string, consumer?: string): Promise<number>;
  /** Has the leader of a stream, or of a durable of it, step down, and waits until another leads. */
  stepDown(stream: string, consumer?: string): Promise<void>;
  /** Waits until all nodes run and have caught up. */
  untilWhole(): Promise<void>;
}

export interface ClusterNode {
  readonly name: string;
  readonly url: string;
  readonly port: number;
  /** Of the process that runs now, or ran last. */
  readonly pid: number;
  readonly running: boolean;
  /** Its last log lines, over restarts. */
  log(): string;
}

const SIZE = 3;
/** Milliseconds for an election and for catching up. */
const PATIENCE = 40_000;

class Node implements ClusterNode {
  readonly name: string;
  readonly port: number;
  readonly storeDir: string;
  readonly #monitor: number;
  readonly #config: string;
  readonly #lines: string[] = [];
  #server: NatsServer | undefined;
  running = false;

  constructor(index: number, storeDir: string, ports: Ports, { gossip = true, config = '' }: ClusterOptions) {
    this.name = `n${index}`;
    this.storeDir = storeDir;
    this.port = ports.client[index] as number;
    this.#monitor = ports.monitor[index] as number;
    const routes = ports.route.map((port) => `nats://127.0.0.1:${port}`).join(', ');
    this.#config = [
      `server_name: ${this.name}`,
      `http: "127.0.0.1:${this.#monitor}"`,
      `lame_duck_grace_period: "1s"`,
      `lame_duck_duration: "30s"`,
      `cluster { name: test, listen: "127.0.0.1:${ports.route[index]}", routes: [${routes}], no_advertise: ${!gossip} }`,
      config,
    ].join('\n');
  }

  get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get pid(): number {
    return this.#server?.pid ?? -1;
  }

  log(): string {
    return this.#lines.join('\n');
  }

  async start(): Promise<void> {
    const { storeDir, port } = this;
    const onLog = (line: string): void => {
      this.#lines.push(line);
      if (this.#lines.length > 500) this.#lines.shift();
    };
    // Somebody who looks for a free port may hold this one for a moment.
    const server = await waitFor(
      () => startNatsServer({ binary: natsServer(), storeDir, port, onLog, config: this.#config }),
      { what: `${this.name} to start` },
    );
    this.#server = server;
    this.running = true;
    server.onExit.then(() => (this.running = false)).catch(() => undefined);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    if (this.running) this.#server?.kill(signal);
    await this.#server?.onExit;
  }

  async stop(): Promise<void> {
    await this.#server?.stop();
  }

  /** Whether it has caught up with the cluster. */
  async healthy(): Promise<boolean> {
    return (await fetch(`http://127.0.0.1:${this.#monitor}/healthz`)).status === 200;
  }
}

interface Ports {
  readonly client: readonly number[];
  readonly route: readonly number[];
  readonly monitor: readonly number[];
}

async function choosePorts(): Promise<Ports> {
  const chosen = new Set<number>();
  while (chosen.size < 3 * SIZE) chosen.add(await freePort());
  const all = [...chosen];
  return { client: all.slice(0, SIZE), route: all.slice(SIZE, 2 * SIZE), monitor: all.slice(2 * SIZE) };
}

/** Starts a cluster with empty stores. It goes when the test ends, or with `await using`, or at the end of the run. */
export async function startCluster(options: ClusterOptions = {}): Promise<TestCluster> {
  const ports = await choosePorts();
  const nodes: Node[] = [];
  for (let index = 0; index < SIZE; index++)
    nodes.push(new Node(index, await temporaryDirectory(`n${index}`), ports, options));
  const nodeAt = (index: number): Node => {
    const node = nodes[index];
    if (node === undefined) throw new RangeError(`There is no node ${index}.`);
    return node;
  };
  const dispose = releasing(async () => {
    await Promise.all(nodes.map((node) => node.stop()));
    for (const { storeDir } of nodes)
      await rm(storeDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  const untilWhole = async (): Promise<void> => {
    for (const node of nodes) {
      const what = (): string => `${node.name} to have caught up. Its log:\n${node.log().slice(-2000)}`;
      await waitFor(() => node.healthy(), { timeout: PATIENCE, every: 100, what });
    }
  };
  const url = nodes.map((node) => node.url).join(',');

  const leaderOf = async (stream: string, consumer?: string): Promise<number> => {
    const what = (): string => `a leader of ${consumer ?? stream}`;
    const look = async (): Promise<number> => {
      await using client = await connectTo({ url: nodes.filter(({ running }) => running).map((node) => node.url) });
      const { cluster } =
        consumer === undefined
          ? await client.jsm.streams.info(stream)
          : await client.jsm.consumers.info(stream, consumer);
      return nodes.findIndex(({ name, running }) => running && name === cluster?.leader) + 1;
    };
    return (await waitFor(look, { timeout: PATIENCE, every: 100, what })) - 1;
  };

  try {
    await Promise.all(nodes.map((node) => node.start()));
    await untilWhole();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    url,
    nodes,
    untilWhole,
    leaderOf,
    kill: (index) => nodeAt(index).end('SIGKILL'),
    stop: (index) => nodeAt(index).stop(),
    // What `nats-server --signal ldm=<pid>` sends.
    lameDuck: (index) => nodeAt(index).end('SIGUSR2'),
    restart: async (index) => {
      await nodeAt(index).stop();
      await nodeAt(index).start();
      await untilWhole();
    },
    stepDown: async (stream, consumer) => {
      const before = await leaderOf(stream, consumer);
      const what =
        consumer === undefined ? `STREAM.LEADER.STEPDOWN.${stream}` : `CONSUMER.LEADER.STEPDOWN.${stream}.${consumer}`;
      await using client = await connectTo({ url: nodeAt(before).url });
      await client.nc.request(`$JS.API.${what}`, '', { timeout: 5_000 });
      await waitFor(async () => (await leaderOf(stream, consumer)) !== before, {
        timeout: PATIENCE,
        what: `another leader of ${consumer ?? stream} than ${nodeAt(before).name}`,
      });
    },
    [Symbol.asyncDispose]: dispose,
  };
}
