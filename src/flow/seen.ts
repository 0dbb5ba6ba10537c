/** What stages remember of events by key, where every instance finds it, for as long as it is of use. */
import type { Run } from '../core/run.ts';
import type { OuzelError } from '../errors.ts';
import type { Identity } from './held.ts';

/** An event that was counted. */
export interface Counted extends Identity {
  /** Whether it was the nth, with which counting began anew. */
  readonly passed: boolean;
}

/** Remembers the first event of each key. */
export interface SeenKeys {
  /**
   * Notes that a run's event has this key.
   *
   * @param within Milliseconds.
   * @param done With whether another event had it before.
   */
  first(run: Run, key: string, within: number, done: (error?: OuzelError, repeated?: boolean) => void): void;
}

/** Remembers the last events of each key. */
export interface CountedEvents {
  /** @returns The last first, with the revision; 0: there are none */
  get(run: Run, key: string | undefined): Promise<{ readonly counted: readonly Counted[]; readonly revision: number }>;
  /** @returns Whether they are stored; false: somebody else counted meanwhile. @throws OuzelError */
  put(
    run: Run,
    key: string | undefined,
    counted: readonly Counted[],
    revision: number,
    within: number,
  ): Promise<boolean>;
}
