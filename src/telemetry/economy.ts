/**
 * The economy of the log: of each kind of line one passes an interval, the others are counted. No count is lost: it
 * stands on the next line of its kind or, when there is none, on a line of its own once the kind went quiet.
 */
import type { Cell } from './cells.ts';
import type { Logger } from './log.ts';

/** Milliseconds between two lines of one kind. */
const INTERVAL = 1_000;
/** Milliseconds without a line after which a kind is quiet. */
export const QUIET = 5_000;
/** Kinds told apart at once, at most. What comes beyond shares one kind a level. */
const MAX_KINDS = 1_000;

export interface Line {
  /** What it is one of many of. Made of names of the configuration and of codes, never of what an event holds. */
  readonly kind: string;
  readonly level: 'warn' | 'error';
  readonly message: string;
}

interface Flood {
  readonly line: Line;
  /** The fields that every line of this kind has. */
  readonly common: object;
  /** When a line of this kind may pass again, and when the last one came. */
  until: number;
  lastAt: number;
  /** Lines left out since the last one that passed. */
  left: number;
}

export interface EconomyOptions {
  readonly logger: Logger;
  /** Counts every line that was left out. */
  readonly suppressed: Cell;
  /** Milliseconds of a monotonic clock. */
  readonly clock?: () => number;
}

export class LogEconomy {
  readonly #logger: Logger;
  readonly #suppressed: Cell;
  readonly #clock: () => number;
  readonly #kinds = new Map<string, Flood>();

  constructor({ logger, suppressed, clock = () => performance.now() }: EconomyOptions) {
    this.#logger = logger;
    this.#suppressed = suppressed;
    this.#clock = clock;
  }

  /** How many kinds are told apart now. */
  get size(): number {
    return this.#kinds.size;
  }

  /**
   * Writes a line, or counts it as left out.
   *
   * @param common Fields that every line of the kind has: they stand on the line that sums it up too.
   * @param own Makes the fields of this line; not asked when it is left out.
   */
  write(line: Line, common: object, own: () => object): void {
    const now = this.#clock();
    const known = this.#kinds.get(line.kind) ?? this.#overflow(line);
    if (known !== undefined) {
      known.lastAt = now;
      if (now < known.until) {
        known.left++;
        this.#suppressed.increment();
        return;
      }
      const { left } = known;
      known.left = 0;
      known.until = now + INTERVAL;
      return this.#print(line, { ...common, ...own(), ...(left > 0 ? { suppressed: left } : {}) });
    }
    this.#kinds.set(line.kind, { line, common, until: now + INTERVAL, lastAt: now, left: 0 });
    this.#print(line, { ...common, ...own() });
  }

  /** Says what was left out of kinds that went quiet, and forgets them. Called every second or so. */
  tick(): void {
    const now = this.#clock();
    for (const [kind, flood] of this.#kinds) if (now - flood.lastAt >= QUIET) this.#sumUp(kind, flood);
  }

  /** Says of all kinds what was left out: nothing more will come. */
  flush(): void {
    for (const [kind, flood] of this.#kinds) this.#sumUp(kind, flood);
  }

  #sumUp(kind: string, { line, common, left }: Flood): void {
    this.#kinds.delete(kind);
    if (left > 0) this.#print(line, { ...common, suppressed: left }, `left out: ${line.message}`);
  }

  #print({ level, message }: Line, fields: object, text = message): void {
    this.#logger[level](fields, text);
  }

  /** The kind that a new one shares when there are too many; undefined when there is room for it. */
  #overflow({ level }: Line): Flood | undefined {
    if (this.#kinds.size < MAX_KINDS) return undefined;
    const kind = `other ${level}`;
    const known = this.#kinds.get(kind);
    if (known !== undefined) return known;
    const line: Line = { kind, level, message: 'events failed in many ways' };
    const made: Flood = { line, common: {}, until: 0, lastAt: this.#clock(), left: 0 };
    this.#kinds.set(kind, made);
    return made;
  }
}
