import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startNatsServer } from '../../src/nats/server.ts';
import type { NatsServer } from '../../src/nats/server.ts';
import { freePort } from './ports.ts';
import { natsServer, releasing, temporaryDirectory } from './resources.ts';
import { waitFor } from './wait.ts';

export interface TestServerOptions {
  /** More of the server's configuration file. */
  readonly config?: string;
  readonly jetstream?: boolean;
}

/** A nats-server of the test's own, on a port and a store that stay the same over restarts. */
export interface TestServer extends AsyncDisposable {
  readonly url: string;
  readonly port: number;
  readonly storeDir: string;
  /** Of the process that runs now. */
  readonly pid: number;
  /** Its last log lines, over restarts. */
  log(): string;
  /** Stops it (or finds it stopped or killed) and starts it again on the same port and store. */
  restart(options?: TestServerOptions): Promise<void>;
  /** Puts another configuration in force while it runs (SIGHUP); it was started with one. */
  reload(config: string): Promise<void>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** SIGTERM, and waits for the end. `restart()` brings it back. */
  stop(): Promise<void>;
}

/** Starts a server with an empty store. It goes when the test ends, or with `await using`, or at the end of the run. */
export async function startServer(options: TestServerOptions = {}): Promise<TestServer> {
  const storeDir = await temporaryDirectory('nats');
  const lines: string[] = [];
  const onLog = (line: string): void => {
    lines.push(line);
    if (lines.length > 500) lines.shift();
  };
  const start = async (port: number, more: TestServerOptions): Promise<NatsServer> =>
    startNatsServer({ binary: natsServer(), storeDir, port, onLog, ...more });

  let current = await start(await freePort(), options).catch(async () => start(await freePort(), options));
  const { url, port } = current;
  const dispose = releasing(async () => {
    await current.stop();
    await rm(storeDir, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 });
  });
  return {
    url,
    port,
    storeDir,
    get pid() {
      return current.pid;
    },
    log: () => lines.join('\n'),
    restart: async (changed = options) => {
      await current.stop();
      // Somebody who looks for a free port may hold this one for a moment.
      current = await waitFor(() => start(port, changed), { what: `port ${port} to be free again` });
    },
    reload: async (config) => {
      const reloads = (): number => lines.filter((line) => line.includes('Reloaded server configuration')).length;
      const before = reloads();
      await writeFile(join(storeDir, 'nats-server.conf'), config);
      current.kill('SIGHUP');
      await waitFor(() => reloads() > before, { what: () => `the reload. Its log:\n${lines.slice(-10).join('\n')}` });
    },
    kill: async () => {
      current.kill('SIGKILL');
      await current.onExit;
    },
    stop: () => current.stop(),
    [Symbol.asyncDispose]: dispose,
  };
}
