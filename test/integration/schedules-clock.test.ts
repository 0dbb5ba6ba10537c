/**
 * Three instances through every change of the clocks in 2026, on a real server and a clock that the test turns: they lag
 * behind each other, die, come back and reload, and each instant is one event. The instants themselves are held against a
 * model in `test/unit/sources/timing.test.ts`.
 */
import { pino } from 'pino';
import { beforeAll, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/schema.ts';
import { Schedules } from '../../src/sources/schedules/schedules.ts';
import { timingOf } from '../../src/sources/schedules/timing.ts';
import { randomOf } from '../chaos/random.ts';
import { addStream, type Client, connectTo, readStream } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { ledgerOf, VirtualClock } from '../helpers/ticks.ts';
import { waitFor } from '../helpers/wait.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const NEVER = Promise.withResolvers<void>().promise;

let clients: readonly Client[];

beforeAll(async () => {
  const server = await startServer();
  clients = await Promise.all([1, 2, 3].map(() => connectTo(server)));
  const [first] = clients;
  // As short as it can be: it is not what keeps ticks apart here.
  if (first !== undefined) await addStream(first, 'EVENTS', ['events.>'], { duplicate_window: 100_000_000 });
});

const configOf = (prefix: string, zone: string, note: number): Config =>
  parseConfig(
    `version: 1
sources:
  ${prefix}-day: { schedule: { cron: "15,45 0,1,2 * * *", timezone: ${zone}, missed: all }, publish: { subject: events.${prefix}, data: { note: ${note} } } }
  ${prefix}-wild: { schedule: { cron: "*/20 * * * *", timezone: ${zone}, missed: all, jitter: ${note % 2 === 0 ? '5m' : '3m'} }, publish: { subject: events.${prefix}, data: { note: ${note} } } }
  ${prefix}-every: { schedule: { every: 50m, missed: all }, publish: { subject: "events.{{ schedule.name }}" } }
`,
    '/clock/ouzel.yaml',
    { env: {} },
  ).config;

/** One process. */
class Instance {
  readonly clock: VirtualClock;
  readonly schedules: Schedules;
  config: Config;
  readonly problems: string[] = [];

  constructor(client: Client, config: Config, now: number) {
    this.config = config;
    this.clock = new VirtualClock(now);
    const said = (what: string): void => void this.problems.push(what);
    this.schedules = new Schedules({
      config: () => this.config,
      ledger: () => ledgerOf(client),
      clock: this.clock,
      logger: pino({ level: 'silent' }),
      listener: {
        added: () => undefined,
        removed: () => undefined,
        published: () => undefined,
        moved: () => undefined,
        recovered: () => undefined,
        missed: (name, count) => said(`${name} missed ${count}`),
        rejected: (name, _instant, error) => said(`${name}: ${error.message}`),
        failed: (name, error) => said(`${name}: ${error.message}`),
      },
    });
    this.schedules.follow();
  }

  reload(config: Config): void {
    this.config = config;
    this.schedules.follow();
  }

  /** Whether all that is due by its clock is done with. */
  caughtUp(): boolean {
    this.clock.turn(this.clock.now());
    return Object.keys(this.config.sources).every((name) => {
      const { next = Number.POSITIVE_INFINITY } = this.schedules.state(name) ?? {};
      return next > this.clock.now();
    });
  }
}

describe.each([
  ['Europe/Berlin', '2026-03-29T01:00:00Z'],
  ['Europe/Berlin', '2026-10-25T01:00:00Z'],
  ['America/New_York', '2026-03-08T07:00:00Z'],
  ['America/New_York', '2026-11-01T06:00:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00:00Z'],
  ['Australia/Lord_Howe', '2026-10-03T15:30:00Z'],
  ['America/Santiago', '2026-04-05T03:00:00Z'],
  ['America/Santiago', '2026-09-06T04:00:00Z'],
  ['Asia/Kolkata', '2026-03-29T01:00:00Z'],
])('%s, %s', (zone, change) => {
  it('each instant is one event, whatever becomes of the instances', { timeout: 120_000 }, async () => {
    const random = randomOf(Date.parse(change), zone);
    const prefix = `${zone.replaceAll(/\W/g, '')}-${change.slice(0, 10)}`;
    const [begin, end] = [Date.parse(change) - 4 * HOUR, Date.parse(change) + 4 * HOUR];
    let note = 0;
    let now = begin;
    const start = (index: number): Instance =>
      new Instance(clients[index] as Client, configOf(prefix, zone, note), now);
    const instances: (Instance | undefined)[] = [0, 1, 2].map(start);
    const problems: string[] = [];
    const settled = async (): Promise<void> => {
      await waitFor(() => instances.every((each) => each?.caughtUp() !== false), {
        what: 'all instances to be done with what is due',
        every: 2,
      });
    };
    // There is a record of each from here on.
    await waitFor(() => readable(prefix, zone), { what: 'the records of the schedules' });

    while (now < end) {
      now = Math.min(end, now + random.integer(1, 60) * MINUTE);
      for (const each of instances) each?.clock.turn(Math.max(each.clock.now(), now - random.integer(0, 8) * MINUTE));
      const index = random.integer(0, 2);
      const chance = random.integer(0, 5);
      if (chance === 0) {
        // In the middle of what it is at.
        const dying = instances[index];
        instances[index] = undefined;
        await dying?.schedules.close(NEVER);
        problems.push(...(dying?.problems ?? []));
      } else if (chance === 1) instances[index] ??= start(index);
      else if (chance === 2) {
        const changed = configOf(prefix, zone, ++note);
        for (const each of instances) each?.reload(changed);
      }
      if (random.integer(0, 2) > 0) await settled();
    }
    for (const index of [0, 1, 2]) instances[index] ??= start(index);
    for (const each of instances) each?.clock.turn(end);
    await settled();
    for (const each of instances) {
      await each?.schedules.close(NEVER);
      problems.push(...(each?.problems ?? []));
    }
    expect(problems).toEqual([]);

    const expected: string[] = [];
    for (const [name, { schedule }] of Object.entries(configOf(prefix, zone, note).sources)) {
      if (schedule === undefined) throw new Error(`${name} is no schedule`);
      const timing = timingOf(schedule);
      for (let each = timing.next(begin); each !== undefined && each <= end; each = timing.next(each))
        expected.push(`${name}.${new Date(each).toISOString()}`);
    }
    const ticks = (await readStream(clients[0] as Client, 'EVENTS'))
      .map(({ headers }) => headers['Nats-Msg-Id'] ?? '')
      .filter((id) => id.startsWith(`${prefix}-`));
    // What is at the very end may wait for its jitter.
    const tail = ({ at = '' }: { readonly at?: string | undefined }): boolean => Date.parse(at) > end - 5 * MINUTE;
    const inTime = (ids: readonly string[]): string[] =>
      ids.filter((id) => !tail({ at: /\d{4}-\d\d-\d\dT.*/.exec(id.slice(prefix.length))?.[0] })).toSorted();
    expect(new Set(ticks).size).toBe(ticks.length);
    expect(inTime(ticks)).toEqual(inTime(expected));
    // Of one schedule they are in order, whoever published them.
    for (const name of ['day', 'wild', 'every']) {
      const own = ticks.filter((id) => id.startsWith(`${prefix}-${name}.`));
      expect(own).toEqual(own.toSorted());
    }
  });
});

/** Whether there is a record of each schedule of a prefix. */
async function readable(prefix: string, zone: string): Promise<boolean> {
  const { jsm } = clients[0] as Client;
  const { state } = await jsm.streams.info('KV_OUZEL_SCHEDULES', { subjects_filter: '$KV.OUZEL_SCHEDULES.>' });
  const names = Object.keys(configOf(prefix, zone, 0).sources);
  return names.every((name) => Object.keys(state.subjects ?? {}).some((subject) => subject.includes(`.${name}.`)));
}
