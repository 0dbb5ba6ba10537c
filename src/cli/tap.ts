import { Command } from 'commander';
import { TAP_SELECTORS, type TapSelectors } from '../telemetry/tap-query.ts';
import type { TapRecord } from '../telemetry/tap-record.ts';
import type { LeftOut } from '../telemetry/tap.ts';
import { type ApiOptions, apiOptions, openApi, unavailable } from './api.ts';
import { wholeNumber } from './arguments.ts';
import { print } from './print.ts';
import { CONFIG_OPTION } from './session.ts';
import { fit, paint, type Paint, type Style, styleOf } from './terminal.ts';

interface Options extends TapSelectors, ApiOptions {
  readonly limit?: number;
  readonly json?: boolean;
}

const HELP = `
Shows what a running daemon does, event by event, with the beginning of the data
as it ended up behind the transformers. At a high rate only some are shown, and
the number of the others is said.

Examples:
  ouzel tap
  ouzel tap --consumer billing --outcome dead_lettered
  ouzel tap --where 'event.data.total > 1000 && filters.big' --limit 10
  ouzel tap --json | jq 'select(.outcome == "retried") | .error'`;

export function tapCommand(): Command {
  const command = new Command('tap')
    .description('single events as a running daemon settles them')
    .option(...CONFIG_OPTION);
  return apiOptions(command)
    .option('--consumer <name>', 'only of this consumer')
    .option('--type <pattern>', 'only of this type; `*` stands for one part, `>` for the rest')
    .option('--key <key>', 'only of events with this key')
    .option('--outcome <outcome>', 'only delivered, filtered, dropped, dead_lettered or retried')
    .option('--reason <code>', 'only with this reason')
    .option('--where <expression>', 'only where this is true of the event as it ended up')
    .option('--limit <n>', 'end after so many', wholeNumber)
    .option('--json', 'as JSON, one event a line')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(options: Options): Promise<void> {
  const api = await openApi(options);
  const { base } = api;
  const query = new URLSearchParams();
  for (const name of TAP_SELECTORS) if (options[name] !== undefined) query.set(name, options[name]);
  const response = await api.request(`/api/v1/tap?${query.toString()}`, { headers: { accept: 'text/event-stream' } });
  const style = styleOf(process.stdout);
  let left = options.limit ?? Infinity;
  for await (const { name, data } of messagesOf(response, base)) {
    if (name === 'end') throw unavailable(base, (JSON.parse(data) as { reason: string }).reason);
    if (name === 'event') {
      print(options.json === true ? data : lineOf(JSON.parse(data) as TapRecord, style));
      // Leaving the loop closes the connection.
      if (--left <= 0) return;
    }
    if (name === 'left_out') print(options.json === true ? data : leftOutLine(JSON.parse(data) as LeftOut, style));
  }
  throw unavailable(base, 'it closed the connection');
}

interface Message {
  readonly name: string;
  readonly data: string;
}

/** The messages of a stream of server-sent events. @throws OuzelError DAEMON_UNAVAILABLE when it breaks off */
async function* messagesOf({ body }: Response, url: string): AsyncGenerator<Message> {
  let rest = '';
  const reader = body?.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const next = await reader?.read().catch((error: unknown) => {
        throw unavailable(url, 'the connection broke off', error);
      });
      if (next === undefined || next.done) return;
      const blocks = (rest + next.value).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const field = (name: string): string => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1] ?? '';
        if (field('event') !== '') yield { name: field('event'), data: field('data') };
      }
    }
  } finally {
    await reader?.cancel().catch(() => undefined);
  }
}

const COLORS: Readonly<Record<TapRecord['outcome'], Paint>> = {
  delivered: 'green',
  filtered: 'dim',
  dropped: 'yellow',
  retried: 'yellow',
  kept: 'yellow',
  dead_lettered: 'red',
};

/** One line of what happened, and one of the data or of what went wrong. */
function lineOf(record: TapRecord, style: Style): string {
  const { at, consumer, outcome, reason, type, stream, seq, key, duration_ms: duration, deliveries } = record;
  const time = at.slice(11, 23);
  const routes = deliveries.map(({ route, result }) => (result === 'confirmed' ? route : `${route} (${result})`));
  const facts = [
    type ?? record.subject,
    `${stream}:${seq}`,
    ...(key === undefined ? [] : [`key ${key}`]),
    ...(record.run === undefined ? [] : [record.run]),
    ...(record.attempt > 1 ? [`attempt ${record.attempt}`] : []),
    `${duration} ms`,
    ...(routes.length === 0 ? [] : [`→ ${routes.join(', ')}`]),
  ].join('  ');
  const ended = reason === '' ? outcome : `${outcome} ${reason}`;
  const room = style.width - time.length - 2;
  // Painted behind the fitting: colours take no columns.
  const line = fit(`${consumer}  ${ended}  ${facts}`, room);
  const painted = line.replace(ended, () => paint(style, COLORS[outcome], ended));
  const lines = [`${paint(style, 'dim', time)}  ${painted}`];
  const { error, delay_ms: delay } = record;
  const indent = ' '.repeat(time.length + 2);
  if (error !== undefined) {
    const again = delay === undefined ? '' : `, again in ${delay} ms`;
    lines.push(indent + paint(style, 'red', fit(`${error.code}: ${error.message}${again}`, room)));
  }
  const data = record.excerpt ?? JSON.stringify(record.data ?? null);
  lines.push(indent + paint(style, 'dim', fit(data, room)));
  return lines.join('\n');
}

function leftOutLine({ left_out: left, not_looked_at: unseen }: LeftOut, style: Style): string {
  const parts = [...(left > 0 ? [`${left} left out`] : []), ...(unseen > 0 ? [`${unseen} not looked at`] : [])];
  return paint(style, 'dim', `… ${parts.join(', ')}`);
}
