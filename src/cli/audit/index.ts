import { Command } from 'commander';
import { forgetCommand } from './forget.ts';
import { rebuildCommand } from './rebuild.ts';
import { show, type ShowOptions, withSelectors } from './show.ts';
import { verifyCommand } from './verify.ts';

const HELP = `
One event's way: over all consumers, with the attempts that failed, replays,
re-drives and what became of it each time. It is named by its id, its key, or
its place. Without one, the newest records.

Examples:
  ouzel audit o-1
  ouzel audit EVENTS:17 --json
  ouzel audit --consumer billing --outcome dead_lettered --since 2h
  ouzel audit verify`;

export const auditCommand = (): Command =>
  withSelectors(
    new Command('audit')
      .description('what became of events, and whether the record of it is whole')
      .enablePositionalOptions()
      .argument('[event]', 'id, key or place (EVENTS:17) of an event'),
  )
    .addHelpText('after', HELP)
    .action((event: string | undefined, options: ShowOptions) => show(event, options))
    .addCommand(verifyCommand())
    .addCommand(rebuildCommand())
    .addCommand(forgetCommand());
