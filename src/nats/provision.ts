/**
 * Streams and durables on the server. What is not there is made; what is there and differs is shown; only what Ouzel
 * made, or was told to manage or adopt, is changed; nothing is deleted here.
 */
import {
  AckPolicy,
  type ConsumerConfig,
  type ConsumerInfo,
  DeliverPolicy,
  DiscardPolicy,
  JetStreamApiError,
  type JetStreamManager,
  ReplayPolicy,
  RetentionPolicy,
  StorageType,
  type StreamConfig,
  type StreamInfo,
} from '@nats-io/jetstream';
import { OuzelError } from '../errors.ts';

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
  readonly adopt: boolean;
  readonly onRemove: 'keep' | 'delete';
  /** Hash of the consumer's configuration. */
  readonly revision: string;
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

export interface Provisioned {
  readonly made: boolean;
  readonly changed: readonly Difference[];
  /** Differences that were left as they are. */
  readonly kept: readonly Difference[];
}

/** Metadata keys of a durable that say whose it is. */
const OWNER = 'ouzel.owner';
const REVISION = 'ouzel.revision';
const ON_REMOVE = 'ouzel.on_remove';

const NANOSECONDS = 1_000_000;
const API = { streamNotFound: 10059, consumerNotFound: 10014, overlap: 10065, resources: 10023 } as const;

const apiCode = (error: unknown): number | undefined => (error instanceof JetStreamApiError ? error.code : undefined);

function refused(code: 'STREAM_REFUSED' | 'DURABLE_REFUSED', what: string, error: unknown): OuzelError {
  if (error instanceof OuzelError) return error;
  const { message } = error as Error;
  if (/permissions violation/i.test(message))
    return new OuzelError('NATS_PERMISSION', `${what}: ${message}`, { cause: error });
  if ((error as Error).name === 'JetStreamNotEnabled') {
    const hint = 'Is it enabled on the server (nats-server -js), and for this account?';
    return new OuzelError('NATS_UNSUPPORTED', `${what}: JetStream does not answer. ${hint}`, { cause: error });
  }
  // Without an answer nobody refused anything: the server is away.
  if (apiCode(error) === undefined) return new OuzelError('NATS_UNAVAILABLE', `${what}: ${message}`, { cause: error });
  return new OuzelError(code, `${what}: ${message}`, { cause: error });
}

/** The stream's state on the server, or undefined when there is none. @throws OuzelError */
export async function findStream(manager: JetStreamManager, name: string): Promise<StreamInfo | undefined> {
  try {
    return await manager.streams.info(name);
  } catch (error) {
    if (apiCode(error) === API.streamNotFound) return undefined;
    throw refused('STREAM_REFUSED', `stream ${name}`, error);
  }
}

/** The durable's state on the server, or undefined when there is none. @throws OuzelError */
export async function findDurable(
  manager: JetStreamManager,
  stream: string,
  name: string,
): Promise<ConsumerInfo | undefined> {
  try {
    return await manager.consumers.info(stream, name);
  } catch (error) {
    const code = apiCode(error);
    if (code === API.consumerNotFound || code === API.streamNotFound) return undefined;
    throw refused('DURABLE_REFUSED', `durable ${name} on ${stream}`, error);
  }
}

/** Deletes a durable; one that is not there is deleted already. @throws OuzelError */
export async function deleteDurable(manager: JetStreamManager, stream: string, name: string): Promise<void> {
  try {
    await manager.consumers.delete(stream, name);
  } catch (error) {
    const code = apiCode(error);
    if (code === API.consumerNotFound || code === API.streamNotFound) return;
    throw refused('DURABLE_REFUSED', `durable ${name} on ${stream}`, error);
  }
}

function streamConfig(spec: StreamSpec): Partial<StreamConfig> {
  const config: Partial<StreamConfig> = { subjects: [...spec.subjects] };
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
 * Makes a stream that is not there, changes one with `manage: true`, and else only says what differs.
 *
 * @throws OuzelError STREAM_REFUSED, NATS_PERMISSION, NATS_UNAVAILABLE
 */
export async function ensureStream(manager: JetStreamManager, spec: StreamSpec): Promise<Provisioned> {
  const wanted = streamConfig(spec);
  const found = await findStream(manager, spec.name);
  try {
    if (found === undefined) {
      await manager.streams.add({ retention: RetentionPolicy.Limits, allow_direct: true, ...wanted, name: spec.name });
      return { made: true, changed: [], kept: [] };
    }
    const different = differences(found.config, wanted);
    if (different.length === 0 || !spec.manage) return { made: false, changed: [], kept: different };
    await manager.streams.update(spec.name, { ...found.config, ...wanted });
    return { made: false, changed: different, kept: [] };
  } catch (error) {
    throw refused('STREAM_REFUSED', `stream ${spec.name}`, error);
  }
}

function startConfig(start: Start): Partial<ConsumerConfig> {
  if (start === 'all') return { deliver_policy: DeliverPolicy.All };
  if (start === 'last') return { deliver_policy: DeliverPolicy.Last };
  if (start === 'new') return { deliver_policy: DeliverPolicy.New };
  if ('time' in start) return { deliver_policy: DeliverPolicy.StartTime, opt_start_time: start.time };
  return { deliver_policy: DeliverPolicy.StartSequence, opt_start_seq: start.sequence };
}

/** What may change on a durable that exists. */
function durableConfig(spec: DurableSpec): Partial<ConsumerConfig> {
  return {
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
});

/** Whether Ouzel made (or adopted) this durable. */
export const isOurs = (info: ConsumerInfo): boolean => info.config.metadata?.[OWNER] === 'ouzel';

const subjectsOf = ({ filter_subject: one, filter_subjects: several }: ConsumerConfig): string[] =>
  several !== undefined && several.length > 0 ? several : one === undefined || one === '' ? [] : [one];

/** Whether some subject matches both patterns. */
export function overlaps(left: string, right: string): boolean {
  const a = left.split('.');
  const b = right.split('.');
  for (let index = 0; index < Math.max(a.length, b.length); index++) {
    const x = a[index];
    const y = b[index];
    if (x === '>' || y === '>') return x !== undefined && y !== undefined;
    if (x === undefined || y === undefined) return false;
    if (x !== '*' && y !== '*' && x !== y) return false;
  }
  return true;
}

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

/** @throws OuzelError when the stream is not there, or holds none of the consumer's subjects. */
async function checkStream(manager: JetStreamManager, spec: DurableSpec): Promise<StreamInfo> {
  const stream = await findStream(manager, spec.stream);
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

/** Where a durable starts that is made now. */
function startOf({ start }: DurableSpec, resumption: Resumption | undefined, stream: StreamInfo): Start {
  if (resumption === undefined) return start;
  const { sequence, streamMade } = resumption;
  // Of a stream that was made anew as well, no event was seen.
  const anew = (streamMade !== undefined && streamMade !== stream.created) || sequence > stream.state.last_seq + 1;
  return anew ? 'all' : { sequence };
}

/** The durable of a consumer after it was made or brought up to date. */
export interface ProvisionedDurable extends Provisioned {
  /** When its stream was made. */
  readonly streamMade: string;
}

/**
 * Makes the durable of a consumer, or brings one that Ouzel made up to date.
 *
 * @param resumption Where to start instead of `start`, when a durable that was lost is made anew.
 * @throws OuzelError STREAM_NOT_FOUND, DURABLE_FOREIGN, DURABLE_REFUSED, NATS_PERMISSION, NATS_UNAVAILABLE
 */
export async function ensureDurable(
  manager: JetStreamManager,
  spec: DurableSpec,
  resumption?: Resumption,
): Promise<ProvisionedDurable> {
  const stream = await checkStream(manager, spec);
  const streamMade = String(stream.created);
  const found = await findDurable(manager, spec.stream, spec.name);
  const wanted = durableConfig(spec);
  try {
    if (found === undefined) {
      await manager.consumers.add(spec.stream, {
        durable_name: spec.name,
        ack_policy: AckPolicy.Explicit,
        replay_policy: ReplayPolicy.Instant,
        ...startConfig(startOf(spec, resumption, stream)),
        ...wanted,
        metadata: metadata(spec),
      });
      return { made: true, changed: [], kept: [], streamMade };
    }
    checkUnchangeable(found, spec);
    if (!isOurs(found) && !spec.adopt)
      throw new OuzelError(
        'DURABLE_FOREIGN',
        `durable ${spec.name} on ${spec.stream} exists and was not made by Ouzel. Set \`adopt: true\` on the consumer to take it over, or name the consumer otherwise`,
      );
    const changed = differences({ ...found.config, filter_subjects: subjectsOf(found.config) }, wanted);
    const marks = differences(found.config.metadata ?? {}, metadata(spec));
    if (changed.length > 0 || marks.length > 0) {
      // An update is laid over what is there, and the server takes one kind of filter or the other.
      await manager.consumers.update(spec.stream, spec.name, {
        ...found.config,
        filter_subject: '',
        ...wanted,
        metadata: { ...found.config.metadata, ...metadata(spec) },
      });
    }
    return { made: false, changed, kept: [], streamMade };
  } catch (error) {
    throw refused('DURABLE_REFUSED', `durable ${spec.name} on ${spec.stream}`, error);
  }
}
