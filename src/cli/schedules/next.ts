import { Command } from 'commander';
import { loadConfig } from '../../config/load.ts';
import { suggestion } from '../../config/suggest.ts';
import { OuzelError } from '../../errors.ts';
import { jitterOf } from '../../sources/schedules/plan.ts';
import { timingOf } from '../../sources/schedules/timing.ts';
import { zonedTime } from '../../sources/schedules/zone.ts';
import { wholeNumber } from '../arguments.ts';
import { print, printJson, table } from '../print.ts';
import { CONFIG_OPTION } from '../session.ts';

interface Options {
  readonly config?: string;
  readonly count: number;
  readonly from?: string;
  readonly json?: boolean;
}

/** Instants that are shown, at most. */
const MOST = 10_000;

const HELP = `
Offline, from the configuration: no daemon and no server is asked. What lives in
the fleet alone is not there. TICKS AT is the instant with its jitter.

Examples:
  ouzel schedules next nightly --count 10
  ouzel schedules next nightly --from 2026-10-24T00:00:00Z`;

export const nextCommand = (): Command =>
  new Command('next')
    .description('show when a schedule ticks next')
    .argument('<name>', 'name of the source')
    .option(...CONFIG_OPTION)
    .option('--count <n>', 'how many', wholeNumber, 5)
    .option('--from <instant>', 'from then on: 2026-01-31T08:00:00Z (default: now)')
    .option('--json', 'as JSON')
    .addHelpText('after', HELP)
    .action(next);

async function next(name: string, { config: file, count, from, json }: Options): Promise<void> {
  const begin = from === undefined ? Date.now() : Date.parse(from);
  if (Number.isNaN(begin))
    throw new OuzelError('USAGE', `--from: "${String(from)}" is no instant: 2026-01-31T08:00:00Z`);
  if (count > MOST) throw new OuzelError('USAGE', `--count: ${MOST} at most`);
  const { config } = await loadConfig({ file, env: process.env, cwd: process.cwd(), withoutPlugins: true });
  const options = config.sources[name]?.schedule;
  if (options === undefined) throw new OuzelError('NOT_FOUND', unknown(name, config.sources));
  const timing = timingOf(options);
  const ticks: { readonly instant: string; readonly local: string; readonly at: string }[] = [];
  for (let each = timing.next(begin); each !== undefined && ticks.length < count; each = timing.next(each))
    ticks.push({
      instant: new Date(each).toISOString(),
      local: zonedTime(each, options.timezone),
      at: new Date(each + jitterOf(name, each, options.jitter)).toISOString(),
    });
  if (json === true) return printJson({ name, timezone: options.timezone, ticks });
  if (ticks.length === 0) return print(`${name} does not tick any more`);
  const jittered = options.jitter > 0;
  print(
    table(
      ['INSTANT', options.timezone, ...(jittered ? ['TICKS AT'] : [])],
      ticks.map(({ instant, local, at }) => [instant, local, ...(jittered ? [at] : [])]),
    ),
  );
}

function unknown(name: string, sources: Readonly<Record<string, { readonly schedule?: unknown }>>): string {
  if (Object.hasOwn(sources, name)) return `the source "${name}" is no schedule`;
  const names = Object.keys(sources).filter((each) => sources[each]?.schedule !== undefined);
  return `the configuration has no schedule "${name}"; ${suggestion(name, names, 'it has none at all') ?? ''}`;
}
