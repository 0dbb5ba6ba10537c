/** A short visit to NATS, for commands that only ask something. */
import { jetstream, type JetStreamClient, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import { layerOf, pausesOf } from '../fleet/fleet.ts';
import { loadWithFleet } from '../fleet/load.ts';
import type { Pause } from '../fleet/ports.ts';
import { ConfigStore } from '../fleet/store.ts';
import { checkServer, connectNats } from '../nats/connect.ts';

export interface Session {
  readonly loaded: LoadedConfig;
  readonly connection: NatsConnection;
  readonly manager: JetStreamManager;
  readonly client: JetStreamClient;
}

/** The option that all of these commands have. */
export const CONFIG_OPTION = [
  '-c, --config <file>',
  'configuration file (default: $OUZEL_CONFIG, config/ouzel.yaml, ouzel.yaml, /etc/ouzel/ouzel.yaml)',
] as const;

/**
 * Connects as the configuration says, lets `work` do what it does, and closes.
 *
 * @throws OuzelError CONFIG_*, NATS_UNAVAILABLE, NATS_UNSUPPORTED, and what `work` throws
 */
export async function withSession<T>(file: string | undefined, work: (session: Session) => Promise<T>): Promise<T> {
  return visit(await loadConfig({ file, env: process.env, cwd: process.cwd() }), work);
}

/** The same with a configuration that was read already. */
export async function visit<T>(loaded: LoadedConfig, work: (session: Session) => Promise<T>): Promise<T> {
  const { nats } = loaded.config;
  const connection = await connectNats(nats, false);
  try {
    checkServer(connection);
    const options = nats.domain === undefined ? {} : { domain: nats.domain };
    const manager = await jetstreamManager(connection, { ...options, checkAPI: false, timeout: 5_000 });
    return await work({ loaded, connection, manager, client: jetstream(connection, options) });
  } finally {
    await connection.close();
  }
}

/** A session that knows what the fleet has, too. */
export interface FleetSession extends Session {
  /** Resources of the fleet that would not be in force here, by name (`fleet:consumers/billing`), and why. */
  readonly aside: ReadonlyMap<string, string>;
  readonly pauses: ReadonlyMap<string, Pause>;
}

/**
 * The same with the fleet's resources on top of the file's, as an instance on this configuration has them in force.
 *
 * @throws OuzelError CONFIG_*, NATS_UNAVAILABLE, NATS_UNSUPPORTED, and what `work` throws
 */
export const withFleet = <T>(file: string | undefined, work: (session: FleetSession) => Promise<T>): Promise<T> =>
  withSession(file, async (session) => {
    const { connection, client, manager } = session;
    const entries = await new ConfigStore(connection, client, manager).all();
    const { loaded, aside } = await loadWithFleet(
      (fleet) => loadConfig({ file, env: process.env, cwd: process.cwd() }, fleet),
      layerOf(entries),
      new Map(),
    );
    return work({ ...session, loaded, aside, pauses: pausesOf(entries) });
  });
