/** Rounds in which a daemon consumes the loaded stream, and how it is asked for its progress. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { JetStreamManager } from '@nats-io/jetstream';
import { endWithThisProcess } from '../src/nats/server.ts';
import type { NatsServer } from '../src/nats/server.ts';
import { freePort } from './ports.ts';
import { measure } from './sampling.ts';
import type { Figures, Progress } from './sampling.ts';

export interface Bench {
  readonly server: NatsServer;
  readonly jsm: JetStreamManager;
  readonly events: number;
  /** The folder for CPU profiles. */
  readonly profile: string | undefined;
}

/** Runs one round over the loaded stream, with a new durable. */
export type Workload = (bench: Bench) => Promise<Figures>;

/** The durable of every round. */
export const DURABLE = 'bench';

export const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** What a daemon does in a round. */
export interface DaemonRound {
  /** Its configuration. @param url The server's. @param address For `http.listen`. */
  config(url: string, address: string): string;
  /** Files beside it, by name. */
  readonly files?: Readonly<Record<string, string>>;
  /** Whether what it says it has done is done, and what else there is to say. @param http The daemon's address. */
  check?(bench: Bench, http: string): Promise<Partial<Figures>>;
  end?(bench: Bench): Promise<void>;
}

/** Has a daemon consume the loaded stream. */
export const daemonWorkload =
  (round: DaemonRound): Workload =>
  async (bench) => {
    const { server, events, profile } = bench;
    const directory = await mkdtemp(join(tmpdir(), 'ouzel-bench-'));
    const address = `127.0.0.1:${await freePort()}`;
    const config = round.config(server.url, address);
    // What the trail of outcomes costs is what `audit-…` measures.
    const trail = config.includes('\naudit:') ? '' : 'audit: { mode: off }\n';
    await writeFile(join(directory, 'ouzel.yaml'), config + trail);
    for (const [name, text] of Object.entries(round.files ?? {})) await writeFile(join(directory, name), text);
    const child = spawn(
      process.execPath,
      [
        ...(profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`]),
        path('../src/main.ts'),
        'run',
        '--config',
        join(directory, 'ouzel.yaml'),
      ],
      { cwd: directory, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    endWithThisProcess(child);
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (log = (log + chunk).slice(-4_000)));
    }
    try {
      const scrape = scraper(`http://${address}`, child);
      await ready(scrape);
      const figures = await measure(events, { client: child.pid ?? -1, server: server.pid }, scrape);
      return { ...figures, ...(await round.check?.(bench, `http://${address}`)) };
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}. The daemon's log:\n${log}`, {
        cause: error,
      });
    } finally {
      // A profile is written by a process that ends on its own.
      await kill(child, profile === undefined ? 'SIGKILL' : 'SIGTERM');
      await rm(directory, { recursive: true, force: true });
      await round.end?.(bench);
    }
  };

/** Asks the daemon's /metrics. */
function scraper(http: string, child: ChildProcess): () => Promise<Progress> {
  return async () => {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the daemon ended');
    const response = await fetch(`${http}/metrics`);
    const text = await response.text();
    if (!response.ok) throw new Error(`/metrics answered ${response.status}: ${text}`);
    const settled = sum(text, 'ouzel_events_total');
    const p50 = sum(text, 'nodejs_eventloop_lag_p50_seconds');
    const p99 = sum(text, 'nodejs_eventloop_lag_p99_seconds');
    // Node's histogram holds the time between two ticks of a 10 ms timer, the 10 ms included.
    const delay = (seconds: number): number => Math.max(0, seconds * 1_000 - 10);
    return p50 > 0 ? { settled, loop: { p50: delay(p50), p99: delay(p99) } } : { settled };
  };
}

/** The sum of all series of one metric in Prometheus' text format. */
export function sum(text: string, name: string): number {
  let total = 0;
  for (const line of text.split('\n')) {
    if (!line.startsWith(name) || !/[{ ]/.test(line.charAt(name.length))) continue;
    const value = Number(line.slice(line.lastIndexOf(' ') + 1));
    if (Number.isFinite(value)) total += value;
  }
  return total;
}

/** Waits for the first answer. Consuming may have begun by then: that is what the warm-up is for. */
async function ready(scrape: () => Promise<Progress>): Promise<void> {
  for (const until = performance.now() + 20_000; ; await sleep(50)) {
    try {
      await scrape();
      return;
    } catch (error) {
      const gone = error instanceof Error && error.message === 'the daemon ended';
      if (gone || performance.now() > until) throw error;
    }
  }
}

/** At once, unless asked otherwise: a drain takes seconds, and all that counts is measured by now. */
export async function kill(child: ChildProcess, signal: 'SIGKILL' | 'SIGTERM' = 'SIGKILL'): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
}
