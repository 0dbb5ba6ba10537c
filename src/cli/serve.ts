/** Running a daemon from the command line, for `run` and `dev`. */
import { ConfigCache } from '../config/cache.ts';
import { loadConfig, type LoadOptions } from '../config/load.ts';
import { type Address, Daemon } from '../daemon.ts';
import type { LayeredLoader } from '../fleet/load.ts';
import { Systemd } from '../systemd.ts';
import { createLogger } from '../telemetry/log.ts';

export interface Serving {
  readonly daemon: Daemon;
  /** Starts it, and tells the service manager. @throws OuzelError as `Daemon.start` */
  readonly start: () => Promise<Address>;
  /** Resolves when the daemon was told to stop and has drained. */
  readonly ended: Promise<void>;
}

/**
 * Reads the configuration and makes a daemon of it that obeys signals: SIGHUP reads it again, SIGTERM and SIGINT drain,
 * a second one ends the process at once. A service manager that listens is told of it.
 *
 * @throws ConfigError
 */
export async function serve(options: LoadOptions): Promise<Serving> {
  const cache = new ConfigCache();
  const load: LayeredLoader = (fleet) => loadConfig({ ...options, cache }, fleet);
  const loaded = await load();
  const logger = createLogger(loaded.config.telemetry.log, (line) => daemon.loaded.redact(loaded.redact(line)));
  const systemd = Systemd.from(options.env, logger, (text) => daemon.loaded.redact(text));
  const daemon = new Daemon(loaded, load, logger, {
    swept: systemd && (() => systemd.beat(daemon.status())),
    reloading: () => systemd?.reloading(),
    reloaded: () => systemd?.ready(),
  });
  process.on('SIGHUP', () => daemon.reload());
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  let stopping = false;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143);
    stopping = true;
    systemd?.stopping();
    daemon
      .stop(signal)
      .then(() => systemd?.flush())
      .then(resolve, reject);
  };
  process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  return {
    daemon,
    ended,
    start: async () => {
      const address = await daemon.start();
      systemd?.ready();
      return address;
    },
  };
}
