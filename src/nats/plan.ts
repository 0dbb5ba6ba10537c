/**
 * What is to be done on the server, worked out from what it has and what the configuration says: pure, so that
 * `validate --plan` shows exactly what `provision.ts` does.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  DiscardPolicy,
  type PriorityPolicy,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
} from '@nats-io/jetstream';
import { covers, overlaps } from '../core/subjects.ts';
import { OuzelError } from '../errors.ts';
import { PIN_GROUP, PIN_TIMEOUT } from './pin.ts';

/** What the configuration says of a stream; undefined is left to the server. Durations in milliseconds. */
export interface StreamSpec {
  readonly name: string;
  readonly subjects: readonly string[];
  readonly storage?: 'file' | 'memory' | undefined;
  readonly replicas?: number | undefined;
  readonly maxAge?: number | undefined;
  readonly maxBytes?: number | undefined;
  readonly maxMessages?: number | undefined;
  readonly duplicateWindow?: number | undefined;
  readonly discard?: 'old' | 'new' | undefined;
  readonly description?: string | undefined;
  /** Whatever else the server is to be told. */
  readonly options?: Partial<StreamConfig> | undefined;
  readonly manage: boolean;
}

/** Where a durable starts when it is made. */
export type Start = 'new' | 'all' | 'last' | { readonly time: string } | { readonly sequence: number };

export interface DurableSpec {
  readonly name: string;
  readonly stream: string;
  readonly subjects: readonly string[];
  readonly start: Start;
  /** Milliseconds. */
  readonly ackWait: number;
  readonly maxAckPending: number;
  /** Whether the server hands out to one instance alone at a time. */
  readonly pinned: boolean;
  readonly adopt: boolean;
  readonly onRemove: 'keep' | 'delete';
  /** Hash of the consumer's configuration. */
  readonly revision: string;
  /** Of a lane's durable: whose it is. */
  readonly lane?: { readonly consumer: string; readonly name: string; readonly until?: string | undefined } | undefined;
  /** Of a consumer's own durable: the lanes that it has beside it. Undefined: what is noted stays. */
  readonly lanes?: readonly string[] | undefined;
}

/** One thing that differs: what the server has and what the configuration says. */
export interface Difference {
  readonly field: string;
  readonly server: unknown;
  readonly config: unknown;
}

/** Where a durable that was lost goes on. */
export interface Resumption {
  readonly sequence: number;
  /** When the stream that the sequence belongs to was made, if that is known. */
  readonly streamMade: string | undefined;
}

/** What becomes of a stream. */
export type StreamPlan =
  | { readonly action: 'make'; readonly config: Partial<StreamConfig> & { readonly name: string } }
  | {
      readonly action: 'change';
      readonly changed: readonly Difference[];
      /** What differs and is left as it is. */
      readonly kept: readonly Difference[];
      readonly config: StreamConfig;
    }
  | { readonly action: 'none'; readonly kept: readonly Difference[] };

/** What becomes of a durable. */
export type DurablePlan =
  | { readonly action: 'make'; readonly config: Partial<ConsumerConfig> }
  /** `marks`: what Ouzel notes on the durable for itself (owner, revision); nothing that the server obeys. */
  | {
      readonly action: 'change';
      readonly changed: readonly Difference[];
      readonly marks: readonly Difference[];
      /** Whether one instance had all of its events, and all are to share them from now on. */
      readonly shares: boolean;
      readonly config: ConsumerConfig;
    }
  | { readonly action: 'none' };

/** Metadata keys of a durable that say whose it is. */
const OWNER = 'ouzel.owner';
const REVISION = 'ouzel.revision';
const ON_REMOVE = 'ouzel.on_remove';
/** Of a lane: its consumer, its name, and until when it has its events, once it leaves. */
const LANE_OF = 'ouzel.lane_of';
const LANE = 'ouzel.lane';
export const UNTIL = 'ouzel.until';
/** Of a consumer's own durable: the names of its lanes. */
export const LANES = 'ouzel.lanes';

const NANOSECONDS = 1_000_000;

function streamConfig(spec: StreamSpec): Partial<StreamConfig> {
  const config: Partial<StreamConfig> = { ...spec.options, subjects: [...spec.subjects] };
  if (spec.replicas !== undefined) config.num_replicas = spec.replicas;
  if (spec.maxAge !== undefined) config.max_age = spec.maxAge * NANOSECONDS;
  if (spec.maxBytes !== undefined) config.max_bytes = spec.maxBytes;
  if (spec.maxMessages !== undefined) config.max_msgs = spec.maxMessages;
  if (spec.duplicateWindow !== undefined) config.duplicate_window = spec.duplicateWindow * NANOSECONDS;
  if (spec.discard !== undefined) config.discard = spec.discard === 'new' ? DiscardPolicy.New : DiscardPolicy.Old;
  if (spec.storage !== undefined) config.storage = spec.storage === 'memory' ? StorageType.Memory : StorageType.File;
  if (spec.description !== undefined) config.description = spec.description;
  return config;
}

/** A value as text, for comparison: the order of subjects means nothing. */
const comparable = (value: unknown): string =>
  JSON.stringify(Array.isArray(value) ? value.map(String).toSorted((left, right) => (left < right ? -1 : 1)) : value);

function differences(server: object, config: object): Difference[] {
  const actual = server as Readonly<Record<string, unknown>>;
  return Object.entries(config)
    .filter(([field, value]) => comparable(actual[field]) !== comparable(value))
    .map(([field, value]) => ({ field, server: actual[field], config: value as unknown }));
}

/**
 * What is to be done for a stream, given its configuration on the server (undefined: it is not there).
 *
 * @throws OuzelError STREAM_REFUSED when `manage: true` asks for a change that no server makes.
 */
export function planStream(found: StreamConfig | undefined, spec: StreamSpec): StreamPlan {
  const wanted = streamConfig(spec);
  if (found === undefined)
    return {
      action: 'make',
      config: { retention: RetentionPolicy.Limits, allow_direct: true, ...wanted, name: spec.name },
    };
  const different = differences(found, wanted);
  if (different.length === 0) return { action: 'none', kept: [] };
  if (!spec.manage) return planOwn(found, different, spec);
  const storage = different.find(({ field }) => field === 'storage');
  if (storage !== undefined)
    throw new OuzelError(
      'STREAM_REFUSED',
      `stream ${spec.name}: its storage is ${String(storage.server)} and cannot become ${String(storage.config)}: the server keeps a stream where it was made`,
    );
  return { action: 'change', changed: different, kept: [], config: { ...found, ...wanted } };
}

/**
 * A stream that Ouzel does not manage is left as it is. One of its own that an older version made is given what it does
 * not allow yet; that takes nothing away from anybody.
 */
function planOwn(found: StreamConfig, different: readonly Difference[], { options = {} }: StreamSpec): StreamPlan {
  const adds = ({ field, config }: Difference): boolean =>
    field.startsWith('allow_') && field in options && config === true;
  const changed = different.filter(adds);
  const kept = different.filter((each) => !adds(each));
  if (changed.length === 0) return { action: 'none', kept };
  const added = Object.fromEntries(changed.map(({ field, config }) => [field, config]));
  return { action: 'change', changed, kept, config: { ...found, ...added } };
}

function startConfig(start: Start): Partial<ConsumerConfig> {
  if (start === 'all') return { deliver_policy: DeliverPolicy.All };
  if (start === 'last') return { deliver_policy: DeliverPolicy.Last };
  if (start === 'new') return { deliver_policy: DeliverPolicy.New };
  if ('time' in start) return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: start.time };
  return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: start.sequence };
}

/** Who gets a durable's events: one instance alone, or all that ask. */
const PINNED: PriorityPolicy = 'pinned_client';
const SHARED: PriorityPolicy = 'none';

/** What a durable says of who gets its events; one that was never pinned says nothing. */
function pinConfig({ pinned }: DurableSpec, found: ConsumerConfig | undefined): Partial<ConsumerConfig> {
  if (pinned)
    return {
      priority_policy: PINNED,
      priority_groups: [PIN_GROUP],
      priority_timeout: PIN_TIMEOUT * NANOSECONDS,
    };
  if (found?.priority_policy === undefined || found.priority_policy === SHARED) return {};
  return { priority_policy: SHARED, priority_groups: [], priority_timeout: 0 };
}

/** What may change on a durable that exists. */
function durableConfig(spec: DurableSpec, found?: ConsumerConfig): Partial<ConsumerConfig> {
  return {
    ...pinConfig(spec, found),
    ack_wait: spec.ackWait * NANOSECONDS,
    max_deliver: -1,
    max_ack_pending: spec.maxAckPending,
    filter_subjects: [...spec.subjects],
  };
}

const metadata = (spec: DurableSpec): Record<string, string> => ({
  [OWNER]: 'ouzel',
  [REVISION]: spec.revision,
  [ON_REMOVE]: spec.onRemove,
  ...(spec.lane === undefined ? {} : { [LANE_OF]: spec.lane.consumer, [LANE]: spec.lane.name }),
  ...(spec.lane?.until === undefined ? {} : { [UNTIL]: spec.lane.until }),
  ...(spec.lanes === undefined ? {} : { [LANES]: spec.lanes.join(',') }),
});

/** The consumer and lane that a durable is of; undefined for a consumer's own. */
export function laneOf({ config: { metadata } }: ConsumerInfo): { consumer: string; lane: string } | undefined {
  const consumer = metadata?.[LANE_OF];
  const lane = metadata?.[LANE];
  return consumer === undefined || lane === undefined ? undefined : { consumer, lane };
}

/** Whether Ouzel made (or adopted) this durable. */
export const isOurs = (info: ConsumerInfo): boolean => info.config.metadata?.[OWNER] === 'ouzel';

/** What a durable is handed; empty: all of its stream. */
export const subjectsOf = ({ filter_subject: one, filter_subjects: several }: ConsumerConfig): string[] =>
  several !== undefined && several.length > 0 ? several : one === undefined || one === '' ? [] : [one];

/** @throws OuzelError when what cannot be changed differs. */
function checkUnchangeable(info: ConsumerInfo, spec: DurableSpec): void {
  const { config } = info;
  const problems: string[] = [];
  if (config.ack_policy !== AckPolicy.Explicit)
    problems.push(
      `its ack policy is "${config.ack_policy}", and Ouzel needs "explicit": without acks, what fails is lost`,
    );
  if (config.deliver_subject !== undefined && config.deliver_subject !== '')
    problems.push(`it pushes to ${config.deliver_subject}, and Ouzel pulls`);
  if (config.backoff !== undefined && config.backoff.length > 0)
    problems.push('it has a backoff on the server, which would change the delays of retries');
  if (problems.length > 0)
    throw new OuzelError(
      'DURABLE_REFUSED',
      `durable ${spec.name} on ${spec.stream} cannot be used: ${problems.join('; ')}. Delete it (nats consumer rm ${spec.stream} ${spec.name}) or name the consumer otherwise`,
    );
}

/** @throws OuzelError when a lane would get other subjects: what came before was handled elsewhere, or is to be. */
function checkLane(info: ConsumerInfo, { name, stream, lane, subjects }: DurableSpec): void {
  if (lane === undefined || !isOurs(info)) return;
  const has = subjectsOf(info.config);
  if (comparable(has) === comparable(subjects)) return;
  throw new OuzelError(
    'DURABLE_REFUSED',
    `durable ${name} on ${stream}: the lane "${lane.name}" has ${has.join(', ')} and cannot get ${subjects.join(', ')}: events would be handled twice or not at all. Give the changed lane another name; the old one leaves when it is empty`,
  );
}

/** @throws OuzelError when the stream is not there, or holds none of the consumer's subjects. */
function checkStream(stream: StreamState | undefined, spec: DurableSpec): StreamState {
  if (stream === undefined)
    throw new OuzelError(
      'STREAM_NOT_FOUND',
      `consumer ${spec.name}: there is no stream ${spec.stream} on the server. Declare it under streams, or correct its name`,
    );
  const held = stream.config.subjects;
  const foreign = spec.subjects.filter((subject) => !held.some((each) => overlaps(each, subject)));
  // A stream without subjects is filled from other streams, and their subjects cannot be known here.
  if (foreign.length > 0 && held.length > 0)
    throw new OuzelError(
      'STREAM_NOT_FOUND',
      `consumer ${spec.name}: stream ${spec.stream} holds ${held.join(', ')} and so never ${foreign.join(', ')}`,
    );
  return stream;
}

/** @throws OuzelError for filter subjects that the server refuses together. */
function checkSubjects({ name, subjects }: DurableSpec): void {
  for (const wide of subjects)
    for (const narrow of subjects)
      if (wide !== narrow && covers(wide, narrow))
        throw new OuzelError(
          'DURABLE_REFUSED',
          `consumer ${name}: its subject ${wide} holds ${narrow} already, and the server takes no two that overlap. Leave ${narrow} out`,
        );
}

/** What has to be known of a stream; one that would be made has this too. */
export interface StreamState {
  readonly config: { readonly subjects: readonly string[] };
  readonly state: { readonly last_seq: number };
  readonly created: string;
}

/** What the server has of a consumer; undefined is what is not there. */
export interface DurableState {
  readonly stream: StreamState | undefined;
  readonly durable: ConsumerInfo | undefined;
}

/** Where a durable starts that is made now. */
function startOf({ start }: DurableSpec, resumption: Resumption | undefined, stream: StreamState): Start {
  if (resumption === undefined) return start;
  const { sequence, streamMade } = resumption;
  // Of a stream that was made anew as well, no event was seen.
  const anew = (streamMade !== undefined && streamMade !== stream.created) || sequence > stream.state.last_seq + 1;
  return anew ? 'all' : { sequence };
}

/**
 * What is to be done for the durable of a consumer.
 *
 * @param resumption Where to start instead of `start`, when a durable that was lost is made anew.
 * @throws OuzelError STREAM_NOT_FOUND, DURABLE_FOREIGN, DURABLE_REFUSED
 */
export function planDurable(on: DurableState, spec: DurableSpec, resumption?: Resumption): DurablePlan {
  const stream = checkStream(on.stream, spec);
  checkSubjects(spec);
  const { durable: found } = on;
  const wanted = durableConfig(spec, found?.config);
  if (found === undefined) {
    return {
      action: 'make',
      config: {
        durable_name: spec.name,
        ack_policy: AckPolicy.Explicit,
        replay_policy: ReplayPolicy.Instant,
        ...startConfig(startOf(spec, resumption, stream)),
        ...wanted,
        metadata: metadata(spec),
      },
    };
  }
  checkUnchangeable(found, spec);
  checkLane(found, spec);
  if (!isOurs(found) && !spec.adopt)
    throw new OuzelError(
      'DURABLE_FOREIGN',
      `durable ${spec.name} on ${spec.stream} exists and was not made by Ouzel. Set \`adopt: true\` on the consumer to take it over, or name the consumer otherwise`,
    );
  const changed = differences({ ...found.config, filter_subjects: subjectsOf(found.config) }, wanted);
  const marks = differences(found.config.metadata ?? {}, metadata(spec));
  if (changed.length === 0 && marks.length === 0) return { action: 'none' };
  // An update is laid over what is there, and the server takes one kind of filter or the other.
  const kept = { ...found.config, filter_subject: '' };
  const config = { ...kept, ...wanted, metadata: { ...found.config.metadata, ...metadata(spec) } };
  const shares = changed.some(({ field, config: now }) => field === 'priority_policy' && now === SHARED);
  return { action: 'change', changed, marks, shares, config };
}
