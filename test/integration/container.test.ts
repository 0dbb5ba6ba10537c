/** The image, without Docker: its steps as plain commands, then what it starts, on files that nobody may change. */
import { execFile, spawn } from 'node:child_process';
import { cp, mkdir, mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { parse } from 'yaml';
import { endWithThisProcess } from '../../src/nats/server.ts';
import { freePort } from '../helpers/ports.ts';
import { noPrometheus, promtool } from '../helpers/prometheus.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const ROOT = join(import.meta.dirname, '..', '..');

interface Instruction {
  readonly word: string;
  readonly rest: string;
}

const instructions = (await readFile(join(ROOT, 'Dockerfile'), 'utf8'))
  .split('\n')
  .filter((line) => line !== '' && !line.startsWith('#'))
  .map((line): Instruction => ({ word: line.split(' ')[0] ?? '', rest: line.slice(line.indexOf(' ') + 1) }));
const last = (word: string): string => instructions.findLast((each) => each.word === word)?.rest ?? '';

/** What the build carries out, with each stage's root below a directory. Returns the root of the last one. */
async function build(below: string): Promise<string> {
  const ignored = (await readFile(join(ROOT, '.dockerignore'), 'utf8')).split('\n');
  const roots = new Map<string, string>();
  let root = '';
  let workdir = '';
  for (const { word, rest } of instructions) {
    if (word === 'FROM') {
      const name = / AS (\w+)$/.exec(rest)?.[1] ?? 'final';
      root = join(below, name);
      roots.set(name, root);
      workdir = '';
    } else if (word === 'WORKDIR') {
      workdir = rest;
      await mkdir(join(root, workdir), { recursive: true });
    } else if (word === 'COPY') {
      const words = rest.split(' ');
      const from = words.find((each) => each.startsWith('--from='))?.slice('--from='.length);
      const paths = words.filter((each) => !each.startsWith('--'));
      const target = paths.pop() ?? '';
      for (const path of paths) {
        if (from === undefined) expect(ignored, 'what is copied and left out of the context').toContain(`!${path}`);
        const to = target.startsWith('/') ? join(root, target) : join(root, workdir, target);
        const source = from === undefined ? join(ROOT, path) : join(roots.get(from) ?? '', path);
        if (from === undefined) {
          await cp(source, target.endsWith('./') ? join(to, path) : to, { recursive: true, verbatimSymlinks: true });
          continue;
        }
        // What a stage has made is not needed there any more: it is moved, which is quicker.
        await rm(to, { recursive: true, force: true });
        await mkdir(dirname(to), { recursive: true });
        await rename(source, to);
      }
    } else if (word === 'RUN') {
      const env = { ...process.env, npm_config_prefer_offline: 'true' };
      await promisify(execFile)('sh', ['-c', rest], { cwd: join(root, workdir), env });
    }
  }
  return root;
}

/** Files and directories that were written to after a file was. */
async function writtenAfter(file: string, directory: string): Promise<string[]> {
  const { stdout } = await promisify(execFile)('find', [directory, '-newer', file]);
  return stdout.split('\n').filter((line) => line !== '');
}

test('the image has a numeric user that is not root, and a health check without a shell', () => {
  expect(last('USER')).toMatch(/^[1-9]\d*:[1-9]\d*$/);
  expect(JSON.parse(last('HEALTHCHECK').replace(/^.*? CMD /, ''))).toContain('node');
  expect(JSON.parse(last('ENTRYPOINT'))).toEqual(['node', 'src/main.ts']);
});

test('what the steps of the build make runs, is healthy, stops, and writes nothing but its state', async () => {
  const below = await mkdtemp(join(tmpdir(), 'ouzel-image-'));
  onTestFinished(() => rm(below, { recursive: true, force: true }));
  const root = await build(below);
  await using server = await startServer();
  const inside = (text: string): string => text.replaceAll(/\/(etc|var\/lib)\/ouzel/g, (path) => join(root, path));
  await mkdir(inside('/etc/ouzel'), { recursive: true });
  await cp(join(ROOT, 'config', 'ouzel.yaml'), inside('/etc/ouzel/ouzel.yaml'));
  await cp(join(ROOT, 'plugins'), join(root, 'etc', 'plugins'), { recursive: true });
  const set = Object.fromEntries(
    last('ENV')
      .split(' ')
      .map((each) => each.split('=') as [string, string]),
  );
  const address = `127.0.0.1:${await freePort()}`;
  const env = {
    ...process.env,
    ...set,
    STATE_DIRECTORY: inside(set['STATE_DIRECTORY'] ?? ''),
    OUZEL_HTTP: address,
    NATS_URL: server.url,
  };
  const cwd = join(root, last('WORKDIR'));
  const marker = join(below, 'marker');
  await writeFile(marker, '');

  const [node = '', ...args] = [last('ENTRYPOINT'), last('CMD')].flatMap((text) => JSON.parse(text) as string[]);
  const child = spawn(node, args.map(inside), { cwd, env, stdio: ['ignore', 'pipe', 'pipe'] });
  endWithThisProcess(child);
  const exit = new Promise<number | null>((resolve) => child.once('close', resolve));
  onTestFinished(async () => {
    child.kill('SIGKILL');
    await exit;
  });
  let log = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (log += text));

  await waitFor(async () => (await fetch(`http://${address}/readyz`)).status === 200, {
    timeout: 90_000,
    what: () => `it to be ready:\n${log}`,
  });
  const [command = '', ...check] = JSON.parse(last('HEALTHCHECK').replace(/^.*? CMD /, '')) as string[];
  await promisify(execFile)(command, check, { env });
  child.kill(last('STOPSIGNAL') as 'SIGTERM');
  expect(await exit).toBe(0);
  expect(await writtenAfter(marker, root)).toEqual([]);
  // Nobody is there any more.
  await expect(promisify(execFile)(command, check, { env })).rejects.toMatchObject({ code: 1 });
}, 240_000);

interface Compose {
  readonly services: Readonly<Record<string, { readonly volumes?: readonly string[] }>>;
}

test('compose.yaml mounts what is there, where Prometheus and Grafana look for it', async () => {
  const read = async (path: string): Promise<string> => readFile(join(ROOT, path), 'utf8');
  const { services } = parse(await read('compose.yaml')) as Compose;
  expect(Object.keys(services)).toEqual(['nats', 'ouzel', 'prometheus', 'grafana', 'jaeger']);
  const mounts = new Map<string, string>();
  for (const volume of Object.values(services).flatMap(({ volumes = [] }) => volumes)) {
    const [from = '', to = ''] = volume.split(':');
    if (!from.startsWith('./')) continue;
    await stat(join(ROOT, from));
    mounts.set(to, from);
  }
  const provider = parse(await read('grafana/provisioning/dashboards/ouzel.yaml')) as {
    providers: readonly { options: { path: string } }[];
  };
  expect(provider.providers.map(({ options }) => mounts.get(options.path))).toEqual(['./grafana/dashboards']);
  const sources = parse(await read('grafana/provisioning/datasources/prometheus.yaml')) as {
    datasources: readonly { url: string }[];
  };
  for (const { url } of sources.datasources) expect(Object.keys(services)).toContain(new URL(url).hostname);
  if ((await noPrometheus()) !== undefined) return;
  const etc = await temporaryDirectory('etc');
  for (const [to, from] of mounts)
    if (to.startsWith('/etc/prometheus'))
      await cp(join(ROOT, from), to.replace('/etc/prometheus', etc), { recursive: true });
  const { groups } = parse(await read('grafana/alerts/ouzel.rules.yaml')) as { groups: { rules: unknown[] }[] };
  const rules = groups.flatMap((group) => group.rules).length;
  expect(await promtool('check', 'config', join(etc, 'prometheus.yml'))).toContain(`${rules} rules found`);
});
