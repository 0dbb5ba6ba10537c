/**
 * Measures Ouzel beside the plain nats.js client, in one run and interleaved (A B C A B C …), so that what the machine
 * does otherwise hits all alike. `npm run -s bench -- --help`.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { jetstreamManager } from '@nats-io/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import type { NatsConnection } from '@nats-io/transport-node';
import { EXIT, OuzelError } from '../src/errors.ts';
import { findNatsServer } from '../src/nats/find-server.ts';
import { startNatsServer } from '../src/nats/server.ts';
import type { Bench } from './daemon.ts';
import { STREAM, SUBJECTS, makeEvent } from './events.ts';
import { describeRegister, measureRegister, type RegisterFigures } from './register.ts';
import { describeReload, measureReload, type ReloadFigures } from './reload.ts';
import { median } from './sampling.ts';
import type { Figures } from './sampling.ts';
import { ON_REQUEST, WORKLOADS } from './workloads.ts';

/** Not loads, but changes of the configuration: measured once, behind the rounds. */
const CHANGES: readonly string[] = ['reload', 'register'];

const HELP = `npm run -s bench -- [--quick] [--json] [--events N] [--rounds N] [--profile DIR] [--only NAME,…]

  --quick    fewer events and rounds, without register: done within a minute
  --json     prints one JSON object and nothing else
  --events   how many events the stream holds (default 400000, quick 150000)
  --rounds   how often each workload runs (default 5, quick 3); the medians count
  --profile  writes a CPU profile of each daemon into this folder (for DevTools; the figures are lower for it)
  --only     some of: ${[...WORKLOADS.keys(), ...CHANGES].join(', ')}
             (${ON_REQUEST.join(', ')} are measured on request only)

Linux only: CPU time is read from /proc.
`;

/** A quick run begins no round that would probably end after this many milliseconds. */
const QUICK_BUDGET = 50_000;

/** What is measured where nothing else is asked for. */
const USUAL: readonly string[] = [...WORKLOADS.keys()].filter((name) => !ON_REQUEST.includes(name));

interface Options {
  readonly quick: boolean;
  readonly json: boolean;
  readonly events: number;
  readonly rounds: number;
  readonly names: readonly string[];
  readonly profile: string | undefined;
}

type Result = Figures & { readonly cpu_ratio_to_raw?: number; readonly rate_ratio_to_raw?: number };

const startedAt = performance.now();
const options = readOptions(process.argv.slice(2));
try {
  const { loads, ...changes } = await measureAll(options);
  const all = { workloads: { ...loads, ...changes } };
  process.stdout.write(options.json ? `${JSON.stringify(all)}\n` : table({ loads, ...changes }));
} catch (error) {
  process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = error instanceof OuzelError ? error.exitCode : EXIT.failed;
}

function readOptions(args: readonly string[]): Options {
  try {
    const { values } = parseArgs({
      args: [...args],
      options: {
        quick: { type: 'boolean', default: false },
        json: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
        events: { type: 'string' },
        rounds: { type: 'string' },
        only: { type: 'string' },
        profile: { type: 'string' },
      },
    });
    if (values.help) {
      process.stdout.write(HELP);
      process.exit(EXIT.ok);
    }
    const { quick, json } = values;
    const names = values.only?.split(',') ?? [...USUAL, ...CHANGES.slice(0, quick ? 1 : CHANGES.length)];
    const unknown = names.find((name) => !WORKLOADS.has(name) && !CHANGES.includes(name));
    if (unknown !== undefined) throw new Error(`no workload ${unknown}`);
    const profile = values.profile === undefined ? undefined : resolve(values.profile);
    const events = positive('--events', values.events, quick ? 150_000 : 400_000);
    return { quick, json, events, rounds: positive('--rounds', values.rounds, quick ? 3 : 5), names, profile };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`);
    process.exit(EXIT.usage);
  }
}

function positive(name: string, text: string | undefined, otherwise: number): number {
  const value = text === undefined ? otherwise : Number(text);
  if (!Number.isInteger(value) || value < 1) throw new Error(`${name} takes a whole number above 0`);
  return value;
}

interface Measured {
  readonly loads: Readonly<Record<string, Result>>;
  readonly reload?: ReloadFigures;
  readonly register?: RegisterFigures;
}

async function measureAll(how: Options): Promise<Measured> {
  const { binary } = await findNatsServer({ onTry: (t) => t.state === 'trying' && say(`${t.origin}: ${t.detail}`) });
  const storeDir = await mkdtemp(join(tmpdir(), 'ouzel-bench-nats-'));
  try {
    const server = await startNatsServer({ binary, storeDir });
    const nc = await connect({ servers: server.url });
    try {
      const jsm = await jetstreamManager(nc);
      await load(nc, jsm, how.events);
      const loads = summarize(await rounds({ server, jsm, events: how.events, profile: how.profile }, how));
      return {
        loads,
        ...(how.names.includes('reload') ? { reload: await measureReload(server) } : {}),
        ...(how.names.includes('register') ? { register: await measureRegister(server) } : {}),
      };
    } finally {
      await nc.close();
      await server.stop();
    }
  } finally {
    await rm(storeDir, { recursive: true, force: true });
  }
}

/** Fills the stream, and waits until the server has stored it all. */
async function load(nc: NatsConnection, jsm: JetStreamManager, events: number): Promise<void> {
  await jsm.streams.add({ name: STREAM, subjects: [SUBJECTS] });
  const begin = performance.now();
  for (let index = 0; index < events; index++) {
    const { subject, body } = makeEvent(index);
    nc.publish(subject, body);
    if (index % 5_000 === 4_999) await nc.flush();
  }
  for (const until = performance.now() + 30_000; ; await sleep(50)) {
    const { state } = await jsm.streams.info(STREAM);
    if (state.messages === events) break;
    if (performance.now() > until) throw new Error(`the server stored ${state.messages} of ${events} events`);
  }
  const rate = Math.round((events / (performance.now() - begin)) * 1_000);
  say(`loaded ${events} events, ${makeEvent(events - 1).body.length} bytes each, ${rate}/s`);
}

async function rounds(bench: Bench, how: Options): Promise<Map<string, Figures[]>> {
  const results = new Map<string, Figures[]>(how.names.filter((name) => WORKLOADS.has(name)).map((name) => [name, []]));
  let longest = 0;
  for (let round = 1; round <= how.rounds; round++) {
    const begin = performance.now();
    if (how.quick && round > 1 && begin - startedAt + longest > QUICK_BUDGET) break;
    for (const [name, figures] of results) {
      const workload = WORKLOADS.get(name);
      if (workload === undefined) continue;
      const result = await workload(bench);
      await removeConsumers(bench.jsm);
      figures.push(result);
      say(`round ${round} ${name.padEnd(14)} ${describe(result)}`);
    }
    longest = Math.max(longest, performance.now() - begin);
  }
  return results;
}

async function removeConsumers(jsm: JetStreamManager): Promise<void> {
  for (const { name } of await jsm.consumers.list(STREAM).next()) await jsm.consumers.delete(STREAM, name);
}

/** Medians over the rounds, and their ratios to `raw`. */
function summarize(results: ReadonlyMap<string, readonly Figures[]>): Record<string, Result> {
  const medians = [...results].map(([name, figures]): [string, Figures] => {
    const of = (key: keyof Figures): number => median(figures.flatMap((f) => f[key] ?? []));
    const base = { events_per_s: Math.round(of('events_per_s')), cpu_us: rounded(of('cpu_us')) };
    const loop = {
      loop_delay_p50_ms: rounded(of('loop_delay_p50_ms')),
      loop_delay_p99_ms: rounded(of('loop_delay_p99_ms')),
    };
    const known = Number.isNaN(loop.loop_delay_p50_ms) ? {} : loop;
    const dropped = figures.flatMap((f) => f.spans_dropped ?? []);
    // Of what must not happen, the worst round counts.
    const spans = dropped.length === 0 ? {} : { spans: of('spans'), spans_dropped: Math.max(...dropped) };
    return [name, { ...base, server_cpu_us: rounded(of('server_cpu_us')), ...known, ...spans }];
  });
  const raw = medians.find(([name]) => name === 'raw')?.[1];
  const withRatios = medians.map(([name, figures]): [string, Result] => {
    if (raw === undefined || name === 'raw') return [name, figures];
    const { events_per_s, cpu_us, ...more } = figures;
    const cpu_ratio_to_raw = rounded(cpu_us / raw.cpu_us);
    const rate_ratio_to_raw = rounded(events_per_s / raw.events_per_s);
    return [name, { events_per_s, cpu_us, ...more, cpu_ratio_to_raw, rate_ratio_to_raw }];
  });
  return Object.fromEntries(withRatios);
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

function describe(figures: Figures): string {
  const rate = `${Math.round(figures.events_per_s)}/s`.padStart(9);
  return `${rate}  ${figures.cpu_us.toFixed(2)} µs client  ${figures.server_cpu_us.toFixed(2)} µs server`;
}

function table({ loads, reload, register }: Measured): string {
  const columns: readonly (readonly [string, keyof Result])[] = [
    ['events/s', 'events_per_s'],
    ['CPU µs', 'cpu_us'],
    ['server µs', 'server_cpu_us'],
    ['CPU ÷ raw', 'cpu_ratio_to_raw'],
    ['rate ÷ raw', 'rate_ratio_to_raw'],
    ['loop p50 ms', 'loop_delay_p50_ms'],
    ['loop p99 ms', 'loop_delay_p99_ms'],
    ['spans', 'spans'],
    ['dropped', 'spans_dropped'],
  ];
  const head = ['workload'.padEnd(15), ...columns.map(([title]) => title.padStart(12))].join('');
  const rows = Object.entries(loads).map(([name, result]) =>
    [name.padEnd(15), ...columns.map(([, key]) => String(result[key] ?? '').padStart(12))].join(''),
  );
  const machine = `Node ${process.version}, ${cpus()[0]?.model.trim() ?? 'unknown CPU'}, ${availableParallelism()} cores`;
  const changes = [
    ...(reload === undefined ? [] : [describeReload(reload)]),
    ...(register === undefined ? [] : [describeRegister(register)]),
  ];
  return `\n${[head, ...rows].join('\n')}\n${changes.map((line) => `\n${line}\n`).join('')}\n${machine}\n`;
}

function say(line: string): void {
  if (!options.json) process.stderr.write(`${line}\n`);
}
