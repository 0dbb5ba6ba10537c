import { Command } from 'commander';
import { EXIT, OuzelError } from '../errors.ts';
import { bytesOf } from '../explain/input.ts';
import { type ApiOptions, apiOptions, openApi } from './api.ts';
import { print, printJson, table } from './print.ts';
import { CONFIG_OPTION } from './session.ts';

interface Options extends ApiOptions {
  readonly type?: string;
  readonly subject?: string;
  readonly json?: boolean;
}

interface Answer {
  readonly confirmed: boolean;
  readonly duration_ms: number;
  readonly error: { readonly code: string; readonly message: string } | null;
}

const HELP = `
A real delivery by the daemon, whatever the breaker says, tried once. No consumer
takes part, and it is counted nowhere. The event is JSON: a CloudEvent, or the
data of one. The exit code is 1 when the target does not confirm it.

Examples:
  ouzel targets test partner
  ouzel targets test partner order.json --type orders.created`;

const ENABLE_HELP = `
A webhook that answers 410 Gone disables its target, on all instances and over
restarts: nothing is sent there, and its events wait. This sends them again.

Example:
  ouzel targets enable partner`;

const DELIVERIES_HELP = `
Of the instance that is asked, since its start: 100 at most, in memory. The
newest stands last. With --json: all that is known of them, the newest first.

Example:
  ouzel targets deliveries partner --limit 5`;

export function targetsCommand(): Command {
  const command = new Command('targets').description('try targets, and look at what became of deliveries');
  command.addCommand(
    apiOptions(
      new Command('test')
        .description('deliver one event to a target, and see what it says')
        .argument('<name>', 'name of the target')
        .argument('[event]', 'a file, or - (standard input); default: a sample')
        .option(...CONFIG_OPTION),
    )
      .option('--type <type>', 'type of the event (default: ouzel.test)')
      .option('--subject <subject>', 'the subject that it is said to have (default: its type)')
      .option('--json', 'as JSON')
      .addHelpText('after', HELP)
      .action(test),
  );
  command.addCommand(
    apiOptions(
      new Command('enable')
        .description('let a target be delivered to again that said it is gone (410)')
        .argument('<name>', 'name of the target')
        .option(...CONFIG_OPTION),
    )
      .option('--json', 'as JSON')
      .addHelpText('after', ENABLE_HELP)
      .action(enable),
  );
  command.addCommand(
    apiOptions(
      new Command('deliveries')
        .description('show the latest deliveries to a webhook')
        .argument('<name>', 'name of the target')
        .option(...CONFIG_OPTION),
    )
      .option('--limit <n>', 'how many, the newest of them', '20')
      .option('--json', 'as JSON')
      .addHelpText('after', DELIVERIES_HELP)
      .action(deliveries),
  );
  return command;
}

interface DeliveryShown {
  readonly at: string;
  readonly result: string;
  readonly status: number | null;
  readonly duration_ms: number;
  readonly answer: string | null;
  readonly error: { readonly message: string } | null;
  readonly attempt: number;
  readonly consumer: string;
  readonly stream: string;
  readonly seq: number;
}

async function deliveries(name: string, options: Options & { readonly limit: string }): Promise<void> {
  const api = await openApi(options);
  const path = `/api/v1/targets/${encodeURIComponent(name)}/deliveries?limit=${encodeURIComponent(options.limit)}`;
  const found = await api.call<TargetState & { readonly deliveries: readonly DeliveryShown[] }>('GET', path);
  if (options.json === true) return printJson(found);
  if (found.disabled !== null) print(`disabled since ${found.disabled.since}: ${found.disabled.error}\n`);
  if (found.deliveries.length === 0) return print(`nothing was delivered to ${name} by this instance yet`);
  // The newest last, where the eye is.
  const rows = found.deliveries.toReversed().map((each) => [
    each.at,
    `${each.consumer} ${each.stream}:${each.seq}`,
    each.attempt,
    each.result,
    each.status ?? '-',
    each.duration_ms,
    // Without an answer, the error says what there was.
    (each.answer ?? (each.status === null ? each.error?.message : '') ?? '').slice(0, 80),
  ]);
  print(table(['AT', 'EVENT', 'ATTEMPT', 'RESULT', 'STATUS', 'MS', 'ANSWER'], rows));
}

interface TargetState {
  readonly name: string;
  readonly disabled: { readonly since: string; readonly error: string } | null;
}

async function enable(name: string, options: Options): Promise<void> {
  const api = await openApi(options);
  const state = await api.call<TargetState>('POST', `/api/v1/targets/${encodeURIComponent(name)}/enable`);
  if (options.json === true) return printJson(state);
  print(`${state.name} is delivered to`);
}

async function test(name: string, argument: string | undefined, options: Options): Promise<void> {
  const { type, subject } = options;
  const given = argument === undefined ? {} : eventOf(await bytesOf(argument));
  const event = { ...given, ...(type === undefined ? {} : { type }), ...(subject === undefined ? {} : { subject }) };
  const api = await openApi(options);
  const answer = await api.call<Answer>('POST', `/api/v1/targets/${encodeURIComponent(name)}/test`, { event });
  if (!answer.confirmed) process.exitCode = EXIT.failed;
  if (options.json === true) return printJson(answer);
  const { error, duration_ms: duration } = answer;
  if (error === null) return print(`${name} confirmed it after ${duration} ms`);
  const message = error.message.startsWith(error.code) ? error.message : `${error.code}: ${error.message}`;
  print(`${name} did not confirm it, after ${duration} ms\n${message}`);
}

/** Attributes of a CloudEvent that are no extensions. */
const ATTRIBUTES = new Set(['specversion', 'id', 'type', 'source', 'time', 'subject', 'datacontenttype', 'dataschema']);

/** An event as the API takes it. @throws OuzelError EVENT_UNDECODABLE */
function eventOf(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    throw new OuzelError('EVENT_UNDECODABLE', `the event is no JSON: ${(error as Error).message}`, { cause: error });
  }
  if (typeof value !== 'object' || value === null || !('specversion' in value)) return { data: value };
  const { id, type, source, data, ...others } = value as Record<string, unknown>;
  const extensions = Object.entries(others).filter(([key]) => !ATTRIBUTES.has(key));
  return { id, type, source, data, extensions: Object.fromEntries(extensions) };
}
