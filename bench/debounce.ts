/**
 * Many pending debounces and a restart: events with a key each are held, the daemon is killed, and another one takes
 * over. All must go on. `node bench/debounce.ts [events]`; with its own server, and a store on the disk.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { findNatsServer } from '../src/nats/find-server.ts';
import { endWithThisProcess, startNatsServer } from '../src/nats/server.ts';
import { freePort } from './ports.ts';

const EVENTS = Number(process.argv[2] ?? 100_000);
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const AT_ONCE = 1_000;

const directory = await mkdtemp(join(tmpdir(), 'ouzel-bench-debounce-'));
const server = await startNatsServer({ binary: (await findNatsServer()).binary, storeDir: join(directory, 'js') });
const address = `127.0.0.1:${await freePort()}`;
const file = join(directory, 'ouzel.yaml');
/** @param quiet Long enough for all to be held when the first is due. */
const configure = (quiet: string): Promise<void> =>
  writeFile(
    file,
    `version: 1
nats: { servers: "${server.url}" }
http: { listen: "${address}" }
streams: { IN: { subjects: ["in.>"] } }
consumers: { latest: { stream: IN, start: all, debounce: { by: event.data.k, quiet: ${quiet} } } }
`,
  );
const run = async () => {
  const child = spawn(process.execPath, [MAIN, 'run', '--config', file], { cwd: directory, stdio: 'ignore' });
  endWithThisProcess(child);
  while ((await fetch(`http://${address}/readyz`).catch(() => undefined))?.status !== 200) await sleep(50);
  return child;
};
const value = async (name: string): Promise<number> => {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  const lines = text.split('\n').filter((line) => line.startsWith(`${name}{`) && line.includes('consumer="latest"'));
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' ') + 1)), 0);
};
const until = async (what: () => Promise<boolean>): Promise<number> => {
  const from = performance.now();
  while (!(await what())) await sleep(100);
  return (performance.now() - from) / 1000;
};

const nc = await connect({ servers: server.url });
const js = jetstream(nc);
const manager = await jetstreamManager(nc);
try {
  await configure(`${Math.max(60, Math.ceil(EVENTS / 500))}s`);
  const first = await run();
  const begun = performance.now();
  for (let from = 0; from < EVENTS; from += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, EVENTS - from) }, (_, index) =>
        js.publish('in.x', JSON.stringify({ k: from + index })),
      ),
    );
  await until(async () => (await value('ouzel_events_parked_total')) >= EVENTS);
  const held = (performance.now() - begun) / 1000;
  const rss = await (await fetch(`http://${address}/metrics`)).text();
  const memory = Number(/^process_resident_memory_bytes (\S+)/m.exec(rss)?.[1] ?? 0) / 2 ** 20;
  first.kill('SIGKILL');
  const { state } = await manager.streams.info('OUZEL_HELD');
  const started = performance.now();
  const second = await run();
  const ready = (performance.now() - started) / 1000;
  const took = await until(async () => (await value('ouzel_events_total')) >= EVENTS);
  await sleep(2_000);
  const delivered = await value('ouzel_events_total');
  second.kill('SIGKILL');
  const bytes = Math.round(state.bytes / state.messages);
  process.stdout.write(
    `debounce   ${EVENTS} keys held in ${held.toFixed(1)} s (${Math.round(EVENTS / held)}/s), ${Math.round(memory)} MiB of the daemon, ${bytes} bytes each\n` +
      `           killed and ready again in ${ready.toFixed(1)} s; ${delivered} of ${EVENTS} went on, the last ${took.toFixed(1)} s later\n`,
  );
  process.exitCode = delivered === EVENTS ? 0 : 1;
} finally {
  await nc.close();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
}
