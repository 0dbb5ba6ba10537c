import { z } from 'zod';
import { duration, expression, type IssueDetails, literal } from '../../config/fields.ts';
import type { Run } from '../../core/run.ts';
import { OuzelError } from '../../errors.ts';
import { type Evaluate, type Expression, Fault, toJson, toJsonText } from '../../expression/index.ts';
import { faultError } from '../../pipeline/faults.ts';
import {
  type Database,
  databaseUrlProblem,
  openDatabase,
  type Parameter,
  type Row,
  type RowLimit,
} from '../../sql/database.ts';
import { parametersOf } from '../../sql/statement.ts';
import { type Answer, defineSource, MISSING, type SourceContext } from '../source.ts';

/** Rows that an answer may have. */
const MOST_ROWS = 1_000;

const LIMITS: Readonly<Record<'first' | 'all', RowLimit>> = {
  first: { most: 1, beyond: 'leave' },
  all: { most: MOST_ROWS, beyond: 'refuse' },
};

const options = z
  .strictObject({
    url: literal()
      .superRefine((value, context) => {
        const problem = databaseUrlProblem(value);
        const params: IssueDetails = {
          code: 'CONFIG_INVALID_VALUE',
          hint: 'for example sqlite:data/customers.db or postgres://user@host/database',
        };
        if (problem !== undefined)
          context.addIssue({ code: 'custom', message: `no database: ${problem}`, params: { ...params } });
      })
      .describe(
        'The database: `sqlite:PATH`, where a relative path starts at the folder of the file that names it, or `postgres://…`. It is only read: give it a user that may do no more.',
      ),
    query: literal()
      .refine((text) => !text.includes('{{'), { error: 'it is one statement for all events: write $1 and `params`' })
      .describe('One statement, the same for all events. `$1`, `$2` … stand for the parameters.'),
    params: z
      .array(expression())
      .optional()
      .describe('The parameters. Default: the key alone. An empty optional means that there is nothing to look up.'),
    rows: z
      .enum(['first', 'all'])
      .default('first')
      .describe(
        `first: one row; all: a list of them, ${MOST_ROWS} at most. A row of one column is that column's value.`,
      ),
    timeout: duration().default(5000).describe('How long a statement may take.'),
    connections: z.number().int().min(1).max(64).default(4).describe('Connections at most, to PostgreSQL.'),
  })
  .superRefine(({ query, params }, context) => {
    const wanted = parametersOf(query);
    const given = params?.length ?? 1;
    if (wanted.length === given && wanted.every((number, index) => number === index + 1)) return;
    const issue: IssueDetails = {
      code: 'CONFIG_INVALID_VALUE',
      hint: given === 0 ? 'write `params`' : `it has to hold $1${given > 1 ? ` to $${given}` : ''}, and no other`,
    };
    const names = wanted.map((number) => `$${number}`).join(', ');
    const message = `the statement has ${names === '' ? 'no parameters' : names}, and there ${given === 1 ? 'is 1' : `are ${given}`}`;
    context.addIssue({ code: 'custom', path: ['query'], message, params: { ...issue } });
  });

type Bound = readonly [Evaluate, Expression];

/** The parameters of an event; undefined where one of them is an empty optional. @throws OuzelError EVENT_* */
function parametersFor(run: Run, bound: readonly Bound[], context: SourceContext): Parameter[] | undefined {
  const parameters: Parameter[] = [];
  for (const [evaluate, source] of bound) {
    const value = evaluate(run);
    if (value instanceof Fault) {
      if (value.kind === 'missing_field') context.missing(value.path ?? source.source);
      throw faultError(value, source);
    }
    const json = toJson(value);
    if (json === undefined) return undefined;
    parameters.push(parameterOf(json, source));
  }
  return parameters;
}

function parameterOf(value: unknown, source: Expression): Parameter {
  if (Array.isArray(value)) return value.map((each: unknown) => parameterOf(each, source));
  if (typeof value !== 'object' || value === null) return value as Parameter;
  throw new OuzelError('EVENT_EXPRESSION', `\`${source.source}\` is a mapping, which no parameter can be`, {
    place: source.place,
  });
}

/** The value of a row: that of its column, where it has but one. */
function valueOf(row: Row): unknown {
  const values = Object.values(row);
  return values.length === 1 ? values[0] : row;
}

/** What a database answers. */
export const sql = defineSource({
  name: 'sql',
  summary:
    'A statement to SQLite or PostgreSQL: the first row as a mapping of its columns, or the value of its only column. No row means that there is nothing.',
  example: '{ url: "sqlite:data/customers.db", query: "select name, tier from customers where id = $1" }',
  options,
  needsKey: ({ params }) => params === undefined,
  prepare({ url, query, params, rows, timeout, connections }, context) {
    const bound = params?.map((each): Bound => [context.bind(each), each]);
    let opened: Database | undefined;
    const database = (): Database => (opened ??= openDatabase({ url, timeout, connections }));
    const ask = async (parameters: readonly Parameter[], signal: AbortSignal): Promise<Answer> => {
      const found = await database().query(query, parameters, LIMITS[rows], signal);
      const [row] = found;
      if (row === undefined) return MISSING;
      const value = rows === 'all' ? found.map(valueOf) : valueOf(row);
      return { value, size: toJsonText(value).length };
    };
    return {
      question(run, key) {
        // NULL equals nothing, not even NULL.
        if (bound === undefined && key === null) return MISSING;
        const parameters = bound === undefined ? [key as Parameter] : parametersFor(run, bound, context);
        if (parameters === undefined) return undefined;
        const id = toJsonText(parameters);
        return {
          id,
          ask: (signal) => ask(parameters, signal),
          preview: () => ({ action: `query ${database().shown} with ${id}`, body: query }),
        };
      },
      close: () => {
        opened?.close().catch(() => undefined);
      },
    };
  },
});
