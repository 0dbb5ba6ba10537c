/** `delay` and `expire`: events that wait for their instant, and events that come too late. */
import { expect, test } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { startHttpTarget } from '../helpers/http-target.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { addStream, connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

test('an event waits on the server, goes on behind the stage, and waits once however often it is tried', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  await addStream(client, 'IN', ['in.>']);
  const answers = [500, 200];
  const target = await startHttpTarget(({ headers }) => ({
    status: (headers['x-n'] === '1' ? answers.shift() : undefined) ?? 200,
  }));
  const config = `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
defaults: { retry: { attempts: 4, backoff: { first: 100ms, factor: 1, jitter: 0 } } }
targets: { partner: { webhook: { url: '${target.url}', allow_private: true, headers: { x-n: '{{ event.data.n }}' } } } }
consumers:
  waits: { stream: IN, start: all, subjects: [in.wait], delay: { until: event.data.due }, deliver: [{ to: partner }] }
  late: { stream: IN, start: all, subjects: [in.late], expire: { after: 1m, from: event.data.due } }
`;
  const daemon = await startDaemon(config, { server });
  const due = Date.now() + 3_000;
  await publish(client, { subject: 'in.wait', body: { n: 1, due: new Date(due).toISOString() } });
  await publish(client, { subject: 'in.wait', body: { n: 2, due: '2026-01-01T00:00:00Z' } });
  await waitFor(async () => (await daemon.total('ouzel_events_parked_total')) === 1, { what: 'one to be parked' });
  // It holds no ack slot, and its process may die meanwhile.
  await target.untilRequests(1);
  await waitFor(async () => (await client.jsm.consumers.info('IN', 'waits')).num_ack_pending === 0, {
    what: 'the acks',
  });
  await daemon.kill();
  const again = await startDaemon(config, { server });
  // It fails at first, and tried again: by then it has waited.
  const outcomes = await untilEnded(again, 'waits', 1);
  expect(outcomes).toMatchObject({ delivered: 1, parked: 0, retries: 1 });
  expect(Date.now()).toBeGreaterThanOrEqual(due - 1_000);
  expect(target.requests.map(({ headers }) => headers['x-n'])).toEqual(['2', '1', '1']);

  const ago = (seconds: number): string => new Date(Date.now() - seconds * 1000).toISOString();
  await publish(client, { subject: 'in.late', body: { due: ago(90) } });
  await publish(client, { subject: 'in.late', body: { due: ago(0) } });
  await publish(client, { subject: 'in.late', body: {} });
  await publish(client, { subject: 'in.late', body: { due: 'tomorrow' } });
  expect(await untilEnded(again, 'late', 4)).toMatchObject({ dropped: 1, delivered: 1, deadLettered: 2 });
}, 120_000);
