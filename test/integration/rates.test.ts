/** The guide to limits, run: three instances share a throttle and a rate limit. */
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { outcomesOf } from '../helpers/outcomes.ts';
import { connectTo, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { readPage, runSteps } from '../helpers/transcript.ts';
import { waitFor } from '../helpers/wait.ts';

const PAGE = 'limits.md';

test(`docs/guides/${PAGE} does what it says, on three instances`, { timeout: 240_000 }, async () => {
  const page = await readPage(fileURLToPath(new URL(`../../docs/guides/${PAGE}`, import.meta.url)));
  const partner = await startHttpTarget(() => ({ status: 200 }));
  const config = page.config
    .replace('127.0.0.1:9464', '"@HTTP@"')
    .replace('nats://127.0.0.1:4222', '"@NATS@"')
    .replace('url: https://partner.example', `allow_private: true, url: ${partner.url}`);
  const server = await startServer();
  const start = () => startDaemon(config, { server, timeout: 90_000 });
  const first = await start();
  const client = await connectTo(server);
  const others = await Promise.all([start(), start()]);
  const daemons = [first, ...others];
  const sum = async (consumer: string, what: 'delivered' | 'dropped' | 'retries' | 'deadLettered'): Promise<number> => {
    const all = await Promise.all(daemons.map(async (daemon) => outcomesOf(await daemon.metrics(), consumer)));
    return all.reduce((total, each) => total + each[what], 0);
  };
  await publishMany(client, 200, (n) => ({ subject: 'orders.placed', body: { n } }));
  await publishMany(client, 600, (n) => ({ subject: 'orders.shipped', body: { customer: `c-${n % 2}` } }));
  await waitFor(async () => (await sum('notices', 'delivered')) + (await sum('notices', 'dropped')) === 600, {
    what: 'all notices',
    timeout: 60_000,
  });
  expect(await sum('notices', 'delivered')).toBe(80);

  await waitFor(() => partner.requests.length === 200, { what: 'all deliveries', timeout: 60_000 });
  const [begun, ended] = [partner.requests[0]?.at ?? 0, partner.requests.at(-1)?.at ?? 0];
  // Of the first request it is known only that it went before it came.
  const tolerance = 1;
  expect(200).toBeLessThanOrEqual(5 + 50 * ((ended - begun) / 1000 + tolerance));
  await waitFor(async () => (await sum('forward', 'delivered')) === 200, { what: 'all outcomes' });
  expect([await sum('forward', 'retries'), await sum('forward', 'deadLettered')]).toEqual([0, 0]);
  const waited = await Promise.all(
    daemons.map((daemon) => daemon.total('ouzel_throttled_seconds_total', { consumer: 'forward', target: 'partner' })),
  );
  expect(waited.reduce((total, each) => total + each, 0)).toBeGreaterThan(1);

  // What was counted outlives who counted it, and a change of something else.
  await first.terminate();
  daemons.shift();
  await others[0]?.write(config.concat('    prefetch: 50\n'));
  await waitFor(async () => (await others[0]?.total('ouzel_config_generation')) === 2, { what: 'the change' });
  const before = await sum('notices', 'dropped');
  await publishMany(client, 10, (n) => ({ subject: 'orders.shipped', body: { customer: `c-${n % 2}` } }));
  await waitFor(async () => (await sum('notices', 'dropped')) === before + 10, { what: 'those that are too many' });

  await runSteps(PAGE, page.steps, {
    directory: first.directory,
    names: [],
    nats: () => Promise.reject(new Error('the page has no nats')),
  });
});
