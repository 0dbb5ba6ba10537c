import { Command, InvalidArgumentError } from 'commander';
import { loadConfig, type LoadedConfig } from '../config/load.ts';
import type { Event } from '../core/event.ts';
import { stringifyJson } from '../core/json.ts';
import { EXIT, OuzelError } from '../errors.ts';
import { explain, unknownConsumer } from '../explain/explain.ts';
import { type Explanation, wouldFail } from '../explain/explanation.ts';
import { addressOf, bytesOf, letterEvent, plainEvent, storedEvent } from '../explain/input.ts';
import { renderExplanation } from '../explain/render.ts';
import { DEAD_LETTER_STREAM } from '../deadletter/store.ts';
import { CONFIG_OPTION, withFleet } from './session.ts';
import { styleOf } from './terminal.ts';

type Header = readonly [name: string, value: string];

interface Options {
  readonly config?: string;
  readonly consumer?: string;
  readonly subject?: string;
  readonly type?: string;
  readonly header: readonly Header[];
  readonly json?: boolean;
}

function header(text: string, before: readonly Header[]): readonly Header[] {
  const [, name, value] = /^([!-9;-<>-~]+)[=:]\s*(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError('a header is written name=value');
  return [...before, [name, value]];
}

const HELP = `
A file (or standard input, -) is a message's body: JSON, or a CloudEvent.
stream:seq is an event that a stream holds, dlq:N a dead letter; only these need
a server, and only for these the fleet's consumers are known beside the file's.

Nothing is delivered and nothing is acked. The exit code is 1 when the event
would fail (be tried again, or go into the dead letters), else 0.

Examples:
  ouzel explain order.json --consumer billing
  echo '{"total": 1500}' | ouzel explain - --consumer billing --type orders.created
  ouzel explain EVENTS:1042 --consumer billing
  ouzel explain dlq:17 --json`;

export function explainCommand(): Command {
  return new Command('explain')
    .description('what a consumer would do with one event, stage by stage; nothing is delivered')
    .argument('<event>', 'a file, - (standard input), stream:seq, or dlq:N')
    .option(...CONFIG_OPTION)
    .option('--consumer <name>', 'the consumer; not needed where there is only one, or for a dead letter')
    .option('--subject <subject>', 'the subject of an event from a file')
    .option('--type <type>', 'its type, instead of the subject')
    .option('--header <name=value>', 'a header of it; may be given more than once', header, [])
    .option('--json', 'as JSON, complete')
    .addHelpText('after', HELP)
    .action(run);
}

async function run(argument: string, options: Options): Promise<void> {
  const address = await addressOf(argument);
  const { loaded, explanation } =
    address === undefined
      ? await fromFile(argument, options)
      : await withFleet(options.config, async ({ loaded, manager, client }) => {
          if (address.stream === DEAD_LETTER_STREAM) {
            const { event, consumer } = await letterEvent(loaded.config, manager, client, address.sequence);
            return explained(loaded, options.consumer ?? consumer, event);
          }
          const name = consumerOf(loaded, options);
          return explained(loaded, name, await storedEvent(loaded.config, manager, address));
        });
  print(loaded, explanation, options.json === true);
  if (wouldFail(explanation)) process.exitCode = EXIT.failed;
}

async function fromFile(argument: string, options: Options): Promise<Explained> {
  const loaded = await loadConfig({ file: options.config, env: process.env, cwd: process.cwd() });
  const name = consumerOf(loaded, options);
  const event = plainEvent(loaded.config, name, await bytesOf(argument), { ...options, headers: options.header });
  return explained(loaded, name, event);
}

interface Explained {
  readonly loaded: LoadedConfig;
  readonly explanation: Explanation;
}

const explained = async (loaded: LoadedConfig, name: string, event: Event): Promise<Explained> => ({
  loaded,
  explanation: await explain(loaded, name, event),
});

function consumerOf(loaded: LoadedConfig, { consumer }: Options): string {
  const names = Object.keys(loaded.config.consumers);
  const [only, ...others] = names;
  if (consumer !== undefined) {
    if (!names.includes(consumer)) throw unknownConsumer(loaded, consumer);
    return consumer;
  }
  if (only !== undefined && others.length === 0) return only;
  throw new OuzelError('USAGE', `--consumer says which: ${names.join(', ') || 'there are none'}`);
}

function print(loaded: LoadedConfig, explanation: Explanation, json: boolean): void {
  const text = json ? stringifyJson(explanation, 2) : renderExplanation(explanation, styleOf(process.stdout));
  process.stdout.write(`${loaded.redact(text)}\n`);
}
