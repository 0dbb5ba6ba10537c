/** Plugins in a running daemon: used, changed under it, broken, mended, and doing what they should not. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startDaemon, type Daemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { timeout: 2s, retry: { attempts: 2, backoff: { first: 50ms, jitter: 0 } } }
plugins: { dir: plugins }
`;

const consumer = (name: string, pipeline: string, deliver = `{ to: { publish: { subject: out.${name} } } }`): string =>
  `  ${name}: { stream: IN, start: all, subjects: [in.${name}], pipeline: [${pipeline}], deliver: [${deliver}] }\n`;

async function serverWith(): Promise<{ server: Awaited<ReturnType<typeof startServer>>; client: Client }> {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  return { server, client };
}

const bodies = async (client: Client): Promise<string[]> => (await readStream(client, 'OUT')).map(({ body }) => body);

const reloads = (daemon: Daemon, result: string): Promise<number> =>
  daemon.total('ouzel_config_reloads_total', { result });

/** A file that is just being written may be read too, and rejected with other words. */
const untilLogged = (daemon: Daemon, pattern: RegExp): Promise<boolean> =>
  waitFor(() => pattern.test(daemon.log()), { what: () => `${pattern} in\n${daemon.log()}` });

const GEO = `import { defineTransformer, z } from 'ouzel';
import { placeOf } from './lib/places.ts';

export const geo = defineTransformer({
  options: z.object({ into: z.string().default('data.geo') }),
  setup: ({ options, log, signal }) => {
    log.info('set up');
    const timer = setInterval(() => undefined, 1000);
    signal.addEventListener('abort', () => {
      clearInterval(timer);
      log.info('not used any more');
    });
    return (event) => event.set(options.into, placeOf(event.get('data.zip')));
  },
});
`;
const PLACES = `export const placeOf = (zip: unknown): string => (zip === 10115 ? 'Berlin' : 'nowhere');\n`;

test('a plugin changes with the files that it is made of, and a broken one changes nothing', async () => {
  const { server, client } = await serverWith();
  const yaml = `${HEAD}consumers:\n${consumer('a', '{ plugin: geo }')}${consumer('b', '')}`;
  const daemon = await startDaemon(yaml, {
    server,
    files: { 'plugins/geo.ts': GEO, 'plugins/lib/places.ts': PLACES },
  });
  await publish(client, { subject: 'in.a', body: { zip: 10115 } });
  await untilEnded(daemon, 'a', 1);
  expect(await bodies(client)).toEqual(['{"zip":10115,"geo":"Berlin"}']);

  await daemon.write(PLACES.replace('Berlin', 'Mitte'), 'plugins/lib/places.ts');
  await waitFor(async () => (await reloads(daemon, 'applied')) === 1, { what: 'the change to be applied' });
  await publish(client, { subject: 'in.a', body: { zip: 10115 } });
  await untilEnded(daemon, 'a', 2);
  expect((await bodies(client)).at(-1)).toBe('{"zip":10115,"geo":"Mitte"}');
  const applied = daemon.logLines().find(({ msg }) => msg === 'configuration applied');
  expect(applied?.['updated']).toEqual(['a']);
  await waitFor(() => daemon.logLines().some(({ msg, plugin }) => msg === 'not used any more' && plugin === 'geo'), {
    what: 'the plugin that was replaced to hear of it',
  });

  await daemon.write("import './gone.ts';\n", 'plugins/lib/places.ts');
  await untilLogged(
    daemon,
    /plugins\/lib\/places\.ts:1:8 {2}CONFIG_PLUGIN {2}plugin geo cannot be loaded: Cannot find/,
  );
  await publish(client, { subject: 'in.a', body: { zip: 10115 } });
  await untilEnded(daemon, 'a', 3);
  expect((await bodies(client)).at(-1)).toBe('{"zip":10115,"geo":"Mitte"}');

  await daemon.write(PLACES.replace('Berlin', 'Wedding'), 'plugins/lib/places.ts');
  await waitFor(async () => (await reloads(daemon, 'applied')) === 2, { what: 'the mended one to be applied' });
  await publish(client, { subject: 'in.a', body: { zip: 10115 } });
  await untilEnded(daemon, 'a', 4);
  expect((await bodies(client)).at(-1)).toBe('{"zip":10115,"geo":"Wedding"}');
});

test('a plugin that the configuration names before it is there comes into use when it is saved', async () => {
  const { server, client } = await serverWith();
  const before = `${HEAD}consumers:\n${consumer('a', '')}`;
  const daemon = await startDaemon(before, { server, files: { 'plugins/other.ts': GEO } });
  await daemon.write(`${HEAD}consumers:\n${consumer('a', '{ plugin: stamp, options: { text: hello } }')}`);
  await untilLogged(daemon, /there is no plugin \\"stamp\\" in plugins/);
  await daemon.write(
    `import { defineTransformer, z } from 'ouzel';
export default defineTransformer({
  options: z.object({ text: z.string() }),
  setup: ({ options }) => async (event) => {
    await Promise.resolve();
    event.set('data.stamp', options.text);
  },
});
`,
    'plugins/stamp.ts',
  );
  await waitFor(async () => (await reloads(daemon, 'applied')) > 0, { what: 'the change to be applied' });
  await publish(client, { subject: 'in.a', body: {} });
  await untilEnded(daemon, 'a', 1);
  expect(await bodies(client)).toEqual(['{"stamp":"hello"}']);
});

const FILTER = `import { defineFilter, RejectedError, UnavailableError } from 'ouzel';
const seen = new Map<string, number>();
export const judge = defineFilter({
  setup: () => async (event) => {
    const verdict = event.get<string>('data.verdict');
    if (verdict === 'reject') throw new RejectedError('no');
    if (verdict === 'fail') throw new Error('a mistake');
    const times = (seen.get(event.id) ?? 0) + 1;
    seen.set(event.id, times);
    if (verdict === 'hang' && times < 2) return new Promise<boolean>(() => undefined);
    // More often than there are attempts: they are not used up.
    if (verdict === 'away' && times < 4) throw new UnavailableError('not there yet');
    return verdict !== 'drop';
  },
});
`;

test('each event ends as its plugin says', async () => {
  const { server, client } = await serverWith();
  const daemon = await startDaemon(`${HEAD}consumers:\n${consumer('a', '{ plugin: judge }')}`, {
    server,
    files: { 'plugins/judge.ts': FILTER },
  });
  const verdicts = ['pass', 'drop', 'reject', 'fail', 'away', 'hang'];
  for (const verdict of verdicts) await publish(client, { subject: 'in.a', body: { verdict } });
  const outcomes = await untilEnded(daemon, 'a', verdicts.length);
  // The one that hangs is ended by the time-out and tried again.
  expect(outcomes).toMatchObject({ delivered: 3, filtered: 1, deadLettered: 2 });
});

const STRAY = `import { connect } from 'node:net';
import { defineFilter } from 'ouzel';
export const stray = defineFilter({
  setup: () => (event) => {
    setTimeout(() => { throw new Error('thrown in a timer'); }, 1);
    void Promise.reject(new Error('rejected by nobody'));
    Promise.reject('no error at all');
    connect(1, '127.0.0.1');
    return true;
  },
});
`;

test('what a plugin throws where nobody can catch it is counted, and ends nothing', async () => {
  const { server, client } = await serverWith();
  const daemon = await startDaemon(`${HEAD}consumers:\n${consumer('a', '{ plugin: stray }')}`, {
    server,
    files: { 'plugins/stray.ts': STRAY },
  });
  for (let count = 0; count < 10; count++) await publish(client, { subject: 'in.a', body: { count } });
  await untilEnded(daemon, 'a', 10);
  await waitFor(async () => (await daemon.total('ouzel_plugin_stray_errors_total', { plugin: 'stray' })) === 40, {
    what: 'all of them to be counted',
  });
  const lines = daemon.logLines().filter(({ plugin }) => plugin === 'stray');
  expect(lines[0]?.['msg']).toMatch(/^(?:uncaught exception|unhandled rejection) in a plugin$/);
  // A line a second at most.
  expect(lines.length).toBeLessThan(10);
  expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
  expect(await daemon.terminate()).toBe(0);
});

const SETUP = `import { defineFilter } from 'ouzel';
export const late = defineFilter({ setup: () => { throw new Error('no licence'); } });
`;

test('a plugin that cannot be set up fails its consumer at the start, and a change to it is rejected', async () => {
  const { server, client } = await serverWith();
  const yaml = `${HEAD}consumers:\n${consumer('a', '{ plugin: late }')}${consumer('b', '')}`;
  const daemon = await startDaemon(yaml, { server, files: { 'plugins/late.ts': SETUP }, until: 'live' });
  await publish(client, { subject: 'in.b', body: {} });
  await untilEnded(daemon, 'b', 1);
  const ready = await fetch(`${daemon.http}/readyz`);
  expect(ready.status).toBe(503);
  expect(await ready.text()).toContain('consumer a: plugin late cannot be set up: no licence');

  await daemon.write(SETUP.replace('no licence', 'still no licence'), 'plugins/late.ts');
  await untilLogged(daemon, /still no licence/);
  await publish(client, { subject: 'in.a', body: {} });
  await daemon.write(SETUP.replace("{ throw new Error('no licence'); }", '() => true'), 'plugins/late.ts');
  await untilEnded(daemon, 'a', 1);
  expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
});

const TARGET = `import { appendFile } from 'node:fs/promises';
import { defineTarget, UnavailableError, z } from 'ouzel';
let calls = 0;
export const lines = defineTarget({
  options: z.object({ file: z.string() }),
  setup: ({ options }) => async (event, { id, route, attempt, signal }) => {
    calls += 1;
    if (calls === 1) throw new UnavailableError('warming up');
    signal.throwIfAborted();
    await appendFile(options.file, JSON.stringify({ id, route, attempt, data: event.data }) + '\\n');
  },
});
`;

test('a target of a plugin delivers, and is tried again where it was unavailable', async () => {
  const { server, client } = await serverWith();
  const yaml = `${HEAD}targets: { disk: { plugin: lines, options: { file: out.ndjson } } }\nconsumers:\n${consumer('a', '', '{ to: disk }')}`;
  const daemon = await startDaemon(yaml, { server, files: { 'plugins/lines.ts': TARGET } });
  await publish(client, { subject: 'in.a', body: { n: 1 } });
  await untilEnded(daemon, 'a', 1);
  expect(await daemon.total('ouzel_deliveries_total', { target: 'disk', result: 'unavailable' })).toBe(1);
  expect(await daemon.total('ouzel_deliveries_total', { target: 'disk', result: 'confirmed' })).toBe(1);
  const line = JSON.parse(await readFile(join(daemon.directory, 'out.ndjson'), 'utf8')) as Record<string, unknown>;
  expect(line).toMatchObject({ route: 'disk', data: { n: 1 } });
});
