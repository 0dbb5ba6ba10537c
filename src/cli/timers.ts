/** What waits for an instant, over the API of a daemon. */
import { Command } from 'commander';
import { type ApiOptions, apiOptions, openApi } from './api.ts';
import { wholeNumber } from './arguments.ts';
import { print, printJson, table } from './print.ts';
import { CONFIG_OPTION } from './session.ts';

interface Options extends ApiOptions {
  readonly json?: boolean;
}

interface TimerShown {
  readonly id: string;
  readonly why: string;
  readonly until: string;
  readonly key: string | null;
  readonly stream: string;
  readonly seq: number;
  readonly subject: string;
  readonly attempts: number;
}

interface Page {
  readonly waiting: number | null;
  readonly timers: readonly TimerShown[];
  readonly next: string | null;
}

const LIST_HELP = `
Retries beyond ack_wait, and what delay and debounce hold back, in the order in
which they were stored.

Examples:
  ouzel timers list billing
  ouzel timers list billing --limit 1000 --json`;

const FIRE_HELP = `
The event goes on behind the stage that held it back, as if its time had come. One
that goes on by itself within 10 s is left alone.

Example:
  ouzel timers fire billing timer-17`;

const CANCEL_HELP = `
The event ends: outcome dropped, reason cancelled. It stays in its stream, and can
be replayed. One that goes on by itself within 10 s is left alone.

Example:
  ouzel timers cancel billing held-3`;

export function timersCommand(): Command {
  const command = new Command('timers').description('events that wait: look at them, let them go on now, or end them');
  command.addCommand(
    withApi(new Command('list').description('the events of a consumer that wait').argument('<consumer>', 'its name'))
      .option('--limit <n>', 'how many at most', wholeNumber, 100)
      .option('--after <id>', 'begin behind this one')
      .addHelpText('after', LIST_HELP)
      .action(list),
  );
  for (const [verb, description, help] of [
    ['fire', 'let an event that waits go on now', FIRE_HELP],
    ['cancel', 'end an event that waits', CANCEL_HELP],
  ] as const)
    command.addCommand(
      withApi(
        new Command(verb)
          .description(description)
          .argument('<consumer>', 'its name')
          .argument('<ids...>', 'as `ouzel timers list` has them'),
      )
        .addHelpText('after', help)
        .action((consumer: string, ids: string[], options: Options) => decide(verb, consumer, ids, options)),
    );
  return command;
}

const withApi = (command: Command): Command => apiOptions(command.option(...CONFIG_OPTION)).option('--json', 'as JSON');

const pathOf = (consumer: string): string => `/api/v1/consumers/${encodeURIComponent(consumer)}/timers`;

async function list(
  consumer: string,
  { limit, after, ...options }: Options & { readonly limit: number; readonly after?: string },
): Promise<void> {
  const api = await openApi(options);
  const query = new URLSearchParams({ limit: String(limit), ...(after === undefined ? {} : { after }) });
  const page = await api.call<Page>('GET', `${pathOf(consumer)}?${query.toString()}`);
  if (options.json === true) return printJson(page);
  if (page.timers.length === 0) return print(`Nothing waits for ${consumer}.`);
  const rows = page.timers.map((each) => [
    each.id,
    each.why,
    each.until.slice(0, 19).replace('T', ' '),
    `${each.stream}:${each.seq}`,
    each.subject,
    each.key ?? '',
    each.attempts,
  ]);
  print(table(['ID', 'WHY', 'UNTIL (UTC)', 'EVENT', 'SUBJECT', 'KEY', 'ATTEMPTS'], rows));
  if (page.next !== null) print(`\nThere may be more: --after ${page.next}`);
}

async function decide(
  verb: 'fire' | 'cancel',
  consumer: string,
  ids: readonly string[],
  options: Options,
): Promise<void> {
  const api = await openApi(options);
  const done: TimerShown[] = [];
  for (const id of ids) {
    const timer = await api.call<TimerShown>('POST', `${pathOf(consumer)}/${encodeURIComponent(id)}/${verb}`);
    done.push(timer);
    if (options.json !== true)
      print(`${id}: ${timer.stream}:${timer.seq} ${verb === 'fire' ? 'goes on now' : 'is cancelled'}`);
  }
  if (options.json === true) printJson(done);
}
