/** The table of records, in both databases and behind a daemon. */
import { describe, expect, it } from 'vitest';
import { join } from 'node:path';
import { AuditStore } from '../../src/audit/store.ts';
import type { Found } from '../../src/audit/query.ts';
import type { Verdict } from '../../src/audit/verify.ts';
import type { ShownRecord, Timeline } from '../../src/audit/show.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { noPostgres, startPostgres } from '../helpers/postgres.ts';
import { connectTo, publishMany, readStream } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';
import { waitFor } from '../helpers/wait.ts';

const missing = await noPostgres();

const found = (seq: number, more: Partial<Found['record']> = {}): Found => ({
  instance: 'host-1',
  record: {
    kind: 'outcome',
    outcome: 'delivered',
    at: Date.UTC(2026, 0, 1) + seq,
    consumer: 'billing',
    stream: 'EVENTS',
    seq,
    stamp: `17672256000000000${seq}`,
    id: `EVENTS:${seq}`,
    type: seq % 2 === 0 ? 'orders.paid' : 'orders.created',
    key: `o-${seq}`,
    ms: 1.5,
    ...more,
  } as Found['record'],
});

describe.each([
  ['SQLite', undefined],
  ['PostgreSQL', missing],
])('in %s', (name, reason) => {
  it.skipIf(reason !== undefined)('records are there once, however often they are written, and are found', async () => {
    const url =
      name === 'SQLite' ? `sqlite:${join(await temporaryDirectory('audit'), 'audit.db')}` : (await startPostgres()).url;
    const store = new AuditStore(url);
    const all = [1, 2, 3, 4].map((seq) => found(seq));
    await store.write([...all, found(2, { attempt: 2 })]);
    await store.write(all.slice(2));
    await store.write([
      found(1, { kind: 'attempt', code: 'TARGET_REJECTED', error: 'nul \0 "x"', delay: 1 } as object),
    ]);
    const ask = async (selectors: Parameters<AuditStore['select']>[0], limit = 10) =>
      (await store.select(selectors, limit)).found.map(({ record }) => `${record.kind} ${record.seq}`);
    expect(await ask({ consumer: 'billing' })).toHaveLength(5);
    expect((await ask({ event: 'o-1' })).toSorted()).toEqual(['attempt 1', 'outcome 1']);
    expect(await ask({ event: 'EVENTS:3' })).toEqual(['outcome 3']);
    expect(await ask({ type: '*.paid' })).toEqual(['outcome 2', 'outcome 4']);
    expect(await ask({ since: '2026-01-01T00:00:00.004Z' })).toEqual(['outcome 4']);
    expect(await store.select({ outcome: 'delivered' }, 2)).toMatchObject({
      more: true,
      found: [{ record: { seq: 3 } }, { record: { seq: 4 } }],
    });
    expect((await store.select({ key: 'o-2' }, 10)).found).toEqual([found(2, { attempt: 2 })]);
    expect((await store.select({}, 10, ({ seq }) => seq === 1)).found).toHaveLength(2);
    expect(await store.clear(Date.UTC(2026, 0, 1) + 3)).toBe(2);
    expect(await ask({ outcome: 'delivered' })).toEqual(['outcome 1', 'outcome 2']);
    await store.close();
  });
});

it('a daemon keeps the table up to date, and it is made anew from the stream', { timeout: 120_000 }, async () => {
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(
    `version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams: { EV: { subjects: ["ev.>"], strip: "ev.", key: event.data.id } }
consumers: { odd: { stream: EV, start: all, pipeline: [{ filter: event.data.n % 2 == 1 }] } }
audit: { store: "sqlite:audit.db", payloads: true }
`,
    { server },
  );
  await publishMany(client, 300, (n) => ({ subject: 'ev.order', body: { id: `o-${n}`, n } }));
  await untilEnded(daemon, 'odd', 300);
  const store = new AuditStore(`sqlite:${join(daemon.directory, 'audit.db')}`);
  const count = async (): Promise<number> => (await store.select({}, 1_000)).found.length;
  await waitFor(async () => (await count()) === 300, { what: () => `300 rows. The log:\n${daemon.log()}` });
  const cli = async <T>(...args: string[]): Promise<T> => {
    const { code, stdout, stderr } = await runCli(['audit', ...args, '--json', '-c', daemon.configFile]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    return JSON.parse(stdout) as T;
  };
  const { events } = await cli<{ events: Timeline[] }>('o-7');
  expect(events).toMatchObject([{ stream: 'EV', sequence: 8, key: 'o-7', steps: [{ outcome: 'delivered' }] }]);
  const answer = await fetch(`${daemon.http}/api/v1/audit?outcome=filtered&limit=1000`);
  const { records } = (await answer.json()) as { records: ShownRecord[] };
  expect(records).toHaveLength(150);

  expect(await store.clear(0)).toBe(300);
  expect(await cli('rebuild')).toEqual({ records: 300 });
  expect(await count()).toBe(300);
  await store.close();

  // The data stands apart: it is erased, and the trail stays whole.
  const plain = async (...args: string[]): Promise<string> =>
    (await runCli(['audit', ...args, '-c', daemon.configFile])).stdout;
  expect(await plain('o-7', '--data')).toContain('{"id":"o-7","n":7}');
  expect(await cli('forget', '--key', 'o-7', '--yes')).toEqual({ erased: 1 });
  expect(await plain('o-7', '--data')).toContain('Its data was erased.');
  expect(await plain('o-8', '--data')).toContain('{"id":"o-8","n":8}');
  const acts = (await readStream(client, 'OUZEL_AUDIT')).map(({ body }) => JSON.parse(body) as object);
  expect(acts).toMatchObject([{ what: 'audit.forget', after: { key: 'o-7', erased: 1 } }]);
  expect(await cli<Verdict>('verify')).toMatchObject({ faults: [], acts: 1, chains: 2 });
});
