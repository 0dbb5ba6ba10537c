/** Takes old rows out of an archive, a few at a time: a long transaction would keep others waiting. */
import { isoTime } from '../../core/time.ts';
import type { Database } from '../../sql/database.ts';
import { quotedTable } from '../../sql/insert.ts';
import type { Dialect } from '../../sql/table.ts';

/** Milliseconds between two looks. */
const EVERY = 60_000;
/** Rows a statement. */
const STEP = 1_000;

/** What a database calls the place of a row. */
const PLACE: Readonly<Record<Dialect, string>> = { sqlite: 'rowid', postgres: 'ctid' };

export class Retention {
  readonly #database: Database;
  readonly #statement: string;
  readonly #keep: number;
  readonly #failed: (error: unknown) => void;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param keep Milliseconds by what stands in `column`.
   * @param failed Is told of a look that failed; the next one is made.
   */
  constructor(
    database: Database,
    dialect: Dialect,
    table: string,
    keep: number,
    failed: (error: unknown) => void,
    column = 'stream_time',
  ) {
    this.#database = database;
    this.#keep = keep;
    this.#failed = failed;
    const place = PLACE[dialect];
    const name = quotedTable(table);
    const old = `SELECT ${place} FROM ${name} WHERE ${column} < $1 ORDER BY ${column} LIMIT ${STEP}`;
    this.#statement = `DELETE FROM ${name} WHERE ${place} IN (${old})`;
  }

  /** Begins to look, if it has not. */
  begin(): void {
    if (this.#timer !== undefined || this.#abort.signal.aborted) return;
    this.#timer = setInterval(this.#look, EVERY).unref();
    this.#look();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#abort.abort();
  }

  readonly #look = (): void => {
    this.#sweep().catch((error: unknown) => {
      if (!this.#abort.signal.aborted) this.#failed(error);
    });
  };

  async #sweep(): Promise<void> {
    const { signal } = this.#abort;
    for (let removed = STEP; removed === STEP && !signal.aborted;)
      removed = await this.#database.execute(this.#statement, [isoTime(Date.now() - this.#keep)], signal);
  }
}
