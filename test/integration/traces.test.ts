/** Traces at a real collector: what arrives there, what goes out, and what happens when nobody takes it. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { type Collector, type ReceivedSpan, startCollector, startGrpcCollector } from '../helpers/otlp.ts';
import { freePort } from '../helpers/ports.ts';
import { type Client, connectTo, publish, publishMany, readStream } from '../helpers/publish.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const TRACE = '0af7651916cd43dd8448eb211c80319c';
const PARENT = 'b7ad6b7169203331';
const SAMPLED = `00-${TRACE}-${PARENT}-01`;
const UNSAMPLED = `00-${TRACE}-${PARENT}-00`;

let server: TestServer;
let client: Client;

const config = (endpoint: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { traces: { endpoint: "${endpoint}" } }
streams:
  IN: { subjects: ["in.>"], strip: "in.", storage: memory, max_msgs: 100000 }
  OUT: { subjects: ["out.>"], storage: memory }
targets:
  console: { log: { message: "seen {{ event.data.n }}" } }
consumers:
  orders:
    stream: IN
    subjects: ["in.orders.>"]
    pipeline: [{ set: { data.seen: "true" } }]
    deliver:
      - { name: forward, to: { publish: { subject: "out.{{ event.data.to }}" } } }
      - { to: console }
  broken:
    stream: IN
    subjects: [in.broken]
    retry: { attempts: 1 }
    pipeline: [{ set: { data.sum: 'event.data.password + 1' } }]
  load: { stream: IN, subjects: [in.load] }
`;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
});

afterAll(async () => {
  await client[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** A daemon on streams without what an earlier test left, whose spans do not wait. */
async function start(endpoint: string, env: Readonly<Record<string, string>> = {}): Promise<Daemon> {
  for (const stream of ['IN', 'OUT', 'OUZEL_DLQ']) await client.jsm.streams.delete(stream).catch(() => false);
  return startDaemon(config(endpoint), { server, env: { OTEL_BSP_SCHEDULE_DELAY: '50', ...env } });
}

const arrived = (collector: Collector, count: number): Promise<readonly ReceivedSpan[]> =>
  waitFor(() => collector.spans.length >= count && collector.spans, {
    what: () => `${count} spans; there are ${collector.spans.length}`,
  });

const logged = (daemon: Daemon, message: string): Promise<Record<string, unknown>> =>
  waitFor(() => daemon.logLines().find(({ msg }) => msg === message), { what: `the log line "${message}"` });

test('one trace goes from the message that was published, through Ouzel, to the message that it published', async () => {
  const collector = await startCollector();
  const daemon = await start(`${collector.url}/`, {
    OTEL_SERVICE_NAME: 'shop-events',
    OTEL_RESOURCE_ATTRIBUTES: 'deployment.environment.name=test,service.name=ignored',
    OTEL_EXPORTER_OTLP_HEADERS: 'x-api-key=k%201',
  });
  const headers = { traceparent: SAMPLED, tracestate: 'vendor=1' };
  const seq = await publish(client, { subject: 'in.orders.created', body: { n: 1, to: 'x' }, headers, id: 'm-1' });
  const spans = await arrived(collector, 3);
  const attempt = spans.find(({ kind }) => kind === 'CONSUMER');
  const producer = spans.find(({ kind }) => kind === 'PRODUCER');
  const log = spans.find(({ kind }) => kind === 'INTERNAL');

  expect(attempt).toMatchObject({
    name: 'process in.orders.>',
    traceId: TRACE,
    parentSpanId: PARENT,
    traceState: 'vendor=1',
    status: 'UNSET',
    scope: expect.stringMatching(/^ouzel \d/) as string,
  });
  expect(attempt?.attributes).toEqual({
    'messaging.system': 'nats',
    'messaging.operation.type': 'process',
    'messaging.operation.name': 'process',
    'messaging.consumer.group.name': 'orders',
    'messaging.destination.template': 'in.orders.>',
    'messaging.destination.name': 'in.orders.created',
    'messaging.message.id': 'm-1',
    'messaging.message.body.size': 16,
    'ouzel.stream': 'IN',
    'ouzel.sequence': seq,
    'ouzel.attempt': 1,
    'ouzel.outcome': 'delivered',
  });
  expect(producer).toMatchObject({ traceId: TRACE, parentSpanId: attempt?.spanId, status: 'UNSET' });
  expect(producer?.name).toBe('publish out.{{ event.data.to }}');
  expect(producer?.attributes).toMatchObject({ 'ouzel.route': 'forward', 'ouzel.result': 'confirmed' });
  expect(log).toMatchObject({ name: 'log console', traceId: TRACE, parentSpanId: attempt?.spanId });
  expect(attempt?.start).toBeLessThanOrEqual(producer?.start ?? 0);
  expect(attempt?.end).toBeGreaterThanOrEqual(producer?.end ?? Infinity);
  expect(attempt?.resource).toMatchObject({ 'service.name': 'shop-events', 'deployment.environment.name': 'test' });

  // What went out continues with the delivery's own span, once, and the producer's state.
  const [message] = await readStream(client, 'OUT');
  expect(message?.headers).toMatchObject({
    traceparent: `00-${TRACE}-${producer?.spanId}-01`,
    tracestate: 'vendor=1',
  });
  expect(await logged(daemon, 'seen 1')).toMatchObject({ trace_id: TRACE, span_id: log?.spanId });
  expect(collector.requests[0]).toMatchObject({
    path: '/v1/traces',
    headers: { 'content-type': 'application/x-protobuf', 'x-api-key': 'k 1' },
  });
  expect(await daemon.total('ouzel_spans_dropped_total')).toBe(0);
});

test('a trace that is not recorded makes no spans, and its context goes on', async () => {
  const collector = await startCollector();
  const daemon = await start(collector.url);
  await publish(client, {
    subject: 'in.orders.a',
    body: { n: 1, to: 'x' },
    headers: { traceparent: UNSAMPLED, tracestate: 'vendor=1' },
  });
  await untilEnded(daemon, 'orders', 1);
  await publish(client, { subject: 'in.orders.b', body: { n: 2, to: 'y' } });
  const spans = await arrived(collector, 3);
  expect(spans.filter(({ traceId }) => traceId === TRACE)).toEqual([]);
  const messages = await readStream(client, 'OUT');
  expect(messages.find(({ subject }) => subject === 'out.x')?.headers).toMatchObject({
    traceparent: UNSAMPLED,
    tracestate: 'vendor=1',
  });
});

test('a failure can be followed from its span to the log and the dead letter, and none of them shows the payload', async () => {
  const collector = await startCollector();
  const daemon = await start(collector.url);
  const body = { n: 1, password: 'hunter2-payload' };
  await publish(client, { subject: 'in.broken', body, headers: { traceparent: SAMPLED } });
  const [span] = await arrived(collector, 1);
  expect(span).toMatchObject({
    name: 'process in.broken',
    traceId: TRACE,
    status: 'ERROR',
    attributes: {
      'ouzel.outcome': 'dead_lettered',
      'ouzel.reason': 'expression_error',
      'error.type': 'EVENT_EXPRESSION',
    },
  });
  expect(span?.statusMessage).toMatch(/^EVENT_EXPRESSION: /);
  const line = await logged(daemon, 'event went into the dead letters');
  expect(line).toMatchObject({ trace_id: TRACE, span_id: span?.spanId });
  const [letter] = await readStream(client, 'OUZEL_DLQ');
  expect(letter?.headers).toMatchObject({
    traceparent: SAMPLED,
    'Ouzel-Trace': `00-${TRACE}-${span?.spanId}-01`,
  });
  expect(collector.text()).not.toContain('hunter2');
});

test('what is left is sent at the end', async () => {
  const collector = await startCollector();
  const daemon = await start(collector.url, { OTEL_BSP_SCHEDULE_DELAY: '3600000' });
  await publishMany(client, 300, (n) => ({ subject: 'in.load', body: { n } }));
  await untilEnded(daemon, 'load', 300);
  expect(collector.spans).toEqual([]);
  expect(await daemon.terminate()).toBe(0);
  expect(collector.spans).toHaveLength(300);
});

test('a collector that is away costs counted spans and one line, and is taken up again', async () => {
  const port = await freePort();
  const daemon = await start(`http://127.0.0.1:${port}`, { OTEL_BSP_MAX_QUEUE_SIZE: '500' });
  const count = 5_000;
  await publishMany(client, count, (n) => ({ subject: 'in.load', body: { n } }));
  await untilEnded(daemon, 'load', count);
  await waitFor(async () => (await daemon.total('ouzel_spans_dropped_total')) === count - 500, {
    what: 'all that the queue does not hold to be counted',
  });
  const about = (start: string) => daemon.logLines().filter(({ msg }) => String(msg).startsWith(start));
  await waitFor(() => about('spans cannot be delivered').length > 0, { what: 'the collector to be missed' });
  const collector = await startCollector(port);
  await arrived(collector, 500);
  await waitFor(() => about('spans are delivered again').length > 0, { what: 'the recovery to be said' });
  expect(about('spans cannot be delivered')).toHaveLength(1);
  expect(await daemon.total('ouzel_spans_dropped_total')).toBe(count - 500);
});

test('a collector that is away does not hold up the end', async () => {
  const daemon = await start(`http://127.0.0.1:${await freePort()}`);
  await publishMany(client, 10, (n) => ({ subject: 'in.load', body: { n } }));
  await untilEnded(daemon, 'load', 10);
  expect(await daemon.terminate()).toBe(0);
  expect(daemon.logLines()).toContainEqual(expect.objectContaining({ msg: 'spans were dropped', spans: 10 }));
});

test.each([
  ['http/protobuf', 'application/x-protobuf', { OTEL_EXPORTER_OTLP_COMPRESSION: 'gzip' }],
  ['http/json', 'application/json', { OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json' }],
])('%s goes to the collector with what the environment says', async (_protocol, type, env) => {
  const collector = await startCollector();
  const daemon = await start(collector.url, { ...env, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await publish(client, { subject: 'in.load', body: {}, headers: { traceparent: SAMPLED } });
  await untilEnded(daemon, 'load', 1);
  const [request] = await waitFor(() => collector.requests.length > 0 && collector.requests, { what: 'a request' });
  expect(request).toMatchObject({ path: '/v1/traces', headers: { 'content-type': type } });
  expect(type.endsWith('json') ? collector.text() : collector.spans[0]?.traceId).toContain(TRACE);
  expect(await daemon.terminate()).toBe(0);
});

test('gRPC is spoken where the environment asks for it', async () => {
  const collector = await startGrpcCollector();
  const daemon = await start(collector.url, { OTEL_EXPORTER_OTLP_PROTOCOL: 'grpc' });
  await publish(client, { subject: 'in.load', body: {}, headers: { traceparent: SAMPLED } });
  const [span] = await waitFor(() => collector.spans.length > 0 && collector.spans, { what: 'a span' });
  expect(span).toMatchObject({ name: 'process in.load', traceId: TRACE, parentSpanId: PARENT });
  expect(await daemon.terminate()).toBe(0);
  expect(daemon.logLines().filter(({ level }) => level === 'warn' || level === 'error')).toEqual([]);
});

/** Says of each package of OpenTelemetry that it is loaded, by `import` or `require`. */
const TELL = `import { registerHooks } from 'node:module';
registerHooks({ load(url, context, next) {
  const [, name] = /node_modules\\/(@opentelemetry\\/[^/]+)/.exec(url) ?? [];
  if (name !== undefined) process.stderr.write('loads ' + name + '\\n');
  return next(url, context);
} });`;

const loaded = (daemon: Daemon): string[] => [
  ...new Set([...daemon.log().matchAll(/^loads (\S+)$/gm)].map(([, name = '']) => name)),
];

test('nothing is recorded and nothing is loaded while traces are off', async () => {
  const collector = await startCollector();
  const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(TELL)}`;
  // The variable alone turns nothing on. (prom-client brings the API along, which is a few interfaces.)
  const off = await start('', { NODE_OPTIONS, OTEL_EXPORTER_OTLP_ENDPOINT: collector.url });
  await publish(client, { subject: 'in.orders.a', body: { n: 1, to: 'x' } });
  await untilEnded(off, 'orders', 1);
  const [message] = await readStream(client, 'OUT');
  expect(message?.headers).not.toHaveProperty('traceparent');
  expect(loaded(off)).toEqual(['@opentelemetry/api']);
  expect(await off.terminate()).toBe(0);

  const on = await start(collector.url, { NODE_OPTIONS, OTEL_TRACES_SAMPLER: 'always_off' });
  await publish(client, { subject: 'in.orders.a', body: { n: 1, to: 'x' } });
  await untilEnded(on, 'orders', 1);
  expect(loaded(on)).toContain('@opentelemetry/resources');
  expect(await on.terminate()).toBe(0);
  expect(collector.requests).toEqual([]);
});

test('the environment turns traces off', async () => {
  const collector = await startCollector();
  const daemon = await start(collector.url, { OTEL_SDK_DISABLED: 'true' });
  await publish(client, { subject: 'in.orders.a', body: { n: 1, to: 'x' }, headers: { traceparent: SAMPLED } });
  await untilEnded(daemon, 'orders', 1);
  // Who takes no part in a trace hands it on.
  expect((await readStream(client, 'OUT'))[0]?.headers).toMatchObject({ traceparent: SAMPLED });
  expect(await daemon.terminate()).toBe(0);
  expect(collector.requests).toEqual([]);
});
