/**
 * Streams and durables on the server. What is not there is made; what is there and differs is shown; only what Ouzel
 * made, or was told to manage or adopt, is changed; nothing is deleted here. What is to be done is decided in `plan.ts`.
 */
import { type ConsumerInfo, JetStreamApiError, type JetStreamManager, type StreamInfo } from '@nats-io/jetstream';
import { OuzelError } from '../errors.ts';
import { notedLanes } from './lane-durables.ts';
import { LANE_STREAM, laneSubjects } from './lane-stream.ts';
import {
  type Difference,
  type DurableSpec,
  planDurable,
  planStream,
  type Resumption,
  type StreamSpec,
} from './plan.ts';

export { isOurs, laneOf } from './plan.ts';
export type { Difference, DurableSpec, Resumption, StreamSpec } from './plan.ts';

export interface Provisioned {
  readonly made: boolean;
  readonly changed: readonly Difference[];
  /** Differences that were left as they are. */
  readonly kept: readonly Difference[];
}

const API = {
  streamNotFound: 10059,
  consumerNotFound: 10014,
  consumerExists: 10148,
  overlap: 10065,
  resources: 10023,
} as const;

/** The cluster has no leader, or none yet for this: somebody answered, but not the one who decides. */
const LEADERLESS = new Set([10004, 10006, 10007, 10008, 10009]);

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
  const answered = apiCode(error);
  if (answered === undefined || LEADERLESS.has(answered))
    return new OuzelError('NATS_UNAVAILABLE', `${what}: ${message}`, { cause: error });
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

/**
 * Makes a stream that is not there, changes one with `manage: true`, and else only says what differs. One of Ouzel's own
 * is given what it does not allow yet, if the server lets it.
 *
 * @throws OuzelError STREAM_REFUSED, NATS_PERMISSION, NATS_UNAVAILABLE
 */
export async function ensureStream(manager: JetStreamManager, spec: StreamSpec): Promise<Provisioned> {
  const plan = planStream((await findStream(manager, spec.name))?.config, spec);
  try {
    if (plan.action === 'make') await manager.streams.add(plan.config);
    if (plan.action === 'change') await manager.streams.update(spec.name, plan.config);
  } catch (error) {
    // It is there, and does as it did.
    if (plan.action === 'change' && !spec.manage)
      return { made: false, changed: [], kept: [...plan.changed, ...plan.kept] };
    throw refused('STREAM_REFUSED', `stream ${spec.name}`, error);
  }
  return {
    made: plan.action === 'make',
    changed: plan.action === 'change' ? plan.changed : [],
    kept: plan.action === 'make' ? [] : plan.kept,
  };
}

/** Deletes what waits in the order of a consumer that is gone. */
export async function purgeLanes(manager: JetStreamManager, consumer: string): Promise<void> {
  if ((await findStream(manager, LANE_STREAM)) === undefined) return;
  await manager.streams.purge(LANE_STREAM, { filter: laneSubjects(consumer) });
}

/** @throws OuzelError DURABLE_REFUSED while events wait in an order that the consumer is to keep no longer. */
async function checkNoneWaits(manager: JetStreamManager, consumer: string): Promise<void> {
  if ((await findStream(manager, LANE_STREAM)) === undefined) return;
  const { state } = await manager.streams.info(LANE_STREAM, { subjects_filter: laneSubjects(consumer) });
  const subjects = Object.entries(state.subjects ?? {});
  if (subjects.length === 0) return;
  const held = subjects.filter(([subject]) => subject.endsWith('.hold')).length;
  const waiting = subjects.reduce((sum, [, count]) => sum + count, 0) - held;
  throw new OuzelError(
    'DURABLE_REFUSED',
    `consumer ${consumer}: ${waiting} of its events wait for those of their key, in the stream ${LANE_STREAM}, and ${held} of its keys are held by dead letters; nobody would take them from there. Let it keep its order until they are done (order_by)`,
  );
}

/** The durable of a consumer after it was made or brought up to date. */
export interface ProvisionedDurable extends Provisioned {
  /** When its stream was made. */
  readonly streamMade: string;
  /** Everything up to this number has its outcome, on whichever instance. */
  readonly ackFloor: number;
  /** The lanes that it notes. */
  readonly lanes: readonly string[];
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
  const stream = await findStream(manager, spec.stream);
  let durable = stream === undefined ? undefined : await findDurable(manager, spec.stream, spec.name);
  const plan = planDurable({ stream, durable }, spec, resumption);
  try {
    if (plan.action === 'make') durable = await manager.consumers.add(spec.stream, plan.config);
    if (plan.action === 'change' && plan.shares) await checkNoneWaits(manager, spec.name);
    if (plan.action === 'change') await manager.consumers.update(spec.stream, spec.name, plan.config);
  } catch (error) {
    // Another instance made it in the same moment: it is brought in line like any that is there.
    if (plan.action === 'make' && apiCode(error) === API.consumerExists)
      return ensureDurable(manager, spec, resumption);
    throw refused('DURABLE_REFUSED', `durable ${spec.name} on ${spec.stream}`, error);
  }
  return {
    made: plan.action === 'make',
    changed: plan.action === 'change' ? plan.changed : [],
    kept: [],
    streamMade: String(stream?.created),
    ackFloor: durable?.ack_floor.stream_seq ?? 0,
    lanes: notedLanes(durable),
  };
}
