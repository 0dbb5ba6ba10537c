/** The streams that Ouzel keeps for itself, as `nats/provision.ts` makes them. */
import type { JetStreamManager } from '@nats-io/jetstream';
import type { Config } from '../config/schema.ts';
import { ensureStream, type StreamSpec } from '../nats/provision.ts';
import { INCIDENT_STREAM, INCIDENT_SUBJECTS } from '../telemetry/incidents/catalogue.ts';
import type { Logger } from '../telemetry/log.ts';

/** Milliseconds that an incident is kept, and bytes of all of them. */
const INCIDENTS_KEPT = 7 * 86_400_000;
const INCIDENTS_SIZE = 256 * 2 ** 20;

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

/** Makes the stream of incidents where it is not there. @throws OuzelError as `ensureStream` */
export async function ensureIncidentStream(manager: JetStreamManager, config: Config, logger: Logger): Promise<void> {
  const { made, kept } = await ensureStream(manager, incidentSpec(config));
  if (made) logger.info({ stream: INCIDENT_STREAM }, 'stream made');
  if (kept.length > 0)
    logger.warn({ stream: INCIDENT_STREAM, differs: kept }, 'stream differs from what Ouzel would make');
}
