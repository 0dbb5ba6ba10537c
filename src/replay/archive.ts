/** An archive (`sql: { archive: true }`) as the source of a replay. */
import type { Config } from '../config/schema.ts';
import { OuzelError } from '../errors.ts';
import { type Database, openDatabase, dialectOf, type Parameter, type Row } from '../sql/database.ts';
import { quotedTable } from '../sql/insert.ts';
import type { Decoder } from '../core/event.ts';
import { decoderOf } from '../reconcile/build.ts';
import { type ArchivedRow, restored } from './restore.ts';
import type { Extent, ReplayRange, ReplaySource, StoredEvent } from './source.ts';

/** What is asked of a target here. */
interface SqlOptions {
  readonly url: string;
  readonly archive: boolean;
  readonly table?: string;
}

/** Rows in hand, at most. */
const BATCH = 256;
/** Milliseconds that a question may take: an archive may be large, and have to be counted. */
const TIMEOUT = 120_000;
/** The table of an archive that names none. */
const TABLE = 'events';

/** PostgreSQL shows an instant as the archive has written it, less the nanoseconds that it does not keep. */
const DIALECTS = {
  sqlite: { time: 'stream_time', instant: (parameter: string) => parameter },
  postgres: {
    time: `to_char(stream_time AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"000Z"')`,
    instant: (parameter: string) => `CAST(${parameter} AS timestamptz)`,
  },
} as const;

const PLAIN = [
  'msg_subject',
  'id',
  'source',
  'type',
  'subject',
  'time',
  'datacontenttype',
  'dataschema',
  'data_base64',
];
const JSON_COLUMNS = ['headers', 'extensions', 'data'];

export class ArchiveSource implements ReplaySource {
  readonly #database: Database;
  readonly #dialect: (typeof DIALECTS)[keyof typeof DIALECTS];
  readonly #table: string;
  readonly #stream: string;
  readonly #decode: Decoder;

  /** @param target Of the configuration. @throws OuzelError NOT_FOUND, USAGE */
  constructor(config: Config, target: string, stream: string) {
    const { sql } = (Object.hasOwn(config.targets, target) ? config.targets[target] : {}) as { sql?: SqlOptions };
    if (!Object.hasOwn(config.targets, target))
      throw new OuzelError('NOT_FOUND', `--from: there is no target "${target}" in the configuration`);
    if (sql?.archive !== true)
      throw new OuzelError('USAGE', `--from: the target "${target}" is no archive (sql: { archive: true })`);
    this.#database = openDatabase({ url: sql.url, timeout: TIMEOUT, connections: 1 });
    this.#dialect = DIALECTS[dialectOf(sql.url)];
    this.#table = quotedTable(sql.table ?? TABLE);
    this.#stream = stream;
    this.#decode = decoderOf(config, stream);
  }

  async extent(range: ReplayRange): Promise<Extent> {
    const { text, parameters } = this.#within(range);
    const [counted] = await this.#ask(`SELECT count(*) AS total FROM ${this.#table} WHERE ${text}`, parameters, 1);
    const place = `${this.#dialect.time} AS place, sequence`;
    const newest = `ORDER BY stream_time DESC, sequence DESC LIMIT 1`;
    const [last] = await this.#ask(`SELECT ${place} FROM ${this.#table} WHERE ${text} ${newest}`, parameters, 1);
    return {
      identity: `${this.#database.shown} ${this.#table}`,
      end: last === undefined ? '' : cursorOf(last),
      total: Number(counted?.['total'] ?? 0),
    };
  }

  async read(range: ReplayRange, { end }: Extent, after: string | undefined): Promise<readonly StoredEvent[]> {
    if (end === '') return [];
    const { text, parameters } = this.#within(range, after, end);
    const columns = [
      `${this.#dialect.time} AS place`,
      'sequence',
      ...PLAIN,
      // As text, so that a document is what it was to the last digit.
      ...JSON_COLUMNS.map((name) => `CAST(${name} AS text) AS ${name}`),
    ].join(', ');
    const order = `ORDER BY stream_time, sequence LIMIT ${BATCH}`;
    const rows = await this.#ask(`SELECT ${columns} FROM ${this.#table} WHERE ${text} ${order}`, parameters, BATCH);
    return rows.map((row) =>
      restored(row as unknown as ArchivedRow, { stream: this.#stream, cursor: cursorOf(row), decode: this.#decode }),
    );
  }

  async close(): Promise<void> {
    await this.#database.close();
  }

  #within({ since, until }: ReplayRange, after?: string, end?: string) {
    const { instant } = this.#dialect;
    const parameters: Parameter[] = [this.#stream];
    const parts = ['stream = $1'];
    const next = (value: Parameter): string => `$${parameters.push(value)}`;
    if (since !== undefined) parts.push(`stream_time >= ${instant(next(`${isoOf(since)}000000Z`))}`);
    if (until !== undefined) parts.push(`stream_time <= ${instant(next(`${isoOf(until)}999999Z`))}`);
    const compared = (how: '>' | '<=', cursor: string): void => {
      const [place = '', sequence = ''] = cursor.split(' ');
      parts.push(`(stream_time, sequence) ${how} (${instant(next(place))}, ${next(Number(sequence))})`);
    };
    if (after !== undefined) compared('>', after);
    if (end !== undefined) compared('<=', end);
    return { text: parts.join(' AND '), parameters };
  }

  #ask(text: string, parameters: readonly Parameter[], most: number): Promise<readonly Row[]> {
    return this.#database.query(text, parameters, { most, beyond: 'leave' }, AbortSignal.timeout(TIMEOUT));
  }
}

const isoOf = (milliseconds: number): string => new Date(milliseconds).toISOString().slice(0, -1);

const cursorOf = (row: Row): string => `${String(row['place'])} ${String(row['sequence'])}`;
