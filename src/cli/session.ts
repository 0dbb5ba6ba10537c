/** A short visit to NATS, for commands that only ask something. */
import { jetstream, type JetStreamClient, jetstreamManager, type JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
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
