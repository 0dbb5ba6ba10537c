import { Command } from 'commander';
import { Groups } from '../../deadletter/groups.ts';
import type { DeadLetter } from '../../deadletter/read.ts';
import { letterQuery, selectLetters } from '../../deadletter/select.ts';
import { letterSummary } from '../../deadletter/show.ts';
import { wholeNumber } from '../arguments.ts';
import { print, printJson, table } from '../print.ts';
import { fit, styleOf } from '../terminal.ts';
import { instant, printGroups, type SelectorOptions, selectorsOf, withLetters, withSelectors } from './options.ts';

const SHOWN = 50;

const HELP = `
The summary counts all that are selected; of the letters themselves the newest
are shown.

Examples:
  ouzel dlq list
  ouzel dlq list --consumer billing --reason rejected --since 2h
  ouzel dlq list --where 'event.data.total > 1000' --json`;

export function listCommand(): Command {
  return withSelectors(new Command('list').description('dead letters by consumer and reason, then one by one'))
    .option('--limit <n>', 'how many at most, the newest', wholeNumber, SHOWN)
    .addHelpText('after', HELP)
    .action((options: SelectorOptions) => list(options));
}

async function list(options: SelectorOptions): Promise<void> {
  const { limit = SHOWN, json } = options;
  await withLetters(options.config, async (access) => {
    const newest: DeadLetter[] = [];
    const groups = new Groups();
    for await (const letter of selectLetters(access, letterQuery(selectorsOf(options), access))) {
      groups.add(letter);
      newest.push(letter);
      if (newest.length > limit) newest.shift();
    }
    if (json === true) return printJson({ groups: groups.list(), letters: newest.map(letterSummary) });
    if (newest.length === 0) return print('No dead letters.');
    printGroups(groups.list());
    print('');
    printLetters(newest);
  });
}

function printLetters(letters: readonly DeadLetter[]): void {
  const { width } = styleOf(process.stdout);
  const rows = letters.map(({ sequence, failed, consumer, reason, subject, key, error }) => [
    sequence,
    instant(failed),
    consumer,
    reason,
    subject,
    key ?? '',
    fit(error, Math.max(60, width - 80)),
  ]);
  print(table(['#', 'FAILED', 'CONSUMER', 'REASON', 'SUBJECT', 'KEY', 'ERROR'], rows));
}
