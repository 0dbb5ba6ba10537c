/**
 * Starts and stops a nats-server of one's own, for `ouzel dev`, the tests and the benchmark. Nothing here runs in a
 * production daemon, which connects to a server that others operate.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve as resolvePath } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OuzelError } from '../errors.ts';

const run = promisify(execFile);

export interface StartOptions {
  readonly binary: string;
  /** Where streams are kept. One server at a time: a second one on it is refused. */
  readonly storeDir: string;
  /** Empty the store first, once it is sure that no other server is on it. Default false. */
  readonly reset?: boolean;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default 0: any free one. */
  readonly port?: number;
  /** Where the port is taken, take any free one instead of failing. Default false. */
  readonly orAnyPort?: boolean;
  /** Default true. */
  readonly jetstream?: boolean;
  /** More of the server's configuration, as the text of its file. Host, port and store stay as said here. */
  readonly config?: string;
  /** Further command-line arguments. */
  readonly args?: readonly string[];
  /** How long the server may take to be ready, in milliseconds. Default 30 s: a large store takes a while to load. */
  readonly readyWithin?: number;
  /** Each line that the server logs. */
  readonly onLog?: (line: string) => void;
}

/** How a server ended. */
export interface ServerExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  /** Its last log lines. */
  readonly tail: readonly string[];
}

export interface NatsServer {
  readonly url: string;
  readonly host: string;
  readonly port: number;
  readonly pid: number;
  readonly storeDir: string;
  /** Settles when the process ends, whoever ended it. Never rejects. */
  readonly onExit: Promise<ServerExit>;
  /** Ends the server (SIGTERM, after ten seconds SIGKILL) and waits for it. Doing it twice is fine. */
  stop(): Promise<void>;
  /** Sends a signal to this server and nothing else. */
  kill(signal: NodeJS.Signals): void;
}

/**
 * Starts a server and waits for its word that it is ready. It ends with this process, even one killed with SIGKILL, and
 * sits in a process group of its own, so that Ctrl-C reaches only the caller, who can drain before stopping it.
 */
export async function startNatsServer(options: StartOptions): Promise<NatsServer> {
  const storeDir = resolvePath(options.storeDir);
  await refuseStoreInUse(storeDir);
  if (options.reset === true) await rm(storeDir, { recursive: true, force: true });
  await mkdir(storeDir, { recursive: true });
  try {
    return await launch(options, storeDir, options.port ?? 0);
  } catch (error) {
    if (options.orAnyPort === true && error instanceof PortInUse) return await launch(options, storeDir, 0);
    throw error;
  }
}

class PortInUse extends OuzelError {}

const pidFile = (storeDir: string): string => join(storeDir, 'nats-server.pid');

/** Two servers on one store would destroy it, and nats-server does not look. One that is just ending is waited for. */
async function refuseStoreInUse(storeDir: string): Promise<void> {
  const text = await readFile(pidFile(storeDir), 'utf8').catch(() => '');
  const pid = Number.parseInt(text, 10);
  if (!(pid > 0)) return;
  for (let waited = 0; await runsOn(pid, storeDir); waited += 100) {
    if (waited >= 3_000) {
      throw new OuzelError(
        'NATS_UNAVAILABLE',
        `The store ${storeDir} is in use by a nats-server with the process id ${pid}. Stop that one first.`,
      );
    }
    await sleep(100);
  }
}

/** Whether this process is alive and is a server on this store: a process id alone may be somebody else's by now. */
async function runsOn(pid: number, storeDir: string): Promise<boolean> {
  const ps = async (): Promise<string> => (await run('ps', ['-ww', '-o', 'args=', '-p', String(pid)])).stdout;
  const command = await readFile(`/proc/${pid}/cmdline`, 'utf8')
    .catch(ps)
    .catch(() => '');
  return command.includes(storeDir);
}

async function launch(options: StartOptions, storeDir: string, port: number): Promise<NatsServer> {
  const host = options.host ?? '127.0.0.1';
  const args = ['-a', host, '-p', String(port === 0 ? -1 : port), '-P', pidFile(storeDir)];
  args.push('-sd', storeDir, ...(options.jetstream === false ? [] : ['-js']), ...(options.args ?? []));
  if (options.config !== undefined) {
    const file = join(storeDir, 'nats-server.conf');
    await writeFile(file, options.config, { mode: 0o600 });
    args.push('-c', file);
  }
  const child = spawn(options.binary, args, { stdio: ['ignore', 'ignore', 'pipe'], detached: true });

  const tail: string[] = [];
  let ended = false;
  const onExit = new Promise<ServerExit>((resolve) => {
    const end = (code: number | null, signal: NodeJS.Signals | null): void => {
      ended = true;
      resolve({ code, signal, tail });
    };
    child.once('close', end);
    child.once('error', (error) => {
      tail.push(error.message);
      if (child.pid === undefined) end(null, null);
    });
  });
  endWithThisProcess(child);

  const listening = new Promise<number>((resolve) => {
    let bound = port;
    createInterface({ input: child.stderr }).on('line', (line) => {
      tail.push(line);
      if (tail.length > 50) tail.shift();
      const match = /Listening for client connections on .*:(\d+)$/.exec(line);
      if (match !== null) bound = Number(match[1]);
      if (line.endsWith('Server is ready')) resolve(bound);
      options.onLog?.(line);
    });
  });

  const stop = async (): Promise<void> => {
    if (ended) return;
    child.kill('SIGTERM');
    const patience = setTimeout(() => child.kill('SIGKILL'), 10_000);
    await onExit;
    clearTimeout(patience);
  };

  const within = options.readyWithin ?? 30_000;
  const late = new AbortController();
  const ready = await Promise.race([
    listening,
    onExit,
    sleep(within, undefined, { signal: late.signal }).catch(() => undefined),
  ]);
  late.abort();
  if (typeof ready === 'number' && child.pid !== undefined) {
    const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
    const url = `nats://${host.includes(':') ? `[${host}]` : host}:${ready}`;
    return { url, host, port: ready, pid: child.pid, storeDir, onExit, stop, kill };
  }
  await stop();
  throw startFailure(`${host}:${port}`, ready === undefined ? `not ready within ${within} ms` : 'ended', tail);
}

function startFailure(address: string, what: string, tail: readonly string[]): OuzelError {
  if (tail.some((line) => /Error listening on port/.test(line))) {
    const taken = tail.some((line) => /address already in use|Only one usage of each/.test(line));
    const message = `nats-server cannot listen on ${address}${taken ? ': the port is in use' : ''}.`;
    return taken ? new PortInUse('NATS_UNAVAILABLE', message) : new OuzelError('NATS_UNAVAILABLE', message);
  }
  const said = tail.length === 0 ? 'It said nothing.' : `Its last words:\n  ${tail.slice(-8).join('\n  ')}`;
  return new OuzelError('NATS_UNAVAILABLE', `nats-server did not start (${what}). ${said}`);
}

/**
 * Ties a child to this process, for a child that would outlive it and hold ports and stores for ever. A shell waits on a
 * pipe from here: however this process ends, even by SIGKILL, the pipe closes and the shell ends the child (SIGTERM).
 * Without /bin/sh the child survives a SIGKILL of this process, and only that.
 */
export function endWithThisProcess(child: ChildProcess): void {
  if (child.pid === undefined || process.platform === 'win32') return;
  const shell = spawn('/bin/sh', ['-c', 'read -r _; kill -TERM "$0"', String(child.pid)], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  shell.once('error', () => {});
  shell.unref();
  child.once('exit', () => shell.kill('SIGKILL'));
}
