/** What is said of events that fail: an `Incidents` beside a consumer, with a clock of the test's own. */
import { afterEach, describe, expect, it } from 'vitest';
import type { LoadedConfig } from '../../../../src/config/load.ts';
import { headerEntries } from '../../../../src/core/headers.ts';
import { deliverStep } from '../../../../src/deliver/route.ts';
import type { Publisher } from '../../../../src/deliver/ports.ts';
import { type IncidentKind, INCIDENTS } from '../../../../src/telemetry/incidents/catalogue.ts';
import { Incidents } from '../../../../src/telemetry/incidents.ts';
import { createLogger } from '../../../../src/telemetry/log.ts';
import { createMetrics } from '../../../../src/telemetry/metrics.ts';
import { bytes, error, type EventOptions, harness, jsonEvent, outcome, POLICY, route } from '../../core/helpers.ts';

const made: Incidents[] = [];
afterEach(async () => {
  for (const incidents of made.splice(0)) await incidents.close(Promise.resolve());
});

async function setup({ attempts = 2, errors = 3 } = {}) {
  const published: { type: string; data: Record<string, unknown>; headers: Record<string, string> }[] = [];
  const publisher: Publisher = {
    publish: (_subject, headers, body, _timeout, listener) => {
      const found = Object.fromEntries(headerEntries(bytes(headers)));
      const data = JSON.parse(String(body)) as Record<string, unknown>;
      published.push({ type: found['ce-type'] ?? '', data, headers: found });
      listener.confirmed(false);
    },
    publishCore: () => undefined,
  };
  const metrics = createMetrics();
  const time = { now: Date.UTC(2026, 0, 2) };
  const loaded = {
    file: 'ouzel.yaml',
    hash: 'abc',
    config: {
      consumers: {
        billing: { failing: { errors, within: 60_000 }, deliver: [{ to: 'partner' }] },
        other: { failing: { errors, within: 60_000 }, deliver: [{ to: 'partner' }, { to: { publish: {} } }] },
      },
    },
    redact: (text: string) => text.replaceAll('s3cret', '***'),
  };
  const incidents = new Incidents({
    // Nothing else of a configuration is asked for.
    loaded: () => loaded as unknown as LoadedConfig,
    keyOf: () => 'k-s3cret',
    metrics,
    logger: createLogger({ level: 'fatal', format: 'json' }, (line) => line),
    clock: () => time.now,
  });
  made.push(incidents);
  await incidents.connect(publisher, () => Promise.resolve());
  let fails = true;
  const target = route(
    'partner',
    (delivery) => (fails ? delivery.fail(error('TARGET_REJECTED', 'no, s3cret')) : delivery.confirm()),
    { retry: { ...POLICY, attempts } },
  );
  const { receive } = harness({
    steps: [deliverStep([target], outcome('filtered', 'no_route'))],
    observer: incidents,
  });
  let sequence = 0;
  const event = (options: EventOptions = {}): void => void receive(jsonEvent({}, { sequence: ++sequence, ...options }));
  const kinds = (): string[] => published.map(({ type }) => type);
  return { incidents, published, kinds, metrics, time, event, mend: () => (fails = false), loaded };
}

describe('a consumer that fails', () => {
  it('is said to fail once and to have recovered once, with what happened', async () => {
    const { incidents, published, kinds, time, event, mend } = await setup();
    for (let n = 0; n < 20; n++) event();
    expect(kinds()).toEqual(['consumer.failing']);
    expect(published[0]?.data).toEqual({
      instance: incidents.instance,
      consumer: 'billing',
      errors: 3,
      dead_lettered: 0,
      within_s: 60,
      since: '2026-01-02T00:00:00.000Z',
      code: 'TARGET_REJECTED',
      error: 'no, ***',
      target: 'partner',
      event: { stream: 'EVENTS', subject: 'events.orders.created', sequence: 3, key: 'k-***' },
    });
    expect(published[0]?.headers).toMatchObject({
      'ce-specversion': '1.0',
      'ce-source': `ouzel:${incidents.instance}`,
      'ce-time': '2026-01-02T00:00:00.000Z',
      'Content-Type': 'application/json',
      'Ouzel-Hops': '1',
      'Ouzel-Concerns': 'billing',
    });
    mend();
    event();
    incidents.tick();
    expect(kinds()).toEqual(['consumer.failing']);
    time.now += 60_001;
    incidents.tick();
    incidents.tick();
    expect(kinds()).toEqual(['consumer.failing', 'consumer.recovered']);
    expect(published[1]?.data).toMatchObject({ consumer: 'billing', lasted_s: 60.001, errors: 20, dead_lettered: 0 });
    expect(new Set(published.map(({ headers }) => headers['Nats-Msg-Id'])).size).toBe(2);
  });

  it('that leaves the configuration is forgotten', async () => {
    const { incidents, kinds, time, event, mend, loaded } = await setup();
    for (let n = 0; n < 3; n++) event();
    (loaded.config as { consumers: object }).consumers = {};
    incidents.tick();
    mend();
    event();
    time.now += 100_000;
    incidents.tick();
    expect(kinds()).toEqual(['consumer.failing']);
  });
});

describe('dead letters', () => {
  it('are said at once, then counted', async () => {
    const { incidents, published, kinds, time, event } = await setup({ attempts: 1, errors: 10_000 });
    for (let n = 0; n < 500; n++) event();
    time.now += 60_000;
    incidents.tick();
    expect(kinds()).toEqual(['dead_letter', 'dead_letter']);
    expect(published.map(({ data }) => data['count'])).toEqual([1, 499]);
    expect(published[1]?.data).toMatchObject({ reason: 'rejected', target: 'partner', event: { sequence: 2 } });
  });
});

describe('incidents about incidents', () => {
  const incident = (hops: number): EventOptions => ({
    stream: 'OUZEL_EVENTS',
    headers: { 'Ouzel-Hops': String(hops) },
  });

  it('count the way, and end', async () => {
    const { published, metrics, event, incidents, mend, time } = await setup({ attempts: 1, errors: 1 });
    event(incident(6));
    expect(published.map(({ headers }) => headers['Ouzel-Hops'])).toEqual(['7', '7']);
    const other = await setup({ attempts: 1, errors: 1 });
    other.event(incident(7));
    expect(other.published).toEqual([]);
    expect(other.metrics.incidentsDropped.with().value).toBe(2);
    // Nobody recovers of whom nothing was said.
    for (const each of [{ mend, event, time, incidents }, other]) {
      each.mend();
      each.event();
      each.time.now += 60_001;
      each.incidents.tick();
    }
    expect(published.at(-1)).toMatchObject({ type: 'consumer.recovered', headers: { 'Ouzel-Hops': '7' } });
    expect(other.published).toEqual([]);
    expect(metrics.incidentsDropped.with().value).toBe(0);
  });

  it('of other events are said in any case, and can go no further than the event', async () => {
    const { published, event } = await setup({ attempts: 1, errors: 10 });
    event({ headers: { 'Ouzel-Hops': '8' } });
    expect(published.map(({ type, headers }) => [type, headers['Ouzel-Hops']])).toEqual([['dead_letter', '8']]);
  });
});

it('says everything as the catalogue has it', async () => {
  const { incidents, published, event, mend, time } = await setup({ attempts: 1, errors: 1 });
  event();
  mend();
  event();
  time.now += 60_001;
  incidents.tick();
  const away = error('TARGET_UNAVAILABLE', 'away, s3cret');
  for (let n = 0; n < 3; n++) incidents.targetUnavailable('partner', away);
  incidents.targetUnavailable('other/publish', away);
  incidents.targetDisabled('other/publish', error('TARGET_GONE', '410, s3cret'));
  time.now += 5000;
  for (let n = 0; n < 3; n++) incidents.targetRecovered('partner');
  incidents.scheduleFailing('nightly', 'events.due', error('TARGET_NO_STREAM', 'nobody takes it, s3cret'));
  incidents.scheduleRecovered('nightly', time.now - 1000);
  const rejected = { result: 'rejected', at: '', changes: undefined, needRestart: [] } as const;
  incidents.reloadRejected({ ...rejected, hash: undefined, reason: 's3cret is wrong' });
  incidents.started({ billing: 'running' });
  incidents.stopping('SIGTERM');
  const said = new Set(published.map(({ type }) => type));
  // The commands publish what only they do.
  expect(Object.keys(INCIDENTS).filter((kind) => !said.has(kind))).toEqual(['dead_letters.discarded']);
  for (const { type, data } of published) INCIDENTS[type as IncidentKind].data.parse(data);
  for (const { data, example } of Object.values(INCIDENTS)) expect(data.parse(example)).toEqual(example);
  expect(JSON.stringify(published)).not.toContain('s3cret');
  const ofTargets = published.filter(({ type }) => type.startsWith('target.'));
  expect(ofTargets.map(({ type, data, headers }) => [type, data['lasted_s'], headers['Ouzel-Concerns']])).toEqual([
    ['target.unavailable', undefined, 'billing,other'],
    ['target.unavailable', undefined, 'other'],
    ['target.disabled', undefined, 'other'],
    ['target.recovered', 5, 'billing,other'],
  ]);
});
