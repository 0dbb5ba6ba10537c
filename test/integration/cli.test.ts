/** The commands: what they print, where, and with which exit code. */
import { spawn } from 'node:child_process';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, inject, test, vi } from 'vitest';
import { main } from '../../src/cli/index.ts';
import { endWithThisProcess } from '../../src/nats/server.ts';
import { type CliResult, MAIN, processEnv, runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { freePort, isFree } from '../helpers/ports.ts';
import { addStream, connectTo, publish } from '../helpers/publish.ts';
import { releasing, temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

/** A command line without a process of its own, for what ends before it does anything. */
async function runHere(args: readonly string[]): Promise<CliResult> {
  const written = { stdout: '', stderr: '' };
  const spies = (['stdout', 'stderr'] as const).map((stream) =>
    vi.spyOn(process[stream], 'write').mockImplementation((text) => {
      written[stream] += String(text);
      return true;
    }),
  );
  try {
    return { code: await main(['node', 'ouzel', ...args]), ...written };
  } finally {
    for (const spy of spies) spy.mockRestore();
    process.exitCode = undefined;
  }
}

/** A directory with a configuration in it. */
async function withConfig(text: string): Promise<{ directory: string; file: string }> {
  const directory = await temporaryDirectory('cli');
  const file = join(directory, 'ouzel.yaml');
  await writeFile(file, text);
  return { directory, file };
}

const GOOD = `version: 1
streams:
  EV: { subjects: ["ev.>"] }
filters:
  big: event.data.total > 1000
consumers:
  one: { stream: EV, pipeline: [big] }
  two: { stream: EV, deliver: [{ to: log }] }
`;

const SUBCOMMANDS = [
  ...['list', 'show', 'add', 'pause', 'resume', 'remove', 'prune'].map((each) => `consumers ${each}`),
  ...['show', 'diff', 'history', 'rollback'].map((each) => `config ${each}`),
  ...['list', 'show', 'redrive', 'discard'].map((each) => `dlq ${each}`),
  'targets test',
];

test('version and help', async () => {
  const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  expect(await runCli(['version'])).toEqual({
    code: 0,
    stdout: `ouzel ${version} (Node ${process.version})\n`,
    stderr: '',
  });
  expect(JSON.parse((await runCli(['version', '--json'])).stdout)).toEqual({ version, node: process.version });
  const help = await runCli(['--help']);
  expect(help).toMatchObject({ code: 0, stderr: '' });
  const commands = [
    'run',
    'dev',
    'validate',
    'explain',
    'tap',
    'apply',
    'config',
    'consumers',
    'targets',
    'dlq',
    'schema',
    'version',
  ];
  for (const command of commands) expect(help.stdout).toMatch(new RegExp(`^ {2}${command}\\b`, 'm'));
  for (const command of [...commands, ...SUBCOMMANDS]) {
    const { code, stdout } = await runHere([...command.split(' '), '--help']);
    expect(code, command).toBe(0);
    expect(stdout, command).toMatch(new RegExp(`Usage: ouzel ${command}`));
    if (!['config', 'consumers', 'targets', 'dlq'].includes(command)) expect(stdout, command).toMatch(/^Examples?:$/m);
  }
}, 120_000);

test.each([
  [['validat'], /unknown command 'validat'\n\(Did you mean validate\?\)/],
  [['consumers', 'lst'], /unknown command 'lst'\n\(Did you mean list\?\)/],
  [['validate', '--jsn'], /unknown option '--jsn'\n\(Did you mean --json\?\)/],
  [['dlq', 'show'], /missing required argument 'sequence'/],
  [['dlq', 'show', 'first'], /a whole number above 0 is expected/],
  [['dlq', 'list', '--limit', '0'], /a whole number above 0 is expected/],
  [['version', 'more'], /too many arguments/],
] as const)('%j is a mistake of usage: 64', async (args, message) => {
  const { code, stdout, stderr } = await runHere(args);
  expect({ code, stdout }).toEqual({ code: 64, stdout: '' });
  expect(stderr).toMatch(message);
  expect(stderr).toContain('--help shows what is possible');
});

// vectordotdev/vector#20382: offline, whatever is up or not.
test('validate: 0 for a good configuration, 78 and the place for a broken one', async () => {
  const good = await withConfig(GOOD);
  const cwd = good.directory;
  const env = { NATS_URL: 'nats://127.0.0.1:1' };
  expect(await runCli(['validate'], { cwd, env })).toEqual({
    code: 0,
    stdout: 'ouzel.yaml is valid: 2 consumers, 1 stream, 1 filter\n',
    stderr: '',
  });
  const json = await runCli(['validate', good.file, '--json'], { cwd });
  expect(JSON.parse(json.stdout)).toMatchObject({
    valid: true,
    file: 'ouzel.yaml',
    consumers: ['one', 'two'],
    problems: [],
  });

  const broken = await withConfig(GOOD.replace('pipeline: [big]', 'pipeline: [bg]').replace('> 1000', '> > 1000'));
  const { code, stdout, stderr } = await runCli(['validate', broken.file], { cwd: broken.directory });
  expect({ code, stdout }).toEqual({ code: 78, stdout: '' });
  expect(stderr).toMatch(/ouzel\.yaml:5:\d+/);
  expect(stderr).toMatch(/ouzel\.yaml:7:\d+/);
  expect(stderr).toMatch(/^ *\d* *\|? *\^/m);
  expect(stderr).toContain('did you mean "big"?');
  const problems = await runCli(['validate', broken.file, '--json'], { cwd: broken.directory });
  expect(problems).toMatchObject({ code: 78, stderr: '' });
  expect(JSON.parse(problems.stdout)).toMatchObject({
    valid: false,
    problems: [
      { code: 'CONFIG_EXPRESSION', line: 5 },
      { code: 'CONFIG_UNKNOWN_NAME', line: 7 },
    ],
  });
});

test('a configuration that is not there or not valid is 78 for every command that needs one', async () => {
  const broken = await withConfig('version: 1\nconsumer: {}\n');
  for (const args of [
    ['run'],
    ['validate'],
    ['consumers', 'list'],
    ['consumers', 'show', 'x'],
    ['dlq', 'list'],
    ['dlq', 'show', '1'],
  ]) {
    const option = args[0] === 'validate' ? [broken.file] : ['--config', broken.file];
    const { code, stdout, stderr } = await (args[0] === 'run' ? runCli : runHere)([...args, ...option]);
    expect({ args, code, stdout }).toEqual({ args, code: 78, stdout: '' });
    expect(stderr).toMatch(/ouzel\.yaml:2:1[\s\S]*did you mean.*consumers/);
  }
  const missing = await runCli(['run', '--config', 'nothing/here.yaml']);
  expect(missing.code).toBe(78);
  expect(missing.stderr).toContain('nothing/here.yaml');
}, 120_000);

test('schema prints the JSON schema, and the generated files are up to date', async () => {
  const { code, stdout } = await runCli(['schema']);
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#', type: 'object' });
  expect(await runCli(['schema', '--check'])).toMatchObject({ code: 0 });
});

test('NATS being away is 69, and says where it was looked for', async () => {
  const url = `nats://127.0.0.1:${await freePort()}`;
  const { file } = await withConfig(`${GOOD}nats: { servers: "${url}" }\n`);
  for (const args of [
    ['consumers', 'list'],
    ['consumers', 'show', 'one'],
    ['dlq', 'list'],
    ['dlq', 'show', '1'],
  ]) {
    const { code, stdout, stderr } = await (args[1] === 'list' ? runCli : runHere)([...args, '-c', file]);
    expect({ args, code, stdout }).toEqual({ args, code: 69, stdout: '' });
    expect(stderr).toMatch(new RegExp(`^cannot connect to ${url}: .+\n$`));
  }
}, 120_000);

test('an address that is in use is 69, with what to do', async () => {
  await using server = await startServer();
  const holder = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => holder.listen(port, '127.0.0.1', resolve));
  const close = releasing(() => new Promise((resolve) => holder.close(() => resolve())));
  const { file } = await withConfig(
    `${GOOD}nats: { servers: "${server.url}" }\nhttp: { listen: "127.0.0.1:${port}" }\n`,
  );
  const { code, stderr } = await runCli(['run', '-c', file]);
  expect({ code, stderr }).toEqual({
    code: 69,
    stderr: `listening on 127.0.0.1:${port} is already in use. Stop what holds it, or change http.listen\n`,
  });
  await close();
});

test('consumers list and show: tables for people, JSON for programs, and an error for an unknown name', async () => {
  await using server = await startServer();
  await using client = await connectTo(server);
  await addStream(client, 'EV', ['ev.>']);
  const { file } = await withConfig(`${GOOD}nats: { servers: "${server.url}" }\n`);
  const list = await runCli(['consumers', 'list', '-c', file]);
  expect(list).toMatchObject({ code: 0, stderr: '' });
  expect(list.stdout.split('\n').map((line) => line.split(/ {2,}/))).toEqual([
    ['CONSUMER', 'OWNER', 'STREAM', 'DURABLE', 'PENDING', 'ACK PENDING', 'REDELIVERED'],
    ['one', 'file', 'EV', 'absent', '0', '0', '0'],
    ['two', 'file', 'EV', 'absent', '0', '0', '0'],
    [''],
  ]);
  const shown = await runCli(['consumers', 'show', 'one', '--json', '-c', file]);
  expect(JSON.parse(shown.stdout)).toMatchObject({
    name: 'one',
    durable: 'absent',
    config: { stream: 'EV', pipeline: ['big'] },
  });
  const unknown = await runCli(['consumers', 'show', 'three', '-c', file]);
  expect(unknown).toMatchObject({ code: 1, stdout: '' });
  expect(unknown.stderr).toMatch(/^no consumer "three" in .*ouzel\.yaml or in the fleet; there are: one, two\n$/);
  expect(await runCli(['dlq', 'list', '-c', file])).toEqual({ code: 0, stdout: 'No dead letters.\n', stderr: '' });
  expect(JSON.parse((await runCli(['dlq', 'list', '--json', '-c', file])).stdout)).toEqual({ groups: [], letters: [] });
  expect(await runCli(['dlq', 'show', '1', '-c', file])).toMatchObject({
    code: 1,
    stderr: 'there is no dead letter 1\n',
  });
});

test('no secret gets into any output', async () => {
  const [right, wrong] = ['tok-3f8a91c2', 'tok-wr0ng-77e1'];
  await using server = await startServer({ config: `authorization { token: "${right}" }\n` });
  await using client = await connectTo(server, { token: right });
  await addStream(client, 'EV', ['ev.>']);
  const yaml = (nats: string): string => `version: 1
nats: ${nats}
http: { listen: "@HTTP@" }
telemetry: { log: { level: trace } }
consumers:
  one: { stream: EV, start: all, pipeline: [{ set: { data.y: '"\${TOKEN}".size() / event.data.z' } }] }
`;
  const inUrl = server.url.replace('//', `//${right}@`);
  for (const nats of ['{ servers: "@NATS@", token: "${TOKEN}" }', `{ servers: "${inUrl}" }`]) {
    const env = { TOKEN: right };
    await using daemon = await startDaemon(yaml(nats), { server, env });
    // An expression that has a secret in it fails, and is shown.
    await publish(client, { subject: 'ev.x', body: { z: 'zero' } });
    await untilEnded(daemon, 'one', 1);
    const outputs = [
      await (await fetch(`${daemon.http}/readyz`)).text(),
      await (await fetch(`${daemon.http}/metrics`)).text(),
    ];
    for (const args of [
      ['consumers', 'show', 'one', '--json'],
      ['dlq', 'list', '--json'],
    ]) {
      const { code, stdout, stderr } = await runCli([...args, '-c', daemon.configFile], { env });
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      outputs.push(stdout);
    }
    if (nats.includes('TOKEN')) {
      const refused = await runCli(['consumers', 'list', '-c', daemon.configFile], { env: { TOKEN: wrong } });
      expect(refused.code).toBe(69);
      outputs.push(refused.stdout, refused.stderr);
    }
    outputs.push(daemon.log());
    for (const output of outputs) {
      expect(output).not.toContain(right);
      expect(output).not.toContain(wrong);
    }
    await daemon.kill();
    await client.jsm.consumers.delete('EV', 'one');
    await client.jsm.streams.purge('OUZEL_DLQ');
    await client.jsm.streams.purge('EV');
  }
}, 120_000);

test('dev starts a server of its own, says how to publish, and takes it along when it ends', async () => {
  const listen = `127.0.0.1:${await freePort()}`;
  const { directory } = await withConfig(
    `${GOOD}nats: { servers: "\${NATS_URL:-nats://127.0.0.1:4222}" }\nhttp: { listen: "${listen}" }\n`,
  );
  const child = spawn(process.execPath, [MAIN, 'dev', '--config', 'ouzel.yaml'], {
    cwd: directory,
    env: processEnv({ NATS_SERVER: inject('natsServer'), STATE_DIRECTORY: join(directory, 'state') }),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  endWithThisProcess(child);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve));
  const stop = releasing(async () => {
    child.kill('SIGKILL');
    await ended;
  });
  await waitFor(async () => (await fetch(`http://${listen}/readyz`)).status === 200, {
    timeout: 20_000,
    what: () => `dev to be ready:\n${output}`,
  });
  const url =
    /nats -s (\S+) pub events\.orders\.created '\{"id":"o-1","customer":"c-7","total":1500\}'/.exec(output)?.[1] ?? '';
  expect(output).toContain(`Metrics   http://${listen}/metrics`);
  await using client = await connectTo({ url });
  await publish(client, { subject: 'ev.x', body: { total: 2000 } });
  await waitFor(
    async () =>
      /ouzel_events_total\{consumer="one",outcome="delivered",reason=""\} 1/.test(
        await (await fetch(`http://${listen}/metrics`)).text(),
      ),
    { what: 'the event to be delivered' },
  );
  await client.nc.close();
  child.kill('SIGTERM');
  expect(await ended).toBe(0);
  expect(await isFree(Number(new URL(url).port))).toBe(true);
  await stop();
}, 120_000);
