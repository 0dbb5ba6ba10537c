/** `dedupe` and `count`: what is remembered by key, over instances and restarts. */
import { expect, test } from 'vitest';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { outcomesOf } from '../helpers/outcomes.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { addStream, connectTo, publish, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

test('repeats are dropped, and the nth goes on, whoever handles which', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const answers = [500, 200];
  const target = await startHttpTarget(({ headers }) => ({
    status: (headers['x-k'] === 'fails' ? answers.shift() : undefined) ?? 200,
  }));
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 4, backoff: { first: 100ms, factor: 1, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-k: '{{ event.data.k }}' } } } }
consumers:
  once: { stream: IN, subjects: [in.once], start: all, dedupe: { by: event.data.k, within: 1h }, deliver: [{ to: partner }] }
  ids: { stream: IN, subjects: [in.ids], start: all, dedupe: { within: 1h } }
  short: { stream: IN, subjects: [in.short], start: all, dedupe: { by: event.data.k, within: 1s } }
  fifth: { stream: IN, subjects: [in.fifth], start: all, count: { by: event.data.user, within: 10m, at: 5 } }
`;
  let daemons: Daemon[] = await Promise.all([startDaemon(config, { server }), startDaemon(config, { server })]);
  /** How many of a consumer's events ended in each way, over both. */
  const sums = async (consumer: string) => {
    const each = await Promise.all(daemons.map(async (daemon) => outcomesOf(await daemon.metrics(), consumer)));
    const sum = (what: 'delivered' | 'dropped' | 'deadLettered' | 'retries' | 'ended'): number =>
      each.reduce((total, outcomes) => total + outcomes[what], 0);
    const [delivered, dropped, deadLettered, retries] = [
      sum('delivered'),
      sum('dropped'),
      sum('deadLettered'),
      sum('retries'),
    ];
    return { delivered, dropped, deadLettered, retries, ended: sum('ended') };
  };
  const until = (consumer: string, ended: number) =>
    waitFor(
      async () => {
        const found = await sums(consumer);
        return found.ended >= ended && found;
      },
      { what: `${ended} events of ${consumer} to end`, timeout: 30_000 },
    );

  await publishMany(client, 60, (n) => ({ subject: 'in.once', body: { k: `k${n % 4}` } }));
  expect(await until('once', 60)).toMatchObject({ delivered: 4, dropped: 56 });
  // A retry is no repeat of itself, and what has no key is none of anything.
  await publish(client, { subject: 'in.once', body: { k: 'fails' } });
  await publishMany(client, 2, () => ({ subject: 'in.once', body: {} }));
  expect(await until('once', 63)).toMatchObject({ delivered: 5, dropped: 56, deadLettered: 2, retries: 1 });

  const cloudEvent = (id: string, source: string) => ({
    'ce-specversion': '1.0',
    'ce-type': 't',
    'ce-id': id,
    'ce-source': source,
  });
  for (const [id, source] of [
    ['1', 'a'],
    ['1', 'b'],
    ['1', 'a'],
    ['2', 'a'],
  ] as const)
    await publish(client, { subject: 'in.ids', body: {}, headers: cloudEvent(id, source) });
  expect(await until('ids', 4)).toMatchObject({ delivered: 3, dropped: 1 });

  await publish(client, { subject: 'in.short', body: { k: 1 } });
  await until('short', 1);
  const remembered = async (): Promise<number> =>
    (await client.jsm.streams.info('OUZEL_SEEN', { subjects_filter: 'ouzel.seen.short.*' })).state.num_subjects ?? 0;
  const forgotten = async (): Promise<boolean> =>
    Object.keys(
      (await client.jsm.streams.info('OUZEL_SEEN', { subjects_filter: 'ouzel.seen.short.*' })).state.subjects ?? {},
    ).length === 0;
  expect(await remembered()).toBeGreaterThan(0);
  await waitFor(forgotten, { what: 'the key to be forgotten' });
  await publish(client, { subject: 'in.short', body: { k: 1 } });
  expect(await until('short', 2)).toMatchObject({ delivered: 2, dropped: 0 });

  await publishMany(client, 34, (n) => ({ subject: 'in.fifth', body: { user: n % 2 } }));
  expect(await until('fifth', 34)).toMatchObject({ delivered: 6, dropped: 28 });

  // All that is known is on the server.
  await Promise.all(daemons.map((daemon) => daemon.kill()));
  daemons = [await startDaemon(config, { server })];
  await publish(client, { subject: 'in.once', body: { k: 'k1' } });
  await publishMany(client, 6, (n) => ({ subject: 'in.fifth', body: { user: n % 2 } }));
  expect(await until('once', 1)).toMatchObject({ dropped: 1 });
  expect(await until('fifth', 6)).toMatchObject({ delivered: 2, dropped: 4 });
}, 120_000);
