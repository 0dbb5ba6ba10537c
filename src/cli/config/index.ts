import { Command } from 'commander';
import { diffCommand } from './apply.ts';
import { historyCommand } from './history.ts';
import { rollbackCommand } from './rollback.ts';
import { showCommand } from './show.ts';

export function configCommand(): Command {
  const command = new Command('config').description("look at the configuration in force, and at the fleet's history");
  for (const make of [showCommand, diffCommand, historyCommand, rollbackCommand]) command.addCommand(make());
  return command;
}
