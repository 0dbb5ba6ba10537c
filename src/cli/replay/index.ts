import { Command } from 'commander';
import { stopReplay } from '../../replay/begin.ts';
import { type ReplayRecord, ReplayStore } from '../../replay/record.ts';
import { wholeNumber } from '../arguments.ts';
import { instant } from '../dlq/options.ts';
import { print, printJson, table } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';
import { thisUser } from '../user.ts';
import { withReplays } from './access.ts';
import { start, type StartOptions } from './start.ts';

const HELP = `
Reads the stream from --since to --until and hands each event that is selected
to the named consumers, and to nobody else, as a run of its own: what they send
has other message ids than the first time, \`msg.replay\` is true, and what is
published or posted bears the header Ouzel-Replay. A consumer gets only what it
takes anyway (its subjects and types), at most 10,000 events ahead of it.

Ctrl-C ends it cleanly. It is gone on with where it was left, also after a crash:
--resume NAME, or the same command again with the same --run.

Examples:
  ouzel replay EVENTS --to billing --since 2026-01-01T00:00:00Z --until 2026-02-01T00:00:00Z --dry-run
  ouzel replay EVENTS --to billing --since 30d --rate 500/s --run january
  ouzel replay EVENTS --to billing,search --type 'orders.*' --where 'event.data.total > 1000'
  ouzel replay EVENTS --from archive --to billing --since 90d
  ouzel replay --resume january`;

const several = (text: string, before: readonly string[] = []): readonly string[] => [...before, text];

export function replayCommand(): Command {
  return new Command('replay')
    .description('hand the events of a stream to chosen consumers once more')
    .enablePositionalOptions()
    .argument('[stream]', 'the stream to read')
    .option(...CONFIG_OPTION)
    .option('--to <consumer>', 'who gets them; may be given more than once', several)
    .option('--from <target>', 'the archive to read in its place: a target with sql: { archive: true }')
    .option('--since <when>', 'from then on, by the time of the stream: 2026-01-31T08:00:00Z, or 2h (ago)')
    .option('--until <when>', 'up to then (default: all that are there when it begins)')
    .option('--key <key>', 'only events with this key')
    .option('--type <pattern>', 'only of this type; `*` stands for one part, `>` for the rest')
    .option('--where <expression>', 'only where this is true of the event as it came')
    .option('--limit <n>', 'how many at most, the oldest first', wholeNumber)
    .option('--rate <rate>', 'how many at most in a time: 500/s, 3000/m')
    .option('--run <name>', 'the name of the replay (default: one of the date)')
    .option('--resume <name>', 'go on with one that was stopped or broke off')
    .option('--dry-run', 'only show what would be done')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action((stream: string | undefined, options: StartOptions) => start(stream, options))
    .addCommand(listCommand())
    .addCommand(stopCommand());
}

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

const listCommand = (): Command =>
  new Command('list')
    .description('the replays of the last 30 days, wherever they run')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel replay list')
    .action(list);

async function list({ config, json }: Options): Promise<void> {
  await withReplays(config, async (access) => {
    const all = await new ReplayStore(access).list();
    if (json === true) return printJson({ replays: all });
    if (all.length === 0) return print('No replays.');
    print(table(['NAME', 'STATE', 'STREAM', 'TO', 'READ', 'OF', 'SELECTED', 'STARTED', 'UPDATED'], all.map(rowOf)));
  });
}

const rowOf = ({ name, state, asked, read, extent, selected, started, updated }: ReplayRecord) => [
  name,
  state,
  asked.stream,
  asked.to.join(','),
  read,
  extent.total,
  selected,
  instant(started),
  instant(updated),
];

const stopCommand = (): Command =>
  new Command('stop')
    .description('stop a replay, wherever it runs')
    .argument('<name>', 'its name, as list shows it')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nWhat was handed over is handled all the same.\n\nExample:\n  ouzel replay stop january')
    .action(stop);

async function stop(name: string, { config, json }: Options): Promise<void> {
  await withReplays(config, async (access, record) => {
    const stopped = await stopReplay(access, name, thisUser());
    await record('replay.stop', name);
    if (json === true) return printJson(stopped);
    print(`Replay ${name} is stopped. To go on: ouzel replay --resume ${name}`);
  });
}
