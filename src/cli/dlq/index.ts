import { Command } from 'commander';
import { discardCommand } from './discard.ts';
import { listCommand } from './list.ts';
import { redriveCommand } from './redrive.ts';
import { showCommand } from './show.ts';

export function dlqCommand(): Command {
  const command = new Command('dlq').description('look at dead letters, re-drive them, or throw them away');
  for (const make of [listCommand, showCommand, redriveCommand, discardCommand]) command.addCommand(make());
  return command;
}
