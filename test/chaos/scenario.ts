/** The events of a run, the consumers that take them, and what must become of each. */

export const KINDS = ['order', 'call', 'hook', 'slow', 'patient', 'keyed', 'broken', 'refused', 'lethal'] as const;
export type Kind = (typeof KINDS)[number];

/** How many of a hundred events are of a kind. The lethal ones come as a fault (`faults.ts`). */
export const WEIGHTS: Readonly<Record<Kind, number>> = {
  order: 67,
  call: 10,
  hook: 10,
  slow: 1,
  patient: 2,
  keyed: 6,
  broken: 2,
  refused: 2,
  lethal: 0,
};

/** The reason of a dead letter whose event's handling was killed too often. */
export const POISON = 'poison';

export interface ChaosEvent {
  /** Its `Nats-Msg-Id`, which is the id of the CloudEvent. */
  readonly id: string;
  readonly kind: Kind;
  readonly n: number;
}

/** What one consumer must do with an event. */
export interface Expectation {
  readonly consumer: string;
  /** The routes it takes; none: it is filtered, or a dead letter. */
  readonly routes: readonly string[];
  /** It must become a dead letter for this reason, after so many attempts at least. */
  readonly letter?: { readonly reason: string; readonly attempts: number };
}

/** Attempts that an event is given which its target refuses, or whose handling kills the process. */
export const ATTEMPTS = 3;

/** What every consumer that takes the event must do with it. */
export function expectationsOf({ kind, n }: Pick<ChaosEvent, 'kind' | 'n'>): readonly Expectation[] {
  switch (kind) {
    case 'order':
      return [
        { consumer: 'relay', routes: ['out'] },
        { consumer: 'sift', routes: n % 4 === 0 ? ['out'] : [] },
        { consumer: 'fan', routes: [...(n % 2 === 0 ? ['a'] : []), ...(n % 3 === 0 ? ['b'] : [])] },
      ];
    case 'call':
    case 'hook':
    case 'slow':
    case 'patient':
    case 'keyed':
      return [{ consumer: kind, routes: ['service'] }];
    case 'broken':
      return [{ consumer: kind, routes: [], letter: { reason: 'undecodable', attempts: 1 } }];
    case 'refused':
      return [{ consumer: kind, routes: [], letter: { reason: 'rejected', attempts: ATTEMPTS } }];
    case 'lethal':
      return [{ consumer: kind, routes: [], letter: { reason: POISON, attempts: ATTEMPTS } }];
  }
}

export const CONSUMERS: readonly string[] = [
  'relay',
  'sift',
  'fan',
  'call',
  'hook',
  'slow',
  'patient',
  'keyed',
  'broken',
  'refused',
  'lethal',
];

/** The durable's stream, and where effects arrive: subject `out.<consumer>.<route>`, service `svc.<consumer>`, or the webhook. */
export const STREAM = 'IN';
export const OUT = 'OUT';
export const DEAD_LETTERS = 'OUZEL_DLQ';
export const TIMERS = 'OUZEL_TIMERS';
export const LANES = 'OUZEL_LANES';

/** Milliseconds. A stopped or dead daemon's events come back after this. */
export const ACK_WAIT = 5_000;
/** Milliseconds that the service takes for a slow event: longer than `ACK_WAIT`. */
export const SLOW = 6_500;

/** How many keys there are whose events come in order. */
const KEYS = 40;
/** Milliseconds for which a delayed event is held back. */
const DELAY = 4_000;

/** The key of an event of the consumer that keeps an order. */
export const orderKey = (n: number): number => n % KEYS;

/** Whether an event of that consumer is held back, and so stands behind what comes until it is due. */
export const isDelayed = (n: number): boolean => n % 3 === 0;

/** The body of an event. A broken one is no JSON. */
export function bodyOf({ id, kind, n }: ChaosEvent): string {
  if (kind === 'broken') return `{"id":"${id}","n":`;
  if (kind !== 'keyed') return JSON.stringify({ id, kind, n, text: 'as it came' });
  const until = new Date(isDelayed(n) ? Date.now() + DELAY : 0).toISOString();
  return JSON.stringify({ id, kind, n, key: orderKey(n), until });
}

const publishTo = (consumer: string, route: string): string => `{ publish: { subject: out.${consumer}.${route} } }`;
const ask = (consumer: string, timeout: string): string =>
  `{ request: { subject: svc.${consumer}, timeout: ${timeout} } }`;

/**
 * The configuration of every daemon.
 *
 * @param generation Changes a consumer with each, as a reload would.
 * @param replicas Of what Ouzel keeps for itself.
 * @param hook URL of the webhook.
 */
export const configuration = (generation: number, replicas: number, hook: string): string => `
version: 1
nats: { servers: "@NATS@", system: { replicas: ${replicas} } }
http: { listen: "@HTTP@" }
defaults: { timeout: 20s, retry: { attempts: ${ATTEMPTS}, backoff: { first: 300ms, factor: 2, max: 4s }, for: 24h } }
streams:
  IN: { subjects: ["in.>"], key: event.data.id, replicas: ${replicas} }
consumers:
  relay:
    stream: IN
    subjects: [in.order]
    start: all
    ack_wait: 5s
    deliver: [{ name: out, to: ${publishTo('relay', 'out')} }]
  sift:
    stream: IN
    subjects: [in.order]
    start: all
    ack_wait: 5s
    prefetch: ${500 + generation}
    pipeline: [{ filter: event.data.n % 4 == 0 }, { set: { data.generation: "${generation}" } }]
    deliver: [{ name: out, to: ${publishTo('sift', 'out')} }]
  fan:
    stream: IN
    subjects: [in.order]
    start: all
    ack_wait: 5s
    deliver:
      - { name: a, when: event.data.n % 2 == 0, to: ${publishTo('fan', 'a')} }
      - { name: b, when: event.data.n % 3 == 0, to: ${publishTo('fan', 'b')} }
  call:
    { stream: IN, subjects: [in.call], start: all, ack_wait: 5s, deliver: [{ name: service, to: ${ask('call', '2s')} }] }
  hook:
    stream: IN
    subjects: [in.hook]
    start: all
    ack_wait: 5s
    deliver: [{ name: service, to: { webhook: { url: "${hook}/in", timeout: 2s, allow_private: true } } }]
  slow:
    { stream: IN, subjects: [in.slow], start: all, ack_wait: 5s, deliver: [{ name: service, to: ${ask('slow', '15s')} }] }
  patient:
    stream: IN
    subjects: [in.patient]
    start: all
    ack_wait: 5s
    retry: { backoff: { first: 8s } }
    deliver: [{ name: service, to: ${ask('patient', '2s')} }]
  keyed:
    stream: IN
    subjects: [in.keyed]
    start: all
    ack_wait: 5s
    order_by: event.data.key
    delay: { until: timestamp(event.data.until) }
    retry: { backoff: { first: 8s } }
    deliver: [{ name: service, to: ${ask('keyed', '2s')} }]
  broken:
    { stream: IN, subjects: [in.broken], start: all, ack_wait: 5s, pipeline: [{ filter: event.data.n >= 0 }] }
  refused:
    stream: IN
    subjects: [in.refused]
    start: all
    ack_wait: 5s
    deliver: [{ name: never, to: { publish: { subject: out.refused.never, headers: { Nats-Expected-Stream: ELSEWHERE } } } }]
  lethal:
    { stream: IN, subjects: [in.lethal], start: all, ack_wait: 5s, deliver: [{ name: never, to: ${ask('lethal', '2s')} }] }
`;

/** Configurations that do not load; the daemon must keep what it has. */
export const INVALID: readonly string[] = [
  'version: 1\nconsumers: { relay: { stream: IN, deliver: [{ to: nowhere }] } }\n',
  'version: 1\nconsumers:\n  relay: { stream: IN, pipelin: [] }\n',
  'version: 1\nconsumers: { relay: [\n',
  '',
];
