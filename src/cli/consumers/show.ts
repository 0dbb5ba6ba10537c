import type { ConsumerInfo, JetStreamManager } from '@nats-io/jetstream';
import { Command } from 'commander';
import type { ConsumerConfig } from '../../config/schema.ts';
import { formatPlace, OuzelError } from '../../errors.ts';
import { type ActiveHolder, findActive, pinnedId } from '../../nats/active.ts';
import { laneDurable } from '../../core/lane.ts';
import { readLease } from '../../nats/lease.ts';
import { notedLanes } from '../../nats/lane-durables.ts';
import { findDurable, isOurs } from '../../nats/provision.ts';
import { listWaiting, type Waiting } from '../../nats/waiting.ts';
import { print, printJson, table } from '../print.ts';
import { exclusiveFor } from '../../reconcile/exclusive.ts';
import { CONFIG_OPTION, type FleetSession, withFleet } from '../session.ts';

interface Options {
  readonly config?: string;
  readonly json?: boolean;
}

/** Events that wait which are looked at, at most. */
const WAITING = 1000;

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

/** What waits: how many for which reason, and the first instant. */
function describeWaiting(waiting: readonly Waiting[]): string {
  if (waiting.length === 0) return 'none';
  const reasons = [...new Set(waiting.map(({ why }) => why))].map(
    (why) => `${why} ${waiting.filter((each) => each.why === why).length}`,
  );
  const first = new Date(Math.min(...waiting.map(({ until }) => until))).toISOString();
  return `${waiting.length}${waiting.length === WAITING ? ' or more' : ''}: ${reasons.join(', ')}; the first until ${first}`;
}

async function activeOf(
  manager: JetStreamManager,
  name: string,
  info: ConsumerInfo,
): Promise<ActiveHolder | undefined> {
  const pin = pinnedId(info);
  if (pin !== undefined) return findActive(manager, name, pin);
  const { holder } = await readLease(manager, name);
  return holder && { instance: holder.instance, since: holder.since };
}

/** Which instance has the events of a consumer that runs on one at a time. */
const activeShown = (active: ActiveHolder | undefined, exclusive: readonly string[]): string =>
  `${active === undefined ? 'no instance' : `${active.instance}, since ${active.since}`} (one at a time, for ${exclusive.join(', ')})`;

/** The lanes with a durable of their own: those that are configured, and those that still leave. */
async function lanesOf(
  { manager }: FleetSession,
  consumer: string,
  { stream, lanes = [] }: ConsumerConfig,
  own: ConsumerInfo | undefined,
) {
  const configured = lanes.filter(({ subjects }) => subjects !== undefined);
  const names = new Set([...configured.map(({ name }) => name), ...notedLanes(own)]);
  return Promise.all(
    [...names].map(async (name) => {
      const durable = laneDurable(consumer, name);
      const { pending, ack_pending } = standing(await findDurable(manager, stream, durable));
      const weight = configured.find((each) => each.name === name)?.weight ?? null;
      return { name, durable, weight, pending, ack_pending, leaving: weight === null };
    }),
  );
}

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
  const lanes = await lanesOf(session, name, consumer, info);
  const waiting = await listWaiting(manager, name, WAITING);
  const active = info === undefined ? undefined : await activeOf(manager, name, info);
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
      waiting: waiting.map(({ id, why, until, key }) => ({ id, why, until: new Date(until).toISOString(), key })),
      active: active ?? null,
      lanes,
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
    ['waiting', describeWaiting(waiting)],
  ];
  if (info !== undefined) rows.push(['acked up to', String(info.ack_floor.stream_seq)], ['durable made', info.created]);
  const exclusive = exclusiveFor(consumer);
  if (exclusive.length > 0) rows.push(['active', activeShown(active, exclusive)]);
  for (const { name: lane, durable, weight, leaving, pending, ack_pending: out } of lanes) {
    const how = leaving ? 'leaving' : `weight ${weight}`;
    rows.push([`lane ${lane}`, `${durable}, ${how}: ${pending} pending, ${out} ack pending`]);
  }
  for (const [label, value] of rows) print(`${label.padEnd(13)}${label.length < 13 ? '' : ' '}${value}`);
}
