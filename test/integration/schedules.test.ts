/** Schedules of real daemons: one tick an instant over instances, reloads and deaths; what is shown and can be done. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { callApi } from '../helpers/api.ts';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { addStream, type Client, connectTo, readStream, type StoredMessage } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

let server: TestServer;
let client: Client;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
});

const HEAD = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
`;

const ticksIn = async (stream: string): Promise<StoredMessage[]> =>
  (await client.jsm.streams.info(stream).catch(() => undefined)) === undefined ? [] : readStream(client, stream);

/** Waits until a stream has more ticks than a number, and gives them. */
const moreThan = (stream: string, count: number): Promise<StoredMessage[]> =>
  waitFor(
    async () => {
      const ticks = await ticksIn(stream);
      return ticks.length > count && ticks;
    },
    { what: `more than ${count} ticks in ${stream}`, timeout: 60_000, every: 100 },
  );

const recordsOf = async (name: string): Promise<string[]> => {
  const { state } = await client.jsm.streams.info('KV_OUZEL_SCHEDULES', {
    subjects_filter: `$KV.OUZEL_SCHEDULES.${name}.>`,
  });
  return Object.keys(state.subjects ?? {});
};

it(
  'three instances, a storm of reloads and a kill: each second is one event, and none is left out',
  { timeout: 180_000 },
  async () => {
    const config = (
      note: number,
    ): string => `${HEAD}streams: { STORM: { subjects: ["storm.>"], duplicate_window: 100ms } }
sources:
  storm: { schedule: { cron: "* * * * * *", missed: all }, publish: { subject: storm.tick, data: { note: ${note}, at: "{{ schedule.instant }}" } } }
`;
    // Booted at once, they register everything once.
    const daemons = await Promise.all([1, 2, 3].map(() => startDaemon(config(0), { server, timeout: 60_000 })));
    const [first, second, third] = daemons as [Daemon, Daemon, Daemon];
    await moreThan('STORM', 3);
    expect(await recordsOf('storm')).toHaveLength(1);

    const reloads = async (daemon: Daemon): Promise<number> =>
      daemon.total('ouzel_config_reloads_total', { result: 'applied' });
    for (let note = 1; note <= 3; note++) {
      await Promise.all(daemons.map((each) => each.write(config(note))));
      await waitFor(async () => (await Promise.all(daemons.map(reloads))).every((count) => count >= note), {
        what: `reload ${note}`,
        timeout: 30_000,
      });
    }
    const before = await ticksIn('STORM');
    await first.kill();
    await moreThan('STORM', before.length + 2);
    await second.kill();
    await third.kill();
    // Nobody is there for a while; then each second of it is made up for.
    const gone = (await ticksIn('STORM')).length;
    const again = await startDaemon(config(9), { server, timeout: 60_000 });
    const ticks = await moreThan('STORM', gone + 3);
    expect(await again.total('ouzel_schedule_ticks_total', { source: 'storm', result: 'published' })).toBeGreaterThan(
      0,
    );
    await again.terminate();

    const instants = ticks.map(({ headers }) => Date.parse(headers['Ouzel-Instant'] ?? ''));
    const [begin = 0] = instants;
    expect(instants).toEqual(instants.map((_, index) => begin + index * 1000));
    expect(ticks.map(({ headers }) => headers['Nats-Msg-Id'])).toEqual(
      instants.map((instant) => `storm.${new Date(instant).toISOString()}`),
    );
    expect(again.log()).not.toContain('missed');
  },
);

it('one daemon: what is shown, fired, recorded, changed and removed', { timeout: 120_000 }, async () => {
  const config = (sources: string): string => `${HEAD}streams: { EVENTS: { subjects: ["events.>"], strip: "events." } }
sources:
${sources}`;
  const quick = `  quick: { schedule: { every: 1s }, publish: { subject: "events.{{ schedule.name }}", headers: { X-Time: "{{ schedule.time }}" } } }
`;
  const yearly = `  yearly: { schedule: { cron: "0 0 1 1 *", timezone: Asia/Kolkata }, publish: { subject: events.yearly, data: { fired: "{{ schedule.fired }}", in: "{{ schedule.time }}" } } }
`;
  const lost = `  lost: { schedule: { every: 1s }, publish: { subject: nowhere.at.all } }
`;
  const past = `  past: { schedule: { at: "2020-01-01T00:00:00Z" }, publish: { subject: events.past } }
`;
  const daemon = await startDaemon(config(quick + yearly + lost + past), { server });
  const cli = (...args: string[]) => runCli([...args, '--config', daemon.configFile, '--url', daemon.http]);
  const [tick] = await moreThan('EVENTS', 0);
  expect(JSON.parse(tick?.body ?? '')).toEqual({ schedule: 'quick', instant: tick?.headers['Ouzel-Instant'] });
  expect(Date.parse(tick?.headers['X-Time'] ?? '')).toBe(Date.parse(tick?.headers['Ouzel-Instant'] ?? ''));

  interface Shown {
    readonly schedules: readonly {
      readonly name: string;
      readonly next: string | null;
      readonly last: object | null;
      readonly trouble: { readonly code: string } | null;
    }[];
  }
  const shown = await waitFor(
    async () => {
      const { body } = await callApi<Shown>(daemon, 'GET', '/schedules');
      const of = Object.fromEntries(body.schedules.map((each) => [each.name, each]));
      return of['lost']?.trouble !== null && of['quick']?.last !== null && of;
    },
    { what: 'the schedules to be known' },
  );
  expect(Object.keys(shown)).toEqual(['lost', 'past', 'quick', 'yearly']);
  expect(shown['quick']).toMatchObject({
    when: 'every 1s',
    timezone: 'UTC',
    missed: 'last',
    owner: 'file',
    trouble: null,
  });
  expect(shown['yearly']).toMatchObject({ when: '0 0 1 1 *', last: null });
  expect(shown['yearly']?.next).toMatch(/-12-31T18:30:00.000Z$/);
  // Its time was over before anybody knew of it.
  expect(shown['past']).toMatchObject({ next: null, last: null });
  expect(shown['lost']?.trouble?.code).toBe('TARGET_NO_STREAM');
  const table = await cli('schedules');
  expect(table).toMatchObject({ code: 0, stderr: '' });
  expect(table.stdout).toContain('every 1s');
  expect(table.stdout).toContain('lost: ');

  const fired = await cli('schedules', 'fire', 'yearly', '--json');
  const { seq } = JSON.parse(fired.stdout) as { readonly seq: number };
  const event = (await ticksIn('EVENTS')).find(({ sequence }) => sequence === seq);
  expect(event).toMatchObject({ subject: 'events.yearly' });
  expect(JSON.parse(event?.body ?? '')).toMatchObject({ fired: true, in: expect.stringContaining('+05:30') as string });
  expect((await cli('schedules', 'fire', 'nobody')).stderr).toContain('nobody');
  const acts = (await ticksIn('OUZEL_AUDIT')).filter(({ subject }) => subject.endsWith('schedule.fire'));
  expect(acts.map(({ body }) => JSON.parse(body) as unknown)).toMatchObject([
    { what: 'schedule.fire', resource: 'sources/yearly', outcome: 'done' },
  ]);

  const incidents = await waitFor(
    async () => {
      const all = await ticksIn('OUZEL_EVENTS');
      const found = all.filter(({ subject }) => subject.includes('schedule.failing'));
      return found.length > 0 && found;
    },
    { what: 'the incident' },
  );
  expect(JSON.parse(incidents[0]?.body ?? '')).toMatchObject({ source: 'lost', code: 'TARGET_NO_STREAM' });
  await addStream(client, 'NOWHERE', ['nowhere.>']);
  await moreThan('NOWHERE', 0);
  await waitFor(
    async () => (await ticksIn('OUZEL_EVENTS')).some(({ subject }) => subject.includes('schedule.recovered')),
    {
      what: 'the recovery to be said',
    },
  );

  // One that ticks at other instants begins anew; one that is gone leaves nothing behind.
  const [record] = await recordsOf('quick');
  await daemon.write(config(quick.replace('1s', '2s') + yearly));
  await waitFor(async () => (await recordsOf('lost')).length === 0, {
    what: 'the record of lost to go',
    timeout: 30_000,
  });
  const records = await waitFor(
    async () => {
      const all = await recordsOf('quick');
      return all.length === 1 && all[0] !== record && all;
    },
    { what: 'quick to have a record of its new instants', timeout: 30_000 },
  );
  expect(records).toHaveLength(1);
  expect((await daemon.metrics()).total('ouzel_schedule_ticks_total', { source: 'lost' })).toBe(0);
  const count = (await ticksIn('EVENTS')).length;
  const later = await moreThan('EVENTS', count + 2);
  for (const { headers } of later.slice(count + 1)) expect(Date.parse(headers['Ouzel-Instant'] ?? '') % 2000).toBe(0);

  // A schedule of the fleet is one like any other.
  const put = await callApi(daemon, 'PUT', '/sources/shared', {
    body: '{ schedule: { every: 1s }, publish: { subject: events.shared } }',
  });
  expect(put.status).toBe(201);
  await waitFor(async () => (await ticksIn('EVENTS')).some(({ subject }) => subject === 'events.shared'), {
    what: 'the schedule of the fleet to tick',
  });
  expect((await callApi(daemon, 'DELETE', '/sources/shared')).status).toBeLessThan(300);
  await waitFor(async () => (await recordsOf('shared')).length === 0, { what: 'its record to go' });
});

it('next works offline, and says which schedules there are', async () => {
  const file = join(await temporaryDirectory('schedules'), 'ouzel.yaml');
  await writeFile(
    file,
    'version: 1\nsources: { nightly: { schedule: { cron: "30 2 * * *", timezone: Europe/Berlin }, publish: { subject: events.x } } }\n',
  );
  const next = (...args: string[]) => runCli(['schedules', 'next', ...args, '--config', file]);
  const { stdout } = await next('nightly', '--count', '3', '--from', '2026-03-28T00:00:00Z', '--json');
  expect((JSON.parse(stdout) as { readonly ticks: unknown }).ticks).toEqual([
    { instant: '2026-03-28T01:30:00.000Z', local: '2026-03-28T02:30:00+01:00', at: '2026-03-28T01:30:00.000Z' },
    { instant: '2026-03-29T01:00:00.000Z', local: '2026-03-29T03:00:00+02:00', at: '2026-03-29T01:00:00.000Z' },
    { instant: '2026-03-30T00:30:00.000Z', local: '2026-03-30T02:30:00+02:00', at: '2026-03-30T00:30:00.000Z' },
  ]);
  expect(await next('nightli')).toMatchObject({
    code: 1,
    stderr: expect.stringContaining('did you mean "nightly"') as string,
  });
});
