/**
 * Writes lines to one file. Whatever arrives while a batch is written and synced to the disk is the next batch, so that
 * one sync serves many deliveries, and a delivery waits for two of them at most.
 */
import { stat } from 'node:fs/promises';
import type { LineListener, Rotation } from '../ports.ts';
import { fileError } from './errors.ts';
import { type OpenFile, openLines } from './open.ts';
import { prune, putAside } from './rotate.ts';

interface Line {
  readonly bytes: Buffer;
  readonly listener: LineListener;
}

/** Bytes of a batch at most, beyond its first line. */
const LARGEST_BATCH = 4 * 1024 * 1024;

export interface WriterOptions {
  /** Resolves when one more file may be open. */
  readonly acquire: () => Promise<void>;
  readonly release: () => void;
  /** Whether others wait for a file to be closed. */
  readonly contended: () => boolean;
  readonly onIdle: () => void;
  readonly onWarning: (message: string) => void;
  readonly now?: () => number;
}

export class LineWriter {
  readonly path: string;
  /** When it last had something to do; milliseconds of the monotonic clock. */
  usedAt = performance.now();
  readonly #options: WriterOptions;
  readonly #now: () => number;
  #queue: Line[] = [];
  #rotation: Rotation = { size: undefined, every: undefined, keep: undefined };
  #file: OpenFile | undefined;
  #size = 0;
  /** When the file was last written, in milliseconds since the epoch. */
  #writtenAt = 0;
  #working: Promise<void> | undefined;

  constructor(path: string, options: WriterOptions) {
    this.path = path;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  get idle(): boolean {
    return this.#working === undefined;
  }

  get open(): boolean {
    return this.#file !== undefined;
  }

  append(line: string, rotation: Rotation, listener: LineListener): void {
    this.#rotation = rotation;
    this.#queue.push({ bytes: Buffer.from(`${line}\n`), listener });
    this.usedAt = performance.now();
    this.#working ??= this.#work();
  }

  /** Waits until all is written, and closes the file. */
  async close(): Promise<void> {
    await this.#working;
    await this.#closeFile();
  }

  async #work(): Promise<void> {
    // What the same turn of the event loop brings is one batch.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#queue.length > 0) {
      let batch: Line[] = [];
      try {
        await this.#ready();
        batch = this.#take();
        await this.#write(Buffer.concat(batch.map(({ bytes }) => bytes)));
      } catch (error) {
        await this.#closeFile();
        // Where the file cannot even be opened, there is no sense in asking again for each batch.
        const failed = batch.length > 0 ? batch : this.#queue.splice(0);
        const problem = fileError(error, this.path);
        for (const { listener } of failed) this.#tell(() => listener.failed(problem));
        continue;
      }
      for (const { listener } of batch) this.#tell(() => listener.written());
      if (this.#options.contended()) await this.#closeFile();
    }
    this.usedAt = performance.now();
    this.#working = undefined;
    this.#options.onIdle();
  }

  /** Opens the file, or another one where somebody moved it away, and rotates it where that is due. */
  async #ready(): Promise<void> {
    if (this.#file !== undefined && (await this.#isElsewhere(this.#file))) await this.#closeFile();
    if (this.#file === undefined) await this.#openFile();
    const { size, every, keep } = this.#rotation;
    const now = this.#now();
    const next = this.#queue[0]?.bytes.length ?? 0;
    const full = size !== undefined && this.#size + next > size;
    const old = every !== undefined && Math.floor(now / every) !== Math.floor(this.#writtenAt / every);
    if (this.#size === 0 || (!full && !old)) return;
    await this.#closeFile();
    await putAside(this.path, new Date(now));
    if (keep !== undefined)
      await prune(this.path, keep).catch((error: unknown) =>
        this.#options.onWarning(`old files of ${this.path} could not be removed: ${String(error)}`),
      );
    await this.#openFile();
  }

  async #isElsewhere({ inode }: OpenFile): Promise<boolean> {
    const found = await stat(this.path).catch(() => undefined);
    return found?.ino !== inode;
  }

  async #openFile(): Promise<void> {
    await this.#options.acquire();
    try {
      const file = await openLines(this.path);
      this.#file = file;
      this.#size = file.size;
      this.#writtenAt = file.size === 0 ? this.#now() : file.writtenAt;
      if (file.cut > 0)
        this.#options.onWarning(
          `${this.path} ended in a line that was not written whole: ${file.cut} bytes were cut off`,
        );
    } catch (error) {
      this.#options.release();
      throw error;
    }
  }

  async #closeFile(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    this.#file = undefined;
    // What matters was synced; a file that does not even close is left.
    await file.handle.close().catch(() => undefined);
    this.#options.release();
  }

  /** The lines that go out next: as many as the size of the file leaves room for, and one in any case. */
  #take(): Line[] {
    const most = Math.min(LARGEST_BATCH, (this.#rotation.size ?? Infinity) - this.#size);
    let bytes = this.#queue[0]?.bytes.length ?? 0;
    let count = 1;
    for (; count < this.#queue.length; count++) {
      bytes += this.#queue[count]?.bytes.length ?? 0;
      if (bytes > most) break;
    }
    return this.#queue.splice(0, count);
  }

  async #write(bytes: Buffer): Promise<void> {
    const file = this.#file;
    if (file === undefined) throw new Error('the file is not open');
    try {
      await file.handle.appendFile(bytes);
      await file.handle.datasync();
    } catch (error) {
      // None of it is confirmed, and all of it will come again: a part of a line would spoil the file.
      await file.handle.truncate(this.#size).catch(() => undefined);
      throw error;
    }
    this.#size += bytes.length;
    this.#writtenAt = this.#now();
  }

  #tell(call: () => void): void {
    try {
      call();
    } catch (error) {
      this.#options.onWarning(`what was written to ${this.path} could not be confirmed: ${String(error)}`);
    }
  }
}
