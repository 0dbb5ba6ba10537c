import { Command } from 'commander';
import { loadConfig } from '../config/load.ts';
import { Daemon } from '../daemon.ts';
import { createLogger } from '../telemetry/log.ts';

export function runCommand(): Command {
  return new Command('run')
    .description('run the daemon')
    .option(
      '-c, --config <file>',
      'configuration file (default: $OUZEL_CONFIG, config/ouzel.yaml, ouzel.yaml, /etc/ouzel/ouzel.yaml)',
    )
    .addHelpText('after', '\nExample:\n  ouzel run --config /etc/ouzel/ouzel.yaml')
    .action(async ({ config }: { config?: string }) => {
      const loaded = await loadConfig({
        ...(config === undefined ? {} : { file: config }),
        env: process.env,
        cwd: process.cwd(),
      });
      const logger = createLogger(loaded.config.telemetry.log, (line) => loaded.redact(line));
      const daemon = new Daemon(loaded, logger);
      const ended = stopOnSignal(() => daemon.stop());
      await daemon.start();
      await ended;
    });
}

/**
 * Drains on the first SIGTERM or SIGINT; a second one ends the process at once.
 *
 * @returns A promise that resolves when the drain is over.
 */
export function stopOnSignal(stop: () => Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let stopping = false;
    const onSignal = (signal: NodeJS.Signals): void => {
      if (stopping) process.exit(signal === 'SIGINT' ? 130 : 143);
      stopping = true;
      stop().then(resolve, reject);
    };
    process.on('SIGTERM', onSignal).on('SIGINT', onSignal);
  });
}
