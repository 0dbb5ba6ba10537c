/**
 * Every filter, transformer and target, enrolled by the line that it has in its folder's index, against a real server
 * and a real daemon: each gets the same events of every sort, and must account for all of them.
 */
import { isDeepStrictEqual } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { targets } from '../../src/deliver/targets/index.ts';
import type { TargetComponent } from '../../src/deliver/component.ts';
import type { PipelineComponent } from '../../src/pipeline/component.ts';
import { filters } from '../../src/pipeline/filters/index.ts';
import { transformers } from '../../src/pipeline/transformers/index.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import type { Metrics } from '../helpers/metrics.ts';
import { expectIdentity, untilEnded } from '../helpers/outcomes.ts';
import { addBucket, addStream, type Client, connectTo } from '../helpers/publish.ts';
import { type HttpTarget, startHttpTarget } from '../helpers/http-target.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';
import { headers as createHeaders } from '@nats-io/transport-node';
import { GOOD, SAMPLES } from './events.ts';
import { atWebServer, BUCKETS, SERVICES, TARGET_FEATURES } from './features.ts';
import { PLUGIN_FILES, PLUGINS } from './plugins.ts';

/** A component, or a plugin that stands in for one. */
interface Subject {
  readonly kind: 'filter' | 'transformer' | 'target';
  readonly name: string;
  /** Its key in the configuration, where that is not its name. */
  readonly key?: string;
  readonly example: string;
}

const SUBJECTS: readonly Subject[] = [
  ...(filters as readonly PipelineComponent[]),
  ...(transformers as readonly PipelineComponent[]),
  ...(targets as readonly TargetComponent[]).map(({ name, example }) => ({ kind: 'target' as const, name, example })),
  ...PLUGINS,
];
const subjectsOf = (kind: Subject['kind']): Subject[] => SUBJECTS.filter((each) => each.kind === kind);
const FILTERS = subjectsOf('filter');
const TRANSFORMERS = subjectsOf('transformer');
const TARGETS = subjectsOf('target');

interface Enrolled {
  readonly kind: 'filter' | 'transformer' | 'target';
  readonly component: string;
  /** The consumer that has the component: written where it is used, or named. */
  readonly consumer: string;
  /** What outcomes and deliveries call it. */
  readonly shownAs: string;
  readonly yaml: string;
}

const option = ({ name, key = name, example }: Subject): string => `${key}: ${example}`;
const out = (consumer: string): string => `{ to: { publish: { subject: out.${consumer} } } }`;

function pipelineConsumers(component: Subject): Enrolled[] {
  const { kind, name } = component;
  return [
    { written: 'inline', stage: `{ ${option(component)} }`, shownAs: 'pipeline[0]' },
    { written: 'named', stage: `a-${name}`, shownAs: `a-${name}` },
  ].map(({ written, stage, shownAs }) => {
    const consumer = `${kind}-${name}-${written}`;
    const yaml = `  ${consumer}: { stream: IN, start: all, pipeline: [${stage}], deliver: [${out(consumer)}] }`;
    return { kind, component: name, consumer, shownAs, yaml };
  });
}

function targetConsumers(component: Subject): Enrolled[] {
  const { name } = component;
  return [
    { written: 'inline', to: `{ ${option(component)} }`, shownAs: name },
    { written: 'named', to: `a-${name}`, shownAs: `a-${name}` },
  ].map(({ written, to, shownAs }) => {
    const consumer = `target-${name}-${written}`;
    return {
      kind: 'target',
      component: name,
      consumer,
      shownAs,
      yaml: `  ${consumer}: { stream: IN, start: all, deliver: [{ to: ${to} }] }`,
    };
  });
}

const ENROLLED: readonly Enrolled[] = [
  ...[...FILTERS, ...TRANSFORMERS].flatMap(pipelineConsumers),
  ...TARGETS.flatMap(targetConsumers),
];
const ofKind = (kind: Enrolled['kind']): Enrolled[] => ENROLLED.filter((each) => each.kind === kind);

/** A section in which each component stands under a name; the plain filter is its expression itself. */
const section = (name: string, components: readonly Subject[]): string =>
  [
    `${name}:`,
    ...components.map((each) => `  a-${each.name}: ${each.name === 'filter' ? each.example : `{ ${option(each)} }`}`),
  ].join('\n');

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
telemetry: { log: { level: debug, format: json } }
plugins: { dir: plugins }
defaults: { retry: { attempts: 2, backoff: { first: 50ms, jitter: 0 } } }
streams:
  IN: { subjects: ["in.>"], strip: "in.", key: event.data.id }
${section('filters', FILTERS)}
${section('transformers', TRANSFORMERS)}
${section('targets', TARGETS)}
consumers:
${ENROLLED.map(({ yaml }) => yaml).join('\n')}
`;

/** The headers of a dead letter that DESIGN.md §2 names; the key is there where the event has one. */
const LETTER_HEADERS = [
  'Ouzel-Consumer',
  'Ouzel-Routes',
  'Ouzel-Reason',
  'Ouzel-Error',
  'Ouzel-Attempts',
  'Ouzel-Stream',
  'Ouzel-Subject',
  'Ouzel-Sequence',
  'Ouzel-Time',
  'Ouzel-First-Failed',
  'Ouzel-Failed',
  'Ouzel-Run',
];

interface Stored {
  readonly subject: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: Uint8Array;
}

async function messagesOf(client: Client, stream: string): Promise<Stored[]> {
  const { state } = await client.jsm.streams.info(stream);
  const found: Stored[] = [];
  if (state.messages === 0) return found;
  const consumer = await client.js.consumers.get(stream);
  for await (const message of await consumer.fetch({ max_messages: state.messages, expires: 10_000 })) {
    const headers = new Map((message.headers?.keys() ?? []).map((key) => [key, message.headers?.get(key) ?? '']));
    found.push({ subject: message.subject, headers, body: message.data });
    if (found.length === state.messages) break;
  }
  return found;
}

let server: TestServer;
let client: Client;
let web: HttpTarget;
let daemon: Daemon;
let metrics: Metrics;
let letters: Stored[];
let outputs: Stored[];

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  for (const [name, subject] of [
    ['IN', 'in.>'],
    ['OUT', 'out.>'],
    ...Object.values(TARGET_FEATURES).flatMap(({ receives }) =>
      'stream' in receives ? [[receives.stream, receives.subjects]] : [],
    ),
  ])
    await addStream(client, name ?? '', [subject ?? '']);
  for (const { kind, body, headers } of SAMPLES) {
    const head = createHeaders();
    for (const [name, value] of Object.entries(headers)) head.set(name, value);
    await client.js.publish(`in.${kind}`, body, Object.keys(headers).length === 0 ? {} : { headers: head });
  }
  for (const [subject, answer] of Object.entries(SERVICES))
    client.nc.subscribe(subject, { callback: (_error, message) => void message.respond(answer) });
  for (const [bucket, entries] of Object.entries(BUCKETS)) await addBucket(client, bucket, entries);
  await client.nc.flush();
  web = await startHttpTarget();
  daemon = await startDaemon(atWebServer(CONFIG, web.url), { server, files: PLUGIN_FILES, timeout: 60_000 });
  for (const { consumer } of ENROLLED) await untilEnded(daemon, consumer, SAMPLES.length);
  metrics = await daemon.metrics();
  letters = await messagesOf(client, 'OUZEL_DLQ');
  outputs = await messagesOf(client, 'OUT');
});

afterAll(async () => {
  await daemon?.kill();
  await web?.[Symbol.asyncDispose]();
  await client?.[Symbol.asyncDispose]();
  await server?.[Symbol.asyncDispose]();
});

const lettersOf = (consumer: string): Stored[] =>
  letters.filter(({ headers }) => headers.get('Ouzel-Consumer') === consumer);
const outputsOf = (consumer: string): Stored[] => outputs.filter(({ subject }) => subject === `out.${consumer}`);
/** Events that are not CloudEvents bear their subject, less `in.`, as their type: the kind of the sample. */
const outputOf = (consumer: string, kind: string): Stored | undefined =>
  outputsOf(consumer).find(({ headers }) => headers.get('ce-type') === kind);

test('the configuration enrols every component twice', () => {
  expect(ENROLLED.length).toBe(2 * (FILTERS.length + TRANSFORMERS.length + TARGETS.length));
  expect(new Set(ENROLLED.map(({ kind, component }) => `${kind} ${component}`)).size).toBe(ENROLLED.length / 2);
});

describe.each(ENROLLED)('$consumer', ({ consumer }) => {
  test('every event ends in exactly one outcome, and the server has all answers', async () => {
    const outcomes = expectIdentity(metrics, consumer);
    expect(outcomes.ended).toBe(SAMPLES.length);
    expect(outcomes.inFlight).toBe(0);
    const info = await waitFor(
      async () => {
        const now = await client.jsm.consumers.info('IN', consumer);
        return now.num_ack_pending === 0 && now;
      },
      { what: `${consumer} to have nothing unacknowledged` },
    );
    expect(info).toMatchObject({ num_pending: 0, ack_floor: { stream_seq: SAMPLES.length } });
  });

  test('the event that its example is written for is delivered', () => {
    const lost = lettersOf(consumer).filter(({ headers }) => headers.get('Ouzel-Subject') === `in.${GOOD}`);
    expect(lost.map(({ headers }) => headers.get('Ouzel-Error'))).toEqual([]);
    expect(metrics.total('ouzel_events_total', { consumer, outcome: 'delivered' })).toBeGreaterThan(0);
  });

  test('what it dead-letters is stored as it came, with the reason that is counted and every header', async () => {
    const reasons = new Map<string, number>();
    const bodies = SAMPLES.map(({ kind, body }) => [`in.${kind}`, body] as const);
    for (const { headers, body } of lettersOf(consumer)) {
      for (const name of LETTER_HEADERS) expect(headers.has(name), `${name} of a letter of ${consumer}`).toBe(true);
      const reason = headers.get('Ouzel-Reason') ?? '';
      expect(reason).toMatch(/^[a-z_]+$/);
      reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
      expect(headers.get('Ouzel-Error')).toMatch(/^[A-Z_]+(?: at .+:\d+:\d+)?: ./);
      expect(Number(headers.get('Ouzel-Attempts'))).toBeGreaterThan(0);
      expect(headers.get('Ouzel-Stream')).toBe('IN');
      const [, original] = bodies.find(([subject]) => subject === headers.get('Ouzel-Subject')) ?? [];
      const apart = headers.get('Ouzel-Body');
      if (apart === undefined) expect(Buffer.from(body).equals(original ?? new Uint8Array(1))).toBe(true);
      else expect(body.length).toBe(0);
    }
    const counted = metrics
      .select('ouzel_events_total', { consumer, outcome: 'dead_lettered' })
      .filter(({ value }) => value > 0)
      .map(({ labels, value }) => [labels['reason'] ?? '', value] as const);
    expect(new Map(counted)).toEqual(reasons);
  });

  test('its durations and ages are observed once for each outcome', () => {
    for (const name of ['ouzel_event_duration_seconds_count', 'ouzel_event_age_seconds_count'])
      expect(metrics.total(name, { consumer }), name).toBe(SAMPLES.length);
  });
});

describe.each(ofKind('filter'))('$consumer as a filter', ({ consumer, component, shownAs }) => {
  test('says itself as the reason for what it holds back, or a field that is not there', () => {
    const reasons = metrics
      .select('ouzel_events_total', { consumer, outcome: 'filtered' })
      .filter(({ value }) => value > 0)
      .map(({ labels }) => labels['reason']);
    expect([shownAs, 'missing_field']).toEqual(expect.arrayContaining(reasons));
    // A plugin decides itself what a field that is not there means.
    if (component !== 'plugin-filter' && component !== 'thread-filter') expect(reasons).toContain('missing_field');
  });

  test('changes nothing: bodies go on byte for byte', () => {
    const kept = SAMPLES.filter(({ bodyIsData }) => bodyIsData).filter(({ kind }) => outputOf(consumer, kind));
    expect(kept.map(({ kind }) => kind)).toContain(GOOD);
    for (const { kind, body } of kept)
      expect(Buffer.from(outputOf(consumer, kind)?.body ?? []).equals(body)).toBe(true);
  });
});

describe.each(ofKind('transformer'))('$consumer as a transformer', ({ consumer }) => {
  test('leaves id and time alone', () => {
    const found = outputsOf(consumer);
    expect(found.length).toBe(metrics.total('ouzel_events_total', { consumer, outcome: 'delivered' }));
    const ids = found.map(({ headers }) => headers.get('ce-id') ?? '');
    for (const id of ids) expect(id).toMatch(/^(?:IN:\d+|ce-[245])$/);
    expect(new Set(ids).size).toBe(ids.length);
    const order = outputOf(consumer, GOOD);
    expect(order?.headers.get('ce-id')).toBe(`IN:${SAMPLES.findIndex(({ kind }) => kind === GOOD) + 1}`);
    const given = found.find(({ headers }) => headers.get('ce-id') === 'ce-2');
    expect(given?.headers.get('ce-time')).toBe('2026-01-31T08:00:00.123Z');
  });

  test('an event that it does not change goes on byte for byte', () => {
    const same: string[] = [];
    for (const { kind, body, bodyIsData } of SAMPLES) {
      const output = outputOf(consumer, kind);
      if (output === undefined || !bodyIsData) continue;
      if (!isDeepStrictEqual(parsed(output.body), parsed(body))) continue;
      expect(Buffer.from(output.body).equals(body), `${kind} through ${consumer}`).toBe(true);
      same.push(kind);
    }
  });

  test('large integers keep their digits, and keys such as __proto__ are data', () => {
    const output = outputOf(consumer, 'large-integer');
    const text = Buffer.from(output?.body ?? []).toString();
    expect(text).toContain('"id":9223372036854775807');
    const strange = Buffer.from(outputOf(consumer, 'prototype-keys')?.body ?? []).toString();
    const value = JSON.parse(strange) as object;
    if (strange.includes('hasOwnProperty')) expect(Object.hasOwn(value, '__proto__')).toBe(true);
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype);
  });
});

/** The value of a body; bytes that are no JSON stand for themselves. */
function parsed(body: Uint8Array): unknown {
  const text = Buffer.from(body).toString('latin1');
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

describe.each(ofKind('target'))('$consumer as a target', ({ consumer, component, shownAs }) => {
  test('counts and times every delivery', () => {
    const results = metrics.select('ouzel_deliveries_total', { consumer, target: shownAs });
    expect(results.map(({ labels }) => labels['result']).toSorted((a = '', b = '') => a.localeCompare(b))).toEqual([
      'confirmed',
      'rejected',
      'unavailable',
    ]);
    const count = results.reduce((sum, { value }) => sum + value, 0);
    expect(metrics.total('ouzel_delivery_duration_seconds_count', { consumer, target: shownAs })).toBe(count);
    expect(metrics.total('ouzel_deliveries_total', { consumer, target: shownAs, result: 'confirmed' })).toBe(
      metrics.total('ouzel_events_total', { consumer, outcome: 'delivered' }),
    );
  });

  test('a failed delivery names its route in the dead letter', () => {
    for (const { headers } of lettersOf(consumer)) expect(headers.get('Ouzel-Routes')).toBe(shownAs);
  });

  test('declares what can be seen of it, and shows that', async (context) => {
    const features = TARGET_FEATURES[component];
    expect(features, `declare ${component} in test/conformance/features.ts`).toBeDefined();
    if (features === undefined) return;
    const { receives, confirms } = features;
    if (confirms !== true) expect(confirms.unsupported).not.toBe('');
    if ('unsupported' in receives) return context.skip(receives.unsupported);
    const received =
      'path' in receives
        ? web.requests.filter(({ path }) => path.startsWith(receives.path)).length
        : (await messagesOf(client, receives.stream)).length;
    const confirmed = ofKind('target')
      .filter((each) => each.component === component)
      .map((each) => metrics.total('ouzel_deliveries_total', { consumer: each.consumer, result: 'confirmed' }));
    expect(received).toBe(confirmed.reduce((sum, each) => sum + each, 0));
  });
});

test('the source messages are as they were published', async () => {
  const stored = await messagesOf(client, 'IN');
  expect(stored.length).toBe(SAMPLES.length);
  for (const [index, { kind, body, headers }] of SAMPLES.entries()) {
    const message = stored[index];
    expect(message?.subject).toBe(`in.${kind}`);
    expect(Buffer.from(message?.body ?? []).equals(body), kind).toBe(true);
    for (const [name, value] of Object.entries(headers)) expect(message?.headers.get(name)).toBe(value);
  }
});

test('nothing crashed, and nothing failed that is a fault of Ouzel itself', async () => {
  expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
  expect(letters.map(({ headers }) => headers.get('Ouzel-Reason'))).not.toContain('failed');
  const fatal = daemon.logLines().filter(({ level, code }) => level === 'fatal' || code === 'INTERNAL');
  expect(fatal).toEqual([]);
});
