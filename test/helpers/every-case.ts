/** A load under which a daemon meets every case that the dashboards show. */
import { strict as assert } from 'node:assert';
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
  away: { webhook: { url: "@PARTNER@/away", allow_private: true }, retry: { backoff: { max: 500ms } } }
  tomorrow: { webhook: { url: "@PARTNER@/tomorrow", allow_private: true }, retry: { backoff: { first: 1h } } }
consumers:
  orders:
    stream: EVENTS
    types: [orders.created]
    pipeline: [{ filter: event.data.total > 1000 }, profile]
    deliver: [{ to: { publish: { subject: "out.orders" } } }]
  partners: { stream: EVENTS, types: [partners.*], deliver: [{ to: partner }] }
  distant: { stream: EVENTS, types: [distant.*], prefetch: 4, deliver: [{ to: away }] }
  later: { stream: EVENTS, types: [later.*], deliver: [{ to: tomorrow }] }
  idle: { stream: EVENTS, types: [orders.created], paused: true }
sources:
  shop:
    webhook: { path: /shop, verify: { token: { secret: lighthouse-keeper } } }
    publish: { subject: events.orders.created }
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
  await send(4, 'later.changed', (n) => ({ n, refuse: 409 }));
  const post = sendingTo(ingress);
  const order = (n: number): string => JSON.stringify({ id: `shop-${round}-${n}`, customer: 'c-1', total: 2000 });
  for (const n of [1, 2]) {
    const { status } = await post('/shop', { headers: { authorization: 'Bearer lighthouse-keeper' }, body: order(n) });
    assert.equal(status, 200);
  }
  assert.equal((await post('/shop', { headers: { authorization: 'Bearer somebody' }, body: order(3) })).status, 401);
}

/** A change that is refused, and its withdrawal. */
export async function rejectReload(daemon: Daemon, yaml: string, mistake: string): Promise<void> {
  const reloads = async (result: string): Promise<number> => daemon.total('ouzel_config_reloads_total', { result });
  const [rejected, unchanged] = [await reloads('rejected'), await reloads('unchanged')];
  await daemon.write(yaml + mistake);
  await waitFor(async () => (await reloads('rejected')) > rejected, { what: 'the change to be refused' });
  await daemon.write(yaml);
  await waitFor(async () => (await reloads('unchanged')) > unchanged, { what: 'what was in force to be read' });
}
