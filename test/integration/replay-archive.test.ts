/** Events that are gone from their stream, replayed from an archive: as they were, and kept no second time. */
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { openDatabase } from '../../src/sql/database.ts';
import { runCli } from '../helpers/cli.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { noPostgres, startPostgres } from '../helpers/postgres.ts';
import { connectTo, type Outgoing, publish, publishMany, readStream } from '../helpers/publish.ts';
import { temporaryDirectory } from '../helpers/resources.ts';
import { startServer } from '../helpers/server.ts';

const missing = await noPostgres();

const config = (url: string): string => `
version: 1
nats: { servers: "@NATS@" }
http: { listen: "@HTTP@" }
streams:
  EVENTS: { subjects: ["events.>"], strip: "events.", storage: memory, key: event.data.id }
  OUT: { subjects: ["out.>"], storage: memory }
targets:
  archive: { sql: { url: "${url}", archive: true } }
  other: { log: {} }
consumers:
  keep: { stream: EVENTS, start: all, deliver: [{ to: archive }] }
  billing:
    stream: EVENTS
    start: all
    deliver: [{ name: out, to: { publish: { subject: out.billing, headers: { subject: "{{ msg.subject }}", seq: "{{ msg.seq }}" } } } }]
`;

const ENVELOPE = { specversion: '1.0', id: 'c-1', source: '/s', type: 'wrapped', tenant: 't', data: { id: 'o-1' } };
/** Every form in which an event can come. */
const FORMS: readonly Outgoing[] = [
  { subject: 'events.plain', body: '{ "id": "o-1",  "n": 1.50, "big": 12345678901234567890 }', id: 'm-1' },
  {
    subject: 'events.headers',
    body: { id: 'o-1' },
    headers: { 'X-Tenant': 'blue', 'Content-Type': 'application/json' },
  },
  { subject: 'events.text', body: 'hello', headers: { 'Content-Type': 'text/plain' } },
  {
    subject: 'events.bytes',
    body: new Uint8Array([0, 255, 1]),
    headers: { 'Content-Type': 'application/octet-stream' },
  },
  { subject: 'events.empty' },
  { subject: 'events.nul', body: '{"id":"o-1","text":"a\\u0000b"}' },
  {
    subject: 'events.binary',
    body: { id: 'o-1' },
    headers: { 'ce-specversion': '1.0', 'ce-id': 'b-1', 'ce-source': '/s', 'ce-type': 'bin', 'ce-tenant': 't' },
  },
  { subject: 'events.wrapped', body: ENVELOPE, headers: { 'Content-Type': 'application/cloudevents+json' } },
  { subject: 'events.undeclared', body: { ...ENVELOPE, id: 'c-2' } },
];
const MANY = 600;

describe.each(['sqlite', 'postgres'] as const)('from %s', (kind) => {
  test.skipIf(kind === 'postgres' && missing !== undefined)(
    'every form of event comes as it came first, in order, and is archived once',
    async () => {
      const url =
        kind === 'sqlite'
          ? `sqlite:${join(await temporaryDirectory('archive'), 'archive.db')}`
          : (await startPostgres()).url;
      const server = await startServer();
      const client = await connectTo(server);
      const daemon = await startDaemon(config(url), { server });
      for (const form of FORMS) await publish(client, form);
      await publishMany(client, MANY, (index) => ({ subject: 'events.many', body: { id: `n-${index % 5}`, index } }));
      const all = FORMS.length + MANY;
      await untilEnded(daemon, 'keep', all, 60_000);
      await untilEnded(daemon, 'billing', all);
      await client.jsm.streams.purge('EVENTS');

      const ouzel = (...args: readonly string[]) => runCli(['replay', ...args, '-c', daemon.configFile]);
      expect((await ouzel('EVENTS', '--to', 'billing', '--dry-run')).stdout).toContain('No event matches, of 0.\n');
      const keyed = await ouzel(
        'EVENTS',
        '--from',
        'archive',
        '--to',
        'billing',
        '--key',
        'n-3',
        '--dry-run',
        '--json',
      );
      expect(JSON.parse(keyed.stdout)).toMatchObject({ total: all, read: all, selected: MANY / 5 });
      const done = await ouzel('EVENTS', '--from', 'archive', '--to', 'billing,keep', '--run', 'past', '--json');
      expect(done).toMatchObject({ code: 0, stderr: '' });
      expect(JSON.parse(done.stdout)).toMatchObject({ state: 'done', handed: { billing: all, keep: all } });
      await untilEnded(daemon, 'billing', 2 * all, 60_000);
      await untilEnded(daemon, 'keep', 2 * all, 60_000);

      const sent = (await readStream(client, 'OUT')).map(({ headers, body }) => {
        const { 'Nats-Msg-Id': _id, 'Ouzel-Replay': replay, ...others } = headers;
        return { replay, message: { headers: others, body } };
      });
      const first = sent.filter(({ replay }) => replay === undefined).map(({ message }) => message);
      const again = sent.filter(({ replay }) => replay === 'past').map(({ message }) => message);
      expect(again).toEqual(first);
      const database = openDatabase({ url, timeout: 10_000, connections: 1 });
      const limit = { most: 1, beyond: 'refuse' } as const;
      const rows = await database.query('SELECT count(*) AS n FROM events', [], limit, AbortSignal.timeout(10_000));
      await database.close();
      expect(Number(rows[0]?.['n'])).toBe(all);

      expect((await ouzel('EVENTS', '--from', 'other', '--to', 'billing')).stderr).toContain('"other" is no archive');
      expect((await ouzel('EVENTS', '--from', 'gone', '--to', 'billing')).stderr).toContain(
        'there is no target "gone"',
      );
    },
    120_000,
  );
});
