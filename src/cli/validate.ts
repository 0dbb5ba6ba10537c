import { Command } from 'commander';
import { displayName } from '../config/discover.ts';
import { ConfigError, loadConfig, type LoadedConfig, renderProblems } from '../config/load.ts';
import type { Config } from '../config/schema.ts';
import { EXIT } from '../errors.ts';
import { isFeasible, previewPlan } from '../reconcile/preview.ts';
import { renderPlan } from './plan.ts';
import { visit } from './session.ts';
import { styleOf } from './terminal.ts';

const counted = (number: number, word: string): string => `${number} ${word}${number === 1 ? '' : 's'}`;

/** `3 consumers, 2 streams, …`: what there is of each, the empty sections left out. */
function summary(config: Config): string {
  const parts = (['consumers', 'streams', 'types', 'filters', 'transformers', 'targets'] as const)
    .map((section) => [section.slice(0, -1), Object.keys(config[section]).length] as const)
    .filter(([word, number]) => number > 0 || word === 'consumer');
  return parts.map(([word, number]) => counted(number, word)).join(', ');
}

interface Options {
  readonly config?: string;
  readonly plan?: boolean;
  readonly json?: boolean;
}

const HELP = `
With --plan it also asks the server of the configuration what would be made,
changed and refused, and whether the user may do it. Nothing is made or changed.

The exit code is 0 when all is well, 78 when the configuration is wrong or would
be refused, 69 when the server cannot be asked.

Examples:
  ouzel validate config/ouzel.yaml
  ouzel validate --plan
  ouzel validate --plan --json | jq '.plan.items[] | select(.action == "refuse")'`;

/** `ouzel validate`: reads the configuration as `ouzel run` would, without a server, and says all that is wrong. */
export function validateCommand(): Command {
  return new Command('validate')
    .description('check a configuration: offline, or with --plan against the server')
    .argument('[file]', 'the file; without it, the one that `ouzel run` would take')
    .option('-c, --config <file>', 'the same')
    .option('--plan', 'ask the server what would be made, changed and refused')
    .option('--json', 'print JSON')
    .addHelpText('after', HELP)
    .action(validate);
}

async function validate(argument: string | undefined, { config, plan, json }: Options): Promise<void> {
  const cwd = process.cwd();
  let loaded: LoadedConfig;
  try {
    loaded = await loadConfig({ file: argument ?? config, env: process.env, cwd });
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return printProblems(error, json === true);
  }
  const file = displayName(loaded.file, cwd);
  const planned =
    plan === true
      ? await visit(loaded, ({ connection, manager }) => previewPlan(loaded, connection, manager))
      : undefined;
  if (planned !== undefined && !isFeasible(planned)) process.exitCode = EXIT.config;
  if (json === true) {
    const consumers = Object.keys(loaded.config.consumers);
    const valid = planned === undefined || isFeasible(planned);
    print({
      valid,
      file,
      hash: loaded.hash,
      consumers,
      problems: [],
      ...(planned === undefined ? {} : { plan: planned }),
    });
    return;
  }
  process.stdout.write(`${file} is valid: ${summary(loaded.config)}\n`);
  if (planned !== undefined) process.stdout.write(`${loaded.redact(renderPlan(planned, styleOf(process.stdout)))}\n`);
}

function printProblems(error: ConfigError, json: boolean): void {
  process.exitCode = error.exitCode;
  if (!json) return void process.stderr.write(`${renderProblems(error.problems, { color: useColor() })}\n`);
  const problems = error.problems.map(({ code, place, message, hint, path }) => ({
    code,
    ...place,
    path,
    message,
    hint,
  }));
  print({ valid: false, problems });
}

const print = (value: unknown): void => void process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);

const useColor = (): boolean => process.stderr.isTTY === true && (process.env['NO_COLOR'] ?? '') === '';
