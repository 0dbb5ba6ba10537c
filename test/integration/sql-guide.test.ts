/** What the guide shows, at work: orders into PostgreSQL, and an archive beside them. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openDatabase } from '../../src/sql/database.ts';
import { startDaemon } from '../helpers/daemon.ts';
import { untilEnded } from '../helpers/outcomes.ts';
import { noPostgres, startPostgres } from '../helpers/postgres.ts';
import { connectTo, publish } from '../helpers/publish.ts';
import { startServer } from '../helpers/server.ts';

const GUIDE = join(import.meta.dirname, '..', '..', 'docs', 'guides', 'sql.md');
const missing = await noPostgres();

test.skipIf(missing !== undefined)('orders into PostgreSQL, and an archive of them', { timeout: 120_000 }, async () => {
  const guide = await readFile(GUIDE, 'utf8');
  const [orders = '', archive = ''] = [...guide.matchAll(/```yaml\n(.*?)```/gs)].map(([, text]) => text);
  const events = [...guide.matchAll(/^nats pub (\S+) '(.*)'$/gm)].map(([, subject = '', body = '']) => ({
    subject,
    body,
  }));
  const selects = [...guide.matchAll(/-c '(select .*)'$|^(select .*);$/gm)].map(([, one, other]) => one ?? other ?? '');
  expect([events.length, selects.length]).toEqual([2, 2]);

  const postgres = await startPostgres();
  const server = await startServer();
  const client = await connectTo(server);
  const daemon = await startDaemon(
    orders
      .replace(/nats: .*/, 'nats: { servers: "@NATS@" }\nhttp: { listen: "@HTTP@" }')
      .replaceAll('/run/secrets/', 'secrets/'),
    {
      server,
      files: {
        'secrets/pg': postgres.url,
        'conf.d/archive.yaml': archive.replaceAll('/run/secrets/', '../secrets/'),
      },
    },
  );
  for (const event of events) await publish(client, event);
  await untilEnded(daemon, 'orders', 2);
  await untilEnded(daemon, 'archive', 2);
  const database = openDatabase({ url: postgres.url, timeout: 10_000, connections: 1 });
  const limit = { most: 10, beyond: 'refuse' } as const;
  const ask = (text: string) => database.query(text, [], limit, new AbortController().signal);
  expect(await ask(selects[0] ?? '')).toEqual([{ id: 'o-1', customer: 'c-7', total: 19.5, note: 'paid' }]);
  const [archived, ...others] = await ask(selects[1] ?? '');
  expect(others).toEqual([]);
  expect(archived).toMatchObject({ key: 'o-1', '?column?': '19.5' });
  const [{ document } = {}] = await ask('select document from orders');
  expect(document).toMatchObject({ type: 'orders.paid', data: { id: 'o-1' } });
  await database.close();
});
