/** What the commands for dead letters have in common. */
import type { Command } from 'commander';
import type { Choice } from '../../deadletter/choose.ts';
import type { Group } from '../../deadletter/groups.ts';
import type { LetterAccess } from '../../deadletter/read.ts';
import { LETTER_SELECTORS, type LetterSelectors } from '../../deadletter/select.ts';
import { createBodies } from '../../nats/bodies.ts';
import { JetStreamPublisher } from '../../nats/publish.ts';
import { Wire } from '../../nats/wire.ts';
import { wholeNumber } from '../arguments.ts';
import { print, table } from '../print.ts';
import { CONFIG_OPTION, type Session, withSession } from '../session.ts';
import { styleOf, wrap } from '../terminal.ts';

export interface SelectorOptions extends LetterSelectors {
  readonly config?: string;
  readonly limit?: number;
  readonly json?: boolean;
}

/** Adds the options by which letters are selected, and those that every one of these commands has. */
export function withSelectors(command: Command): Command {
  return command
    .option(...CONFIG_OPTION)
    .option('--consumer <name>', 'only of this consumer')
    .option('--key <key>', 'only of events with this key')
    .option('--type <pattern>', 'only of this type; `*` stands for one part, `>` for the rest')
    .option('--reason <code>', 'only with this reason')
    .option('--where <expression>', 'only where this is true of the event as it came')
    .option('--since <when>', 'only dead since then: 2026-01-31T08:00:00Z, or 2h (ago)')
    .option('--until <when>', 'only dead until then')
    .option('--json', 'as JSON');
}

const numbers = (text: string, before: readonly number[] = []): readonly number[] => [...before, wholeNumber(text)];

/** The same with what says that every letter is meant, for commands that change something. */
export function withChoice(command: Command): Command {
  return withSelectors(command.argument('[letters...]', 'numbers of dead letters, instead of selectors', numbers))
    .option('--limit <n>', 'how many at most, the oldest first', wholeNumber)
    .option('--all', 'every dead letter that there is')
    .option('--dry-run', 'only show what would be done');
}

export interface ChoiceOptions extends SelectorOptions {
  readonly all?: boolean;
  readonly dryRun?: boolean;
}

export const selectorsOf = (options: SelectorOptions): LetterSelectors =>
  Object.fromEntries(
    LETTER_SELECTORS.flatMap((name) => (options[name] === undefined ? [] : [[name, options[name]] as const])),
  );

export const choiceOf = (sequences: readonly number[], options: ChoiceOptions): Choice => ({
  selectors: selectorsOf(options),
  sequences,
  all: options.all === true,
  limit: options.limit,
});

/** Lets `work` work on dead letters. @throws what `withSession` and `work` throw */
export async function withLetters<T>(
  file: string | undefined,
  work: (access: LetterAccess, session: Session) => Promise<T>,
): Promise<T> {
  return withSession(file, async (session) => {
    const { connection, client, manager, loaded } = session;
    const publisher = new JetStreamPublisher(connection, new Wire(connection));
    const bodies = createBodies(client, loaded.config.nats.system.replicas);
    try {
      return await work({ config: loaded.config, client, manager, publisher, bodies }, session);
    } finally {
      publisher.close();
    }
  });
}

/** Aborted by Ctrl-C or SIGTERM, so that what was begun is ended and said; a second one ends the process at once. */
export function untilInterrupted(): AbortSignal {
  const controller = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => controller.abort());
  return controller.signal;
}

const ENOUGH = 100;

/** Shows on a terminal how far something is. */
export function progressLine(what: string): { show(done: number, all: number): void; clear(): void } {
  const { stderr } = process;
  let last = 0;
  let shown = false;
  return {
    show(done, all) {
      if (!stderr.isTTY || (performance.now() - last < ENOUGH && done < all)) return;
      last = performance.now();
      shown = true;
      stderr.write(`\r${done} of ${all} ${what}`);
    },
    clear() {
      if (shown) stderr.write('\r\u001b[K');
    },
  };
}

/** `2026-01-31 08:00:00`, in UTC. */
export const instant = (text: string): string => text.slice(0, 19).replace('T', ' ');

/** Columns in front of the error of a group, and lines of it, at most. */
const INDENT = 7;
const ERROR_LINES = 3;

/** Letters by consumer and reason. */
export function printGroups(groups: readonly Group[]): void {
  const style = styleOf(process.stdout);
  const rows = groups.map(({ count, consumer, reason, oldest, newest }) => [
    count,
    consumer,
    reason,
    instant(oldest),
    instant(newest),
  ]);
  const [head = '', ...lines] = table(['COUNT', 'CONSUMER', 'REASON', 'OLDEST', 'NEWEST'], rows).split('\n');
  print(head);
  lines.forEach((line, index) => {
    print(line);
    for (const part of wrap(groups[index]?.error ?? '', style.width - INDENT).slice(0, ERROR_LINES))
      print(' '.repeat(INDENT) + part);
  });
}
