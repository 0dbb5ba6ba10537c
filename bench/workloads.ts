/** The workloads: who consumes the loaded stream. */
import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, DeliverPolicy } from '@nats-io/jetstream';
import { audit } from './audit.ts';
import { STREAM, SUBJECTS, countBig } from './events.ts';
import { checkDelivered, OUT_STREAM, OUT_SUBJECT } from './out.ts';
import { daemonWorkload, DURABLE, kill, path, sum, type Workload } from './daemon.ts';
import { LIMITS } from './limits.ts';
import { grouped, single } from './group.ts';
import { measure } from './sampling.ts';
import type { Progress } from './sampling.ts';
import { startSink } from './sink.ts';
import { postgres, sqlite } from './sql.ts';
import type { Sink } from './sink.ts';
import { webhook } from './webhook.ts';

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
const config = (
  url: string,
  address: string,
  deliver: boolean,
  collector: string,
  orderBy?: string,
): string => `version: 1
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
${orderBy === undefined ? '' : `    order_by: ${orderBy}\n`}    pipeline: [not-test, big, with-vat]
${deliver ? `    deliver: [{ to: { publish: { subject: "${OUT_SUBJECT}" } } }]\n` : ''}`;

const ouzel = (deliver: boolean, sink?: Sink, orderBy?: string): Workload =>
  daemonWorkload({
    config: (url, address) => config(url, address, deliver, sink?.url ?? '', orderBy),
    async check({ jsm, events }, http) {
      if (deliver) await checkDelivered(jsm, countBig(events));
      return sink === undefined ? {} : await countedSpans(sink, events, http);
    },
    async end({ jsm }) {
      // The next round gets a new one: what this remembers of message ids would make that round's messages duplicates.
      if (deliver) await jsm.streams.delete(OUT_STREAM).catch(() => false);
    },
  });

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

/** 10,000 keys. */
const KEY = 'msg.seq % 10000';

/** By the name that they have in the results, in the order of a round. `raw` comes first: the others' ratios refer to it. */
export const WORKLOADS: ReadonlyMap<string, Workload> = new Map([
  ['raw', raw],
  ['nowhere', ouzel(false)],
  ['publish', ouzel(true)],
  ['traced', traced],
  ['order', ouzel(false, undefined, KEY)],
  ['order_publish', ouzel(true, undefined, KEY)],
  ['sqlite', sqlite],
  ['postgres', postgres],
  ['webhook', webhook],
  ...LIMITS,
  ['single', single],
  ['grouped', grouped],
  ['audit-off', audit('off')],
  ['audit-best', audit('best_effort')],
  ['audit-required', audit('required')],
  ['audit-publish-off', audit('off', true)],
  ['audit-publish-required', audit('required', true)],
]);

/** Measured on request only. */
export const ON_REQUEST: readonly string[] = [
  'order',
  'order_publish',
  'sqlite',
  'postgres',
  'webhook',
  'audit-off',
  'audit-best',
  'audit-required',
  'audit-publish-off',
  'audit-publish-required',
  'single',
  'grouped',
  ...LIMITS.map(([name]) => name),
];
