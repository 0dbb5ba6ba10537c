/** Opening a file of lines: what a crash left half-written at its end is set right first. */
import type { FileHandle } from 'node:fs/promises';
import { mkdir, open } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface OpenFile {
  readonly handle: FileHandle;
  readonly size: number;
  /** Tells the file from another one of the same name. */
  readonly inode: number;
  /** When it was last written, in milliseconds since the epoch. */
  readonly writtenAt: number;
  /** Bytes of a broken line that were cut off. */
  readonly cut: number;
}

const NEWLINE = 10;
const CHUNK = 64 * 1024;
/** A line that is longer is not looked at: it is ended where it is. */
const LONGEST_LINE = 16 * 1024 * 1024;

/** Opens a file for appending, and makes it and its folder where they are not there. */
export async function openLines(path: string): Promise<OpenFile> {
  await mkdir(dirname(path), { recursive: true });
  const handle = await open(path, 'a+');
  try {
    const found = await handle.stat();
    if (!found.isFile()) throw Object.assign(new Error('it is no regular file'), { code: 'ENOTREG' });
    const { mtimeMs: writtenAt, ino: inode } = found;
    // That a new file is there must outlast a power failure too.
    if (found.size === 0) await syncFolder(path);
    const size = await repair(handle, found.size);
    return { handle, size, inode, writtenAt, cut: Math.max(0, found.size - size) };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Makes what happened to names in the folder of a file last. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r');
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** @returns The size that the file has then. */
async function repair(handle: FileHandle, size: number): Promise<number> {
  const tail = await lastLine(handle, size);
  if (tail?.length === 0) return size;
  // A whole line may lack nothing but its end; and what is too long to be looked at is nobody's to throw away.
  if (tail === undefined || isJson(tail)) {
    await handle.appendFile('\n');
    return size + 1;
  }
  await handle.truncate(size - tail.length);
  return size - tail.length;
}

/** What stands behind the last line end; undefined when that is too long. */
async function lastLine(handle: FileHandle, size: number): Promise<Uint8Array | undefined> {
  let tail = Buffer.alloc(0);
  for (let end = size; end > 0 && tail.length <= LONGEST_LINE;) {
    const start = Math.max(0, end - CHUNK);
    const chunk = Buffer.alloc(end - start);
    await handle.read(chunk, 0, chunk.length, start);
    const newline = chunk.lastIndexOf(NEWLINE);
    tail = Buffer.concat([chunk.subarray(newline + 1), tail]);
    if (newline >= 0) return tail;
    end = start;
  }
  return tail.length > LONGEST_LINE ? undefined : tail;
}

function isJson(bytes: Uint8Array): boolean {
  try {
    JSON.parse(Buffer.from(bytes).toString('utf8'));
    return true;
  } catch {
    return false;
  }
}
