/** A Prometheus of the test's own, where there is one to be found: it is not fetched. */
import { execFile, spawn } from 'node:child_process';
import { access, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { endWithThisProcess } from '../../src/nats/server.ts';
import type { Labels } from './metrics.ts';
import { freePort } from './ports.ts';
import { releasing, temporaryDirectory } from './resources.ts';
import { waitFor } from './wait.ts';

/** A series of an answer: one point of an instant, several of a range. */
export interface Series {
  readonly labels: Labels;
  readonly points: readonly { readonly time: number; readonly value: number }[];
}

export interface Prometheus extends AsyncDisposable {
  /** What an expression is now, or was then (milliseconds since the epoch). */
  query(expr: string, time?: number): Promise<Series[]>;
  /** What it was from then on (seconds since the epoch) until now, every so many seconds (default 1). */
  queryRange(expr: string, start: number, step?: number): Promise<Series[]>;
}

async function found(binary: string): Promise<boolean> {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return Promise.any(folders.map((folder) => access(join(folder, binary)))).then(
    () => true,
    () => false,
  );
}

/** Why there is none; undefined where there is. */
export async function noPrometheus(): Promise<string | undefined> {
  return (await found('prometheus')) && (await found('promtool'))
    ? undefined
    : 'no Prometheus (prometheus, promtool) in PATH';
}

/** Runs promtool, and returns what it said. @throws Error with that, when it says no */
export async function promtool(...args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)('promtool', args);
    return stdout + stderr;
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`promtool ${args.join(' ')}:\n${stdout}${stderr}`, { cause: error });
  }
}

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data: { readonly result: readonly { metric: Labels; value?: Point; values?: readonly Point[] }[] };
}
type Point = readonly [number, string];

const toPoint = ([time, value]: Point) => ({ time, value: Number(value.replace('Inf', 'Infinity')) });

/**
 * Starts one that scrapes these every second as the job `ouzel`. It ends with the test, or with `await using`.
 *
 * @param targets `address:port`, each of which has `/metrics`.
 * @param rules Files of rules, evaluated every second.
 */
export async function startPrometheus(targets: readonly string[], rules: readonly string[] = []): Promise<Prometheus> {
  const directory = await temporaryDirectory('prometheus');
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
    rule_files: rules,
    scrape_configs: [{ job_name: 'ouzel', static_configs: [{ targets }] }],
  };
  const file = join(directory, 'prometheus.yml');
  await writeFile(file, JSON.stringify(config));
  const address = `127.0.0.1:${await freePort()}`;
  const flags = {
    'config.file': file,
    'storage.tsdb.path': join(directory, 'data'),
    'web.listen-address': address,
    'log.level': 'warn',
  };
  const child = spawn(
    'prometheus',
    Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  endWithThisProcess(child);
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (log = (log + chunk).slice(-10_000)));
  let ended = false;
  const end = new Promise<void>((resolve) =>
    child.once('close', () => {
      ended = true;
      resolve();
    }),
  );
  await waitFor(async () => ended || (await fetch(`http://${address}/-/ready`)).status === 200, {
    timeout: 30_000,
    what: () => `Prometheus to be ready. Its log:\n${log}`,
  });
  if (ended) throw new Error(`Prometheus ended:\n${log}`);

  const ask = async (path: string, parameters: Readonly<Record<string, string>>): Promise<Series[]> => {
    const response = await fetch(`http://${address}/api/v1/${path}`, {
      method: 'POST',
      body: new URLSearchParams(parameters),
    });
    const { status, error, data } = (await response.json()) as Answer;
    if (status !== 'success') throw new Error(`${parameters['query']}: ${error}`);
    return data.result.map(({ metric, value, values = value === undefined ? [] : [value] }) => ({
      labels: metric,
      points: values.map(toPoint),
    }));
  };
  return {
    query: (query, time) => ask('query', { query, ...(time === undefined ? {} : { time: String(time / 1000) }) }),
    queryRange: (query, start, step = 1) =>
      ask('query_range', { query, start: String(start), end: String(Date.now() / 1000), step: String(step) }),
    [Symbol.asyncDispose]: releasing(async () => {
      child.kill('SIGTERM');
      await end;
      await rm(directory, { recursive: true, force: true });
    }),
  };
}
