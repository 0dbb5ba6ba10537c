import { EXIT, OuzelError } from '../../errors.ts';
import type { ReplayAccess, ReplayAsked } from '../../replay/asked.ts';
import { beginReplay, type Claim, newName, resumeReplay } from '../../replay/begin.ts';
import type { ReplayRecord } from '../../replay/record.ts';
import { type Rehearsal, rehearse } from '../../replay/rehearse.ts';
import { runReplay } from '../../replay/run.ts';
import { untilInterrupted } from '../dlq/options.ts';
import { print, printJson, table } from '../print.ts';
import { thisUser } from '../user.ts';
import { withReplays } from './access.ts';
import { progressOf } from './progress.ts';

export interface StartOptions extends Omit<ReplayAsked, 'stream' | 'to'> {
  readonly to?: readonly string[];
  readonly run?: string;
  readonly resume?: string;
  readonly dryRun?: boolean;
  readonly config?: string;
  readonly json?: boolean;
}

/** What is decided by the first run, and may not be said again. */
const DECIDED = ['from', 'to', 'since', 'until', 'key', 'type', 'where', 'limit', 'run', 'dryRun'] as const;

/** @throws OuzelError USAGE */
function askedOf(stream: string | undefined, options: StartOptions): ReplayAsked {
  if (stream === undefined)
    throw new OuzelError('USAGE', 'which stream? ouzel replay STREAM --to CONSUMER, or --resume NAME (--help)');
  const { to = [], from, since, until, key, type, where, limit, rate } = options;
  const names = [...new Set(to.flatMap((each) => each.split(',')).filter((each) => each !== ''))];
  if (names.length === 0)
    throw new OuzelError('USAGE', 'to whom? Name the consumers that get the events: --to billing --to search');
  const given = { from, since, until, key, type, where, limit, rate };
  return { stream, to: names, ...Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined)) };
}

export async function start(stream: string | undefined, options: StartOptions): Promise<void> {
  const { resume, rate } = options;
  if (resume !== undefined) {
    const also = DECIDED.find((name) => options[name] !== undefined) ?? (stream === undefined ? undefined : 'stream');
    if (also !== undefined)
      throw new OuzelError('USAGE', '--resume goes on with what was asked for: beside it only --rate can be given');
  }
  const asked = resume === undefined ? askedOf(stream, options) : undefined;
  await withReplays(options.config, async (access, record) => {
    if (asked !== undefined && options.dryRun === true) return dryRun(access, asked, options);
    const name = resume ?? options.run ?? newName();
    const claim =
      asked === undefined
        ? await resumeReplay(access, name, thisUser(), rate)
        : await beginReplay(access, name, asked, thisUser());
    await record(claim.continued ? 'replay.resume' : 'replay.start', name, { asked: claim.record.asked });
    await carryOut(access, claim, options);
  });
}

async function carryOut(access: ReplayAccess, claim: Claim, { json, config }: StartOptions): Promise<void> {
  const { name } = claim.record;
  const say = (text: string): void => void (json === true || process.stderr.write(`${text}\n`));
  const more = config === undefined ? '' : ` -c ${config}`;
  const hint = `ouzel replay --resume ${name}${more}`;
  say(`${claim.continued ? 'Going on with replay' : 'Replay'} ${name}`);
  for (const warning of claim.plan.warnings) say(`Warning: ${warning}`);
  const progress = progressOf();
  let record: ReplayRecord;
  try {
    record = await runReplay(access, claim, {
      signal: untilInterrupted(),
      progress: (now, waits) => progress.show(now, waits),
    });
  } catch (error) {
    progress.clear();
    if (error instanceof OuzelError && error.code !== 'CONFLICT') say(`It broke off. To go on: ${hint}`);
    throw error;
  }
  progress.clear();
  if (json === true) printJson(record);
  else printRecord(record, hint);
  if (record.state !== 'done' || record.failed > 0) process.exitCode = EXIT.failed;
}

function printRecord(record: ReplayRecord, hint: string): void {
  const { name, state, reason, read, selected, handed, failed, failures } = record;
  if (selected === 0 && state === 'done') return print(`No event matches, of ${read}.`);
  print(table(['CONSUMER', 'HANDED OVER'], Object.entries(handed)));
  print('');
  print(`${selected} of ${read} events${state === 'done' ? '' : ' so far'}, as run replay-${name}`);
  if (failed > 0) print(`${failed} not handed over:`);
  for (const { event, message } of failures) print(`  ${event}: ${message}`);
  if (state !== 'done') print(`${reason === 'interrupted' ? 'Interrupted' : reason}. To go on: ${hint}`);
}

async function dryRun(access: ReplayAccess, asked: ReplayAsked, { json }: StartOptions): Promise<void> {
  const found = await rehearse(access, asked, untilInterrupted());
  if (json === true) printJson(found);
  else printRehearsal(found, asked);
  if (found.interrupted) process.exitCode = EXIT.failed;
}

function printRehearsal(found: Rehearsal, { limit }: ReplayAsked): void {
  for (const warning of found.warnings) print(`Warning: ${warning}`);
  if (found.selected === 0) print(`No event matches, of ${found.read}.`);
  else {
    print(table(['CONSUMER', 'EVENTS'], Object.entries(found.by_consumer)));
    print('');
    print(table(['TYPE', 'EVENTS'], Object.entries(found.by_type)));
    print('');
    print(`${found.selected} of ${found.read} events would be handed over, from ${found.first} to ${found.last}`);
    if (found.more) print(`more are selected than --limit ${limit}`);
  }
  print(found.interrupted ? 'Interrupted.' : 'A dry run: nothing was done.');
}
