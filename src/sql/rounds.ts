/** The order in which the rows of one batch are written. */
import { jsonOf, type Value } from './values.ts';
import type { Insert } from './insert.ts';

/**
 * PostgreSQL updates no row twice in one statement. So the first row of each key goes first, then the second of each,
 * and so on, which keeps the order of each key. Within a statement rows go by their keys: two instances that update the
 * same rows then wait for each other, and do not deadlock.
 *
 * @returns The numbers of the rows, a list a statement.
 */
export function roundsOf({ columns, conflict }: Insert, rows: readonly (readonly Value[])[]): readonly number[][] {
  if (conflict?.action !== 'update') return [rows.map((_row, index) => index)];
  const places = conflict.columns.map((column) => columns.indexOf(column));
  const keys = rows.map((row) => places.map((place) => jsonOf(row[place])).join(','));
  const seen = new Map<string, number>();
  const rounds: number[][] = [];
  for (const [index, key] of keys.entries()) {
    const times = seen.get(key) ?? 0;
    seen.set(key, times + 1);
    (rounds[times] ??= []).push(index);
  }
  const keyOf = (index: number): string => keys[index] ?? '';
  for (const round of rounds) round.sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1));
  return rounds;
}
