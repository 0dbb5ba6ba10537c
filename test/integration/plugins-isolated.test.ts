/** Plugins in threads of their own: what they do wrong costs the event an attempt, and nobody else anything. */
import { expect, test } from 'vitest';
import { type Daemon, type DaemonOptions, startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publish, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { format: json } }
defaults: { timeout: 30s, retry: { attempts: 2, backoff: { first: 50ms, jitter: 0 } } }
plugins: { dir: plugins }
`;

/** A deadline that a busy machine keeps, and short enough to be waited for. */
const ISOLATE = 'isolate: { deadline: 2s, memory: 128MiB }';

const consumer = (name: string, pipeline: string): string =>
  `  ${name}: { stream: IN, start: all, subjects: [in.${name}], pipeline: [${pipeline}], deliver: [{ to: { publish: { subject: out.${name} } } }] }\n`;

async function serverWith(): Promise<{ server: Awaited<ReturnType<typeof startServer>>; client: Client }> {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  await addStream(client, 'OUT', ['out.>']);
  return { server, client };
}

/** A thread takes its time to start on a busy machine. */
const start = (yaml: string, options: DaemonOptions): Promise<Daemon> =>
  startDaemon(yaml, { ...options, timeout: 60_000 });

const bodies = async (client: Client): Promise<Record<string, unknown>[]> =>
  (await readStream(client, 'OUT')).map(({ body }) => JSON.parse(body) as Record<string, unknown>);

/** Does as the event says. What is not told to misbehave waits a little, so that it is under way beside what does. */
const WILD = `import { defineTransformer } from 'ouzel';
export const wild = defineTransformer({
  setup: () => async (event) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    switch (event.get('data.does')) {
      case 'loop': for (;;);
      case 'throw': throw new Error('thrown');
      case 'reject': return Promise.reject(new Error('rejected'));
      case 'buffer': { const buffer = Buffer.alloc(2 * 2 ** 30); await new Promise((resolve) => setTimeout(resolve, 60_000)); return void buffer; }
      case 'heap': { const kept = []; for (;;) kept.push(new Array(100_000).fill(Math.random())); }
      case 'exit': process.exit(0);
    }
    event.set('data.done', true);
  },
});
`;

const MISDEEDS = ['loop', 'throw', 'reject', 'buffer', 'heap', 'exit'] as const;
const GOOD = 60;

test.each(MISDEEDS)(
  'one that does "%s" costs its event its attempts, and the others go on',
  { timeout: 120_000 },
  async (does) => {
    const { server, client } = await serverWith();
    const yaml = `${HEAD}consumers:\n${consumer('a', `{ plugin: wild, ${ISOLATE} }`)}${consumer('b', '')}`;
    const daemon = await start(yaml, { server, files: { 'plugins/wild.ts': WILD } });
    for (let n = 0; n < GOOD; n++) {
      if (n === GOOD / 2) await publish(client, { subject: 'in.a', body: { does } });
      await publish(client, { subject: 'in.a', body: { n } });
      await publish(client, { subject: 'in.b', body: { n } });
    }
    const outcomes = await untilEnded(daemon, 'a', GOOD + 1, 60_000);
    expect(outcomes).toMatchObject({ delivered: GOOD, deadLettered: 1 });
    // Nobody else paid: the one event was tried twice, and no other one again.
    expect(await daemon.total('ouzel_event_retries_total', { consumer: 'a' })).toBe(1);
    const out = await bodies(client);
    const done = out.filter((body) => body['done'] === true).map((body) => Number(body['n']));
    expect(done.toSorted((left, right) => left - right)).toEqual(Array.from({ length: GOOD }, (_, n) => n));
    expect(await untilEnded(daemon, 'b', GOOD)).toMatchObject({ delivered: GOOD });
    const ends = await daemon.total('ouzel_plugin_threads_ended_total', { plugin: 'wild' });
    // What it throws ends no thread; for the rest, one a try, and one more where it is to be found out whose doing it was.
    if (does === 'throw' || does === 'reject') expect(ends).toBe(0);
    else expect([2, 3]).toContain(ends);
    expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
    expect(await daemon.terminate()).toBe(0);
  },
);

const LEAK = `import { defineFilter } from 'ouzel';
const kept: unknown[] = [];
export const leak = defineFilter({
  setup: () => (event) => {
    if (event.get('data.leak') === true) for (;;) kept.push(new Array(100_000).fill(1));
    return true;
  },
});
`;

const LEAKS = 20;

test('many leaks leave nothing behind in the daemon', { timeout: 240_000 }, async () => {
  const { server, client } = await serverWith();
  const yaml = `${HEAD.replace('attempts: 2', 'attempts: 1')}consumers:\n${consumer('a', '{ plugin: leak, isolate: { memory: 64MiB, deadline: 10s } }')}`;
  const daemon = await start(yaml, { server, files: { 'plugins/leak.ts': LEAK } });
  let sent = 0;
  const leak = async (): Promise<void> => {
    await publish(client, { subject: 'in.a', body: { leak: true } });
    await publish(client, { subject: 'in.a', body: { leak: false } });
    await untilEnded(daemon, 'a', (sent += 2), 60_000);
  };
  for (let n = 0; n < 4; n++) await leak();
  const before = await daemon.total('process_resident_memory_bytes');
  for (let n = 4; n < LEAKS; n++) await leak();
  // 16 leaks of 64 MiB would be a gigabyte.
  expect((await daemon.total('process_resident_memory_bytes')) - before).toBeLessThan(256 * 1024 * 1024);
  expect(await daemon.total('ouzel_events_total', { outcome: 'dead_lettered', reason: 'rejected' })).toBe(LEAKS);
  expect(await daemon.total('ouzel_events_total', { outcome: 'delivered' })).toBe(LEAKS);
});

const VERSION = (version: number): string => `import { defineTransformer } from 'ouzel';
export const stamp = defineTransformer({
  setup: ({ signal, log }) => {
    const timer = setInterval(() => undefined, 10);
    signal.addEventListener('abort', () => { clearInterval(timer); log.info('let go', { version: ${version} }); });
    return (event) => event.set('data.version', ${version});
  },
});
`;

const RELOADS = 25;

test('a plugin that changes often leaves no thread behind', { timeout: 240_000 }, async () => {
  const { server, client } = await serverWith();
  const yaml = `${HEAD}consumers:\n${consumer('a', '{ plugin: stamp, isolate: true }')}`;
  const daemon = await start(yaml, { server, files: { 'plugins/stamp.ts': VERSION(0) } });
  for (let version = 1; version <= RELOADS; version++) {
    await daemon.write(VERSION(version), 'plugins/stamp.ts');
    await waitFor(async () => (await daemon.total('ouzel_config_reloads_total', { result: 'applied' })) === version, {
      what: () => `version ${version} to be in force: ${daemon.log().slice(-1000)}`,
    });
  }
  await publish(client, { subject: 'in.a', body: {} });
  await untilEnded(daemon, 'a', 1);
  expect(await bodies(client)).toEqual([{ version: RELOADS }]);
  await waitFor(async () => (await daemon.total('ouzel_plugin_threads', { plugin: 'stamp' })) === 1, {
    what: 'the threads of the old versions to end',
  });
  expect(daemon.logLines().filter(({ msg }) => msg === 'let go')).toHaveLength(RELOADS);
  expect(await daemon.total('ouzel_plugin_threads_ended_total')).toBe(0);
});

const KEEPER = `import { defineTransformer, z } from 'ouzel';
export const keeper = defineTransformer({
  options: z.object({ url: z.string() }),
  setup: ({ options, kv, fetch }) => async (event) => {
    const key = event.get<string>('data.who') ?? '';
    for (;;) {
      const entry = await kv.get<number>(key);
      const revision = await kv.update(key, (entry?.value ?? 0) + 1, entry?.revision ?? 0);
      if (revision !== undefined) break;
    }
    const before = await kv.get('once');
    await kv.put('once', { by: event.id }, { ttl: 60_000 });
    await kv.delete('once');
    event.set('data.gone', before === undefined && (await kv.get('once')) === undefined);
    const response = await fetch(options.url);
    event.set('data.answer', await response.text());
  },
});
`;

test.each(['', ', isolate: true'])('state and fetch are there%s', { timeout: 120_000 }, async (isolate) => {
  const { server, client } = await serverWith();
  const target = await startHttpTarget();
  target.answer = () => ({ body: 'hello' });
  const uses = (allow: string): string => `{ plugin: keeper, options: { url: "${target.url}" }${isolate}${allow} }`;
  const yaml = `${HEAD}consumers:\n${consumer('a', uses(', allow_private: true'))}${consumer('b', uses(''))}`;
  const daemon = await start(yaml, { server, files: { 'plugins/keeper.ts': KEEPER } });
  for (let n = 0; n < 20; n++) await publish(client, { subject: 'in.a', body: { who: 'ä@b c' } });
  await untilEnded(daemon, 'a', 20);
  const out = await bodies(client);
  expect(out.map(({ answer }) => answer)).toEqual(Array.from({ length: 20 }, () => 'hello'));
  const subject = '$KV.OUZEL_PLUGINS.keeper.=c3=a4=40b=20c';
  const entry = await client.jsm.streams.getMessage('KV_OUZEL_PLUGINS', { last_by_subj: subject });
  expect(entry?.json()).toBe(20);
  // The guard: without leave, a private address is not asked, and the event waits.
  await publish(client, { subject: 'in.b', body: { who: 'b' } });
  await waitFor(
    async () => (await daemon.total('ouzel_event_retries_total', { consumer: 'b', reason: 'unavailable' })) > 0,
    { what: () => `a refusal that uses up no attempt in ${daemon.log().slice(-2000)}` },
  );
  expect(daemon.log()).toMatch(/is a loopback address; if that is meant, set `allow_private: true` where the plugin/);
  expect(target.requests).toHaveLength(20);
});
