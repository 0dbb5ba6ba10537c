import type { ConsumerInfo } from '@nats-io/jetstream';
import { Command } from 'commander';
import { EXIT } from '../../errors.ts';
import { deleteDurable, isOurs, laneOf } from '../../nats/provision.ts';
import { countMatching, TIMER_STREAM, timersOf } from '../../nats/timers.ts';
import { removeWaiting } from '../../nats/waiting.ts';
import { agreed, needsSomebody } from '../confirm.ts';
import { print, printJson, table } from '../print.ts';
import { CONFIG_OPTION, type FleetSession, withFleet } from '../session.ts';

interface Options {
  readonly config?: string;
  readonly dryRun?: boolean;
  readonly yes?: boolean;
  readonly json?: boolean;
}

const HELP = `
A consumer that leaves the configuration leaves its durable behind, so that it
can come back and go on where it was. This deletes the durables that Ouzel made
and that neither this configuration nor the fleet has a consumer for. Those that
somebody pulls from are left: an instance with another configuration has them.
What a durable had not handed out stays in its stream; what waits in timers (retries,
delay, debounce) goes with it.

Examples:
  ouzel consumers prune --dry-run
  ouzel consumers prune --yes --json`;

/** `ouzel consumers prune`: deletes durables that no configuration has any more. */
export const pruneCommand = (): Command =>
  new Command('prune')
    .description('delete durables that Ouzel made and no configuration has any more')
    .option(...CONFIG_OPTION)
    .option('--dry-run', 'only show which')
    .option('--yes', 'do not ask')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action((options: Options) => {
      const { dryRun = false, yes = false } = options;
      if (!dryRun && !yes) needsSomebody('this deletes durables');
      return withFleet(options.config, (session) => prune(session, options));
    });

interface Orphan {
  readonly name: string;
  readonly stream: string;
  readonly pending: number;
  readonly ack_pending: number;
  /** Events in timers. */
  readonly waiting: number;
  readonly created: string;
  readonly action: 'delete' | 'leave';
}

async function prune(session: FleetSession, { dryRun = false, yes = false, json = false }: Options): Promise<void> {
  const orphans = await orphansOf(session);
  const doomed = orphans.filter(({ action }) => action === 'delete');
  if (!json) printOrphans(orphans);
  if (doomed.length > 0 && !dryRun && !yes && !(await agreed(`Delete ${counted(doomed.length)}?`))) {
    print('Nothing was done.');
    process.exitCode = EXIT.failed;
    return;
  }
  if (!dryRun) for (const { stream, name } of doomed) await deleteDurable(session.manager, stream, name);
  const left = new Set(orphans.filter(({ action }) => action === 'leave').map(({ name }) => name));
  const gone = new Set(doomed.map(({ name }) => name).filter((name) => !left.has(name)));
  if (!dryRun) for (const name of gone) await removeWaiting(session.manager, name);
  if (json) return printJson({ dry_run: dryRun, durables: orphans });
  if (dryRun) print(`${counted(doomed.length)} to delete. A dry run: nothing was done.`);
  else print(`${counted(doomed.length)} deleted.`);
}

const counted = (count: number): string => `${count} durable${count === 1 ? '' : 's'}`;

/** Durables of Ouzel on any stream that nothing configured has, whether or not it is in force here. */
async function orphansOf({ loaded, manager, aside }: FleetSession): Promise<Orphan[]> {
  const isConfigured = (name: string): boolean =>
    Object.hasOwn(loaded.config.consumers, name) || aside.has(`fleet:consumers/${name}`);
  const orphans: Orphan[] = [];
  for await (const { config } of manager.streams.list())
    for await (const info of manager.consumers.list(config.name))
      // A lane that left the configuration is its consumer's to empty and delete.
      if (isOurs(info) && !isConfigured(laneOf(info)?.consumer ?? info.name))
        orphans.push(orphanOf(info, await waitingOf(manager, info)));
  return orphans.toSorted((a, b) => a.name.localeCompare(b.name) || a.stream.localeCompare(b.stream));
}

const waitingOf = async (manager: FleetSession['manager'], info: ConsumerInfo): Promise<number> =>
  info.stream_name === TIMER_STREAM ? ((await countMatching(manager, TIMER_STREAM, timersOf(info.name))) ?? 0) : 0;

const orphanOf = (info: ConsumerInfo, waiting: number): Orphan => ({
  name: info.name,
  stream: info.stream_name,
  pending: info.num_pending,
  ack_pending: info.num_ack_pending,
  waiting,
  created: String(info.created),
  action: info.num_waiting > 0 ? 'leave' : 'delete',
});

function printOrphans(orphans: readonly Orphan[]): void {
  if (orphans.length === 0) return;
  print(
    table(
      ['DURABLE', 'STREAM', 'PENDING', 'ACK PENDING', 'WAITING', 'MADE', ''],
      orphans.map((each) => [
        each.name,
        each.stream,
        each.pending,
        each.ack_pending,
        each.waiting,
        each.created.slice(0, 19).replace('T', ' '),
        each.action === 'leave' ? 'left: somebody pulls from it' : '',
      ]),
    ),
  );
  print('');
}
