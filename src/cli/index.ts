/** Every command, one line each, and what becomes of their errors. */
import { Command, CommanderError } from 'commander';
import { asOuzelError, EXIT } from '../errors.ts';
import { VERSION } from '../version.ts';
import { auditCommand } from './audit/index.ts';
import { applyCommand } from './config/apply.ts';
import { configCommand } from './config/index.ts';
import { consumersCommand } from './consumers/index.ts';
import { devCommand } from './dev.ts';
import { dlqCommand } from './dlq/index.ts';
import { explainCommand } from './explain.ts';
import { initCommand } from './init.ts';
import { pluginsCommand } from './plugins.ts';
import { replayCommand } from './replay/index.ts';
import { runCommand } from './run.ts';
import { schedulesCommand } from './schedules/index.ts';
import { schemaCommand } from './schema.ts';
import { tapCommand } from './tap.ts';
import { targetsCommand } from './targets.ts';
import { timersCommand } from './timers.ts';
import { endWithReader } from './print.ts';
import { tokenCommand } from './token.ts';
import { validateCommand } from './validate.ts';
import { versionCommand } from './version.ts';

const commands = [
  runCommand,
  devCommand,
  validateCommand,
  explainCommand,
  tapCommand,
  applyCommand,
  configCommand,
  consumersCommand,
  timersCommand,
  targetsCommand,
  dlqCommand,
  replayCommand,
  auditCommand,
  schedulesCommand,
  pluginsCommand,
  initCommand,
  tokenCommand,
  schemaCommand,
  versionCommand,
];

/** The program with all its commands. */
function createProgram(): Command {
  const program = new Command('ouzel')
    .description('An observable event-processing daemon for NATS JetStream.')
    // What stands behind a command is for that command: `replay` has options of its own, and commands below it.
    .enablePositionalOptions()
    .version(VERSION, '-V, --version');
  for (const make of commands) program.addCommand(make());
  // Commander hands its settings only to commands that it makes itself.
  for (const command of everyCommand(program))
    command.exitOverride().showSuggestionAfterError().showHelpAfterError('(--help shows what is possible)');
  return program;
}

const everyCommand = (command: Command): Command[] => [command, ...command.commands.flatMap(everyCommand)];

/**
 * Runs a command line.
 *
 * @returns The exit code: 0, 1 failed check, 64 usage, 69 unavailable, 70 internal, 78 configuration.
 */
export async function main(argv: readonly string[]): Promise<number> {
  endWithReader();
  try {
    await createProgram().parseAsync([...argv]);
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    const failure = asOuzelError(error);
    process.stderr.write(`${failure.code === 'INTERNAL' ? describeInternal(failure) : failure.message}\n`);
    return failure.exitCode;
  }
}

const describeInternal = (failure: Error): string =>
  `internal error: ${failure.cause instanceof Error ? (failure.cause.stack ?? failure.message) : failure.message}`;
