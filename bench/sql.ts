/** Every event of the stream as a row: into SQLite, and into a PostgreSQL of its own, whose commits wait for the disk. */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openDatabase } from '../src/sql/database.ts';
import { startPostgres } from '../test/helpers/postgres.ts';
import { daemonWorkload, DURABLE, type Workload } from './daemon.ts';
import { STREAM, SUBJECTS } from './events.ts';

const VALUES = ['id', 'customer', 'total', 'status', 'currency', 'created', 'items', 'email', 'note']
  .map((name) => `${name}: "{{ event.data.${name} }}"`)
  .join(', ');

const config = (url: string, address: string, database: string): string => `version: 1
nats: { servers: "${url}" }
http: { listen: "${address}" }
streams:
  ${STREAM}: { subjects: ["${SUBJECTS}"], strip: "events." }
consumers:
  ${DURABLE}:
    stream: ${STREAM}
    start: all
    deliver: [{ to: { sql: { url: "${database}", table: orders, create: true, key: [id], conflict: update, values: { ${VALUES} } } } }]
`;

const rows =
  (database: string): Workload =>
  async (bench) =>
    await daemonWorkload({
      config: (url, address) => config(url, address, database),
      async check({ events }) {
        const opened = openDatabase({ url: database, timeout: 60_000, connections: 1 });
        const { signal } = new AbortController();
        const limit = { most: 1, beyond: 'leave' } as const;
        const [counted] = await opened.query('SELECT count(*) AS rows FROM orders', [], limit, signal);
        await opened.close();
        if (counted?.['rows'] !== events) throw new Error(`${String(counted?.['rows'])} rows, not ${events}`);
        return {};
      },
    })(bench);

export const sqlite: Workload = async (bench) => {
  const folder = await mkdtemp(join(tmpdir(), 'ouzel-bench-sqlite-'));
  try {
    return await rows(`sqlite:${join(folder, 'orders.db')}`)(bench);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
};

export const postgres: Workload = async (bench) => {
  await using server = await startPostgres(true);
  return await rows(server.url)(bench);
};
