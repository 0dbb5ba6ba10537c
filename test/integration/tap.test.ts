/** The tap of a running daemon: what it shows, to whom, and that it holds nothing up. */
import { EventSource } from 'undici';
import { expect, it } from 'vitest';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';
import { openEvents } from '../helpers/sse.ts';
import { waitFor } from '../helpers/wait.ts';

const CONFIG = `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", key: event.data.id, storage: memory }
  OUT: { subjects: ["out.>"], storage: memory }
filters: { big: event.data.total > 1000 }
consumers:
  billing:
    stream: EVENTS
    types: ["orders.*"]
    pipeline: [big, { set: { data.vat: event.data.total * 0.2 } }]
    deliver:
      - { to: { publish: { subject: "out.{{ event.data.customer }}" } } }
  nowhere:
    stream: EVENTS
    types: ["flood"]
`;

const order = (data: object, type = 'orders.created') => ({ subject: `events.${type}`, body: data });

it('shows events as they are settled, by what is asked for', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG.replace('version: 1', 'version: 1 # ${TAP_SECRET:-}'), { server });
  const all = await openEvents(`${daemon.http}/api/v1/tap`);
  const letters = await openEvents(`${daemon.http}/api/v1/tap?consumer=billing&outcome=dead_lettered`);
  const large = await openEvents(`${daemon.http}/api/v1/tap?where=${encodeURIComponent('event.data.vat > 500')}`);

  await publish(client, order({ id: 'o-1', total: 1500, customer: 'c-7' }));
  await publish(client, order({ id: 'o-2', total: 10, customer: 'c-7' }));
  await publish(client, order({ id: 'o-3', total: 5000, customer: 'c-8' }));
  await publish(client, order({ id: 'o-4', total: 2000, customer: 'a.b' }));
  // Each consumer takes each event.
  await waitFor(() => all.dataOf('event').length === 8, { what: () => `8 events: ${JSON.stringify(all.events)}` });

  const shown = all.dataOf('event').filter(({ consumer }) => consumer === 'billing');
  const byKey = Object.fromEntries(shown.map((each) => [String(each['key']), each]));
  expect(byKey['o-1']).toMatchObject({
    outcome: 'delivered',
    reason: '',
    stream: 'EVENTS',
    seq: 1,
    subject: 'events.orders.created',
    type: 'orders.created',
    id: 'EVENTS:1',
    attempt: 1,
    deliveries: [{ route: 'publish', target: 'publish', result: 'confirmed' }],
    data: { id: 'o-1', total: 1500, customer: 'c-7', vat: 300 },
  });
  expect(byKey['o-2']).toMatchObject({ outcome: 'filtered', reason: 'big', deliveries: [] });
  expect(byKey['o-4']).toMatchObject({ outcome: 'dead_lettered', error: { code: 'EVENT_INVALID_SUBJECT' } });
  expect(letters.dataOf('event').map(({ key }) => key)).toEqual(['o-4']);
  expect(large.dataOf('event').map(({ key }) => key)).toEqual(['o-3']);

  expect(await daemon.terminate()).toBe(0);
  expect(all.dataOf('end')).toEqual([{ reason: 'the daemon stops' }]);
});

it('answers only who sits at the machine, and only what it understands', async () => {
  const server = await startServer();
  const daemon = await startDaemon(CONFIG, { server });
  const asked = async (query: string, headers: Record<string, string> = {}) => {
    const { status, body } = await openEvents(`${daemon.http}/api/v1/tap${query}`, headers);
    return { status, ...(JSON.parse(body) as { code: string; message: string }) };
  };
  expect(await asked('', { host: 'evil.example' })).toMatchObject({ status: 403, code: 'FORBIDDEN' });
  expect(await asked('', { origin: 'https://evil.example' })).toMatchObject({ status: 403, code: 'FORBIDDEN' });
  expect(await asked('?consumer=nobody')).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  expect(await asked('?where=event.dat.x')).toMatchObject({ status: 400, code: 'USAGE' });
  expect(await asked('?shape=round')).toMatchObject({ status: 400, code: 'USAGE' });
  expect(await asked('?type=a&type=b')).toMatchObject({ status: 400, code: 'USAGE' });
});

it('holds nothing up, whatever the rate and however slow the reader', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server });
  const reading = await openEvents(`${daemon.http}/api/v1/tap?consumer=nowhere&outcome=delivered`);
  const stalled = await openEvents(`${daemon.http}/api/v1/tap?consumer=nowhere&outcome=delivered`);
  stalled.pause();
  const flood = 50_000;
  const body = JSON.stringify({ id: 'x', text: 'y'.repeat(1_000) });
  for (let index = 0; index < flood; index++) client.nc.publish('events.flood', body);
  await client.nc.flush();
  const settled = { consumer: 'nowhere', outcome: 'delivered' };
  await waitFor(async () => (await daemon.total('ouzel_events_total', settled)) === flood, {
    what: 'all events to be settled',
    timeout: 20_000,
  });
  // What was shown and what was left out is all that there was.
  const counted = (source: typeof reading): number =>
    source.dataOf('event').length + source.dataOf('left_out').reduce((sum, each) => sum + Number(each['left_out']), 0);
  await waitFor(() => counted(reading) === flood, { what: () => `${counted(reading)} of ${flood} to be counted` });
  stalled.resume();
  await waitFor(() => counted(stalled) === flood, { what: () => `${counted(stalled)} of ${flood} to be counted` });
  expect(reading.dataOf('event').length).toBeLessThan(flood / 10);
});

it('prints what is tapped', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server });
  const config = ['--config', daemon.configFile];
  const commands = [
    runCli(['tap', ...config, '--consumer', 'billing', '--type', 'orders.*', '--limit', '3']),
    runCli(['tap', '--url', daemon.http, '--key', 'o-3', '--json', '--limit', '1']),
  ];
  let ended = false;
  const results = Promise.all(commands).finally(() => (ended = true));
  // When the commands listen is not known, so there is something to see until they have seen enough.
  await waitFor(
    async () => {
      await publish(client, order({ id: 'o-1', total: 1500, customer: 'c-7', text: 'z'.repeat(100) }));
      await publish(client, order({ id: 'o-2', total: 10, customer: 'c-7' }));
      await publish(client, order({ id: 'o-3', total: 1500, customer: 'a b' }));
      return ended;
    },
    { what: 'the taps to end', timeout: 20_000 },
  );
  const [text, json] = await results;
  expect(text).toMatchObject({ code: 0, stderr: '' });
  const lines = text?.stdout.trimEnd().split('\n') ?? [];
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(80);
  expect(text?.stdout).toMatch(/^\d\d:\d\d:\d\d\.\d{3} {2}billing {2}(delivered|filtered|dead_lettered)/);
  expect(json?.code).toBe(0);
  const records = json?.stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(records).toHaveLength(1);
  expect(records?.[0]).toMatchObject({
    key: 'o-3',
    outcome: expect.stringMatching(/dead_lettered|delivered|filtered/) as string,
  });
});

it('says what is wrong when nobody answers', async () => {
  const none = await runCli(['tap', '--url', 'http://127.0.0.1:9']);
  expect(none).toMatchObject({ code: 69, stdout: '' });
  expect(none.stderr).toMatch(/the daemon at http:\/\/127\.0\.0\.1:9: /);
});

it('is a feed for any client of server-sent events, which a proxy passes on at once', async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(CONFIG, { server });
  const source = new EventSource(`${daemon.http}/api/v1/tap?consumer=billing`);
  const shown: Record<string, unknown>[] = [];
  source.addEventListener('event', (event) => {
    shown.push(JSON.parse(String((event as MessageEvent).data)) as Record<string, unknown>);
  });
  try {
    await waitFor(() => source.readyState === EventSource.OPEN, { what: 'the feed to open' });
    // Line breaks in an event do not end it.
    await publish(client, order({ id: 'o-1\n\nevent: end\ndata: {}', total: 1500, customer: 'c-7' }));
    await waitFor(() => shown.length === 1, { what: 'the event' });
    expect(shown[0]).toMatchObject({ key: 'o-1\n\nevent: end\ndata: {}', outcome: 'delivered' });
  } finally {
    source.close();
  }
  const { headers, body } = await fetch(`${daemon.http}/api/v1/tap`);
  await body?.cancel();
  expect(headers.get('content-type')).toBe('text/event-stream');
  expect(headers.get('x-accel-buffering')).toBe('no');
});
