/** What the consumers of a daemon share, made on the server that it is connected to. */
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import type { Acts } from './audit/acts.ts';
import type { LoadedConfig } from './config/load.ts';
import type { Pauses } from './core/pauses.ts';
import { Suspects } from './core/suspects.ts';
import { Turns } from './core/turns.ts';
import { InFlight } from './flow/in-flight.ts';
import { Limits } from './flow/limits.ts';
import { type LetterAccess, removeLetter } from './deadletter/read.ts';
import { createDeadLetterStore } from './deadletter/store.ts';
import { ConfigStore } from './fleet/store.ts';
import { createAttemptStore } from './nats/attempts.ts';
import { createBodies } from './nats/bodies.ts';
import { createSharedStandings } from './nats/limits.ts';
import type { Link } from './nats/link.ts';
import { createStateStore } from './nats/plugin-state.ts';
import { SystemStreams } from './nats/system.ts';
import { createParking } from './nats/timers.ts';
import type { Services } from './reconcile/build.ts';
import type { KeyOf } from './reconcile/keys.ts';
import {
  auditSpec,
  ensureOwnStream,
  incidentSpec,
  lanesSpec,
  limitsSpec,
  systemSpecs,
} from './reconcile/system-streams.ts';
import type { Incidents } from './telemetry/incidents.ts';

/** What outlives a server that was not ready, and is tried again. */
export interface Shared extends Pick<
  Services,
  'files' | 'breakers' | 'pauses' | 'observer' | 'traces' | 'logger' | 'metrics'
> {
  /** The configuration in force. */
  readonly loaded: () => LoadedConfig;
  readonly keyOf: KeyOf;
  readonly pauses: Pauses;
  readonly incidents: Incidents;
  readonly acts: Acts;
}

export interface Prepared {
  readonly services: Services;
  readonly streams: SystemStreams;
  /** Where the fleet's configuration is. */
  readonly store: ConfigStore;
  readonly letters: Omit<LetterAccess, 'config'>;
}

/** Makes the streams that Ouzel keeps for itself, and what works with them. @throws OuzelError as `ensureStream` */
export async function prepareServer(
  link: Link,
  { loaded, keyOf, incidents, acts, ...shared }: Shared,
): Promise<Prepared> {
  const { connection, wire, publisher, requester } = link;
  const { logger } = shared;
  const { config } = loaded();
  const { domain, system } = config.nats;
  const options = domain === undefined ? {} : { domain };
  const manager = await jetstreamManager(connection, { ...options, checkAPI: false, timeout: 10_000 });
  const client = jetstream(connection, options);
  const streams = new SystemStreams(manager, systemSpecs(config), logger);
  await streams.ensure();
  const own = streams.watched(publisher);
  const bodies = createBodies(client, system.replicas);
  const ensure = (specOf: typeof auditSpec) => () => ensureOwnStream(manager, specOf(loaded().config), logger);
  await incidents.connect(own, ensure(incidentSpec));
  await acts.connect(own, ensure(auditSpec));
  return {
    streams,
    store: new ConfigStore(connection, client, manager),
    letters: { client, manager, publisher, bodies },
    services: {
      ...shared,
      connection,
      manager,
      wire,
      publisher,
      instance: incidents.instance,
      requester,
      letters: createDeadLetterStore(own, bodies, {
        keyOf,
        redact: (text) => loaded().redact(text),
        remove: (sequence) => removeLetter(manager, sequence),
      }),
      attempts: createAttemptStore(own, requester, { domain, onMissing: streams.missing }),
      parking: createParking(own),
      bodies,
      ensureLanes: ensure(lanesSpec),
      pluginState: createStateStore(client, manager, system.replicas),
      suspects: new Suspects(),
      turns: new Turns(),
      inFlight: new InFlight(),
      limits: new Limits({
        shared: createSharedStandings(publisher, requester, { domain, ensure: ensure(limitsSpec) }),
        onTrouble: troubles(logger),
      }),
    },
  };
}

/** Milliseconds between two words about one limit. */
const SAY_AGAIN = 10_000;

/** Says that a limit of the fleet cannot be asked, once in a while: its events wait. */
function troubles(logger: Shared['logger']): (limit: string, error: Error) => void {
  const said = new Map<string, number>();
  return (limit, { message }) => {
    const now = performance.now();
    if (now - (said.get(limit) ?? Number.NEGATIVE_INFINITY) < SAY_AGAIN) return;
    said.set(limit, now);
    logger.warn({ limit }, `a limit cannot be asked, and its events wait: ${message}`);
  };
}
