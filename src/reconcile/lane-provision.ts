/** Makes the durables of lanes ready, and finds those of lanes that left. */
import type { JetStreamManager } from '@nats-io/jetstream';
import { laneDurable } from '../core/lane.ts';
import { OuzelError } from '../errors.ts';
import { type LaneState, laneState, notedLanes } from '../nats/lane-durables.ts';
import type { Resumption } from '../nats/plan.ts';
import { deleteDurable, type DurableSpec, ensureDurable, findDurable } from '../nats/provision.ts';
import type { Logger } from '../telemetry/log.ts';
import type { Blueprint } from './build.ts';

/** A lane's durable as it was found, or made. */
export interface FoundLane {
  readonly spec: DurableSpec;
  readonly state: LaneState;
  /** Set until that is in force. */
  readonly made: boolean;
}

export interface LanePorts {
  readonly manager: JetStreamManager;
  readonly logger: Logger;
  /** When the stream was made, as far as is known. */
  readonly streamMade: string | undefined;
  /** What is known of a lane that runs here. */
  readonly known: (name: string) => LaneState | undefined;
}

/** What goes by several durables is in no order, and on no one instance. */
const stillHas = (lane: string, { name, stream }: DurableSpec, features: readonly string[]): OuzelError =>
  new OuzelError(
    'DURABLE_REFUSED',
    `consumer ${name} on ${stream} still has the lane "${lane}", and ${features.join(', ')} needs all of its events in one. Take the lanes out first, and add it when nats consumer ls ${stream} shows no ${laneDurable(name, lane)} any more`,
  );

/** The durables that were made. */
export const durablesMade = (found: ReadonlyMap<string, FoundLane>): string[] =>
  [...found.values()].filter(({ made }) => made).map(({ spec }) => spec.name);

/**
 * Makes the durables of a blueprint's lanes ready, and looks for those that the consumer has no more.
 *
 * @param noted The lanes that the consumer's own durable notes, where that was asked already.
 * @returns All that there are, by name. What was made is deleted again when it throws.
 * @throws OuzelError as `ensureDurable`
 */
export async function provisionLanes(
  ports: LanePorts,
  { laneSpecs, exclusive, spec: own }: Blueprint,
  noted: readonly string[],
): Promise<Map<string, FoundLane>> {
  const { manager, streamMade, known } = ports;
  const info = await findDurable(manager, own.stream, own.name);
  const found = new Map<string, FoundLane>();
  const ready = async (name: string, spec: DurableSpec): Promise<void> => {
    const from = known(name)?.floor ?? info?.ack_floor.stream_seq;
    found.set(
      name,
      await ensureLane(manager, spec, from === undefined ? undefined : { sequence: from + 1, streamMade }),
    );
  };
  try {
    for (const { name, spec } of laneSpecs) await ready(name, spec);
    for (const name of new Set([...noted, ...notedLanes(info)])) {
      if (found.has(name)) continue;
      const spec = await leavingSpec(ports, name, own);
      if (spec === undefined) continue;
      if (exclusive.length > 0) throw stillHas(name, own, exclusive);
      await ready(name, spec);
    }
  } catch (error) {
    await unmakeLanes(ports, own.stream, durablesMade(found));
    throw error;
  }
  return found;
}

/** Deletes durables that were made for what is not to be after all. */
export async function unmakeLanes(
  { manager, logger }: Pick<LanePorts, 'manager' | 'logger'>,
  stream: string,
  durables: readonly string[],
): Promise<void> {
  for (const durable of durables)
    await deleteDurable(manager, stream, durable).catch((error: unknown) =>
      logger.error({ durable, error: String(error) }, 'the durable of a lane that is refused could not be deleted'),
    );
}

async function ensureLane(
  manager: JetStreamManager,
  spec: DurableSpec,
  resumption: Resumption | undefined,
): Promise<FoundLane> {
  const before = await findDurable(manager, spec.stream, spec.name);
  const state = before === undefined ? undefined : laneState(before);
  // One that leaves stays as it is until it is gone, also where it is wanted again.
  if (state?.until !== undefined) return { spec: { ...spec, subjects: state.subjects }, state, made: false };
  const { made, ackFloor } = await ensureDurable(manager, spec, resumption);
  const { subjects, lane } = spec;
  const until = lane?.until === undefined ? undefined : Date.parse(lane.until);
  return { spec, state: { subjects, until, floor: ackFloor }, made };
}

/** The durable of a lane that is not configured; undefined when there is none, and none that was lost. */
async function leavingSpec(
  { manager, known }: LanePorts,
  name: string,
  own: DurableSpec,
): Promise<DurableSpec | undefined> {
  const durable = laneDurable(own.name, name);
  const info = await findDurable(manager, own.stream, durable);
  const state = info === undefined ? known(name) : laneState(info);
  if (state === undefined) return undefined;
  const until = state.until === undefined ? undefined : new Date(state.until).toISOString();
  return { ...own, name: durable, subjects: state.subjects, lane: { consumer: own.name, name, until } };
}
