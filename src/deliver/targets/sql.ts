import { z } from 'zod';
import { duration, type IssueDetails, literal, template } from '../../config/fields.ts';
import { databaseUrlProblem, dialectOf, openDatabase } from '../../sql/database.ts';
import { nameProblem, postgresInsert, sqliteInsert, tableProblem } from '../../sql/insert.ts';
import type { ColumnType } from '../../sql/table.ts';
import { jsonOf, type Value } from '../../sql/values.ts';
import type { Run } from '../../core/run.ts';
import { ATTRIBUTES } from '../../telemetry/names.ts';
import { defineTargetComponent, type TargetContext } from '../component.ts';
import type { Delivery } from '../delivery.ts';
import type { PreparedTarget } from '../route.ts';
import { archiveInsert, archiveRow, archiveTable, isReplay } from '../sql/archive.ts';
import { Batches } from '../sql/batches.ts';
import { Retention } from '../sql/retention.ts';
import { ID_COLUMN, Rows } from '../sql/rows.ts';
import { TargetTable } from '../sql/table.ts';

const TYPES = ['text', 'bigint', 'numeric', 'boolean', 'timestamptz', 'jsonb', 'json'] as const satisfies ColumnType[];

/** The table of an archive that names none. */
const ARCHIVE = 'events';

const columnName = () => literal().refine((name) => nameProblem(name) === undefined, { error: 'no name of a column' });

const shape = z.strictObject({
  url: literal()
    .superRefine((value, context) => {
      const problem = databaseUrlProblem(value);
      const params: IssueDetails = {
        code: 'CONFIG_INVALID_VALUE',
        hint: 'for example sqlite:data/orders.db or postgres://user@host/database',
      };
      if (problem !== undefined)
        context.addIssue({ code: 'custom', message: `no database: ${problem}`, params: { ...params } });
    })
    .describe(
      'The database: `sqlite:PATH`, where a relative path starts at the folder of the file that names it and a file that is not there is made, or `postgres://…`.',
    ),
  table: literal()
    .refine((name) => tableProblem(name) === undefined, { error: 'no name of a table' })
    .optional()
    .describe(
      `The table, in PostgreSQL with its schema before a dot where it has one. Default for an archive: ${ARCHIVE}.`,
    ),
  values: z
    .record(columnName(), template())
    .optional()
    .describe(
      'What is written, by column. A lone `{{ }}` keeps its type, and the column makes of it what it wants; an empty optional is NULL.',
    ),
  event: columnName().optional().describe('A column that gets the whole event as a structured CloudEvent (JSON).'),
  key: z
    .array(columnName())
    .min(1)
    .optional()
    .describe(
      `The columns that make a row unique, by which a repeated delivery writes no second row: the table has a unique index of exactly these. Without a key, the column \`${ID_COLUMN}\` does that.`,
    ),
  conflict: z
    .enum(['ignore', 'update', 'fail'])
    .default('ignore')
    .describe(
      `What becomes of an event whose key is there already. ignore: the row stays; update: it gets the values of the event; fail: the event is rejected, unless the row is its own, which the column \`${ID_COLUMN}\` tells.`,
    ),
  create: z
    .boolean()
    .default(false)
    .describe(
      'Whether the table is made where there is none, with types as the values of the first events have them: text, numeric, boolean, timestamptz or jsonb.',
    ),
  types: z
    .record(columnName(), z.enum(TYPES))
    .optional()
    .describe('The types of columns that `create` is not to guess.'),
  batch: z
    .strictObject({
      max: z
        .number()
        .int()
        .min(1)
        .max(10_000)
        .default(1_000)
        .describe(
          'Rows at most. Half of `prefetch` is a good measure: the next batch is collected while one is committed.',
        ),
      within: duration({ min: 0, max: 60_000 }).default(5).describe('How long a row waits for others.'),
    })
    .prefault({})
    .describe('Rows that are committed together, as one transaction.'),
  archive: z
    .boolean()
    .default(false)
    .describe(
      'Keeps every event as it is, with its place in its stream, in a table that is made for that. Events that are replayed are not kept again.',
    ),
  retention: duration({ min: 60_000, max: 100 * 366 * 86_400_000 })
    .optional()
    .describe('How long an archive keeps an event, by the time of its stream. Default: for ever.'),
  timeout: duration().default(10_000).describe('How long a statement may take.'),
  connections: z.number().int().min(1).max(64).default(4).describe('Connections at most, to PostgreSQL.'),
});

type Options = z.output<typeof shape>;

/** What the keys of the options say of each other: the one to blame, and why. */
function* problemsOf(given: Options): Generator<readonly [key: keyof Options, message: string]> {
  const { url, table, values = {}, event, key, conflict, create, types, archive, retention } = given;
  const columns = [...Object.keys(values), ...(event === undefined ? [] : [event])];
  if (databaseUrlProblem(url) === undefined && dialectOf(url) === 'sqlite' && table?.includes('.') === true)
    yield ['table', 'a table of SQLite has no schema: its name has no dot'];
  if (archive) {
    for (const name of ['values', 'event', 'key', 'types'] as const)
      if (given[name] !== undefined) yield [name, `an archive has columns of its own: leave \`${name}\` out`];
    return;
  }
  if (retention !== undefined) yield ['retention', 'only an archive forgets: set `archive: true` beside it'];
  if (table === undefined) yield ['table', 'it is missing: name the table'];
  if (columns.length === 0) yield ['values', 'nothing is written: give `values`, `event` or `archive: true`'];
  if (event !== undefined && Object.hasOwn(values, event)) yield ['event', `the column ${event} is in \`values\` too`];
  if (columns.includes(ID_COLUMN)) yield ['values', `Ouzel writes the column ${ID_COLUMN} itself`];
  const unknown = key?.find((column) => !Object.hasOwn(values, column));
  if (unknown !== undefined) yield ['key', `the key column ${unknown} is not in \`values\``];
  if (key === undefined && conflict !== 'ignore') yield ['conflict', 'without a `key` there is no conflict'];
  if (types !== undefined && !create) yield ['types', 'types are of use with `create: true` only'];
  const other = Object.keys(types ?? {}).find((column) => !columns.includes(column));
  if (other !== undefined) yield ['types', `the column ${other} is not written`];
}

const options = shape.superRefine((given, context) => {
  const params: IssueDetails = { code: 'CONFIG_INVALID_VALUE' };
  for (const [key, message] of problemsOf(given))
    context.addIssue({ code: 'custom', path: [key], message, params: { ...params } });
});

/** What is written of an event, and where. */
function writing(given: Options, context: TargetContext) {
  const { table = ARCHIVE, archive, create } = given;
  if (archive)
    return {
      into: archiveInsert(table),
      rowOf: (run: Run): readonly Value[] => archiveRow(run, context.keyOf(run)),
      tableOf: () => archiveTable(table),
    };
  const rows = new Rows({ ...given, table }, context);
  return { into: rows.into, rowOf: (run: Run) => rows.of(run), tableOf: create ? rows.table : undefined };
}

/** Writes events into SQLite or PostgreSQL. */
export const sql = defineTargetComponent({
  name: 'sql',
  batch: 'each',
  summary:
    'Writes each event as a row into SQLite or PostgreSQL, many in one transaction. A delivery is confirmed by the commit, and one that is repeated writes no second row.',
  example:
    '{ url: "sqlite:data/orders.db", table: orders, key: [id], conflict: update, values: { id: "{{ event.data.id }}", total: "{{ event.data.total }}" }, create: true }',
  options,
  prepare(given, context): PreparedTarget {
    const { url, timeout, connections, archive, retention: keep } = given;
    const { into, rowOf, tableOf } = writing(given, context);
    const database = openDatabase({ url, timeout, connections, write: true });
    const dialect = dialectOf(url);
    const table = new TargetTable(database, dialect, into, tableOf);
    const retention =
      keep === undefined
        ? undefined
        : new Retention(database, dialect, into.table, keep, (error) =>
            context.log(
              { consumer: context.consumer, route: context.route, error: String(error) },
              'old events stay in the archive for now',
            ),
          );
    const batches = new Batches(async (rows, signal) => {
      const refusals = await table.write(rows, signal);
      // Not before: the table may have been made only now.
      retention?.begin();
      return refusals;
    }, given.batch);
    const statement = dialect === 'sqlite' ? sqliteInsert(into) : postgresInsert(into);
    const shown = (row: readonly Value[]): string =>
      `{${into.columns.map((column, index) => `${JSON.stringify(column)}:${jsonOf(row[index])}`).join(',')}}`;
    return {
      span: {
        kind: 'client',
        name: `INSERT ${into.table}`,
        attributes: { [ATTRIBUTES.dbSystem]: dialect === 'sqlite' ? 'sqlite' : 'postgresql' },
      },
      deliver(delivery: Delivery) {
        const { run } = delivery;
        if (archive && isReplay(run)) return delivery.confirm();
        batches.add(delivery, rowOf(run), run.event.carrier.body.length);
      },
      preview({ run }) {
        if (archive && isReplay(run)) return { action: `nothing: a replay is not archived again` };
        return { action: `insert into ${into.table} of ${database.shown}: ${statement}`, body: shown(rowOf(run)) };
      },
      close() {
        batches.close();
        retention?.close();
        database.close().catch(() => undefined);
      },
    };
  },
});
