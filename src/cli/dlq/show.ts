import { Command } from 'commander';
import { completeLetter, letterAt } from '../../deadletter/read.ts';
import { letterFacts, letterWhole } from '../../deadletter/show.ts';
import { OuzelError } from '../../errors.ts';
import { wholeNumber } from '../arguments.ts';
import { print, printJson } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';
import { withLetters } from './options.ts';

export function showCommand(): Command {
  return new Command('show')
    .description('one dead letter: what happened, and the event as it came')
    .argument('<sequence>', 'its number, as list shows it', wholeNumber)
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText(
      'after',
      '\n`ouzel explain dlq:17` shows what its consumer would do with it now.\n\nExample:\n  ouzel dlq show 17',
    )
    .action(show);
}

async function show(sequence: number, { config, json }: { config?: string; json?: boolean }): Promise<void> {
  await withLetters(config, async ({ manager, bodies }) => {
    const letter = await letterAt(manager, sequence);
    if (letter === undefined) throw new OuzelError('NOT_FOUND', `there is no dead letter ${sequence}`);
    const complete = await completeLetter(letter, bodies);
    if (json === true) return printJson(letterWhole(complete));
    const { sequence: number, ...facts } = letterFacts(complete);
    const rows = { 'dead letter': number, ...facts, message_id: complete.messageId };
    for (const [name, value] of Object.entries(rows)) {
      const text = Array.isArray(value) ? value.join(', ') || 'all' : String(value ?? '');
      print(`${name.replaceAll('_', ' ').padEnd(14)}  ${text}`.trimEnd());
    }
    for (const [name, value] of complete.headers) print(`header          ${name}: ${value}`);
    print('');
    process.stdout.write(complete.body);
    print('');
  });
}
