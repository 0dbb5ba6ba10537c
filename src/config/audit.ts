import { z } from 'zod';
import { databaseUrlProblem } from '../sql/database.ts';
import { duration, literal, size } from './fields.ts';

export const audit = z
  .strictObject({
    mode: z
      .enum(['off', 'best_effort', 'required'])
      .default('best_effort')
      .describe(
        'Whether the outcome of each event is recorded. required: the event is acknowledged only once its record is stored, and its consumer takes no others while that is refused. best_effort: nothing waits for it, and what is dropped is counted.',
      ),
    keep: duration({ min: 60_000 })
      .default(30 * 86_400_000)
      .describe('How long the record of an outcome is kept.'),
    payloads: z
      .boolean()
      .default(false)
      .describe(
        'Whether the data of each event is kept too, as it came, beside its records and as long. `ouzel audit forget` erases it by key.',
      ),
    store: literal()
      .refine((url) => databaseUrlProblem(url) === undefined, { error: 'must be sqlite:PATH or postgres://…' })
      .optional()
      .describe(
        'A database that gets a copy of the records, in the table `ouzel_audit`: `sqlite:data/audit.db`, or a PostgreSQL URL, in as `${file:…}`. `ouzel audit` and the API ask it then.',
      ),
    max_bytes: size()
      .default(256 * 2 ** 20)
      .describe(
        'Size of all records of outcomes, compressed, at most; beyond it the oldest go. JetStream reserves it.',
      ),
  })
  .prefault({})
  .describe('What became of each event: docs/reference/audit.md.');
