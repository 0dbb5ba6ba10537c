import { describe, expect, it } from 'vitest';
import { parseConfig } from '../../../src/config/load.ts';
import type { Event } from '../../../src/core/event.ts';
import type { Run } from '../../../src/core/run.ts';
import { Breakers } from '../../../src/deliver/breaker.ts';
import { Admission } from '../../../src/flow/admit.ts';
import { Limits } from '../../../src/flow/limits.ts';
import { compilePlan } from '../../../src/reconcile/compile.ts';
import { bindFilters } from '../../../src/reconcile/filters.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';
import { bodyText, eventOf, harness, jsonEvent, later, stopClocks } from '../core/helpers.ts';
import { RecordingPublisher, targetContext } from '../deliver/helpers.ts';

const PREFIX = `version: 1
streams: { EVENTS: { subjects: ["events.>"], strip: "events." } }
`;

/** A consumer as this configuration makes it, with its metrics. */
function consumerOf(text: string, limits?: Limits) {
  const { config } = parseConfig(PREFIX + text, '/etc/test/ouzel.yaml', { env: {}, cwd: '/etc/test' });
  const metrics = createMetrics();
  const publisher = new RecordingPublisher();
  publisher.answer = ({ listener }) => listener?.confirmed(false);
  const admission = config.consumers['billing']?.concurrency === undefined ? undefined : new Admission(1);
  const logger = { info: () => undefined } as never;
  const { requester, files } = targetContext({});
  const breakers = new Breakers({ changed: () => undefined });
  const outside = {
    publisher,
    requester,
    files,
    folderOf: () => '/etc/test',
    logger,
    plugins: new Map(),
    tables: new Map(),
    breakers,
  };
  const plan = compilePlan({ name: 'billing', config, revision: 'r', metrics, admission, limits, ...outside });
  const made = harness();
  made.consumer.plan = plan;
  /** Runs an event and answers with every outcome that was counted. */
  const outcomes = (event: Event): string[] => {
    made.consumer.receive(event);
    return [...metrics.events.series()].flatMap(({ labels, cell }) =>
      Array.from({ length: cell.value }, () => `${labels['outcome']} ${labels['reason']}`.trim()),
    );
  };
  return { ...made, plan, metrics, publisher, outcomes };
}

describe('a plan', () => {
  stopClocks();

  it('has its stages in the one order', () => {
    const { plan } = consumerOf(`
filters: { a: "true", b: "true" }
transformers: { t: { remove: [data.x], set: { data.y: "1" }, rename: { data.p: data.q } } }
targets: { out: { publish: { subject: x } } }
consumers: { billing: { stream: EVENTS, types: [a], concurrency: { max: 1 }, pipeline: [a, t, b, { filter: "true" }], deliver: [{ to: out }] } }`);
    expect(plan.steps.map(({ name }) => name)).toEqual([
      'types',
      'a',
      'admit',
      't',
      't',
      't',
      'b',
      'pipeline[3]',
      'deliver',
    ]);
  });

  it.each<[settings: string, steps: string[]]>([
    ['dedupe: { within: 1h }', ['expire', 'dedupe', 'pipeline[0]']],
    ['order_by: event.data.k', ['expire', 'pipeline[0]', 'order']],
    // Its answer may come late: a later event of the key must not begin meanwhile.
    ['order_by: event.data.k, dedupe: { within: 1h }', ['expire', 'order', 'dedupe', 'pipeline[0]']],
    ['group: { by: event.data.k, max: 2, within: 1s }', ['expire', 'pipeline[0]', 'gate', 'group']],
  ])('with %s has the steps %j', (settings, steps) => {
    const stages = `pipeline: [{ filter: "true" }], expire: { after: 1h, from: event.time }`;
    const { plan } = consumerOf(`consumers: { billing: { stream: EVENTS, ${settings}, ${stages} } }`);
    expect(plan.steps.map(({ name }) => name)).toEqual(steps);
    expect([plan.exclusive, plan.ordered]).toEqual([settings.includes('event.data.k'), settings.includes('order_by')]);
  });

  it('has no stage that is not configured', () =>
    expect(consumerOf('consumers: { billing: { stream: EVENTS } }').plan.steps).toEqual([]));

  it.each<[types: string, subject: string, taken: boolean]>([
    ['orders.created', 'events.orders.created', true],
    ['orders.created', 'events.orders.created2', false],
    ['orders.*', 'events.orders.created', true],
    ['orders.*', 'events.orders.created.eu', false],
    ['orders.>', 'events.orders.created.eu', true],
    ['orders.>', 'events.orders', false],
    ['*.created', 'events.orders.created', true],
    ['orders+x.*', 'events.orders+x.a', true],
    ['orders+x.*', 'events.ordersx.a', false],
  ])('of types [%s] takes %s: %s', (types, subject, taken) => {
    const { outcomes } = consumerOf(`consumers: { billing: { stream: EVENTS, types: ["${types}"] } }`);
    expect(outcomes(jsonEvent({}, { subject }))).toEqual([taken ? 'delivered' : 'filtered type']);
  });

  it('goes from the event to the outcome', () => {
    const { outcomes, publisher, acks, metrics } = consumerOf(`
filters: { big: event.data.total > 1000, vip: "event.data.vip && filters.big" }
transformers: { vat: { set: { data.vat: event.data.total * 0.5 }, remove: [data.card] } }
targets: { partner: { publish: { subject: "out.{{ event.data.id }}" } } }
consumers:
  billing:
    stream: EVENTS
    pipeline: [big, vat]
    deliver: [{ name: vip, when: filters.vip, to: partner, stop: true }, { to: partner, when: event.data.id != "x" }]`);
    outcomes(jsonEvent({ id: 'a', total: 2000, card: 1, vip: true }, { sequence: 1 }));
    outcomes(jsonEvent({ id: 'b', total: 2000, vip: false }, { sequence: 2 }));
    outcomes(jsonEvent({ id: 'c', total: 1 }, { sequence: 3 }));
    outcomes(jsonEvent({ id: 'x', total: 2000, vip: false }, { sequence: 4 }));
    expect(outcomes(jsonEvent({ id: 'd' }, { sequence: 5 })).toSorted()).toEqual(
      ['delivered', 'delivered', 'filtered big', 'filtered missing_field', 'filtered no_route'].toSorted(),
    );
    expect(publisher.publications.map(({ subject, body }) => [subject, JSON.parse(body) as unknown])).toEqual([
      ['out.a', { id: 'a', total: 2000, vip: true, vat: 1000 }],
      ['out.b', { id: 'b', total: 2000, vip: false, vat: 1000 }],
    ]);
    expect(acks.final.map(([verb]) => verb)).toEqual(['ack', 'ack', 'ack', 'ack', 'ack']);
    expect(metrics.missingFields.with('billing', 'event.data.total').value).toBe(1);
    expect(metrics.deliveries.with('billing', 'partner', 'confirmed').value).toBe(2);
  });

  it('says where the expression stands that an event failed at', () => {
    const { outcomes, letters } = consumerOf(`consumers:
  billing:
    stream: EVENTS
    pipeline:
      - set: { data.a: event.data.missing }`);
    outcomes(jsonEvent({}));
    expect(letters.letters.map(({ reason }) => reason)).toEqual(['missing_field']);
    expect(letters.letters[0]?.failure.error.place).toEqual({ file: 'ouzel.yaml', line: 7, column: 24 });
  });

  it('has no more series for missing fields than a hundred and one', () => {
    const { outcomes, metrics } = consumerOf(
      'consumers: { billing: { stream: EVENTS, pipeline: [{ filter: "event.data.list[event.data.n] == 1" }] } }',
    );
    for (let n = 0; n < 300; n++) outcomes(jsonEvent({ list: {}, n: `k${n}` }, { sequence: n + 1 }));
    expect([...metrics.missingFields.series()].length).toBeLessThanOrEqual(101);
  });

  it('takes a retry policy part by part: target, consumer, defaults', () => {
    const { plan, outcomes, letters, acks, publisher } = consumerOf(`
defaults: { retry: { attempts: 7, backoff: { first: 3s, jitter: 0 } } }
targets: { out: { publish: { subject: x }, retry: { attempts: 2 } } }
consumers: { billing: { stream: EVENTS, retry: { for: 1h, backoff: { first: 2s } }, deliver: [{ to: out }] } }`);
    expect(plan.retry).toMatchObject({ attempts: 7, first: 2000, factor: 2, for: 3_600_000, jitter: 0 });
    publisher.answer = () => {
      throw new TypeError('bug');
    };
    outcomes(jsonEvent({}));
    expect(acks.final).toEqual([['nak', 'reply.42', 2000]]);
    later(2000);
    outcomes(jsonEvent({}, { deliveries: 2 }));
    expect(letters.letters.map(({ reason }) => reason)).toEqual(['failed']);
  });

  it('does not write to an event that another consumer reads', () => {
    const { outcomes } = consumerOf(
      'consumers: { billing: { stream: EVENTS, pipeline: [{ set: { data.a.b: "2" } }] } }',
    );
    const event = eventOf('{"a":{"b":1}}');
    const { data } = event;
    expect(outcomes(event)).toEqual(['delivered']);
    expect(data).toEqual({ a: { b: 1 } });
    expect(bodyText(event)).toBe('{"a":{"b":2}}');
  });
});

describe('bindFilters', () => {
  it('binds filters to those that they use, in whatever order they are written', () => {
    const { config } = parseConfig(
      `${PREFIX}filters: { a: "filters.b && filters.c", b: "filters.c", c: event.data.c == 1 }\n`,
      '/etc/test/ouzel.yaml',
      { env: {}, cwd: '/etc/test' },
    );
    const bound = bindFilters(config);
    const run = { event: jsonEvent({ c: 1 }), msg: {}, now: 0 } as unknown as Run;
    expect([...bound.keys()].toSorted()).toEqual(['a', 'b', 'c']);
    expect(bound.get('a')?.(run)).toBe(true);
  });
});

describe('the limits of a plan', () => {
  stopClocks();

  /** The fleet is asked for nothing here. */
  const limitsOf = (): Limits => {
    const never = (): never => {
      throw new Error('nobody is to be asked');
    };
    return new Limits({ shared: { swap: never, read: never }, onTrouble: never });
  };

  const CONFIG = `
runtime: { max_in_flight: 5 }
targets: { out: { publish: { subject: x }, throttle: { limit: 1, per: 1s, scope: instance } } }
consumers:
  billing:
    stream: EVENTS
    pipeline: [{ set: { data.y: "1" } }]
    rate_limit: { limit: 3, per: 1m, by: event.data.customer, scope: instance }
    throttle: { limit: 100, per: 1s, burst: 50, scope: instance }
    deliver: [{ to: out }]`;

  it('have their places in the one order', () => {
    const { plan } = consumerOf(CONFIG, limitsOf());
    expect(plan.steps.map(({ name }) => name)).toEqual([
      'in_flight',
      'pipeline[0]',
      'rate_limit',
      'throttle',
      'deliver',
    ]);
  });

  const settled = (): Promise<void> => new Promise((resolve) => queueMicrotask(resolve));

  it('drop what is too much for a key, and pace what goes to a target', async () => {
    const { outcomes, publisher, consumer, metrics } = consumerOf(CONFIG, limitsOf());
    for (let sequence = 1; sequence <= 5; sequence++) outcomes(jsonEvent({ customer: 'a' }, { sequence }));
    const all = outcomes(jsonEvent({ customer: 'b' }, { sequence: 6 }));
    expect(all.toSorted()).toEqual(['delivered', 'dropped rate_limited', 'dropped rate_limited']);
    expect([publisher.publications.length, consumer.held]).toEqual([1, 3]);
    for (const seconds of [1, 2, 3]) {
      await settled();
      later(1_000);
      expect(publisher.publications.length).toBe(1 + seconds);
    }
    expect(consumer.held).toBe(0);
    expect(metrics.throttled.with('billing', 'out').value).toBeCloseTo(6, 1);
  });

  it('are those of the plan before where they did not change, and others where they did', () => {
    const limits = limitsOf();
    const first = consumerOf(CONFIG, limits);
    for (let sequence = 1; sequence <= 3; sequence++) first.outcomes(jsonEvent({ customer: 'a' }, { sequence }));
    const event = () => jsonEvent({ customer: 'a' }, { sequence: 4 });
    const unchanged = consumerOf(CONFIG.replace('data.y', 'data.z'), limits);
    expect(unchanged.outcomes(event())).toEqual(['dropped rate_limited']);
    const changed = consumerOf(CONFIG.replace('limit: 3', 'limit: 4'), limits);
    expect(changed.outcomes(event())).not.toContain('dropped rate_limited');
    // With the last plan that has it, it goes.
    first.plan.close();
    unchanged.plan.close();
    expect(consumerOf(CONFIG, limits).outcomes(event())).not.toContain('dropped rate_limited');
  });
});
