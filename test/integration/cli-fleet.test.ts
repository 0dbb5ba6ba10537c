/** The commands that change a running fleet: what they do, what they print, and what they refuse. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callApi } from '../helpers/api.ts';
import { type CliResult, runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { type HttpTarget, startHttpTarget } from '../helpers/http-target.ts';
import { type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const ADMIN = 'admin-token-of-this-test-0123456789abcdef';
const READER = 'reader-token-of-this-test-0123456789abcd';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  IN: { subjects: ["in.>"], strip: "in.", storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
targets: { there: { publish: { subject: out.there } } }
consumers:
  own: { stream: IN, deliver: [{ to: there }] }
access:
  - { who: { token: "\${ADMIN_TOKEN}" }, may: admin }
  - { who: { token: "\${READER_TOKEN}" }, may: read }
`;

let server: TestServer;
let client: Client;
let daemons: readonly Daemon[];
let first: Daemon;
let directory: string;

const start = (): Promise<Daemon> =>
  startDaemon(CONFIG, { server, env: { ADMIN_TOKEN: ADMIN, READER_TOKEN: READER }, timeout: 60_000 });

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  first = await start();
  daemons = [first, await start()];
  directory = await temporaryDirectory('apply');
}, 120_000);

afterAll(async () => {
  await Promise.all(daemons.map((daemon) => daemon.kill()));
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

async function write(files: Readonly<Record<string, string>>): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(directory, name)), { recursive: true });
    await writeFile(join(directory, name), text);
  }
}

const ouzel = (args: readonly string[], token = ADMIN): Promise<CliResult> =>
  runCli([...args, '--url', first.http], { cwd: directory, env: { OUZEL_TOKEN: token } });

/** Commands that ask NATS itself, as the daemon's configuration says. */
const direct = (args: readonly string[]): Promise<CliResult> =>
  runCli([...args, '-c', first.configFile], { cwd: directory, env: { ADMIN_TOKEN: ADMIN, READER_TOKEN: READER } });

/** Consumers of the fleet, as a daemon has them. */
async function fleetOf(daemon: Daemon): Promise<string[]> {
  const headers = { authorization: `Bearer ${ADMIN}` };
  const { body } = await callApi<{ consumers: { name: string; owner: string; state: string }[] }>(
    daemon,
    'GET',
    '/consumers',
    { headers },
  );
  return body.consumers.filter(({ owner }) => owner === 'fleet').map(({ name, state }) => `${name} ${state}`);
}

const everywhere = (wanted: readonly string[]): Promise<unknown> =>
  waitFor(async () => (await Promise.all(daemons.map(fleetOf))).every((has) => has.join() === wanted.join()), {
    what: `all to have ${wanted.join(', ') || 'nothing'}`,
  });

const FILTERS = 'filters:\n  # Large ones.\n  big: event.data.n > 10 # pieces\n';
const BILLING = `consumers:
  billing: # of the accountants
    stream: IN
    start: all
    pipeline: [big]
    deliver:
      - { to: books }
targets: { books: { publish: { subject: out.books } } }
`;

test('a folder is applied, changed and pruned on every instance; what did not change is not touched', async () => {
  await write({ 'fleet/a.yaml': FILTERS, 'fleet/b.yaml': BILLING, 'fleet/notes.txt': 'streams: {}' });
  const plan = await ouzel(['apply', 'fleet', '--dry-run']);
  expect(plan).toEqual({
    code: 0,
    stdout: '+ filters/big\n+ consumers/billing\n+ targets/books\n\n3 to add, 0 to change, 0 to remove, 0 unchanged.\n',
    stderr: '',
  });
  expect(await fleetOf(first)).toEqual([]);
  expect((await ouzel(['config', 'diff', 'fleet'])).code).toBe(1);
  const applied = await ouzel(['apply', 'fleet', '--json']);
  expect(applied).toMatchObject({ code: 0, stderr: '' });
  expect(JSON.parse(applied.stdout)).toMatchObject({
    dry_run: false,
    resources: [
      { section: 'filters', name: 'big', action: 'made', after: '# Large ones.\nevent.data.n > 10 # pieces\n' },
      { section: 'consumers', name: 'billing', action: 'made' },
      { section: 'targets', name: 'books', action: 'made', before: null },
    ],
    consumers: { added: ['billing'] },
  });
  await everywhere(['billing running']);
  expect(await ouzel(['config', 'diff', 'fleet'])).toMatchObject({
    code: 0,
    stdout: 'Nothing to change: 3 unchanged.\n',
  });

  for (const n of [5, 50]) await publish(client, { subject: 'in.a', body: { n } });
  await waitFor(async () => (await readStream(client, 'OUT')).filter(({ subject }) => subject === 'out.books').length, {
    what: 'one to be delivered',
  });

  await write({ 'fleet/a.yaml': FILTERS.replace('> 10', '> 100') });
  expect((await ouzel(['apply', 'fleet'])).stdout).toBe(
    '~ filters/big\n      # Large ones.\n    - event.data.n > 10 # pieces\n    + event.data.n > 100 # pieces\n\n' +
      '0 added, 1 changed, 0 removed, 2 unchanged.\n',
  );

  await write({ 'fleet/b.yaml': 'targets: { books: { publish: { subject: out.books } } }\n' });
  const unattended = await ouzel(['apply', 'fleet', '--prune']);
  expect(unattended).toMatchObject({ code: 64, stdout: '' });
  expect(unattended.stderr).toContain('--dry-run');
  expect(await fleetOf(first)).toEqual(['billing running']);
  expect((await ouzel(['apply', 'fleet', '--prune', '--yes'])).stdout).toBe(
    '- consumers/billing\n\n0 to add, 0 to change, 1 to remove, 2 unchanged.\n\n' +
      '0 added, 0 changed, 1 removed, 2 unchanged.\n',
  );
  await everywhere([]);
  // Its durable stays, and is deleted by name alone: those of the file are not.
  const shown = JSON.parse((await direct(['consumers', 'prune', '--dry-run', '--json'])).stdout) as unknown;
  expect(shown).toMatchObject({ dry_run: true, durables: [{ name: 'billing', stream: 'IN' }] });
  await waitFor(async () => (await direct(['consumers', 'prune', '--yes'])).stdout.endsWith('1 durable deleted.\n'), {
    what: 'nobody to pull from it any more',
  });
  const left = await client.jsm.consumers.list('IN').next();
  expect(left.map(({ name }) => name)).toEqual(['own']);
}, 120_000);

test('what is wrong is shown where it stands in the files, and nothing of them is put in force', async () => {
  await write({
    'wrong/flow.yaml': '# ü\nfilters: { fine: event.data.n > 1, wrong: event.data.n >> 1 }\n',
    'wrong/block.json': JSON.stringify(
      { consumers: { late: { stream: 'IN', deliver: [{ to: 'nowhere' }] } } },
      null,
      2,
    ),
    'wrong/head.yaml': 'consumers:\n  # Above.\n  other: # beside\n      stream: IN\n      pipelin: [fine]\n',
  });
  const refused = await ouzel(['apply', 'wrong']);
  expect(refused).toMatchObject({ code: 78, stdout: '' });
  const [block, flow, head, sum] = refused.stderr.split('\n\n');
  expect(block).toMatch(
    /^wrong\/block\.json:7:17 {2}CONFIG_UNKNOWN_NAME .*\n {2}7 \| {11}"to": "nowhere"\n {4}\| {17}\^+\n/,
  );
  expect(flow).toMatch(/^wrong\/flow\.yaml:2:57 {2}CONFIG_EXPRESSION /);
  expect(head).toMatch(/^wrong\/head\.yaml:5:7 {2}CONFIG_UNKNOWN_KEY [^]*did you mean "pipeline"\?$/);
  expect(sum).toBe('3 problems\n');
  expect(await fleetOf(first)).toEqual([]);

  await write({ 'whole.yaml': 'version: 1\nstreams: { A: {} }\n' });
  const whole = await ouzel(['apply', 'whole.yaml']);
  expect(whole).toMatchObject({ code: 78, stdout: '' });
  expect(whole.stderr).toContain(`whole.yaml:2:1  CONFIG_INVALID_VALUE  "streams" stays in each instance's file`);
  await write({ 'taken.yaml': 'consumers:\n  own: { stream: IN }\n' });
  const taken = await ouzel(['apply', 'taken.yaml']);
  expect(taken).toMatchObject({ code: 1, stdout: '' });
  expect(taken.stderr).toMatch(/consumers\/own stands in a file, at ouzel\.yaml:10:3/);
  expect(await ouzel(['apply', 'absent.yaml'])).toMatchObject({ code: 78, stderr: 'there is no file absent.yaml\n' });
}, 120_000);

test('a token is asked for, and its scope counts', async () => {
  await write({ 'one.yaml': 'filters: { one: event.data.n > 1 }\n' });
  const without = await ouzel(['apply', 'one.yaml'], '');
  expect(without.stdout).toBe('');
  expect(without.stderr).toContain('--token or $OUZEL_TOKEN');
  const reader = await ouzel(['apply', 'one.yaml'], READER);
  expect(reader.code).not.toBe(0);
  expect(reader.stdout).toBe('');
  expect((await ouzel(['config', 'show', 'filters'], READER)).stdout).not.toContain('one');
  const given = await runCli(['apply', 'one.yaml', '--url', first.http, '--token', ADMIN], { cwd: directory });
  expect(given.stdout).toBe('+ filters/one\n\n1 added, 0 changed, 0 removed, 0 unchanged.\n');
  expect((await ouzel(['config', 'show', 'filters/one'], READER)).stdout).toMatch(
    /filters:\n {2}# fleet, revision \d+\n {2}one: event\.data\.n > 1\n/,
  );
}, 120_000);

test('a rollback brings back what was, with its secrets, which are shown to nobody', async () => {
  const target: HttpTarget = await startHttpTarget();
  const text = (secret: string): string =>
    `targets:\n  partner:\n    webhook: { url: "${target.url}", allow_private: true, headers: { authorization: "${secret}" } }\n`;
  await write({ 'secret.yaml': text('Bearer first-secret-1') });
  const made = await ouzel(['apply', 'secret.yaml']);
  expect(made.stderr).toMatch(/^secret\.yaml:2:3 {2}warning: targets\/partner has a secret in it/);
  await write({ 'secret.yaml': text('Bearer second-secret-2') });
  const changed = await ouzel(['apply', 'secret.yaml']);
  expect(changed.stdout).toContain('~ targets/partner\n');
  const history = await ouzel(['config', 'history', 'targets/partner', '--json']);
  const revisions = JSON.parse(history.stdout) as { revision: number; by: string }[];
  expect(revisions).toHaveLength(2);

  expect((await ouzel(['config', 'rollback', 'targets/partner', '--dry-run'])).stdout).toContain('1 to change');
  const back = await ouzel(['config', 'rollback', 'targets/partner', '--to', String(revisions[1]?.revision)]);
  expect(back).toMatchObject({ code: 0, stderr: '' });
  const tried = await ouzel(['targets', 'test', 'partner']);
  expect(tried).toMatchObject({ code: 0 });
  expect(tried.stdout).toMatch(/^partner confirmed it after [\d.]+ ms\n$/);
  expect(target.requests.at(-1)?.headers['authorization']).toBe('Bearer first-secret-1');

  await write({ 'none.yaml': 'filters: { one: event.data.n > 1 }\n' });
  await ouzel(['apply', 'none.yaml', '--prune', '--yes']);
  expect((await ouzel(['targets', 'test', 'partner'])).code).toBe(1);
  const again = await ouzel(['config', 'rollback', 'targets/partner']);
  expect(again.stdout).toBe('+ targets/partner\n\n1 added, 0 changed, 0 removed, 0 unchanged.\n');
  const shown = await ouzel(['config', 'history', 'targets/partner', '--text']);
  expect(shown.stdout).toMatch(/^# revision \d+: made by .*\nwebhook:.*"\*\*\*"[^]*# revision \d+: removed by /);
  const effective = await ouzel(['config', 'show']);
  expect(effective.stdout).toContain('# fleet, revision');
  for (const { stdout, stderr } of [made, changed, back, again, history, shown, effective])
    expect(stdout + stderr).not.toMatch(/(?:first|second)-secret/);
  expect(await ouzel(['config', 'rollback', 'filters/never'])).toMatchObject({
    code: 1,
    stderr: 'the fleet never had filters/never\n',
  });
}, 120_000);

test('consumers are added, paused over a restart, resumed and removed', async () => {
  await write({ 'late.yaml': '# of its own\nstream: IN\ndeliver: [{ to: nowhere }]\n' });
  const wrong = await ouzel(['consumers', 'add', 'late', 'late.yaml']);
  expect(wrong).toMatchObject({ code: 78, stdout: '' });
  expect(wrong.stderr).toMatch(/^late\.yaml:3:17 {2}CONFIG_UNKNOWN_NAME/);
  await write({ 'late.yaml': '# of its own\nstream: IN\ndeliver: [{ to: there }]\n' });
  expect((await ouzel(['consumers', 'add', 'late', 'late.yaml'])).stdout).toMatch(
    /^late added, revision \d+: running\n$/,
  );
  const twice = await ouzel(['consumers', 'add', 'late', 'late.yaml']);
  expect(twice).toMatchObject({ code: 1, stdout: '' });
  expect(twice.stderr).toContain('--replace');
  expect((await ouzel(['consumers', 'add', 'own', 'late.yaml', '--replace'])).stderr).toMatch(/ouzel\.yaml:10:3/);

  expect((await ouzel(['consumers', 'pause', 'late', 'own', '--why', 'a test'])).stdout).toBe(
    'late is paused\nown is paused\n',
  );
  await everywhere(['late paused']);
  await Promise.all(daemons.map((daemon) => daemon.kill()));
  first = await start();
  daemons = [first];
  await everywhere(['late paused']);
  const { stdout } = await direct(['consumers', 'list']);
  expect(stdout).toMatch(/^late +fleet +IN +ours, paused /m);
  expect(stdout).toMatch(/^own +file +IN +ours, paused /m);
  const shown = JSON.parse((await direct(['consumers', 'show', 'own', '--json'])).stdout) as unknown;
  expect(shown).toMatchObject({ owner: 'file', paused: true, pause: { from: '127.0.0.1' } });
  expect((await ouzel(['consumers', 'resume', 'late', 'own'])).code).toBe(0);
  await everywhere(['late running']);
  expect((await ouzel(['consumers', 'remove', 'late'])).stdout).toBe('late removed\n');
  expect(await ouzel(['consumers', 'remove', 'late'])).toMatchObject({ code: 1, stdout: '' });
  await everywhere([]);
}, 120_000);
