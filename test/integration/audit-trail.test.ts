/** The trail of outcomes in a real stream: all that ended is in it, whatever ends the process; and whoever was at it is found. */
import { beforeAll, expect, it } from 'vitest';
import { batchText, type Link, readBatch, writeBatch } from '../../src/audit/chain.ts';
import type { TrailRecord } from '../../src/audit/record.ts';
import type { Verdict } from '../../src/audit/verify.ts';
import { runCli } from '../helpers/cli.ts';
import { type Daemon, startDaemon } from '../helpers/daemon.ts';
import { outcomesOf, untilEnded } from '../helpers/outcomes.ts';
import { addStream, type Client, connectTo, publishMany } from '../helpers/publish.ts';
import { type HttpTarget, startHttpTarget } from '../helpers/http-target.ts';
import { startServer, type TestServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const STREAM = 'OUZEL_OUTCOMES';
const EVENTS = 150;

let server: TestServer;
let client: Client;
let target: HttpTarget;
const config = (mode: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EV: { subjects: ["ev.>"], strip: "ev.", key: event.data.id } }
consumers:
  slow: { stream: EV, start: all, ack_wait: 5s, prefetch: 100, deliver: [{ to: { webhook: { url: "${target.url}/in", allow_private: true } } }] }
  odd: { stream: EV, start: all, ack_wait: 5s, pipeline: [{ filter: event.data.n % 2 == 1 }] }
audit: { mode: ${mode} }
`;

beforeAll(async () => {
  server = await startServer();
  client = await connectTo(server);
  target = await startHttpTarget();
});

/** The records of all batches, in their order. */
async function records(): Promise<TrailRecord[]> {
  return (await stored()).flatMap(({ bytes }) => readBatch(batchText(bytes)).records);
}

interface Stored {
  readonly sequence: number;
  readonly subject: string;
  readonly bytes: Uint8Array;
}

async function stored(): Promise<Stored[]> {
  const { state } = await client.jsm.streams.info(STREAM);
  const found: Stored[] = [];
  for (let seq = state.first_seq; seq <= state.last_seq; seq++) {
    const message = await client.jsm.streams.getMessage(STREAM, { seq });
    if (message !== null) found.push({ sequence: seq, subject: message.subject, bytes: message.data });
  }
  return found;
}

async function verify(daemon: Daemon, ...args: string[]): Promise<{ code: number | null; verdict: Verdict }> {
  const { code, stdout, stderr } = await runCli(['audit', 'verify', '--json', '-c', daemon.configFile, ...args]);
  expect(stderr).toBe('');
  return { code, verdict: JSON.parse(stdout) as Verdict };
}

/** The same batch, in which an event that was delivered was filtered. */
function forged(bytes: Uint8Array): Uint8Array {
  const [link = '', ...lines] = batchText(bytes).trimEnd().split('\n');
  return writeBatch(
    JSON.parse(link) as Link,
    lines.map((line) => Buffer.from(`${line.replace('delivered', 'filtered')}\n`)),
  );
}

/** What an outcome is of: the same however often it was recorded. */
const identityOf = (record: TrailRecord): string =>
  record.kind === 'act'
    ? record.act
    : `${record.consumer} ${record.stream} ${record.seq} ${record.stamp} ${record.run ?? ''}`;

it('has each outcome at least once where it is required, though the process is killed; and what is changed in it is found', async () => {
  target.answer = () => ({ delay: 5 });
  const first = await startDaemon(config('required'), { server });
  await publishMany(client, EVENTS, (n) => ({ subject: 'ev.order', body: { id: `o-${n}`, n } }));
  await target.untilRequests(EVENTS / 4);
  await first.kill();
  await using daemon = await startDaemon(config('required'), { server });
  await waitFor(
    async () => {
      const { num_pending, num_ack_pending } = await client.jsm.consumers.info('EV', 'slow');
      const odd = await client.jsm.consumers.info('EV', 'odd');
      return num_pending + num_ack_pending + odd.num_pending + odd.num_ack_pending === 0;
    },
    { timeout: 40_000, what: () => `all events to be acked. The log:\n${daemon.log().slice(-2_000)}` },
  );
  expect(await daemon.terminate()).toBe(0);

  const all = (await records()).filter(({ kind }) => kind === 'outcome');
  const ended = new Map(all.map((record) => [identityOf(record), record]));
  expect(ended.size).toBe(2 * EVENTS);
  const outcomes = [...ended.values()].map((record) => (record.kind === 'outcome' ? record.outcome : ''));
  expect(outcomes.filter((each) => each === 'filtered')).toHaveLength(EVENTS / 2);
  expect(
    all.find((record) => record.kind === 'outcome' && record.key === 'o-7' && record.consumer === 'slow'),
  ).toMatchObject({ outcome: 'delivered', stream: 'EV', seq: 8, id: 'EV:8', type: 'order', routes: ['webhook'] });
  const whole = await verify(daemon);
  expect(whole).toMatchObject({ code: 0, verdict: { faults: [], chains: 2, records: all.length } });

  // One is removed.
  const batches = await stored();
  // Of the longer chain: the first process may have been killed behind its first batch.
  const chains = Object.values(Object.groupBy(batches, ({ subject }) => subject));
  const [chain = []] = chains.toSorted((left = [], right = []) => right.length - left.length);
  expect(chain.length).toBeGreaterThan(2);
  const victim = chain[1] as Stored;
  await client.jsm.streams.deleteMessage(STREAM, victim.sequence);
  expect(await verify(daemon)).toMatchObject({
    code: 1,
    verdict: { faults: [{ kind: 'missing', number: 1, batches: 1, chain: victim.subject.split('.').at(-1) }] },
  });

  // All are written anew, and one otherwise.
  await client.jsm.streams.purge(STREAM);
  for (const { sequence, subject, bytes } of batches)
    await client.js.publish(subject, sequence === victim.sequence ? forged(bytes) : bytes);
  expect((await verify(daemon)).verdict.faults).toMatchObject([{ kind: 'changed', number: 1 }]);
}, 120_000);

it('that is required and full blocks its consumers, and nothing is lost', async () => {
  await using own = await startServer();
  await using client = await connectTo(own);
  await addStream(client, STREAM, ['ouzel.outcomes.*'], { storage: 'file', max_msgs: 1, discard: 'new' });
  await using daemon = await startDaemon(
    `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EV: { subjects: ["ev.>"] } }
consumers: { all: { stream: EV, start: all } }
audit: { mode: required }
`,
    { server: own },
  );
  await client.jsm.streams.update(STREAM, { max_msgs: 1, discard: 'new' });
  await publishMany(client, 1, (n) => ({ subject: 'ev.a', body: { n } }));
  await untilEnded(daemon, 'all', 1);
  await publishMany(client, 20, (n) => ({ subject: 'ev.a', body: { n } }));
  await waitFor(async () => (await daemon.total('ouzel_consumer_state', { consumer: 'all', state: 'blocked' })) === 1, {
    what: () => `the consumer to be blocked. The log:\n${daemon.log()}`,
  });
  expect((await fetch(`${daemon.http}/readyz`)).status).toBe(503);
  expect(outcomesOf(await daemon.metrics(), 'all')).toMatchObject({ delivered: 1 });
  expect((await client.jsm.consumers.info('EV', 'all')).ack_floor.stream_seq).toBe(1);
  expect(daemon.log()).toContain('the audit cannot be stored');
  await client.jsm.streams.update(STREAM, { max_msgs: -1, discard: 'old' });
  await untilEnded(daemon, 'all', 21);
  await waitFor(async () => (await client.jsm.consumers.info('EV', 'all')).ack_floor.stream_seq === 21, {
    what: 'all to be acked',
  });
  expect(await daemon.total('ouzel_audit_dropped_total')).toBe(0);
}, 60_000);
