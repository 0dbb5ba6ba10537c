import { extname } from 'node:path';
import { z } from 'zod';
import { filePath, literal, size } from '../../config/fields.ts';
import { OuzelError } from '../../errors.ts';
import { defineSource, MISSING } from '../source.ts';
import { keyText } from '../tables/parse.ts';
import { TABLE_FORMATS, type TableFormat, tableId, type TableSpec } from '../tables/table.ts';

const BY_EXTENSION: Readonly<Record<string, TableFormat>> = {
  '.csv': 'csv',
  '.json': 'json',
  '.ndjson': 'ndjson',
  '.jsonl': 'ndjson',
  '.yaml': 'yaml',
  '.yml': 'yaml',
};

const formatOf = (path: string): TableFormat | undefined => BY_EXTENSION[extname(path).toLowerCase()];

const long = z
  .strictObject({
    path: filePath().describe('The file. A relative path starts at the folder of the file that names it.'),
    format: z
      .enum(TABLE_FORMATS)
      .optional()
      .describe('How it is read. Default: by its extension (.csv, .json, .ndjson, .jsonl, .yaml, .yml).'),
    column: literal()
      .optional()
      .describe(
        'The column, or the field of each entry of a list, that holds the key. Default: the first column of CSV. A mapping (JSON, YAML) has its keys.',
      ),
    delimiter: z.string().length(1).default(',').describe('What stands between the fields of CSV.'),
    max_size: size().default(67_108_864).describe('A larger file is refused.'),
  })
  .superRefine(({ path, format }, context) => {
    if (format === undefined && formatOf(path) === undefined)
      context.addIssue({
        code: 'custom',
        path: ['path'],
        message: 'its extension does not say how it is read',
        params: { code: 'CONFIG_INVALID_VALUE', hint: `write a \`format\`: ${TABLE_FORMATS.join(', ')}` },
      });
  });

const options = z.union([filePath(), long]).transform((value) => {
  if (typeof value !== 'string') return value;
  // As the long form would have it: one that cannot be read is said where tables are loaded.
  return { path: value, format: formatOf(value), column: undefined, delimiter: ',', max_size: 67_108_864 };
});

export type FileOptions = z.output<typeof options>;

/** How the table of these options is read; its path is absolute by then. */
export const tableSpecOf = ({ path, format, column, delimiter, max_size: maxSize }: FileOptions): TableSpec => ({
  path,
  format: format ?? formatOf(path) ?? 'json',
  column,
  delimiter,
  maxSize,
});

/** A table in memory. */
export const file = defineSource({
  name: 'file',
  summary:
    'A table: a file of CSV, JSON, NDJSON or YAML, kept in memory and read again when it changes. A file that cannot be read is an error of the configuration.',
  example: 'tables/customers.csv',
  options,
  needsKey: () => true,
  prepare(given, { tables }) {
    const table = tables.get(tableId(tableSpecOf(given)));
    if (table === undefined) throw new OuzelError('INTERNAL', `the table ${given.path} was not read`);
    const { entries } = table;
    return {
      question(_run, key) {
        const text = keyText(key);
        if (text === undefined || !entries.has(text)) return MISSING;
        return { value: entries.get(text), size: 0 };
      },
    };
  },
});
