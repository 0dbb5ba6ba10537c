import { spawn } from 'node:child_process';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { endWithThisProcess } from '../../src/nats/server.ts';
import { MAIN, processEnv } from './cli.ts';
import { Metrics } from './metrics.ts';
import type { Labels } from './metrics.ts';
import { freePort } from './ports.ts';
import { releasing, temporaryDirectory } from './resources.ts';
import { waitFor } from './wait.ts';

export interface DaemonOptions {
  readonly server: { readonly url: string };
  /** Set on top of the test's own environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Further files beside the configuration, by relative path. `@HTTP@` and `@NATS@` are put in here too. */
  readonly files?: Readonly<Record<string, string>>;
  /** `ready` (default) waits for /readyz 200, `live` for /healthz 200, `spawned` for nothing. */
  readonly until?: 'ready' | 'live' | 'spawned';
  /** How long that may take, in milliseconds. Default 20 s. */
  readonly timeout?: number;
  /** Arguments behind `run --config FILE`. */
  readonly args?: readonly string[];
}

/** An `ouzel run` as a child process. */
export interface Daemon extends AsyncDisposable {
  readonly pid: number;
  /** `http://127.0.0.1:<port>` of the admin listener. */
  readonly http: string;
  readonly configFile: string;
  readonly directory: string;
  metrics(): Promise<Metrics>;
  /** The sum of the samples with this name and these labels. */
  total(name: string, labels?: Labels): Promise<number>;
  /** All that it wrote to stdout and stderr so far. */
  log(): string;
  /** The lines of it that are JSON objects. */
  logLines(): Record<string, unknown>[];
  /** Writes a file of the configuration anew (default `ouzel.yaml`), with `@HTTP@` and `@NATS@` put in. */
  write(text: string, file?: string): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** SIGTERM, and waits for the end (45 s at most). The exit code, or null when a signal ended it. */
  terminate(): Promise<number | null>;
  /** SIGKILL, and waits for the end. */
  kill(): Promise<void>;
  /** Waits for it to end by itself. */
  exited(timeout?: number): Promise<number | null>;
}

/**
 * Runs Ouzel on a configuration, in which `@HTTP@` is an `address:port` for `http.listen` and `@NATS@` the server's URL.
 * It is killed when the test ends, or with `await using`, or when the test process ends.
 */
export async function startDaemon(yaml: string, options: DaemonOptions): Promise<Daemon> {
  const directory = await temporaryDirectory('daemon');
  const address = `127.0.0.1:${await freePort()}`;
  const http = `http://${address}`;
  const write = async (text: string, file = 'ouzel.yaml'): Promise<void> => {
    const path = join(directory, file);
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, text.replaceAll('@HTTP@', address).replaceAll('@NATS@', options.server.url));
  };
  for (const [file, text] of Object.entries(options.files ?? {})) await write(text, file);
  await write(yaml);

  const configFile = join(directory, 'ouzel.yaml');
  const child = spawn(process.execPath, [MAIN, 'run', '--config', configFile, ...(options.args ?? [])], {
    cwd: directory,
    env: processEnv(options.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  endWithThisProcess(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  }
  let exit: { code: number | null } | undefined;
  const ended = new Promise<void>((resolve) => {
    child.once('close', (code) => {
      exit = { code };
      resolve();
    });
    child.once('error', (error) => {
      output += error.message;
      exit ??= { code: null };
      resolve();
    });
  });

  const exited = async (timeout = 60_000): Promise<number | null> => {
    const gone = await waitFor(() => exit, { timeout, what: () => `the daemon to end. Its log:\n${tail(output)}` });
    return gone.code;
  };
  const metrics = async (): Promise<Metrics> => {
    const response = await fetch(`${http}/metrics`);
    if (response.status !== 200) throw new Error(`/metrics answered ${response.status}: ${await response.text()}`);
    return new Metrics(await response.text());
  };
  const kill = async (): Promise<void> => {
    if (exit === undefined) child.kill('SIGKILL');
    await ended;
  };
  const daemon: Daemon = {
    pid: child.pid ?? -1,
    http,
    configFile,
    directory,
    metrics,
    total: async (name, labels) => (await metrics()).total(name, labels),
    log: () => output,
    logLines: () => output.split('\n').flatMap(parseObject),
    write,
    signal: (signal) => void child.kill(signal),
    terminate: async () => {
      child.kill('SIGTERM');
      return exited();
    },
    kill,
    exited,
    [Symbol.asyncDispose]: releasing(async () => {
      await kill();
      await rm(directory, { recursive: true, force: true });
    }),
  };

  const path = { ready: '/readyz', live: '/healthz', spawned: undefined }[options.until ?? 'ready'];
  if (path === undefined) return daemon;
  let answer = 'no answer';
  const what = (): string => `${path} to answer 200 (${answer}). Its log:\n${tail(output)}`;
  try {
    await waitFor(
      async () => {
        if (exit !== undefined) return true;
        const response = await fetch(`${http}${path}`);
        answer = `${response.status}: ${await response.text()}`;
        return response.status === 200;
      },
      { timeout: options.timeout ?? 60_000, what },
    );
    if (exit !== undefined) throw new Error(`The daemon ended with ${exit.code}. Its log:\n${tail(output)}`);
  } catch (error) {
    await daemon[Symbol.asyncDispose]();
    throw error;
  }
  return daemon;
}

function tail(text: string): string {
  return text.slice(-4_000);
}

function parseObject(line: string): Record<string, unknown>[] {
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === 'object' && value !== null ? [{ ...value }] : [];
  } catch {
    return [];
  }
}
