/** Builds what runs from what is configured: one runtime a consumer, with its plan, ports and cells. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import type { LoadedConfig } from '../config/load.ts';
import type { Config, ConsumerConfig } from '../config/schema.ts';
import { createDecoder } from '../contracts/decode.ts';
import { Consumer, type ConsumerCells } from '../core/consumer.ts';
import type { Decoder } from '../core/event.ts';
import { laneDurable, REST } from '../core/lane.ts';
import type { Plan } from '../core/plan.ts';
import type { Acknowledger, AttemptStore, AuditTrail, DeadLetterStore, Observer, Parking } from '../core/ports.ts';
import type { Pauses } from '../core/pauses.ts';
import type { Suspects } from '../core/suspects.ts';
import type { Turns } from '../core/turns.ts';
import type { Breakers } from '../deliver/breaker.ts';
import type { Files, Publisher, Requester } from '../deliver/ports.ts';
import { OuzelError } from '../errors.ts';
import { Admission } from '../flow/admit.ts';
import type { InFlight } from '../flow/in-flight.ts';
import { KeyedAdmission } from '../flow/keyed-admission.ts';
import type { Limits } from '../flow/limits.ts';
import { Lanes } from '../flow/order.ts';
import type { Bodies } from '../nats/bodies.ts';
import type { HeldOf } from '../nats/held.ts';
import { createLaneStore, isOfStream } from '../nats/lanes.ts';
import type { DurableSpec, StreamSpec } from '../nats/provision.ts';
import type { Seen } from '../nats/seen.ts';
import type { Wire } from '../nats/wire.ts';
import { INCIDENT_PREFIX, INCIDENT_STREAM } from '../telemetry/incidents/catalogue.ts';
import type { StateStore } from '../plugins/state.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Traces } from '../telemetry/traces.ts';
import { compilePlan } from './compile.ts';
import { bindFilters } from './filters.ts';
import { exclusiveFor, modeOf } from './exclusive.ts';
import { consumerRevision } from './revision.ts';
import { ConsumerRuntime } from './runtime.ts';

/** What all consumers of a daemon share. */
export interface Services {
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly wire: Wire;
  readonly publisher: Publisher;
  /** The name of this instance. */
  readonly instance: string;
  readonly requester: Requester;
  readonly files: Files;
  readonly letters: DeadLetterStore;
  readonly attempts: AttemptStore;
  readonly parking: Parking;
  readonly bodies: Bodies;
  readonly heldOf: HeldOf;
  readonly seen: Seen;
  /** Makes the stream of what waits in the lanes of keys. */
  readonly ensureLanes: () => Promise<void>;
  readonly pluginState: StateStore;
  readonly breakers: Breakers;
  readonly suspects: Suspects;
  readonly pauses: Pauses;
  readonly observer: Observer;
  readonly trail: AuditTrail;
  readonly turns: Turns;
  readonly limits: Limits;
  readonly inFlight: InFlight;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Undefined while traces are off. */
  readonly traces: Traces | undefined;
}

/** Events that a durable may have handed out without an ack, over all instances: room for ten of them. */
const INSTANCES = 10;
/** Milliseconds of `ack_wait` where nothing else is said; less where another instance has to wait for it. */
const ACK_WAIT = 30_000;
const ACK_WAIT_EXCLUSIVE = 10_000;

/** The streams that the configuration declares, as `nats/provision.ts` makes them. */
export const streamSpecs = (config: Config): StreamSpec[] =>
  Object.entries(config.streams).map(([name, stream]) => ({
    name,
    subjects: stream.subjects,
    storage: stream.storage,
    replicas: stream.replicas,
    maxAge: stream.max_age,
    maxBytes: stream.max_bytes,
    maxMessages: stream.max_msgs,
    duplicateWindow: stream.duplicate_window,
    discard: stream.discard,
    manage: stream.manage,
  }));

/** The durable that a consumer is to have. */
export function durableSpec(name: string, consumer: ConsumerConfig, revision: string): DurableSpec {
  const pinned = exclusiveFor(consumer).length > 0;
  return {
    name,
    stream: consumer.stream,
    subjects: consumer.subjects ?? [],
    start: startOf(consumer),
    ackWait: consumer.ack_wait ?? (pinned ? ACK_WAIT_EXCLUSIVE : ACK_WAIT),
    // Where one instance has all, there is room for it to take over what another one left.
    maxAckPending: consumer.prefetch * (pinned ? 1 : INSTANCES),
    pinned,
    adopt: consumer.adopt,
    onRemove: consumer.on_remove,
    revision,
  };
}

/** A lane that is configured, with the durable that it is to have. */
export interface LaneSpec {
  readonly name: string;
  readonly weight: number;
  readonly spec: DurableSpec;
}

/** The lanes with subjects that a consumer is to have; what is in none of them comes by its own durable. */
export function laneSpecs(name: string, consumer: ConsumerConfig, revision: string): LaneSpec[] {
  const own = durableSpec(name, consumer, revision);
  return (consumer.lanes ?? []).flatMap(({ name: lane, subjects, weight }) =>
    subjects === undefined
      ? []
      : [
          {
            name: lane,
            weight,
            spec: { ...own, name: laneDurable(name, lane), subjects, lane: { consumer: name, name: lane } },
          },
        ],
  );
}

/** The lane of what is in no other. */
export function restOf({ lanes }: ConsumerConfig): Blueprint['rest'] {
  const { name = REST, weight = 1 } = lanes?.find(({ subjects }) => subjects === undefined) ?? {};
  return { name, weight };
}

/** The patterns that a consumer's events are subjects of; none where the stream is not ours to know. */
const subjectsOf = (config: Config, { stream, subjects }: ConsumerConfig): readonly string[] =>
  subjects ?? config.streams[stream]?.subjects ?? [];

function startOf({ start }: ConsumerConfig): DurableSpec['start'] {
  if (typeof start === 'string') return start;
  return start.time === undefined ? { sequence: start.sequence ?? 1 } : { time: start.time };
}

/** Opens the messages of a stream as the configuration says. */
export function decoderOf(config: Config, stream: string): Decoder {
  const declared = config.streams[stream];
  return createDecoder({
    stream,
    strip: declared?.strip ?? (stream === INCIDENT_STREAM ? INCIDENT_PREFIX : ''),
    source: declared?.source?.bind(bindFilters(config)),
  });
}

/** Where a consumer counts. */
export function cellsOf(name: string, metrics: Metrics): ConsumerCells {
  return {
    received: metrics.eventsReceived.with(name),
    inFlight: metrics.eventsInFlight.with(name),
    returned: metrics.eventsReturned.with(name),
    parked: metrics.eventsParked.with(name),
    retries: (reason) => metrics.eventRetries.with(name, reason),
    deadLettered: (reason) => ({
      kind: 'dead_lettered',
      reason,
      counter: metrics.events.with(name, 'dead_lettered', reason),
    }),
    duration: metrics.eventDuration.with(name),
    age: metrics.eventAge.with(name),
  };
}

/** What a consumer is to be, compiled and ready to run: at its start, and again at each change. */
export interface Blueprint {
  readonly name: string;
  readonly revision: string;
  readonly spec: DurableSpec;
  readonly plan: Plan;
  readonly decode: Decoder;
  readonly prefetch: number;
  readonly paused: boolean;
  /** Whether a stage hands events to timers. */
  readonly waits: boolean;
  /** Why it runs on one instance at a time; empty: its instances share its events. */
  readonly exclusive: readonly string[];
  /** As `modeOf` says. */
  readonly mode: string;
  /** Who keeps the order, or the gate; the same one over all changes that let the order as it is. */
  readonly lanes: Lanes | undefined;
  /** Who lets runs in; the same one over all changes, so that it knows what is at work. */
  readonly admission: Admission | undefined;
  /** The same where it is limited by key. */
  readonly keyed: KeyedAdmission | undefined;
  /** Runs at work at once. */
  readonly concurrency: number | undefined;
  /** Whether those that wait stand in line by rank. */
  readonly ranked: boolean;
  /** The lanes beside the consumer's own durable, and that of what is in none of them. */
  readonly laneSpecs: readonly LaneSpec[];
  readonly rest: Pick<LaneSpec, 'name' | 'weight'>;
}

/** The names of all consumers with their revisions. */
export const revisionsOf = ({ config, source, plugins, tables, schemas }: LoadedConfig): ReadonlyMap<string, string> =>
  new Map(
    Object.keys(config.consumers).map((name) => [
      name,
      consumerRevision(source, config, name, plugins, tables, schemas),
    ]),
  );

/**
 * Compiles one consumer. Nothing runs, and nothing is made on the server.
 *
 * @param running The consumer as it runs now, if it does.
 */
export function blueprintOf(
  name: string,
  revision: string,
  { config, plugins, tables, schemas, folderOf }: LoadedConfig,
  {
    metrics,
    publisher,
    requester,
    files,
    breakers,
    logger,
    traces,
    pluginState,
    limits,
    inFlight,
    heldOf,
    seen,
  }: Services,
  running?: Partial<Pick<Blueprint, 'admission' | 'keyed' | 'lanes'>>,
): Blueprint {
  const settings = config.consumers[name];
  if (settings === undefined) throw new OuzelError('INTERNAL', `no consumer ${name} in the configuration`);
  const { max: concurrency, by } = settings.concurrency ?? {};
  const admits =
    concurrency === undefined || by !== undefined ? undefined : (running?.admission ?? new Admission(concurrency));
  const keyed =
    concurrency === undefined || by === undefined ? undefined : (running?.keyed ?? new KeyedAdmission(concurrency));
  const exclusive = exclusiveFor(settings);
  const lanes = exclusive.length === 0 ? undefined : (running?.lanes ?? new Lanes());
  const decode = decoderOf(config, settings.stream);
  const tracer = traces?.tracerFor({ name, stream: settings.stream, subjects: subjectsOf(config, settings) });
  return {
    name,
    revision,
    spec: durableSpec(name, settings, revision),
    plan: compilePlan({
      name,
      config,
      revision,
      metrics,
      publisher,
      requester,
      files,
      breakers,
      folderOf,
      logger,
      admission: admits,
      keyed,
      limits,
      inFlight,
      held: heldOf(name, () => decode),
      seen,
      lanes,
      tracer,
      plugins,
      state: pluginState,
      tables,
      schemas,
    }),
    decode,
    prefetch: settings.prefetch,
    paused: settings.paused,
    waits: settings.debounce !== undefined || settings.delay !== undefined,
    exclusive,
    mode: modeOf(settings),
    lanes,
    admission: admits,
    keyed,
    concurrency,
    ranked: settings.priority !== undefined,
    laneSpecs: laneSpecs(name, settings, revision),
    rest: restOf(settings),
  };
}

/** Answers the server for the events of its streams; what is stored in a lane answers for itself. */
const acksOf = (wire: Acknowledger): Acknowledger => ({
  ack: (reply) => isOfStream(reply) && wire.ack(reply),
  nak: (reply, delay) => isOfStream(reply) && wire.nak(reply, delay),
  working: (reply) => !isOfStream(reply) || wire.working(reply),
});

/** A consumer that can be started. */
export function buildRuntime(blueprint: Blueprint, services: Services, domain: string | undefined): ConsumerRuntime {
  const { name, plan, lanes } = blueprint;
  const { wire, parking } = services;
  const consumer: Consumer = new Consumer(name, plan, {
    ...services,
    acks: lanes === undefined ? wire : acksOf(wire),
    cells: cellsOf(name, services.metrics),
    hold:
      lanes === undefined
        ? undefined
        : (run, letter, done) => {
            if (run.place === undefined || lanes.backlog === undefined) return done();
            lanes.backlog.hold(run.place, letter, done);
          },
    parking: {
      park: (run, record, kind, done) => {
        // A retry that waits keeps its place, with those behind it.
        const { place } = run;
        if (kind === 'retry' && place !== undefined && lanes?.backlog !== undefined)
          return lanes.backlog.putFirst(place, run, record, done);
        runtime.wantDue();
        parking.park(run, record, kind, done);
      },
    },
  });
  // What keeps no order has nothing to store for it.
  if (plan.ordered === true)
    lanes?.attach({
      store: createLaneStore({
        ...services,
        consumer: name,
        domain,
        ensure: services.ensureLanes,
        decode: () => runtime.blueprint.decode,
      }),
      receive: (event, handed) => consumer.receive(event, handed),
      hand: () => consumer.limits,
      holds: () => consumer.plan.holds === true,
    });
  const held = services.heldOf(name, () => runtime.blueprint.decode);
  const runtime: ConsumerRuntime = new ConsumerRuntime({ ...services, consumer, blueprint, held, domain });
  return runtime;
}
