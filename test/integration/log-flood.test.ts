/** CASES.md, "Telemetry": a log line for each failing event of an outage is a flood. */
import { expect, it } from 'vitest';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory }
consumers:
  broken:
    stream: EVENTS
    pipeline: [{ filter: event.data.total / event.data.zero > 1 }]
`;

/** The same with 200,000 and a clock of its own: `unit/telemetry/economy.test.ts`. */
const FLOOD = 50_000;

it('is a few lines, whose counts add up to every failing event', { timeout: 180_000 }, async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server });
  const bad = JSON.stringify({ total: 1, zero: 0 });
  for (let index = 0; index < FLOOD; index++) {
    client.nc.publish('events.x', bad);
    if (index % 10_000 === 0) await client.nc.flush();
  }
  await client.nc.flush();
  const dead = { consumer: 'broken', outcome: 'dead_lettered' };
  await waitFor(async () => (await daemon.total('ouzel_events_total', dead)) === FLOOD, {
    what: 'all events to be dead letters',
    timeout: 150_000,
    every: 200,
  });

  const lines = () => daemon.logLines().filter(({ msg }) => /event went into the dead letters/.test(String(msg)));
  const left = () => lines().reduce((sum, { suppressed }) => sum + Number(suppressed ?? 0), 0);
  const written = () => lines().filter(({ msg }) => !String(msg).startsWith('left out: ')).length;
  await waitFor(() => written() + left() === FLOOD, {
    what: () => `${written()} lines and ${left()} left out to be ${FLOOD}`,
    timeout: 20_000,
  });
  expect(await daemon.total('ouzel_log_lines_suppressed_total')).toBe(left());
  expect(lines().length).toBeLessThan(200);
  expect(lines().at(-1)).toMatchObject({ consumer: 'broken', code: 'EVENT_EXPRESSION', reason: 'expression_error' });

  // The first that succeeds ends it.
  client.nc.publish('events.x', JSON.stringify({ total: 5, zero: 1 }));
  const over = () => daemon.logLines().find(({ msg }) => msg === 'events are handled again');
  expect(await waitFor(over, { what: 'the all-clear', timeout: 20_000 })).toMatchObject({
    consumer: 'broken',
    failures: FLOOD,
  });
});
