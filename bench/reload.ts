/**
 * How long a change takes from being saved to being in force: 500 consumers, of which one changes. The others must not
 * be touched, which is checked.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { endWithThisProcess, type NatsServer } from '../src/nats/server.ts';
import { freePort } from './ports.ts';
import { cpuSeconds, median } from './sampling.ts';

const CONSUMERS = 500;
const CHANGES = 20;
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));

export interface ReloadFigures {
  readonly consumers: number;
  /** Milliseconds from the rename of the saved file to `/readyz` showing the new generation; the median. */
  readonly save_to_running_ms: number;
  readonly slowest_ms: number;
  /** CPU of the daemon for a change, in milliseconds; being asked whether it is through is in it. */
  readonly cpu_ms: number;
}

/** The figures in a line. */
export function describeReload({ consumers, save_to_running_ms, slowest_ms, cpu_ms }: ReloadFigures): string {
  const times = `${save_to_running_ms} ms from saved to running, ${slowest_ms} at the slowest, ${cpu_ms} ms of CPU`;
  return `reload     ${consumers} consumers, one changed: ${times}`;
}

const config = (url: string, address: string, limit: number): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
streams:
  RELOAD: { subjects: ["reload.>"], storage: memory }
filters:
  not-test: '!event.source.startsWith("test/")'
consumers:
${Array.from(
  { length: CONSUMERS },
  (_, number) => `  c${number}:
    stream: RELOAD
    subjects: ["reload.c${number}.>"]
    pipeline: [not-test, { filter: event.data.n > ${number === 250 ? limit : number} }, { set: { data.vat: event.data.total * 0.2 } }]
    deliver: [{ to: { publish: { subject: "reload.out.c${number}" } } }]
`,
).join('')}`;

interface Ready {
  readonly config: {
    readonly generation: number;
    readonly last_reload: { readonly changes?: { readonly updated: readonly string[] } } | null;
  };
}

/** Starts a daemon of its own and changes its file a few times. */
export async function measureReload(server: NatsServer): Promise<ReloadFigures> {
  const directory = await mkdtemp(join(tmpdir(), 'ouzel-bench-reload-'));
  const file = join(directory, 'ouzel.yaml');
  const address = `127.0.0.1:${await freePort()}`;
  await writeFile(file, config(server.url, address, 0));
  const child = spawn(process.execPath, [MAIN, 'run', '--config', file], { cwd: directory, stdio: 'ignore' });
  endWithThisProcess(child);
  const ask = async (): Promise<Ready | undefined> => {
    const response = await fetch(`http://${address}/readyz`).catch(() => undefined);
    return response?.status === 200 ? ((await response.json()) as Ready) : undefined;
  };
  const until = async (generation: number): Promise<Ready> => {
    for (const deadline = performance.now() + 60_000; performance.now() < deadline; await sleep(5)) {
      const ready = await ask();
      if (ready !== undefined && ready.config.generation >= generation) return ready;
    }
    throw new Error(`generation ${generation} was not reached`);
  };
  try {
    await until(1);
    const times: number[] = [];
    const before = cpuSeconds(child.pid ?? 0);
    for (let change = 1; change <= CHANGES; change++) {
      await writeFile(`${file}.new`, config(server.url, address, change));
      const saved = performance.now();
      await rename(`${file}.new`, file);
      const { config: state } = await until(change + 1);
      times.push(performance.now() - saved);
      const touched = state.last_reload?.changes?.updated ?? [];
      if (touched.length !== 1) throw new Error(`${touched.length} consumers were touched by a change of one`);
    }
    const rounded = (value: number): number => Math.round(value);
    return {
      consumers: CONSUMERS,
      save_to_running_ms: rounded(median(times)),
      slowest_ms: rounded(Math.max(...times)),
      cpu_ms: rounded(((cpuSeconds(child.pid ?? 0) - before) / CHANGES) * 1000),
    };
  } finally {
    child.kill('SIGKILL');
    await rm(directory, { recursive: true, force: true });
  }
}
