/**
 * Changing a running daemon: by file, by conf.d, by signal. CASES.md, "Configuration and reload".
 */
import { mkdir, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { expectIdentity, untilEnded } from '../helpers/outcomes.ts';
import { connectTo, publish, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const config = (limit: number | string, more = ''): string => `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"] }
  OTHER: { subjects: ["other.>"] }
filters: { big: event.data.n >= ${limit} }
consumers:
  changed: { stream: EVENTS, start: all, pipeline: [big] }
  untouched: { stream: EVENTS, start: all }
${more}`;

interface Ready {
  readonly config: {
    readonly generation: number;
    readonly hash: string;
    readonly last_reload: { readonly result: string; readonly reason: string } | null;
  };
  readonly consumers: readonly { readonly name: string; readonly state: string; readonly reason: string }[];
}

const readyz = async (daemon: Daemon): Promise<Ready> => (await (await fetch(`${daemon.http}/readyz`)).json()) as Ready;

const reloads = (daemon: Daemon, result: string): Promise<number> =>
  daemon.total('ouzel_config_reloads_total', { result });

const untilReloaded = (daemon: Daemon, result: string, count = 1) =>
  waitFor(async () => (await reloads(daemon, result)) >= count, { what: `${count} × ${result}` });

describe('a change of the file', () => {
  it('is followed, leaves the untouched consumer alone and loses or repeats nothing in flight', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const client = await connectTo(server);
    const first = publishMany(client, 3000, (n) => ({ subject: 'events.a', body: JSON.stringify({ n }) }));
    await daemon.write(config(100_000));
    await untilReloaded(daemon, 'applied');
    await first;
    await untilEnded(daemon, 'changed', 3000);
    await publish(client, { subject: 'events.a', body: JSON.stringify({ n: 3000 }) });
    const changed = await untilEnded(daemon, 'changed', 3001);
    const untouched = await untilEnded(daemon, 'untouched', 3001);
    expect(changed.received).toBe(3001);
    expect(changed.filtered).toBeGreaterThanOrEqual(1);
    expect(untouched).toMatchObject({ received: 3001, delivered: 3001 });
    expect((await readyz(daemon)).config).toMatchObject({ generation: 2, last_reload: { result: 'applied' } });
    const applied = daemon.logLines().find(({ msg }) => msg === 'configuration applied');
    expect(applied).toMatchObject({ updated: ['changed'], added: [], removed: [] });
  });

  it('that is broken is refused with the place and a caret, and a mended one is taken', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const client = await connectTo(server);
    await daemon.write(config('(').replace('filters:', 'filtres:'));
    await untilReloaded(daemon, 'rejected');
    const { config: rejected } = await readyz(daemon);
    expect(rejected.generation).toBe(1);
    expect(rejected.last_reload?.reason).toMatch(/ouzel\.yaml:7:1 .*unknown key "filtres"[\s\S]*\^/);
    expect(daemon.log()).toContain('configuration rejected');
    await publish(client, { subject: 'events.a', body: '{"n":1}' });
    expect(await untilEnded(daemon, 'changed', 1)).toMatchObject({ delivered: 1 });
    // redpanda-data/benthos#91: it can be told whether a reload worked.
    expect((await fetch(`${daemon.http}/readyz`)).status).toBe(200);
    await daemon.write(config(5));
    await untilReloaded(daemon, 'applied');
    expect((await readyz(daemon)).config.last_reload?.result).toBe('applied');
  });

  it('that says the same in other words is no change', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    await daemon.write(`# a comment\n${config(0)}`);
    await untilReloaded(daemon, 'unchanged');
    expect((await readyz(daemon)).config.generation).toBe(1);
    daemon.signal('SIGHUP');
    await untilReloaded(daemon, 'unchanged', 2);
  });

  it('is refused as a whole when a consumer in it cannot run, and what was made for it is taken back', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const client = await connectTo(server);
    await client.jsm.consumers.add('EVENTS', { durable_name: 'theirs', ack_policy: 'explicit' });
    const before = await client.jsm.consumers.info('EVENTS', 'changed');
    await daemon.write(config(7, '  added: { stream: EVENTS }\n  theirs: { stream: EVENTS }\n'));
    await untilReloaded(daemon, 'rejected');
    const { config: state, consumers } = await readyz(daemon);
    expect(state.last_reload?.reason).toContain('was not made by Ouzel');
    expect(consumers.map(({ name }) => name).toSorted()).toEqual(['changed', 'untouched']);
    await expect(client.jsm.consumers.info('EVENTS', 'added')).rejects.toThrow('consumer not found');
    const after = await client.jsm.consumers.info('EVENTS', 'changed');
    expect(after.config.metadata).toEqual(before.config.metadata);
    expect((await daemon.metrics()).select('ouzel_consumer_state', { consumer: 'added' })).toEqual([]);
  });
});

describe('consumers', () => {
  it('come and go with their series, and their durables as on_remove says', async () => {
    await using server = await startServer();
    const gone = '  kept: { stream: EVENTS }\n  deleted: { stream: EVENTS, on_remove: delete }\n';
    await using daemon = await startDaemon(config(0, gone), { server });
    const client = await connectTo(server);
    await daemon.write(config(0, '  fresh: { stream: EVENTS, start: all }\n'));
    await untilReloaded(daemon, 'applied');
    await publish(client, { subject: 'events.a', body: '{"n":1}' });
    expect(await untilEnded(daemon, 'fresh', 1)).toMatchObject({ delivered: 1 });
    await waitFor(async () => !(await (await fetch(`${daemon.http}/metrics`)).text()).includes('consumer="deleted"'), {
      what: 'the series of a removed consumer to go',
    });
    await waitFor(
      () =>
        client.jsm.consumers.info('EVENTS', 'deleted').then(
          () => false,
          () => true,
        ),
      {
        what: 'the durable to be deleted',
      },
    );
    expect((await client.jsm.consumers.info('EVENTS', 'kept')).name).toBe('kept');
  });

  it('move to another stream without losing or repeating anything', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const client = await connectTo(server);
    await publish(client, { subject: 'events.a', body: '{"n":1}' });
    await untilEnded(daemon, 'untouched', 1);
    await daemon.write(config(0).replace('untouched: { stream: EVENTS', 'untouched: { stream: OTHER'));
    await untilReloaded(daemon, 'applied');
    await publish(client, { subject: 'other.a', body: '{"n":1}' });
    await untilEnded(daemon, 'untouched', 2);
    expectIdentity(await daemon.metrics(), 'untouched');
  });

  it('are paused and resumed with their events waiting', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const client = await connectTo(server);
    await daemon.write(config(0).replace('untouched: {', 'untouched: { paused: true,'));
    await untilReloaded(daemon, 'applied');
    expect((await readyz(daemon)).consumers.find(({ name }) => name === 'untouched')?.state).toBe('paused');
    await publish(client, { subject: 'events.a', body: '{"n":1}' });
    await untilEnded(daemon, 'changed', 1);
    await daemon.write(config(0));
    await untilReloaded(daemon, 'applied', 2);
    expect(await untilEnded(daemon, 'untouched', 1)).toMatchObject({ delivered: 1 });
  });

  it('changed while NATS is away are provisioned when it is back', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    await server.stop();
    await waitFor(async () => (await daemon.total('ouzel_nats_connected')) === 0, { what: 'the connection to go' });
    await daemon.write(
      config(0, '  late: { stream: EVENTS, start: all }\n').replace('untouched: {', 'untouched: { ack_wait: 7s,'),
    );
    await untilReloaded(daemon, 'applied');
    await server.restart();
    const client = await connectTo(server);
    await publish(client, { subject: 'events.a', body: '{"n":1}' });
    expect(await untilEnded(daemon, 'late', 1, 30_000)).toMatchObject({ delivered: 1 });
    await waitFor(async () => (await client.jsm.consumers.info('EVENTS', 'untouched')).config.ack_wait === 7e9, {
      what: 'the changed durable',
    });
  });
});

describe('files', () => {
  // redpanda-data/connect#1257
  it('of conf.d are noticed when they come, change and go', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const fragment = join(daemon.directory, 'conf.d', 'more.yaml');
    const names = async () => (await readyz(daemon)).consumers.map(({ name }) => name);
    await mkdir(join(daemon.directory, 'conf.d'));
    await writeFile(fragment, 'consumers: { more: { stream: EVENTS } }\n');
    await waitFor(async () => (await names()).includes('more'), { what: 'the added file' });
    await writeFile(fragment, 'consumers: { other: { stream: EVENTS } }\n');
    await waitFor(async () => (await names()).includes('other'), { what: 'the changed file' });
    await rm(fragment);
    await waitFor(async () => !(await names()).includes('other'), { what: 'the removed file' });
    expect(await names()).toHaveLength(2);
  });

  it('saved by renaming, and ConfigMaps that swap a symlink, are noticed', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const text = (limit: number) =>
      config(limit).replace('@NATS@', server.url).replace('@HTTP@', daemon.http.replace('http://', ''));
    await writeFile(`${daemon.configFile}.tmp`, text(1));
    await rename(`${daemon.configFile}.tmp`, daemon.configFile);
    await untilReloaded(daemon, 'applied', 1);
    for (const [index, folder] of ['..2026_a', '..2026_b'].entries()) {
      await mkdir(join(daemon.directory, folder));
      await writeFile(join(daemon.directory, folder, 'ouzel.yaml'), text(index + 2));
      await symlink(folder, join(daemon.directory, '..data_tmp'));
      await rename(join(daemon.directory, '..data_tmp'), join(daemon.directory, '..data'));
      if (index === 0) {
        await symlink(join('..data', 'ouzel.yaml'), `${daemon.configFile}.link`);
        await rename(`${daemon.configFile}.link`, daemon.configFile);
      }
      await untilReloaded(daemon, 'applied', index + 2);
    }
    expect((await readyz(daemon)).config.generation).toBe(4);
  });

  it('saved twenty times a second, every third invalid, end in the last state with nothing lost', async () => {
    await using server = await startServer();
    await using daemon = await startDaemon(config(0), { server });
    const client = await connectTo(server);
    let published = 0;
    for (let save = 1; save <= 60; save++) {
      await daemon.write(save % 3 === 0 ? `${config(save)}  broken: [` : config(save));
      await publishMany(client, 50, (n) => ({ subject: 'events.a', body: JSON.stringify({ n }) }));
      published += 50;
    }
    await daemon.write(config(777));
    // What the daemon sees last may be what it put in force already, when it read a file newer than its notice.
    await waitFor(
      async () => {
        const before = await untilEnded(daemon, 'changed', published);
        await publish(client, { subject: 'events.probe', body: '{"n":776}' });
        await publish(client, { subject: 'events.probe', body: '{"n":777}' });
        published += 2;
        const after = await untilEnded(daemon, 'changed', published);
        return after.filtered === before.filtered + 1;
      },
      { what: 'the last state: 776 is filtered, 777 is not' },
    );
    const untouched = await untilEnded(daemon, 'untouched', published);
    expect(untouched).toMatchObject({ received: published, delivered: published, returned: 0 });
    const changed = await untilEnded(daemon, 'changed', published);
    expect(changed.received).toBe(published);
    expect((await readyz(daemon)).config.last_reload?.result).not.toBe('rejected');
  });
});
