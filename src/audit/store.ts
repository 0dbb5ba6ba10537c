/** Records in a table of SQLite or PostgreSQL: found by index where the stream has to be read, and kept longer. */
import { isoTime } from '../core/time.ts';
import { type Database, dialectOf, openDatabase, type Parameter, type Row } from '../sql/database.ts';
import { type Insert, quoted, quotedTable } from '../sql/insert.ts';
import { createTable, type Dialect, type Table } from '../sql/table.ts';
import type { Value } from '../sql/values.ts';
import type { AuditSelectors, EventRecord, Found, Selection } from './query.ts';
import { auditQuery } from './query.ts';

export const AUDIT_TABLE = 'ouzel_audit';

const COLUMNS = {
  at: { type: 'timestamptz', required: true },
  consumer: { type: 'text', required: true },
  stream: { type: 'text', required: true },
  // Nanoseconds since the epoch: more digits than an instant of PostgreSQL has.
  stamp: { type: 'text', required: true },
  sequence: { type: 'bigint', required: true },
  // Empty for the first passage: what is unique must not be NULL.
  run: { type: 'text', required: true },
  // `outcome`, or `attempt` with its number and time: an event has many of those.
  item: { type: 'text', required: true },
  outcome: { type: 'text' },
  reason: { type: 'text' },
  id: { type: 'text' },
  type: { type: 'text' },
  key: { type: 'text' },
  trace_id: { type: 'text' },
  instance: { type: 'text', required: true },
  record: { type: 'json', required: true },
} as const satisfies Table['columns'];

const UNIQUE = ['stream', 'stamp', 'sequence', 'consumer', 'run', 'item'] as const;
const TABLE: Table = { name: AUDIT_TABLE, columns: COLUMNS, unique: UNIQUE, indexes: ['at', 'id', 'key'] };
const INSERT: Insert = {
  table: AUDIT_TABLE,
  columns: Object.keys(COLUMNS),
  conflict: { columns: UNIQUE, action: 'update' },
};

/** Milliseconds that a statement may take. */
const TIMEOUT = 30_000;
const CONNECTIONS = 2;

/** What PostgreSQL cannot have in a text. */
const storable = (text: string | undefined): string | undefined => text?.replaceAll('\0', '\ufffd').toWellFormed();

const itemOf = (record: EventRecord): string =>
  record.kind === 'outcome' ? 'outcome' : `attempt ${record.attempt ?? 1} ${record.at}`;

function rowOf({ record, instance }: Found): readonly Value[] {
  const { at, consumer, stream, stamp, seq, run = '', id, type, key, trace } = record;
  const { outcome, reason } = record.kind === 'outcome' ? record : {};
  const text = [isoTime(at), consumer, stream, stamp, seq, run, itemOf(record), outcome, reason, id, type, key, trace];
  const clean: unknown = JSON.parse(JSON.stringify(record), (_name, value: unknown) =>
    typeof value === 'string' ? storable(value) : value,
  );
  return [...text.map((each) => (typeof each === 'string' ? storable(each) : each)), instance, clean];
}

export class AuditStore {
  readonly database: Database;
  readonly dialect: Dialect;
  readonly #abort = new AbortController();
  #made: Promise<void> | undefined;

  /** @param url As `audit.store` has it, with an absolute path. */
  constructor(url: string) {
    this.database = openDatabase({ url, timeout: TIMEOUT, connections: CONNECTIONS, write: true });
    this.dialect = dialectOf(url);
  }

  /** Writes records; those that are there already are written anew. @throws OuzelError as `Database.insert` */
  async write(found: readonly Found[]): Promise<void> {
    if (found.length === 0) return;
    await this.#ready();
    // PostgreSQL does not change one row twice in a statement: of the same outcome, the last word counts.
    const rows = new Map(found.map((each) => [`${each.record.consumer} ${placeOf(each.record)}`, rowOf(each)]));
    const refusals = await this.database.insert(INSERT, [...rows.values()], this.#abort.signal);
    const refusal = refusals.find((each) => each !== undefined);
    if (refusal !== undefined) throw refusal;
  }

  /** @param from Takes away what was recorded since then; milliseconds since the epoch. */
  async clear(from: number): Promise<number> {
    await this.#ready();
    return this.database.execute(
      `DELETE FROM ${quotedTable(AUDIT_TABLE)} WHERE at >= ${this.#instant('$1')}`,
      [isoTime(from)],
      this.#abort.signal,
    );
  }

  /** As `selectRecords`, of the table. @throws OuzelError USAGE, and as `Database.query` */
  async select(
    selectors: AuditSelectors,
    limit: number,
    permits: (record: EventRecord) => boolean = () => true,
  ): Promise<Selection> {
    await this.#ready();
    const query = auditQuery(selectors);
    const { text, parameters } = this.#where(selectors, query.since, query.until);
    const found: Found[] = [];
    // What the table cannot decide (patterns, permissions) is decided here, a page at a time.
    for (let skip = 0; found.length <= limit; skip += PAGE) {
      const page = `ORDER BY at DESC, sequence DESC LIMIT ${PAGE} OFFSET ${skip}`;
      const rows = await this.database.query(
        `SELECT instance, record FROM ${quotedTable(AUDIT_TABLE)} WHERE ${text} ${page}`,
        parameters,
        { most: PAGE, beyond: 'leave' },
        this.#abort.signal,
      );
      for (const row of rows) {
        const each = foundOf(row);
        if (query.matches(each.record) && permits(each.record)) found.push(each);
      }
      if (rows.length < PAGE) break;
    }
    const more = found.length > limit;
    return { found: found.slice(0, limit).toReversed(), more, lookedFrom: undefined };
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.database.close();
  }

  #where(selectors: AuditSelectors, since: number, until: number): { text: string; parameters: Parameter[] } {
    const parameters: Parameter[] = [];
    const parameter = (value: Parameter): string => `$${parameters.push(value)}`;
    const parts = ['1 = 1'];
    for (const name of ['consumer', 'key', 'outcome', 'reason'] as const) {
      const value = selectors[name];
      if (value !== undefined) parts.push(`${quoted(name)} = ${parameter(value)}`);
    }
    if (since > 0) parts.push(`at >= ${this.#instant(parameter(isoTime(since)))}`);
    if (Number.isFinite(until)) parts.push(`at <= ${this.#instant(parameter(isoTime(until)))}`);
    const { event } = selectors;
    if (event !== undefined) {
      const [, stream, sequence] = /^([^:]+):(\d{1,15})$/.exec(event) ?? [];
      const place =
        stream === undefined ? '' : ` OR (stream = ${parameter(stream)} AND sequence = ${parameter(Number(sequence))})`;
      parts.push(`(id = ${parameter(event)} OR key = ${parameter(event)}${place})`);
    }
    return { text: parts.join(' AND '), parameters };
  }

  #instant(parameter: string): string {
    return this.dialect === 'postgres' ? `CAST(${parameter} AS timestamptz)` : parameter;
  }

  async #ready(): Promise<void> {
    const making = (this.#made ??= this.#make());
    try {
      await making;
    } catch (error) {
      this.#made = undefined;
      throw error;
    }
  }

  async #make(): Promise<void> {
    for (const text of createTable(this.dialect, TABLE)) await this.database.execute(text, [], this.#abort.signal);
  }
}

const PAGE = 1_000;

const placeOf = (record: EventRecord): string =>
  `${record.stream} ${record.stamp} ${record.seq} ${record.run ?? ''} ${itemOf(record)}`;

/** SQLite has the document as text. */
function foundOf({ instance, record }: Row): Found {
  const value = typeof record === 'string' ? (JSON.parse(record) as unknown) : record;
  return { instance: String(instance), record: value as EventRecord };
}
