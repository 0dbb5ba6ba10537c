/**
 * Notices that a configuration changed. Files are compared by what `stat` says of them, which also sees an editor that
 * saves by renaming, the symlink swap of a Kubernetes ConfigMap, bind mounts and network file systems; the operating
 * system's own notices only make it look at once.
 */
import { type FSWatcher, watch } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

export interface WatchOptions {
  /** The files to watch now, absolute; asked again at each look. */
  readonly files: () => readonly string[];
  /** Folders whose list of files matters. */
  readonly folders: () => readonly string[];
  /** Called when something changed and has come to rest. */
  readonly onChange: () => void;
}

export interface Watching {
  close(): void;
}

/** Milliseconds between looks without a notice. */
const INTERVAL = 500;
/** Milliseconds for which nothing may change before it counts as written. */
const REST = 50;
/** Milliseconds after which a file that keeps changing is read all the same. */
const PATIENCE = 400;

async function fingerprint({ files, folders }: WatchOptions): Promise<string> {
  const entries = await Promise.all(
    [...new Set(files())].map(async (file) => {
      const found = await stat(file, { bigint: true }).catch(() => undefined);
      return found === undefined
        ? `${file} absent`
        : `${file} ${found.ino} ${found.size} ${found.mtimeNs} ${found.ctimeNs}`;
    }),
  );
  const lists = await Promise.all(
    folders().map(async (folder) => `${folder} ${(await readdir(folder).catch(() => [])).join('/')}`),
  );
  return [...entries, ...lists].join('\n');
}

class Watcher implements Watching {
  readonly #options: WatchOptions;
  readonly #notices = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined;
  #known: string | undefined;
  #closed = false;
  #looking = false;
  #again = false;

  constructor(options: WatchOptions) {
    this.#options = options;
    this.#look();
  }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    for (const notice of this.#notices.values()) notice.close();
  }

  #look(): void {
    if (this.#closed) return;
    if (this.#looking) {
      this.#again = true;
      return;
    }
    clearTimeout(this.#timer);
    this.#looking = true;
    this.#again = false;
    this.#compare()
      .catch(() => undefined)
      .finally(() => {
        this.#looking = false;
        if (!this.#closed) this.#timer = setTimeout(() => this.#look(), this.#again ? 0 : INTERVAL).unref();
      })
      .catch(() => undefined);
  }

  async #compare(): Promise<void> {
    this.#listen();
    let now = await fingerprint(this.#options);
    if (this.#known === undefined || now === this.#known) {
      this.#known ??= now;
      return;
    }
    // What is still being written is left to come to rest, but not for ever.
    for (let rested = 0; rested < PATIENCE; rested += REST) {
      await sleep(REST);
      const next = await fingerprint(this.#options);
      if (next === now) break;
      now = next;
    }
    this.#known = now;
    if (!this.#closed) this.#options.onChange();
  }

  /** Asks for notices of the folders; one that cannot be watched is looked at all the same. */
  #listen(): void {
    const { files, folders } = this.#options;
    const wanted = new Set([...files().map((file) => dirname(file)), ...folders()]);
    for (const [folder, notice] of this.#notices)
      if (!wanted.has(folder)) {
        notice.close();
        this.#notices.delete(folder);
      }
    for (const folder of wanted) {
      if (this.#notices.has(folder)) continue;
      try {
        const notice = watch(folder, { persistent: false }, () => this.#look());
        notice.on('error', () => {
          notice.close();
          this.#notices.delete(folder);
        });
        this.#notices.set(folder, notice);
      } catch {
        // It is not there, or notices are used up.
      }
    }
  }
}

/** Watches until `close`. */
export const watchFiles = (options: WatchOptions): Watching => new Watcher(options);
