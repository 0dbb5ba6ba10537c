/**
 * The files that targets write to, over all consumers and reloads: one writer a path, so that two routes into one file
 * do not write into each other's lines, and a bounded number of open files.
 */
import type { Files, LineListener, Rotation } from '../ports.ts';
import { LineWriter } from './writer.ts';

/** Open files at most. */
const MOST = 128;
/** Milliseconds after which a file that nobody writes to is closed. */
const IDLE = 30_000;

export interface FileStoreOptions {
  readonly onWarning: (message: string) => void;
  readonly most?: number;
}

export class FileStore implements Files {
  readonly #writers = new Map<string, LineWriter>();
  readonly #onWarning: (message: string) => void;
  readonly #most: number;
  readonly #timer: NodeJS.Timeout;
  #open = 0;
  /** Writers that wait until another file is closed. */
  readonly #waiting: (() => void)[] = [];

  constructor({ onWarning, most = MOST }: FileStoreOptions) {
    this.#onWarning = onWarning;
    this.#most = most;
    this.#timer = setInterval(() => this.#closeIdle(performance.now() - IDLE), IDLE / 2);
    this.#timer.unref();
  }

  append(path: string, line: string, rotation: Rotation, listener: LineListener): void {
    this.#writerOf(path).append(line, rotation, listener);
  }

  /** Writes what there is to write, and closes all files. */
  async close(): Promise<void> {
    clearInterval(this.#timer);
    await Promise.all([...this.#writers.values()].map((writer) => writer.close()));
    this.#writers.clear();
  }

  /** How many files are open. */
  get open(): number {
    return this.#open;
  }

  #writerOf(path: string): LineWriter {
    const known = this.#writers.get(path);
    if (known !== undefined) return known;
    const writer = new LineWriter(path, {
      acquire: () => this.#acquire(),
      release: () => this.#release(),
      contended: () => this.#waiting.length > 0,
      onIdle: () => this.#onIdle(writer),
      onWarning: this.#onWarning,
    });
    this.#writers.set(path, writer);
    return writer;
  }

  #acquire(): Promise<void> {
    if (this.#open < this.#most) {
      this.#open++;
      return Promise.resolve();
    }
    const waited = new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#makeRoom();
    return waited;
  }

  /** Hands the place on to whoever waits for it. */
  #release(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#open--;
    else next();
  }

  /** Closes the file that was written least recently, of those that are at rest. */
  #makeRoom(): void {
    let oldest: LineWriter | undefined;
    for (const writer of this.#writers.values())
      if (writer.idle && writer.open && (oldest === undefined || writer.usedAt < oldest.usedAt)) oldest = writer;
    if (oldest !== undefined) this.#retire(oldest);
  }

  #onIdle(writer: LineWriter): void {
    if (this.#waiting.length > 0 || !writer.open) this.#retire(writer);
  }

  #closeIdle(before: number): void {
    for (const writer of this.#writers.values()) if (writer.idle && writer.usedAt < before) this.#retire(writer);
  }

  /** The next line for this file gets a new writer, which finds the file as this one leaves it. */
  #retire(writer: LineWriter): void {
    this.#writers.delete(writer.path);
    writer.close().catch((error: unknown) => this.#onWarning(`${writer.path} could not be closed: ${String(error)}`));
  }
}
