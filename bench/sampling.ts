/**
 * How a workload is measured. Whoever consumes is asked now and then how many events it has settled, and the CPU time of
 * both processes is read at that moment. What counts lies between two such samples: the first after the warm-up, and the
 * last before the end. So starting, provisioning, just-in-time compilation and stopping stay out, for every workload by
 * the same rule, and no sample needs to hit the exact end.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** The share of the events that is warm-up. */
const WARM_UP = 0.25;
/** Milliseconds between two samples: seldom enough that a scrape is lost in the noise. */
const EVERY = 500;
/** Without progress for this long, in milliseconds, the workload is given up. */
const STUCK = 15_000;

/** What a consumer says of itself when asked. */
export interface Progress {
  readonly settled: number;
  /** Loop delay since it was asked last, where it knows. */
  readonly loop?: { readonly p50: number; readonly p99: number };
}

export interface Figures {
  readonly events_per_s: number;
  /** Microseconds of CPU an event, of the consuming process. */
  readonly cpu_us: number;
  /** The same of nats-server. */
  readonly server_cpu_us: number;
  readonly loop_delay_p50_ms?: number;
  readonly loop_delay_p99_ms?: number;
  /** Spans that arrived at the collector, and that were dropped on the way. */
  readonly spans?: number;
  readonly spans_dropped?: number;
}

interface Sample {
  readonly settled: number;
  readonly at: number;
  readonly client: number;
  readonly server: number;
}

/** Samples until all events are settled, and returns the figures. */
export async function measure(
  events: number,
  pids: { readonly client: number; readonly server: number },
  ask: () => Promise<Progress>,
): Promise<Figures> {
  let from: Sample | undefined;
  let to: Sample | undefined;
  const loops: { p50: number; p99: number }[] = [];
  for (let settled = 0, moved = performance.now(); settled < events; await sleep(EVERY)) {
    const progress = await ask();
    const at = performance.now();
    if (progress.settled > settled) moved = at;
    else if (at - moved > STUCK) throw new Error(`stuck at ${settled} of ${events} events`);
    settled = progress.settled;
    if (settled < events * WARM_UP || settled >= events) continue;
    const sample = { settled, at, client: cpuSeconds(pids.client), server: cpuSeconds(pids.server) };
    if (from === undefined) from = sample;
    else {
      to = sample;
      if (progress.loop !== undefined) loops.push(progress.loop);
    }
  }
  if (from === undefined || to === undefined || to.settled === from.settled) {
    throw new Error('too few events to measure: give more with --events');
  }
  const count = to.settled - from.settled;
  return {
    events_per_s: (count / (to.at - from.at)) * 1_000,
    cpu_us: ((to.client - from.client) / count) * 1e6,
    server_cpu_us: ((to.server - from.server) / count) * 1e6,
    ...(loops.length === 0
      ? {}
      : {
          loop_delay_p50_ms: median(loops.map((l) => l.p50)),
          loop_delay_p99_ms: Math.max(...loops.map((l) => l.p99)),
        }),
  };
}

/** CPU time of a process with all its threads, in user and kernel. Linux counts it in hundredths of a second. */
export function cpuSeconds(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** The one in the middle. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.floor((sorted.length - 1) / 2)] ?? Number.NaN;
  return (lower + upper) / 2;
}
