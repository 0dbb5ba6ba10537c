/** Where a configuration looks something up, and the tables that it needs for that. */
import { resolve } from 'node:path';
import { formatPlace } from '../errors.ts';
import { tableSpecOf } from '../lookup/sources/file.ts';
import type { TableLoad } from '../lookup/tables/load.ts';
import { tableId, type Tables, type TableSpec } from '../lookup/tables/table.ts';
import type { LookupOptions } from '../pipeline/transformers/lookup.ts';
import { asWritten, resolveDatabase } from './databases.ts';
import { type ConfigProblem, problemAt } from './problems.ts';
import type { Config } from './schema.ts';
import { type ConfigPath, nearestNode, type SourceNode, spanOf } from './source.ts';

interface LookupUse {
  readonly lookup: LookupOptions;
  /** Where it stands. */
  readonly path: ConfigPath;
}

/** Every lookup of a configuration, or those of one consumer. */
function lookupUses({ transformers, consumers }: Config, consumer?: string): LookupUse[] {
  const uses: LookupUse[] = [];
  const add = (entry: object | undefined, path: ConfigPath): void => {
    // The schema of the component has made sure of what it is.
    const lookup = new Map<string, unknown>(Object.entries(entry ?? {})).get('lookup') as LookupOptions | undefined;
    if (lookup !== undefined) uses.push({ lookup, path: [...path, 'lookup'] });
  };
  const named = new Set<string>(consumer === undefined ? Object.keys(transformers) : []);
  for (const each of consumer === undefined ? Object.keys(consumers) : [consumer])
    consumers[each]?.pipeline.forEach((stage, index) => {
      if (typeof stage === 'string') named.add(stage);
      else add(stage, ['consumers', each, 'pipeline', index]);
    });
  for (const each of named) add(transformers[each], ['transformers', each]);
  return uses;
}

/**
 * Makes the paths of the tables and databases absolute, in place.
 *
 * @param folderOf Where relative paths start that stand at a path of the configuration.
 */
export function resolveLookupPaths(config: Config, folderOf: (path: ConfigPath) => string): void {
  for (const { lookup, path } of lookupUses(config)) {
    const { file, sql } = lookup;
    if (file !== undefined) file.path = resolve(folderOf(path), asWritten(file, file.path));
    if (sql !== undefined) resolveDatabase(sql, folderOf(path));
  }
}

/** The tables of a configuration, or those of one consumer. */
export const tableSpecs = (config: Config, consumer?: string): TableSpec[] =>
  lookupUses(config, consumer).flatMap(({ lookup: { file } }) => (file === undefined ? [] : [tableSpecOf(file)]));

/** What these tables hold, as revisions: the same on every instance. */
export const tableRevisions = (config: Config, tables: Tables, consumer?: string): (string | undefined)[] =>
  tableSpecs(config, consumer).map((spec) => tables.get(tableId(spec))?.revision);

/** What is wrong with the tables of a configuration, where they are named. */
export function checkTables(
  config: Config,
  root: SourceNode,
  { failures }: TableLoad,
  show: (path: string) => string,
): ConfigProblem[] {
  return lookupUses(config).flatMap(({ lookup: { file }, path }) => {
    const spec = file === undefined ? undefined : tableSpecOf(file);
    const failure = spec === undefined ? undefined : failures.get(tableId(spec));
    if (spec === undefined || failure === undefined) return [];
    const node = nearestNode(root, [...path, 'file', 'path']);
    const name = show(spec.path);
    const where = failure.line === undefined ? name : formatPlace({ file: name, line: failure.line, column: 1 });
    const message = `the table ${where}: ${failure.message}`;
    return [problemAt(node.file, spanOf(node), { code: 'CONFIG_TABLE', message, hint: undefined, path })];
  });
}
