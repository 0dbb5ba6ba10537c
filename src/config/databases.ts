/** The files of SQLite databases that a configuration names. */
import { resolve } from 'node:path';
import { sqlitePath } from '../sql/database.ts';
import type { Config } from './schema.ts';
import type { ConfigPath } from './source.ts';

/** What stood there before it was made absolute: an entry that did not change is the same object at the next load. */
const written = new WeakMap<object, string>();

/** The path or URL of an entry as it stands in the configuration, which is remembered from the first time on. */
export function asWritten(options: object, now: string): string {
  const before = written.get(options) ?? now;
  written.set(options, before);
  return before;
}

/** Makes the path in an SQLite URL absolute, in place. */
export function resolveDatabase(sql: { url: string }, folder: string): void {
  const path = sqlitePath(asWritten(sql, sql.url));
  if (path !== undefined) sql.url = `sqlite:${resolve(folder, path)}`;
}

/** The schema of the component has made sure of what it is. */
const databaseOf = (target: object): { url: string } | undefined =>
  new Map<string, unknown>(Object.entries(target)).get('sql') as { url: string } | undefined;

/** The same for every target, named or written where it is used. */
export function resolveTargetPaths({ targets, consumers }: Config, folderOf: (path: ConfigPath) => string): void {
  const make = (target: object, path: ConfigPath): void => {
    const database = databaseOf(target);
    if (database !== undefined) resolveDatabase(database, folderOf(path));
  };
  for (const [name, target] of Object.entries(targets)) make(target, ['targets', name]);
  for (const [name, { deliver = [] }] of Object.entries(consumers))
    for (const [index, { to }] of deliver.entries())
      if (typeof to !== 'string') make(to, ['consumers', name, 'deliver', index]);
}
