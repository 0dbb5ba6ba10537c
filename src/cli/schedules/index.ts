/** `ouzel schedules`: what ticks, and when. */
import { Command } from 'commander';
import { fireCommand } from './fire.ts';
import { listCommand } from './list.ts';
import { nextCommand } from './next.ts';

const subcommands = [listCommand, nextCommand, fireCommand];

export function schedulesCommand(): Command {
  const command = new Command('schedules').description('what ticks, when it does, and ticks out of turn');
  for (const [index, make] of subcommands.entries()) command.addCommand(make(), { isDefault: index === 0 });
  return command;
}
