import type { ConsumerInfo } from '@nats-io/jetstream';
import { Command } from 'commander';
import type { ConsumerConfig } from '../../config/schema.ts';
import { formatPlace, OuzelError } from '../../errors.ts';
import { type ActiveHolder, findActive, pinnedId } from '../../nats/active.ts';
import { findDurable, isOurs } from '../../nats/provision.ts';
import { print, printJson, table } from '../print.ts';
import { exclusiveFor } from '../../reconcile/exclusive.ts';
import { CONFIG_OPTION, type FleetSession, withFleet } from '../session.ts';

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

const LIST_HELP = `
Those of the file and of the fleet, as NATS has them; no daemon is asked.

Example:
  ouzel consumers list`;

export const listCommand = (): Command =>
  new Command('list')
    .description('the consumers of the configuration, with their durables on the server')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', LIST_HELP)
    .action(({ config, json }: Options) => withFleet(config, (session) => list(session, json === true)));

export const showCommand = (): Command =>
  new Command('show')
    .description('one consumer: what is configured, and how its durable stands')
    .argument('<name>', 'name of the consumer')
    .option(...CONFIG_OPTION)
    .option('--json', 'as JSON')
    .addHelpText('after', '\nExample:\n  ouzel consumers show billing')
    .action((name: string, { config, json }: Options) =>
      withFleet(config, (session) => show(session, name, json === true)),
    );

/** Who has a consumer, and who holds it. */
function owned({ loaded, pauses }: FleetSession, name: string) {
  const place = loaded.placeOf(['consumers', name]);
  const pause = pauses.get(name);
  return {
    owner: place.file.startsWith('fleet:') ? ('fleet' as const) : ('file' as const),
    place: formatPlace(place),
    paused: loaded.config.consumers[name]?.paused ?? false,
    pause: pause === undefined ? null : { by: pause.by.name, from: pause.by.from, at: pause.at },
  };
}

/** What a durable says of itself, as far as an operator asks. */
const standing = (info: ConsumerInfo | undefined) =>
  info === undefined
    ? { durable: 'absent' as const, pending: 0, ack_pending: 0, redelivered: 0, pulls: 0 }
    : {
        durable: isOurs(info) ? ('ours' as const) : ('foreign' as const),
        pending: info.num_pending,
        ack_pending: info.num_ack_pending,
        redelivered: info.num_redelivered,
        pulls: info.num_waiting,
      };

async function list(session: FleetSession, json: boolean): Promise<void> {
  const { loaded, manager, aside } = session;
  const entries = Object.entries(loaded.config.consumers);
  const rows = await Promise.all(
    entries.map(async ([name, { stream }]) => ({
      name,
      stream,
      ...owned(session, name),
      ...standing(await findDurable(manager, stream, name)),
    })),
  );
  if (json) return printJson(rows);
  for (const [resource, reason] of aside)
    process.stderr.write(`${resource} would not be in force on this configuration:\n${reason}\n\n`);
  if (rows.length === 0) return print(`Neither ${loaded.file} nor the fleet has consumers.`);
  print(
    table(
      ['CONSUMER', 'OWNER', 'STREAM', 'DURABLE', 'PENDING', 'ACK PENDING', 'REDELIVERED'],
      rows.map((row) => [
        row.name,
        row.owner,
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

/** Which instance has the events of a consumer that runs on one at a time. */
const activeShown = (active: ActiveHolder | undefined, exclusive: readonly string[]): string =>
  `${active === undefined ? 'no instance' : `${active.instance}, since ${active.since}`} (one at a time, for ${exclusive.join(', ')})`;

async function show(session: FleetSession, name: string, json: boolean): Promise<void> {
  const { loaded, manager, aside } = session;
  const consumer = loaded.config.consumers[name];
  const reason = aside.get(`fleet:consumers/${name}`);
  if (consumer === undefined && reason !== undefined)
    throw new OuzelError('CONFIG_INVALID_VALUE', `the fleet's "${name}" would not be in force here\n${reason}`);
  if (consumer === undefined)
    throw new OuzelError(
      'NOT_FOUND',
      `no consumer "${name}" in ${loaded.file} or in the fleet; there are: ${Object.keys(loaded.config.consumers).join(', ') || 'none'}`,
    );
  const info = await findDurable(manager, consumer.stream, name);
  const state = standing(info);
  const active = info === undefined ? undefined : await findActive(manager, name, pinnedId(info));
  const { owner, place, paused, pause } = owned(session, name);
  const source = (loaded.source['consumers'] as Record<string, unknown>)[name];
  if (json)
    return printJson({
      name,
      owner,
      place,
      paused,
      pause,
      config: source,
      ...state,
      active: active ?? null,
      ack_floor: info?.ack_floor.stream_seq ?? 0,
      created: info?.created ?? null,
    });
  const rows: [string, string][] = [
    ['consumer', name],
    ['owner', owner === 'file' ? `file, ${place}` : 'fleet'],
    ...(paused
      ? [
          ['paused', pause === null ? 'by its configuration' : `by ${pause.by} from ${pause.from}, ${pause.at}`] as [
            string,
            string,
          ],
        ]
      : []),
    ...described(consumer),
    ['durable', state.durable],
    ['pending', String(state.pending)],
    ['ack pending', String(state.ack_pending)],
    ['redelivered', String(state.redelivered)],
    ['pulls', String(state.pulls)],
  ];
  if (info !== undefined) rows.push(['acked up to', String(info.ack_floor.stream_seq)], ['durable made', info.created]);
  const exclusive = exclusiveFor(consumer);
  if (exclusive.length > 0) rows.push(['active', activeShown(active, exclusive)]);
  for (const [label, value] of rows) print(`${label.padEnd(13)}${value}`);
}
