/** The key of one stream's events. */
import type { Run } from '../core/run.ts';
import { type Evaluate, Fault, type Scope, toText } from '../expression/index.ts';

/** Answers the key of a run's event (or of another of which as much is known), undefined where there is none. */
export type KeyOf = (run: Scope & Pick<Run, 'stream'>) => string | undefined;

/** @param key The `key` of the stream, bound; undefined where it has none. */
export const keyBy =
  (key: Evaluate | undefined): KeyOf =>
  (run) => {
    try {
      const value = key?.(run);
      return value === undefined || value instanceof Fault ? undefined : toText(value);
    } catch {
      // The data cannot be decoded. Such an event has a dead letter all the same.
      return undefined;
    }
  };
