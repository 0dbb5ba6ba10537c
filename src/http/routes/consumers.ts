import { z } from 'zod';
import { findDurable } from '../../nats/provision.ts';
import type { ConsumerRuntime } from '../../reconcile/runtime.ts';
import { CONSUMER_STATES } from '../../telemetry/names.ts';
import type { Cell, Family } from '../../telemetry/cells.ts';
import type { Metrics } from '../../telemetry/metrics.ts';
import { type ApiRoute, defineRoute, nameParam } from '../define.ts';
import { fleetOf, namesOf, ownerOf, resourceShape, theResource } from '../resources.ts';
import type { HttpContext } from '../server.ts';
import { entryRoutes } from './resources.ts';

const count = z.number().int().min(0);

const pause = z.strictObject({ by: z.string(), from: z.string(), at: z.string() });

const summaryShape = {
  name: z.string(),
  owner: resourceShape.owner,
  stream: z.string(),
  state: z.enum(CONSUMER_STATES).describe('On this instance.'),
  reason: z.string().describe('Why it failed or is blocked; else empty.'),
  role: z
    .enum(['active', 'standby'])
    .nullable()
    .describe('Of this instance, where the consumer runs on one instance at a time; null where all share its events.'),
  active: z
    .strictObject({ instance: z.string(), since: z.string() })
    .nullable()
    .describe('The instance that has its events, where it runs on one at a time and that is known.'),
  paused: z.boolean(),
  lag: count
    .nullable()
    .describe('Events of the stream that the durable has not handed out yet; null while that is not known.'),
  ack_pending: count.nullable().describe('Events handed out, on all instances, that have no answer yet.'),
  held: count.describe('Events in hand on this instance.'),
  oldest_age_s: z.number().min(0).describe('Seconds since the oldest of them came.'),
  counts: z
    .strictObject({
      received: count,
      delivered: count,
      filtered: count,
      dropped: count,
      dead_lettered: count,
      retries: count,
      returned: count,
      parked: count,
    })
    .describe('On this instance, since it started.'),
};

const summary = z.strictObject(summaryShape).meta({ id: 'ConsumerSummary', description: 'A consumer, live.' });

const EXAMPLE: z.input<typeof summary> = {
  name: 'billing',
  owner: 'fleet',
  stream: 'EVENTS',
  state: 'running',
  reason: '',
  role: null,
  active: null,
  paused: false,
  lag: 0,
  ack_pending: 2,
  held: 2,
  oldest_age_s: 0.02,
  counts: {
    received: 1042,
    delivered: 1000,
    filtered: 40,
    dropped: 0,
    dead_lettered: 0,
    retries: 0,
    returned: 0,
    parked: 0,
  },
};

const durable = z.strictObject({
  created: z.string(),
  subjects: z.array(z.string()).describe('What the server hands it; empty: all of the stream.'),
  delivered: count.describe('Last event of the stream that was handed out.'),
  ack_floor: count.describe('Everything up to this event has its outcome.'),
  pending: count,
  ack_pending: count,
  redelivered: count,
  waiting: count.describe('Pull requests that wait.'),
  metadata: z.record(z.string(), z.string()),
});

const detail = z
  .strictObject({
    ...resourceShape,
    ...summaryShape,
    pause: pause.nullable().describe('Who paused it while it runs, if anybody did.'),
    config_revision: z.string().nullable().describe('Of all that it is made of; the durable bears it.'),
    durable: durable.nullable().describe('As the server says; null where there is none, or no server.'),
  })
  .meta({ id: 'ConsumerDetail', description: 'A consumer, live and as configured.' });

type Summary = z.input<typeof summary>;
type Detail = z.input<typeof detail>;

const byName = z.strictObject({ name: nameParam('Of the consumer.') });

/** `/consumers`: what takes events, live and as configured. */
export const consumers = (context: HttpContext): ApiRoute[] => [
  defineRoute({
    method: 'GET',
    path: '/consumers',
    tag: 'consumers',
    id: 'listConsumers',
    summary: 'List consumers with their state and lag',
    description: 'Lag is a few seconds old; that of a single consumer is asked for when it is shown.',
    needs: { scope: 'read', narrows: true },
    problems: [503],
    answers: {
      200: {
        description: 'Those that the caller may see, by name.',
        schema: z.strictObject({ consumers: z.array(summary) }),
        example: { consumers: [EXAMPLE] },
      },
    },
    handler: async ({ actor }) => {
      const names = namesOf(context, 'consumers').filter((consumer) => actor.may('read', { consumer }));
      const tally = new Tally(context.metrics);
      return { status: 200, body: { consumers: names.map((name) => summaryOf(context, name, tally)) } };
    },
  }),
  ...entryRoutes<Detail>(
    {
      section: 'consumers',
      one: 'consumer',
      tag: 'consumers',
      schema: detail,
      show: detailOf,
      entry: {
        stream: 'EVENTS',
        types: ['orders.created'],
        pipeline: [{ filter: 'event.data.total > 1000' }],
        deliver: [{ to: { publish: { subject: 'alerts.orders' } } }],
      },
      yaml: 'stream: EVENTS\ntypes: [orders.created]\npipeline:\n  - filter: event.data.total > 1000\ndeliver:\n  - to: { publish: { subject: alerts.orders } }\n',
      patch: { concurrency: { max: 4 } },
    },
    context,
  ),
  ...(['pause', 'resume'] as const).map((verb) =>
    defineRoute({
      method: 'POST',
      path: `/consumers/{name}/${verb}`,
      tag: 'consumers',
      id: `${verb}Consumer`,
      summary: verb === 'pause' ? 'Let a consumer take no events for now' : 'Let a paused consumer go on',
      description:
        'Of the file or the fleet, on all instances, over restarts. `paused: true` of its configuration stays what it is.',
      needs: {
        scope: 'operate',
        write: true,
        what: `consumer.${verb}`,
        consumer: ({ params }) => (params as { name: string }).name,
      },
      problems: [404, 409, 422, 503],
      params: byName,
      body: {
        description: 'Why, for the audit.',
        required: false,
        schema: z.strictObject({ why: z.string().max(1000).optional() }),
        examples: { why: { media: 'application/json', value: { why: 'the partner is migrating' } } },
      },
      answers: { 200: { description: 'The consumer, as it is now.', schema: detail } },
      handler: async ({ params: { name }, body: { why }, raw, actor }) => {
        const fleet = context.fleet();
        theResource(context, { section: 'consumers', name });
        const before = { paused: fleet.pauseOf(name) !== undefined };
        const after = { paused: verb === 'pause', ...(why === undefined ? {} : { why: context.loaded().redact(why) }) };
        raw.act = { what: `consumer.${verb}`, resource: `consumers/${name}`, before, after };
        await fleet.pause(name, verb === 'pause', actor);
        return { status: 200, body: await detailOf(context, name) };
      },
    }),
  ),
];

function summaryOf(context: HttpContext, name: string, tally = new Tally(context.metrics)): Summary {
  const owner = ownerOf(context, { section: 'consumers', name });
  const runtime = context.runtimes().get(name);
  const settings = context.loaded().config.consumers[name];
  const { state, reason } = stateOf(context, name, runtime);
  return {
    name,
    owner,
    stream: settings?.stream ?? '',
    state,
    reason,
    role: runtime?.exclusive?.role ?? null,
    active: runtime?.exclusive?.holder ?? null,
    paused: settings?.paused ?? false,
    lag: tally.get('lag', name) ?? null,
    ack_pending: tally.get('ack_pending', name) ?? null,
    held: runtime?.consumer.held ?? 0,
    oldest_age_s: runtime?.consumer.oldestAge() ?? 0,
    counts: tally.counts(name),
  };
}

function stateOf(
  context: HttpContext,
  name: string,
  runtime: ConsumerRuntime | undefined,
): { state: Summary['state']; reason: string } {
  if (runtime !== undefined) return { state: runtime.state, reason: runtime.reason };
  const shown = context.status().consumers.find((each) => each.name === name);
  return { state: shown?.state ?? 'starting', reason: shown?.reason ?? '' };
}

async function detailOf(context: HttpContext, name: string): Promise<Detail> {
  const found = theResource(context, { section: 'consumers', name });
  const runtime = context.runtimes().get(name);
  const durableNow = await durableOf(context, runtime);
  const paused = fleetOf(context)?.pauseOf(name);
  return {
    ...summaryOf(context, name),
    ...(durableNow === null ? {} : { lag: durableNow.pending, ack_pending: durableNow.ack_pending }),
    ...found,
    pause: paused === undefined ? null : { by: paused.by.name, from: paused.by.from, at: paused.at },
    config_revision: runtime?.blueprint.revision ?? null,
    durable: durableNow,
  };
}

/** What the server says of a consumer's durable, if it says anything. */
async function durableOf(
  context: HttpContext,
  runtime: ConsumerRuntime | undefined,
): Promise<z.input<typeof durable> | null> {
  if (runtime === undefined || !context.status().connected) return null;
  const { stream, name } = runtime.blueprint.spec;
  const info = await findDurable(context.nats().manager, stream, name).catch(() => undefined);
  if (info === undefined) return null;
  const { created, config, delivered, ack_floor: floor } = info;
  return {
    created: String(created),
    subjects: config.filter_subjects ?? (config.filter_subject === undefined ? [] : [config.filter_subject]),
    delivered: delivered.stream_seq,
    ack_floor: floor.stream_seq,
    pending: info.num_pending,
    ack_pending: info.num_ack_pending,
    redelivered: info.num_redelivered,
    waiting: info.num_waiting,
    metadata: config.metadata ?? {},
  };
}

/** What the metrics say of consumers, read in one go: a list of hundreds must not walk through all series for each. */
class Tally {
  readonly #values = new Map<string, number>();

  constructor(metrics: Metrics) {
    const { consumerPending, consumerAckPending, eventsReceived, eventRetries, eventsReturned, eventsParked } = metrics;
    this.#read('lag', consumerPending);
    this.#read('ack_pending', consumerAckPending);
    this.#read('received', eventsReceived);
    this.#read('retries', eventRetries);
    this.#read('returned', eventsReturned);
    this.#read('parked', eventsParked);
    for (const { labels, cell } of metrics.events.series()) this.#add(labels['outcome'] ?? '', labels, cell);
  }

  /** Undefined where nothing was counted or set. */
  get(what: string, consumer: string): number | undefined {
    return this.#values.get(`${what} ${consumer}`);
  }

  counts(consumer: string): Summary['counts'] {
    const get = (what: string): number => this.get(what, consumer) ?? 0;
    return {
      received: get('received'),
      delivered: get('delivered'),
      filtered: get('filtered'),
      dropped: get('dropped'),
      dead_lettered: get('dead_lettered'),
      retries: get('retries'),
      returned: get('returned'),
      parked: get('parked'),
    };
  }

  #read(what: string, family: Family<Cell>): void {
    for (const { labels, cell } of family.series()) this.#add(what, labels, cell);
  }

  #add(what: string, labels: Readonly<Record<string, string>>, { value }: Cell): void {
    const key = `${what} ${labels['consumer'] ?? ''}`;
    this.#values.set(key, (this.#values.get(key) ?? 0) + value);
  }
}
