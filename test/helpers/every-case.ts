/** A load under which a daemon meets every case that the dashboards show. */
import { strict as assert } from 'node:assert';
import type { StreamConfig } from '@nats-io/jetstream';
import { callApi } from './api.ts';
import type { Daemon } from './daemon.ts';
import type { HttpTarget } from './http-target.ts';
import { sendingTo } from './ingress.ts';
import { type Client, publish } from './publish.ts';
import { waitFor } from './wait.ts';

/** `@PARTNER@` is an HTTP target, `@INGRESS@` an `address:port`. */
export const EVERY_CASE = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@", ingress: "@INGRESS@" }
telemetry: { log: { format: json }, traces: { endpoint: "http://127.0.0.1:9" } }
audit: { payloads: true }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events." }
  OUT: { subjects: ["out.>"] }
types:
  orders.created: { version: 2, upcast: { 1: { set: { data.currency: "'EUR'" } } } }
transformers:
  profile: { lookup: { file: profiles.json, key: event.data.customer, into: data.profile } }
defaults: { retry: { attempts: 2, backoff: { first: 200ms, max: 2h, jitter: 0 } } }
targets:
  partner:
    webhook: { url: "@PARTNER@/partner", allow_private: true, headers: { x-attempt: "{{ msg.attempt }}" } }
    retry: { attempts: 3 }
    throttle: { limit: 20, per: 1s, burst: 1 }
  away: { webhook: { url: "@PARTNER@/away", allow_private: true }, retry: { backoff: { max: 500ms } } }
  tomorrow: { webhook: { url: "@PARTNER@/tomorrow", allow_private: true }, retry: { backoff: { first: 1h } } }
consumers:
  orders:
    stream: EVENTS
    types: [orders.created]
    pipeline: [{ filter: event.data.total > 1000 }, profile]
    deliver: [{ to: { publish: { subject: "out.orders" } } }]
  partners: { stream: EVENTS, types: [partners.*], deliver: [{ to: partner }] }
  distant:
    stream: EVENTS
    types: [distant.*]
    prefetch: 4
    lanes: [{ name: urgent, subjects: [events.distant.urgent] }]
    deliver: [{ to: away }]
  later: { stream: EVENTS, types: [later.*], deliver: [{ to: tomorrow }] }
  idle: { stream: EVENTS, types: [orders.created], paused: true }
  limited: { stream: EVENTS, types: [limited.*], rate_limit: { limit: 2, per: 1h } }
  paced: { stream: EVENTS, types: [paced.*], throttle: { limit: 1, per: 1h, burst: 1 } }
  ordered:
    stream: EVENTS
    types: [ordered.*]
    prefetch: 16
    order_by: event.data.key
    on_dead_letter: hold
    deliver: [{ to: partner }]
  grouped:
    stream: EVENTS
    types: [grouped.*]
    group: { by: event.data.key, max: 4, within: 1h }
    deliver: [{ to: { publish: { subject: "out.grouped" } } }]
  debounced: { stream: EVENTS, types: [debounced.*], debounce: { by: event.data.key, quiet: 1h } }
  delayed: { stream: EVENTS, types: [delayed.*], delay: { for: 1h } }
sources:
  shop:
    webhook: { path: /shop, verify: { token: { secret: lighthouse-keeper } } }
    publish: { subject: events.orders.created }
  clock: { schedule: { every: 1s, missed: last }, publish: { subject: events.clock.ticked } }
  nightly: { schedule: { cron: "0 3 * * *" }, publish: { subject: events.clock.struck } }
`;

const PROFILES = JSON.stringify({ 'c-1': { tier: 'gold' } });

/** Files beside the configuration. */
export const EVERY_CASE_FILES = { 'profiles.json': PROFILES };

/**
 * The target of `EVERY_CASE`: takes most, refuses what says so, is slow the second time where an event says so, and
 * while `isAway`, has nobody under `/away`.
 */
export function partnerAnswers(isAway: () => boolean): HttpTarget['answer'] {
  return ({ path, body, headers }) => {
    if (path === '/away') return { status: isAway() ? 503 : 200 };
    if (!body.includes('refuse')) return {};
    const { data } = JSON.parse(body) as { data: { refuse: number; slow?: number } };
    if (data.slow === undefined) return { status: data.refuse };
    return headers['x-attempt'] === '1' ? { status: data.refuse } : { delay: data.slow };
  };
}

/** Events and requests of each kind. @param round Each has its own number, so that no event is a repetition. */
export async function publishEveryCase(client: Client, ingress: string, round: number): Promise<void> {
  const send = async (count: number, type: string, body: (index: number) => unknown): Promise<void> => {
    for (let index = 0; index < count; index++) await publish(client, { subject: `events.${type}`, body: body(index) });
  };
  await send(60, 'orders.created', (n) => ({
    id: `${round}-${n}`,
    customer: `c-${n % 3}`,
    total: n % 2 === 0 ? 1500 : 10,
  }));
  await send(6, 'orders.created', (n) => ({ id: `none-${n}`, customer: 'c-1' }));
  await send(10, 'partners.changed', (n) => ({ n }));
  await send(10, 'partners.changed', (n) => ({ n, refuse: 422 }));
  await send(6, 'partners.changed', (n) => ({ n, refuse: 409, slow: 6_000 }));
  await send(6, 'partners.changed', () => 'no JSON');
  await send(20, 'distant.changed', (n) => ({ n }));
  await send(20, 'distant.urgent', (n) => ({ n }));
  await send(4, 'later.changed', (n) => ({ n, refuse: 409 }));
  await send(5, 'limited.changed', (n) => ({ n }));
  await send(5, 'paced.changed', (n) => ({ n }));
  // The first of its key becomes a dead letter, and what comes behind it is stored.
  await send(7, 'ordered.changed', (n) => ({ key: `k-${round}`, ...(n === 0 ? { refuse: 422 } : {}) }));
  await send(2, 'ordered.changed', () => ({ key: 'another' }));
  await send(5, 'grouped.changed', () => ({ key: 'k' }));
  await send(3, 'debounced.changed', (n) => ({ key: 'k', n }));
  await send(2, 'delayed.changed', (n) => ({ n }));
  const post = sendingTo(ingress);
  const order = (n: number): string => JSON.stringify({ id: `shop-${round}-${n}`, customer: 'c-1', total: 2000 });
  for (const n of [1, 2]) {
    const { status } = await post('/shop', { headers: { authorization: 'Bearer lighthouse-keeper' }, body: order(n) });
    assert.equal(status, 200);
  }
  assert.equal((await post('/shop', { headers: { authorization: 'Bearer somebody' }, body: order(3) })).status, 401);
}

/**
 * What waits, once each round was published and all is at rest: samples of the metrics, each with the sum over all of
 * them that all daemons say.
 */
export const atRest = (rounds: number): readonly (readonly [expr: string, value: number])[] => [
  ['max by (consumer) (ouzel_timers_by_kind{consumer="later",kind="retry"})', 4 * rounds],
  ['max by (consumer) (ouzel_timers_by_kind{consumer="delayed",kind="delay"})', 2 * rounds],
  ['max by (consumer) (ouzel_timers_by_kind{consumer="debounced",kind="debounce"})', 1],
  // One of them was the first, and went on at once.
  ['sum(ouzel_throttle_waiting{consumer="paced",target=""})', 5 * rounds - 1],
  ['sum(ouzel_group_waiting{consumer="grouped"})', (5 * rounds) % 4],
  ['sum(ouzel_group_size_sum{consumer="grouped"})', 5 * rounds - ((5 * rounds) % 4)],
  ['max(ouzel_order_keys_stored{consumer="ordered"})', rounds],
  ['max(ouzel_order_keys_held{consumer="ordered"})', rounds],
  ['max(ouzel_order_events_stored{consumer="ordered"})', 6 * rounds],
  ['sum(ouzel_events_total{consumer="limited",reason="rate_limited"})', 5 * rounds - 2],
  ['sum(ouzel_events_total{consumer="debounced",reason="superseded"})', 3 * rounds - 1],
];

/** A change that is refused, and its withdrawal. @param meanwhile What to wait for before that. */
export async function rejectReload(
  daemon: Daemon,
  yaml: string,
  mistake: string,
  meanwhile: () => Promise<unknown> = () => Promise.resolve(),
): Promise<void> {
  const reloads = async (result: string): Promise<number> => daemon.total('ouzel_config_reloads_total', { result });
  const [rejected, unchanged] = [await reloads('rejected'), await reloads('unchanged')];
  await daemon.write(yaml + mistake);
  await waitFor(async () => (await reloads('rejected')) > rejected, { what: 'the change to be refused' });
  await meanwhile();
  await daemon.write(yaml);
  await waitFor(async () => (await reloads('unchanged')) > unchanged, { what: 'what was in force to be read' });
}

/** Events that wait in hand are given back, and a durable is gone. */
export async function takeAway(client: Client, daemon: Daemon, until: Until): Promise<void> {
  await asking(daemon, 'POST', '/consumers/paced/pause', 200);
  await until('sum(ouzel_events_returned_total{consumer="paced"}) > 0');
  await asking(daemon, 'POST', '/consumers/paced/resume', 200);
  await client.jsm.consumers.delete('EVENTS', 'orders');
  await until('sum(ouzel_consumer_recreated_total{consumer="orders"}) > 0');
}

/** The streams of what Ouzel says have no room, and then take nothing that is as large as what it says. */
export async function refuseRecords(client: Client, daemon: Daemon, yaml: string, until: Until): Promise<void> {
  const { config } = await client.jsm.streams.info('OUZEL_OUTCOMES');
  const change = async (name: string, limits: Partial<StreamConfig>): Promise<void> =>
    void (await client.jsm.streams.update(name, limits));
  const event = async (type: string, data: object): Promise<void> =>
    void (await publish(client, { subject: `events.${type}`, body: data }));

  await change('OUZEL_OUTCOMES', { discard: 'new', max_bytes: 1 });
  await event('orders.created', { customer: 'c-1', total: 1 });
  await until(
    'sum(ouzel_audit_refusals_total) > 0 and sum(ouzel_audit_waiting) > 0 and max(ouzel_audit_lag_seconds) > 0',
  );
  await change('OUZEL_OUTCOMES', { discard: config.discard, max_bytes: config.max_bytes, max_msg_size: 16 });
  await until('sum(ouzel_audit_dropped_total{kind="outcome"}) > 0');
  await event('partners.changed', { refuse: 409 });
  await until('sum(ouzel_audit_dropped_total{kind="attempt"}) > 0');
  await change('OUZEL_OUTCOMES', { max_msg_size: -1 });

  // As large as the server takes: with the headers of the audit it is larger.
  const pad = 'x'.repeat(client.nc.info!.max_payload - 40);
  await event('orders.created', { customer: 'c-1', total: 1, pad });
  await until('sum(ouzel_audit_dropped_total{kind="payload"}) > 0');
  for (let n = 0; n < 30; n++) await asking(daemon, 'PUT', '/filters/none', 422, 'event.data.');
  await until('sum(ouzel_audit_dropped_total{kind="flood"}) > 0');

  await change('OUZEL_EVENTS', { max_msg_size: 16 });
  await rejectReload(daemon, yaml, 'another: mistake\n', () => until('sum(ouzel_incidents_dropped_total) > 0'));
  await change('OUZEL_EVENTS', { max_msg_size: -1 });
}

/** To be called while NATS is away: an act that can be neither carried out nor recorded. */
export async function actInVain(daemon: Daemon, until: Until): Promise<void> {
  await asking(daemon, 'POST', '/consumers/paced/pause', 503);
  await until('sum(ouzel_audit_dropped_total{kind="act"}) > 0');
}

/** Waits until an expression has a value in Prometheus. */
export type Until = (expr: string) => Promise<unknown>;

async function asking(daemon: Daemon, method: string, path: string, expected: number, body?: unknown): Promise<void> {
  const answer = await callApi(daemon, method, path, body === undefined ? {} : { body });
  assert.equal(answer.status, expected, JSON.stringify(answer.body));
}
