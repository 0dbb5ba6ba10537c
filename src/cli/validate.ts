import { Command } from 'commander';
import { displayName } from '../config/discover.ts';
import { ConfigError, loadConfig, renderProblems } from '../config/load.ts';
import type { Config } from '../config/schema.ts';

const counted = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;

/** `3 consumers, 2 streams, …`: what there is of each, the empty sections left out. */
function summary(config: Config): string {
  const parts = (['consumers', 'streams', 'filters', 'transformers', 'targets'] as const)
    .map((section) => [section.slice(0, -1), Object.keys(config[section]).length] as const)
    .filter(([word, number]) => number > 0 || word === 'consumer');
  return parts.map(([word, number]) => counted(number, word)).join(', ');
}

/** `ouzel validate`: reads the configuration as `ouzel run` would, without a server, and says all that is wrong. */
export function validateCommand(): Command {
  return new Command('validate')
    .description('check a configuration, offline')
    .argument('[file]', 'the file; without it, the one that `ouzel run` would take')
    .option('-c, --config <file>', 'the same')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  $ ouzel validate config/ouzel.yaml')
    .action(async (argument: string | undefined, { config, json }: { config?: string; json?: boolean }) => {
      const cwd = process.cwd();
      try {
        const loaded = await loadConfig({ file: argument ?? config, env: process.env, cwd });
        const file = displayName(loaded.file, cwd);
        if (json === true) {
          const names = Object.keys(loaded.config.consumers);
          print({ valid: true, file, hash: loaded.hash, consumers: names, problems: [] });
        } else process.stdout.write(`${file} is valid: ${summary(loaded.config)}\n`);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        process.exitCode = error.exitCode;
        if (json === true) {
          const problems = error.problems.map(({ code, place, message, hint, path }) => ({
            code,
            ...place,
            path,
            message,
            hint,
          }));
          print({ valid: false, problems });
        } else process.stderr.write(`${renderProblems(error.problems, { color: useColor() })}\n`);
      }
    });
}

const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);

const useColor = (): boolean => process.stderr.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
