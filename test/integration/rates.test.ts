/** `rate_limit` and `throttle`, by one instance and by a fleet. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { outcomesOf } from '../helpers/outcomes.ts';
import { addStream, connectTo, publishMany } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

test('three instances share a throttle, and drop by one rate limit', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const target = await startHttpTarget(() => ({ status: 200 }));
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
targets:
  partner: { webhook: { url: '${target.url}', allow_private: true }, throttle: { limit: 50, per: 1s, burst: 5 } }
consumers:
  slow: { stream: IN, start: all, subjects: [in.slow], prefetch: 20, deliver: [{ to: partner }] }
  few: { stream: IN, start: all, subjects: [in.few.*], prefetch: 20, rate_limit: { limit: 40, per: 30d, by: msg.subject } }
`;
  await publishMany(client, 200, (n) => ({ subject: 'in.slow', body: { n } }));
  await publishMany(client, 600, (n) => ({ subject: `in.few.${n % 2}`, body: { n } }));
  const daemons = await Promise.all([1, 2, 3].map(() => startDaemon(config, { server })));
  const sum = async (consumer: string, what: 'delivered' | 'dropped'): Promise<number> => {
    const all = await Promise.all(daemons.map(async (daemon) => outcomesOf(await daemon.metrics(), consumer)));
    return all.reduce((total, each) => total + each[what], 0);
  };
  await waitFor(async () => (await sum('few', 'delivered')) + (await sum('few', 'dropped')) === 600, { what: 'few' });
  expect(await sum('few', 'delivered')).toBe(80);
  await waitFor(() => target.requests.length === 200, { what: 'all deliveries', timeout: 60_000 });
  // Each of them waited until it might go, and nobody lost the rate that all of them have together.
  const [first, last] = [target.requests[0]?.at ?? 0, target.requests.at(-1)?.at ?? 0];
  const tolerance = 1;
  expect(200).toBeLessThanOrEqual(5 + 50 * ((last - first) / 1000 + tolerance));
  const waited = await Promise.all(
    daemons.map((daemon) => daemon.total('ouzel_throttled_seconds_total', { consumer: 'slow', target: 'partner' })),
  );
  expect(waited.reduce((total, each) => total + each, 0)).toBeGreaterThan(1);
  expect(await sum('slow', 'delivered')).toBe(200);
}, 90_000);
