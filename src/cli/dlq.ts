import { Command } from 'commander';
import { completeLetter, type DeadLetter, letterAt, letters } from '../deadletter/read.ts';
import { OuzelError } from '../errors.ts';
import { createBodies } from '../nats/bodies.ts';
import { wholeNumber } from './arguments.ts';
import { print, printJson, table } from './print.ts';
import { CONFIG_OPTION, withSession } from './session.ts';

interface ListOptions {
  readonly config?: string;
  readonly consumer?: string;
  readonly reason?: string;
  readonly key?: string;
  readonly limit: number;
  readonly json?: boolean;
}

export function dlqCommand(): Command {
  const command = new Command('dlq').description('look at dead letters');
  command
    .command('list')
    .description('dead letters, the newest last, with a summary by reason')
    .option(...CONFIG_OPTION)
    .option('--consumer <name>', 'only of this consumer')
    .option('--reason <code>', 'only with this reason')
    .option('--key <key>', 'only of events with this key')
    .option('--limit <n>', 'how many at most', wholeNumber, 50)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel dlq list --consumer billing --reason rejected')
    .action(list);
  command
    .command('show')
    .description('one dead letter: what happened, and the event as it came')
    .argument('<sequence>', 'its number, as list shows it', wholeNumber)
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel dlq show 17')
    .action(show);
  return command;
}

async function list(options: ListOptions): Promise<void> {
  await withSession(options.config, async ({ client, manager }) => {
    const matching: DeadLetter[] = [];
    const reasons = new Map<string, number>();
    for await (const letter of letters(client, manager, options.consumer)) {
      if (options.reason !== undefined && letter.reason !== options.reason) continue;
      if (options.key !== undefined && letter.key !== options.key) continue;
      const group = `${letter.consumer} ${letter.reason}`;
      reasons.set(group, (reasons.get(group) ?? 0) + 1);
      matching.push(letter);
      if (matching.length > options.limit) matching.shift();
    }
    if (options.json === true)
      return printJson(matching.map(({ body, ...letter }) => ({ ...letter, size: body.length })));
    if (matching.length === 0) return print('No dead letters.');
    print(
      table(
        ['#', 'FAILED', 'CONSUMER', 'REASON', 'SUBJECT', 'KEY', 'ERROR'],
        matching.map(({ sequence, failed, consumer, reason, subject, key, error }) => [
          sequence,
          failed.slice(0, 19).replace('T', ' '),
          consumer,
          reason,
          subject,
          key ?? '',
          error.length > 60 ? `${error.slice(0, 59)}…` : error,
        ]),
      ),
    );
    print('');
    for (const [group, count] of [...reasons].toSorted(([, left], [, right]) => right - left))
      print(`${String(count).padStart(6)}  ${group}`);
  });
}

async function show(sequence: number, { config, json }: { config?: string; json?: boolean }): Promise<void> {
  await withSession(config, async ({ client, manager, loaded }) => {
    const letter = await letterAt(manager, sequence);
    if (letter === undefined) throw new OuzelError('NOT_FOUND', `there is no dead letter ${sequence}`);
    const complete = await completeLetter(letter, createBodies(client, loaded.config.nats.system.replicas));
    const { body, bodyName: _body, headersName: _headers, headers, ...facts } = complete;
    if (json === true) return printJson({ ...facts, headers, ...jsonBody(body) });
    for (const [name, value] of Object.entries(facts)) print(`${name.padEnd(14)}${String(value ?? '')}`);
    for (const [name, value] of headers) print(`header        ${name}: ${value}`);
    print('');
    process.stdout.write(body);
    print('');
  });
}

/** Text as text; what is no UTF-8 as Base64, under the name that CloudEvents has for it. */
function jsonBody(body: Uint8Array): { body: string } | { body_base64: string } {
  const text = Buffer.from(body).toString();
  return Buffer.from(text).equals(body) ? { body: text } : { body_base64: Buffer.from(body).toString('base64') };
}
