import type { ConsumerInfo } from '@nats-io/jetstream';
import { Command } from 'commander';
import type { ConsumerConfig } from '../config/schema.ts';
import { OuzelError } from '../errors.ts';
import { findDurable, isOurs } from '../nats/provision.ts';
import { print, printJson, table } from './print.ts';
import { CONFIG_OPTION, type Session, withSession } from './session.ts';

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

export function consumersCommand(): Command {
  const command = new Command('consumers').description('look at consumers');
  command
    .command('list')
    .description('the consumers of the configuration, with their durables on the server')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel consumers list')
    .action(({ config, json }: Options) => withSession(config, (session) => list(session, json === true)));
  command
    .command('show')
    .description('one consumer: what is configured, and how its durable stands')
    .argument('<name>', 'name of the consumer')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel consumers show billing')
    .action((name: string, { config, json }: Options) =>
      withSession(config, (session) => show(session, name, json === true)),
    );
  return command;
}

/** What a durable says of itself, as far as an operator asks. */
const standing = (info: ConsumerInfo | undefined) =>
  info === undefined
    ? { durable: 'absent' as const, pending: 0, ack_pending: 0, redelivered: 0 }
    : {
        durable: isOurs(info) ? ('ours' as const) : ('foreign' as const),
        pending: info.num_pending,
        ack_pending: info.num_ack_pending,
        redelivered: info.num_redelivered,
      };

async function list({ loaded, manager }: Session, json: boolean): Promise<void> {
  const entries = Object.entries(loaded.config.consumers);
  const rows = await Promise.all(
    entries.map(async ([name, { stream, paused }]) => ({
      name,
      stream,
      paused,
      ...standing(await findDurable(manager, stream, name)),
    })),
  );
  if (json) return printJson(rows);
  if (rows.length === 0) return print(`${loaded.file} has no consumers.`);
  print(
    table(
      ['CONSUMER', 'STREAM', 'DURABLE', 'PENDING', 'ACK PENDING', 'REDELIVERED'],
      rows.map((row) => [
        row.name,
        row.stream,
        row.paused ? `${row.durable}, paused` : row.durable,
        row.pending,
        row.ack_pending,
        row.redelivered,
      ]),
    ),
  );
}

const described = (consumer: ConsumerConfig): [string, string][] => [
  ['stream', consumer.stream],
  ['subjects', consumer.subjects?.join(', ') ?? 'all'],
  ['types', consumer.types?.join(', ') ?? 'all'],
  [
    'pipeline',
    consumer.pipeline.map((stage) => (typeof stage === 'string' ? stage : Object.keys(stage).join('+'))).join(' → ') ||
      'none',
  ],
  [
    'deliver',
    (consumer.deliver ?? [])
      .map(({ name, to }) => name ?? (typeof to === 'string' ? to : Object.keys(to)[0]))
      .join(', ') || 'nowhere',
  ],
];

async function show({ loaded, manager }: Session, name: string, json: boolean): Promise<void> {
  const consumer = loaded.config.consumers[name];
  if (consumer === undefined)
    throw new OuzelError(
      'NOT_FOUND',
      `no consumer "${name}" in ${loaded.file}; there are: ${Object.keys(loaded.config.consumers).join(', ') || 'none'}`,
    );
  const info = await findDurable(manager, consumer.stream, name);
  const state = standing(info);
  const source = (loaded.source['consumers'] as Record<string, unknown>)[name];
  if (json)
    return printJson({
      name,
      config: source,
      ...state,
      ack_floor: info?.ack_floor.stream_seq ?? 0,
      created: info?.created ?? null,
    });
  const rows: [string, string][] = [
    ['consumer', name],
    ...described(consumer),
    ['durable', state.durable],
    ['pending', String(state.pending)],
    ['ack pending', String(state.ack_pending)],
    ['redelivered', String(state.redelivered)],
  ];
  if (info !== undefined) rows.push(['acked up to', String(info.ack_floor.stream_seq)], ['durable made', info.created]);
  for (const [label, value] of rows) print(`${label.padEnd(13)}${value}`);
}
