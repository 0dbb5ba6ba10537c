/** The streams that work on dead letters writes to, made where the daemon has not made them yet. */
import { ensureStream } from '../nats/provision.ts';
import { timersSpec } from '../reconcile/build.ts';
import type { LetterAccess } from './read.ts';

type Access = Pick<LetterAccess, 'manager' | 'config'>;

/** What is due for consumers. @throws OuzelError STREAM_REFUSED, NATS_PERMISSION, NATS_UNAVAILABLE */
export async function ensureTimers({ manager, config }: Access): Promise<void> {
  await ensureStream(manager, timersSpec(config));
}

const INCIDENT_STREAM = 'OUZEL_EVENTS';
const INCIDENTS_KEPT = 7 * 86_400_000;
const INCIDENTS_BYTES = 256 * 2 ** 20;

/** Incidents. @throws OuzelError STREAM_REFUSED, NATS_PERMISSION, NATS_UNAVAILABLE */
export async function ensureIncidents({ manager, config }: Access): Promise<void> {
  await ensureStream(manager, {
    name: INCIDENT_STREAM,
    subjects: ['ouzel.events.>'],
    replicas: config.nats.system.replicas,
    maxAge: INCIDENTS_KEPT,
    maxBytes: INCIDENTS_BYTES,
    discard: 'old',
    description: 'Incidents of Ouzel',
    manage: false,
  });
}
