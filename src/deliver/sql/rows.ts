/** The rows of events whose columns the configuration names. */
import { structuredEvent } from '../../contracts/encode.ts';
import type { Run } from '../../core/run.ts';
import { OuzelError } from '../../errors.ts';
import { type BoundTemplate, Fault, type Template } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import type { Insert } from '../../sql/insert.ts';
import type { Column, ColumnType } from '../../sql/table.ts';
import type { Value } from '../../sql/values.ts';
import type { TargetContext } from '../component.ts';
import { messageIds } from '../ids.ts';
import { type TableOf, typeOfColumn } from './table.ts';

/** The column that tells a delivery that is repeated from another event: where no key does. */
export const ID_COLUMN = 'ouzel_id';

export interface RowOptions {
  readonly table: string;
  readonly key?: readonly string[] | undefined;
  readonly conflict?: 'ignore' | 'update' | 'fail' | undefined;
  readonly values?: Readonly<Record<string, Template>> | undefined;
  readonly event?: string | undefined;
  readonly types?: Readonly<Record<string, ColumnType>> | undefined;
}

interface Field {
  readonly column: string;
  readonly bound: BoundTemplate;
  readonly source: Template;
  /** It is a part of the key: without a value, nothing would tell a repetition. */
  readonly required: boolean;
}

export class Rows {
  readonly into: Insert;
  readonly #options: RowOptions;
  readonly #context: TargetContext;
  readonly #fields: readonly Field[];
  /** Undefined where the key tells a repetition. */
  readonly #idOf: ReturnType<typeof messageIds> | undefined;

  constructor(options: RowOptions, context: TargetContext) {
    const { table, key, conflict = 'ignore', values = {}, event } = options;
    this.#options = options;
    this.#context = context;
    this.#fields = Object.entries(values).map(([column, source]) => ({
      column,
      source,
      bound: context.bindTemplate(source),
      required: key?.includes(column) === true,
    }));
    const byKey = key !== undefined && conflict !== 'fail';
    if (!byKey) this.#idOf = messageIds(context.stream, context.consumer, context.route);
    this.into = {
      table,
      columns: [
        ...(byKey ? [] : [ID_COLUMN]),
        ...this.#fields.map(({ column }) => column),
        ...(event === undefined ? [] : [event]),
      ],
      // A key that must not be there twice is for the database to refuse; only the event's own row is no conflict.
      conflict: byKey ? { columns: key, action: conflict } : { columns: [ID_COLUMN], action: 'ignore' },
    };
  }

  /** @throws OuzelError EVENT_MISSING_FIELD, EVENT_EXPRESSION, EVENT_UNDECODABLE */
  of(run: Run): readonly Value[] {
    const row: Value[] = this.#idOf === undefined ? [] : [this.#idOf(run)];
    for (const field of this.#fields) row.push(this.#value(field, run));
    if (this.#options.event !== undefined) row.push(structuredEvent(run.event));
    return row;
  }

  #value({ column, bound, source, required }: Field, run: Run): Value {
    const value = bound.value(run);
    if (value instanceof Fault) {
      if (value.kind === 'missing_field') this.#context.missing(value.path ?? source.source);
      throw faultError(value, source);
    }
    if (required && (value === undefined || value === null))
      throw new OuzelError('EVENT_MISSING_FIELD', `the key column ${column} has no value in \`${source.source}\``, {
        place: source.place,
      });
    return value;
  }

  /** The table, where it is to be made. */
  readonly table: TableOf = (rows) => {
    const { table: name, key, conflict, types = {} } = this.#options;
    const { columns } = this.into;
    const described = columns.map((column, index): [string, Column] => {
      const type = Object.hasOwn(types, column) ? types[column] : undefined;
      return [column, { type: type ?? typeOfColumn(rows.map((row) => row[index])) }];
    });
    return {
      name,
      columns: Object.fromEntries(described),
      unique: key ?? [ID_COLUMN],
      alsoUnique: key !== undefined && conflict === 'fail' ? [[ID_COLUMN]] : [],
    };
  };
}
