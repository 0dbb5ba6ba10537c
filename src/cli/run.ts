import { Command } from 'commander';
import { CONFIG_OPTION } from './session.ts';

export function runCommand(): Command {
  return new Command('run')
    .description('run the daemon')
    .option(...CONFIG_OPTION)
    .addHelpText(
      'after',
      '\nThe configuration is followed while it runs; SIGHUP reads it again. SIGTERM drains.\n\nExample:\n  ouzel run --config /etc/ouzel/ouzel.yaml',
    )
    .action(async ({ config: file }: { config?: string }) => {
      // Loaded here, so that commands which need no daemon start without it.
      const { serve } = await import('./serve.ts');
      const { start, ended } = await serve({ file, env: process.env, cwd: process.cwd() });
      await start();
      await ended;
    });
}
