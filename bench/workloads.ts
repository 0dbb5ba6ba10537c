/** The workloads: who consumes the loaded stream, and how it is asked for its progress. */
import { fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import type { JetStreamManager } from '@nats-io/jetstream';
import { endWithThisProcess } from '../src/nats/server.ts';
import type { NatsServer } from '../src/nats/server.ts';
import { STREAM, SUBJECTS, countBig } from './events.ts';
import { freePort } from './ports.ts';
import { measure } from './sampling.ts';
import type { Figures, Progress } from './sampling.ts';
import { startSink } from './sink.ts';
import type { Sink } from './sink.ts';

export interface Bench {
  readonly server: NatsServer;
  readonly jsm: JetStreamManager;
  readonly events: number;
}

/** Runs one round over the loaded stream, with a new durable. */
export type Workload = (bench: Bench) => Promise<Figures>;

const DURABLE = 'bench';
const OUT_STREAM = 'OUT';
const OUT_SUBJECT = 'out.bench';

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

const raw: Workload = async ({ server, jsm, events }) => {
  await jsm.consumers.add(STREAM, {
    durable_name: DURABLE,
    ack_policy: AckPolicy.Explicit,
    deliver_policy: DeliverPolicy.All,
    max_ack_pending: 20_000,
  });
  const child = fork(path('raw.ts'), [server.url, STREAM, DURABLE], { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
  try {
    await answer(child);
    return await measure(events, { client: child.pid ?? -1, server: server.pid }, () => {
      child.send('progress');
      return answer(child);
    });
  } finally {
    await kill(child);
  }
};

/** The next message of a child, or its end as an error. */
async function answer(child: ChildProcess): Promise<Progress> {
  const stop = new AbortController();
  const { signal } = stop;
  try {
    return await Promise.race([
      once(child, 'message', { signal }).then(([message]) => message as Progress),
      once(child, 'exit', { signal }).then(([code]) => Promise.reject(new Error(`raw.ts ended with ${String(code)}`))),
    ]);
  } finally {
    stop.abort();
  }
}

/** The daemon's configuration: two filters, half of the events pass, one `set`, every metric on. */
const config = (url: string, address: string, deliver: boolean, collector: string): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
telemetry: { traces: { endpoint: "${collector}" } }
streams:
  ${STREAM}: { subjects: ["${SUBJECTS}"], strip: "events." }
${deliver ? `  ${OUT_STREAM}: { subjects: ["${OUT_SUBJECT}"] }\n` : ''}filters:
  not-test: '!event.source.startsWith("test/")'
  big: event.data.total > 1000
transformers:
  with-vat: { set: { data.vat: event.data.total * 0.2 } }
consumers:
  ${DURABLE}:
    stream: ${STREAM}
    start: all
    pipeline: [not-test, big, with-vat]
${deliver ? `    deliver: [{ to: { publish: { subject: "${OUT_SUBJECT}" } } }]\n` : ''}`;

const ouzel =
  (deliver: boolean, sink?: Sink): Workload =>
  async ({ server, jsm, events }) => {
    const directory = await mkdtemp(join(tmpdir(), 'ouzel-bench-'));
    const address = `127.0.0.1:${await freePort()}`;
    await writeFile(join(directory, 'ouzel.yaml'), config(server.url, address, deliver, sink?.url ?? ''));
    const child = spawn(process.execPath, [path('../src/main.ts'), 'run', '--config', join(directory, 'ouzel.yaml')], {
      cwd: directory,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    endWithThisProcess(child);
    let log = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (chunk: string) => (log = (log + chunk).slice(-4_000)));
    }
    try {
      const scrape = scraper(`http://${address}`, child);
      await ready(scrape);
      const figures = await measure(events, { client: child.pid ?? -1, server: server.pid }, scrape);
      if (deliver) await checkDelivered(jsm, countBig(events));
      return sink === undefined ? figures : { ...figures, ...(await countedSpans(sink, events, `http://${address}`)) };
    } catch (error) {
      throw new Error(`${error instanceof Error ? error.message : String(error)}. The daemon's log:\n${log}`, {
        cause: error,
      });
    } finally {
      await kill(child);
      await rm(directory, { recursive: true, force: true });
      // The next round gets a new one: what this remembers of message ids would make that round's messages duplicates.
      if (deliver) await jsm.streams.delete(OUT_STREAM).catch(() => false);
    }
  };

/** The same as `nowhere`, with a span for every event. */
const traced: Workload = async (bench) => {
  await using sink = await startSink();
  return await ouzel(false, sink)(bench);
};

/** Waits for the spans that are still on their way: what neither arrived nor was counted as dropped is missing. */
async function countedSpans(sink: Sink, expected: number, http: string) {
  for (const until = performance.now() + 10_000; ; await sleep(50)) {
    const dropped = sum(await (await fetch(`${http}/metrics`)).text(), 'ouzel_spans_dropped_total');
    if (sink.spans + dropped >= expected) return { spans: sink.spans, spans_dropped: dropped };
    if (performance.now() > until)
      throw new Error(`${sink.spans} spans arrived, and ${dropped} were dropped, of ${expected}`);
  }
}

/** A figure for work that was not done would be worthless. */
async function checkDelivered(jsm: JetStreamManager, expected: number): Promise<void> {
  const { state } = await jsm.streams.info(OUT_STREAM);
  if (state.messages !== expected) throw new Error(`${state.messages} events were published, not ${expected}`);
}

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
function sum(text: string, name: string): number {
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

/** At once: a drain takes seconds, and all that counts is measured by now. */
async function kill(child: ChildProcess): Promise<void> {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
}

/** By the name that they have in the results, in the order of a round. `raw` comes first: the others' ratios refer to it. */
export const WORKLOADS: ReadonlyMap<string, Workload> = new Map([
  ['raw', raw],
  ['nowhere', ouzel(false)],
  ['publish', ouzel(true)],
  ['traced', traced],
]);
