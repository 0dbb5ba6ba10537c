/** Rotation: the file that is written always has the same name; what is full is put beside it with the time in its name. */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { syncFolder } from './open.ts';

const STAMP = /^\d{8}T\d{9}Z(?:-\d+)?$/;

/** `20260131T080000123Z`: sorts by time, and is a name on every file system. */
const stampOf = (now: Date): string => now.toISOString().replace(/[-:.]/g, '');

const exists = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  );

/** Puts a file aside as `NAME.20260131T080000123Z`. */
export async function putAside(path: string, now: Date): Promise<void> {
  const base = `${path}.${stampOf(now)}`;
  let aside = base;
  for (let number = 1; await exists(aside); number++) aside = `${base}-${number}`;
  await rename(path, aside);
  await syncFolder(path);
}

/** Removes the oldest files that were put aside, so that as many as wanted are left. */
export async function prune(path: string, keep: number): Promise<void> {
  const prefix = `${basename(path)}.`;
  const folder = dirname(path);
  const aside = (await readdir(folder))
    .filter((name) => name.startsWith(prefix) && STAMP.test(name.slice(prefix.length)))
    .toSorted();
  for (const name of aside.slice(0, Math.max(0, aside.length - keep))) await rm(join(folder, name), { force: true });
}
