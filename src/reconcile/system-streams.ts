/** The streams that Ouzel keeps for itself, as `nats/provision.ts` makes them. */
import type { JetStreamManager } from '@nats-io/jetstream';
import { AUDIT_STREAM, AUDIT_SUBJECTS } from '../audit/acts.ts';
import type { Config } from '../config/schema.ts';
import { CONFIG_STREAM, CONFIG_STREAM_OPTIONS, CONFIG_SUBJECTS } from '../fleet/store.ts';
import { DEAD_LETTER_STREAM, DEAD_LETTER_SUBJECTS } from '../deadletter/store.ts';
import { ATTEMPTS_STREAM, ATTEMPTS_STREAM_OPTIONS, ATTEMPTS_SUBJECTS } from '../nats/attempts.ts';
import { KEPT } from '../nats/bodies.ts';
import { LIMITS_STREAM, LIMITS_STREAM_OPTIONS, LIMITS_SUBJECTS } from '../nats/limits.ts';
import { LANE_STREAM, LANE_SUBJECTS } from '../nats/lanes.ts';
import { ensureStream, type StreamSpec } from '../nats/provision.ts';
import { SCHEDULES_STREAM, SCHEDULES_STREAM_OPTIONS, SCHEDULES_SUBJECTS } from '../nats/ticks.ts';
import { TIMER_STREAM, TIMER_STREAM_OPTIONS, TIMER_SUBJECTS } from '../nats/timers.ts';
import { INCIDENT_STREAM, INCIDENT_SUBJECTS } from '../telemetry/incidents/catalogue.ts';
import type { Logger } from '../telemetry/log.ts';

/** Milliseconds that an incident is kept, and bytes of all of them. */
const INCIDENTS_KEPT = 7 * 86_400_000;
const INCIDENTS_SIZE = 64 * 2 ** 20;

/** Milliseconds that a record of the audit is kept, and bytes of all of them. */
const AUDIT_KEPT = 30 * 86_400_000;
const AUDIT_SIZE = 32 * 2 ** 20;
/** Records of one kind of act, at most: who may post events must not push out what else was done. */
const AUDIT_OF_A_KIND = 20_000;

/** Bytes of all limits' keys: some 3 million that are in use at once. */
const LIMITS_SIZE = 512 * 2 ** 20;

/** The stream of dead letters. */
const deadLetterSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: DEAD_LETTER_STREAM,
  subjects: [DEAD_LETTER_SUBJECTS],
  replicas: system.replicas,
  discard: 'new',
  maxAge: KEPT,
  description: 'Dead letters of Ouzel',
  manage: false,
});

/** The stream of what is known of failing events. */
const attemptsSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: ATTEMPTS_STREAM,
  subjects: ATTEMPTS_SUBJECTS,
  replicas: system.replicas,
  discard: 'new',
  description: 'Attempts at failing events of Ouzel',
  options: ATTEMPTS_STREAM_OPTIONS,
  manage: false,
});

/** The stream of what waits. */
export const timersSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: TIMER_STREAM,
  subjects: TIMER_SUBJECTS,
  replicas: system.replicas,
  description: 'Timers of Ouzel, and what is due',
  options: TIMER_STREAM_OPTIONS,
  manage: false,
});

/** The stream of events that wait for those of their key; made when the first one does. */
export const lanesSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: LANE_STREAM,
  subjects: LANE_SUBJECTS,
  replicas: system.replicas,
  discard: 'new',
  description: 'Events of Ouzel that wait for their turn, in the order of their key',
  manage: false,
});

/** The bucket of the fleet's configuration. */
const configSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: CONFIG_STREAM,
  subjects: CONFIG_SUBJECTS,
  replicas: system.replicas,
  discard: 'new',
  description: 'Configuration of Ouzel that all instances share',
  options: CONFIG_STREAM_OPTIONS,
  manage: false,
});

/** The bucket of how far each schedule is: made by the first that ticks. */
export const schedulesSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: SCHEDULES_STREAM,
  subjects: SCHEDULES_SUBJECTS,
  replicas: system.replicas,
  discard: 'new',
  description: 'How far each schedule of Ouzel is',
  options: SCHEDULES_STREAM_OPTIONS,
  manage: false,
});

/** The streams without which no event is handled. */
export const systemSpecs = (config: Config): StreamSpec[] => [
  deadLetterSpec(config),
  attemptsSpec(config),
  timersSpec(config),
  configSpec(config),
];

/** The stream of incidents. The oldest go where it is full: it must never stand in the way of what it speaks of. */
export const incidentSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: INCIDENT_STREAM,
  subjects: [INCIDENT_SUBJECTS],
  replicas: system.replicas,
  discard: 'old',
  maxAge: INCIDENTS_KEPT,
  maxBytes: INCIDENTS_SIZE,
  description: 'Incidents of Ouzel',
  manage: false,
});

/** The stream of the audit. The oldest go where it is full: it must never stand in the way of what it records. */
export const auditSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: AUDIT_STREAM,
  subjects: [AUDIT_SUBJECTS],
  replicas: system.replicas,
  discard: 'old',
  maxAge: AUDIT_KEPT,
  maxBytes: AUDIT_SIZE,
  options: { max_msgs_per_subject: AUDIT_OF_A_KIND },
  description: 'What was changed over the API of Ouzel, and by whom',
  manage: false,
});

/** The bucket of how far the keys of limits have come. The oldest go where it is full: no event waits for room there. */
export const limitsSpec = ({ nats: { system } }: Config): StreamSpec => ({
  name: LIMITS_STREAM,
  subjects: LIMITS_SUBJECTS,
  replicas: system.replicas,
  discard: 'old',
  maxBytes: LIMITS_SIZE,
  description: 'How far the limits of Ouzel have come',
  options: LIMITS_STREAM_OPTIONS,
  manage: false,
});

/** Makes a stream that Ouzel can run without, where it is not there. @throws OuzelError as `ensureStream` */
export async function ensureOwnStream(manager: JetStreamManager, spec: StreamSpec, logger: Logger): Promise<void> {
  const { made, kept } = await ensureStream(manager, spec);
  if (made) logger.info({ stream: spec.name }, 'stream made');
  if (kept.length > 0) logger.warn({ stream: spec.name, differs: kept }, 'stream differs from what Ouzel would make');
}
