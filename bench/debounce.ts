/**
 * Many pending debounces and `kill -9`: events with a key each are held while the daemon is killed once, it is killed
 * again with all held, another one starts when all are due, and is killed when half of them went on. Each must
 * go on, once. `node bench/debounce.ts [events]`; with its own server, and a store on the disk.
 */
import { type ChildProcess, spawn } from 'node:child_process';
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
/** Long enough for all to be held, with a take-over, when the first is due. Seconds. */
const QUIET = 60 + Math.ceil(EVENTS / 1000);
await writeFile(
  file,
  `version: 1
nats: { servers: "${server.url}" }
http: { listen: "${address}" }
streams:
  IN: { subjects: ["in.>"] }
  OUT: { subjects: ["out.>"] }
consumers:
  latest:
    stream: IN
    start: all
    ack_wait: 5s
    debounce: { by: event.data.k, quiet: ${QUIET}s }
    deliver: [{ to: { publish: { subject: out.x } } }]
`,
);
const run = async () => {
  const child = spawn(process.execPath, [MAIN, 'run', '--config', file], { cwd: directory, stdio: 'ignore' });
  endWithThisProcess(child);
  while ((await fetch(`http://${address}/readyz`).catch(() => undefined))?.status !== 200) await sleep(50);
  return child;
};
const until = async (what: () => Promise<boolean>): Promise<number> => {
  const from = performance.now();
  while (!(await what())) await sleep(100);
  return (performance.now() - from) / 1000;
};

const nc = await connect({ servers: server.url });
const js = jetstream(nc);
const manager = await jetstreamManager(nc);
const messagesOf = async (stream: string): Promise<number> =>
  (await manager.streams.info(stream).catch(() => undefined))?.state.messages ?? 0;
const memoryOf = async (): Promise<number> => {
  const text = await (await fetch(`http://${address}/metrics`)).text();
  return Math.round(Number(/^process_resident_memory_bytes (\S+)/m.exec(text)?.[1] ?? 0) / 2 ** 20);
};
/** Kills the daemon when a stream has so many messages, and starts another. @returns it, and seconds until it was killed */
const killedAt = async (child: ChildProcess, stream: string, count: number) => {
  const seconds = await until(async () => (await messagesOf(stream)) >= count);
  child.kill('SIGKILL');
  return { seconds, next: await run() };
};

try {
  await manager.streams.add({ name: 'IN', subjects: ['in.>'] });
  for (let from = 0; from < EVENTS; from += AT_ONCE)
    await Promise.all(
      Array.from({ length: Math.min(AT_ONCE, EVENTS - from) }, (_, index) =>
        js.publish('in.x', JSON.stringify({ k: from + index })),
      ),
    );
  const begun = performance.now();
  const first = await run();
  const holding = await killedAt(first, 'OUZEL_HELD', EVENTS / 2);
  await until(async () => {
    const { num_pending, num_ack_pending } = await manager.consumers.info('IN', 'latest');
    return num_pending + num_ack_pending === 0;
  });
  const held = (performance.now() - begun) / 1000;
  const memory = await memoryOf();
  holding.next.kill('SIGKILL');
  const { state } = await manager.streams.info('OUZEL_HELD');
  process.stdout.write(
    `debounce   ${EVENTS} events of a key each: half held in ${holding.seconds.toFixed(1)} s (${Math.round(EVENTS / 2 / holding.seconds)}/s), all ${held.toFixed(1)} s after the start, with a kill -9 between;\n` +
      `           ${memory} MiB of the daemon, ${Math.round(state.bytes / state.messages)} bytes each on the server\n`,
  );

  await sleep(QUIET * 1000 + 2_000);
  const started = performance.now();
  const second = await run();
  const ready = (performance.now() - started) / 1000;
  const going = await killedAt(second, 'OUT', EVENTS / 2);
  await until(async () => (await messagesOf('OUT')) >= EVENTS);
  const took = (performance.now() - started) / 1000;
  await sleep(10_000);
  going.next.kill('SIGKILL');
  const out = await messagesOf('OUT');
  process.stdout.write(
    `           killed, and all due when the next one starts: ready in ${ready.toFixed(1)} s, half went on ${going.seconds.toFixed(1)} s later;\n` +
      `           all ${took.toFixed(1)} s after its start, with a kill -9 at half: ${out} of ${EVENTS}\n`,
  );
  process.exitCode = out === EVENTS ? 0 : 1;
} finally {
  await nc.close();
  await server.stop();
  await rm(directory, { recursive: true, force: true });
}
