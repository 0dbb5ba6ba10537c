import { Command } from 'commander';
import { addCommand, pauseCommand, removeCommand, resumeCommand } from './change.ts';
import { pruneCommand } from './prune.ts';
import { listCommand, showCommand } from './show.ts';

export function consumersCommand(): Command {
  const command = new Command('consumers').description(
    'look at consumers, and add, pause and remove them while running',
  );
  for (const make of [listCommand, showCommand, addCommand, pauseCommand, resumeCommand, removeCommand, pruneCommand])
    command.addCommand(make());
  return command;
}
