/** How a change of the configuration ended, for the log, the metric and `/readyz`. */
import type { ConsumerDiff } from './diff.ts';

/** applied: it is in force. unchanged: it says what was in force already. rejected: what was in force still is. */
export const RELOAD_RESULTS = ['applied', 'unchanged', 'rejected'] as const;
export type ReloadResult = (typeof RELOAD_RESULTS)[number];

export interface ReloadOutcome {
  readonly result: ReloadResult;
  /** RFC 3339. */
  readonly at: string;
  /** Hash of the configuration that was tried, where it could be read. */
  readonly hash: string | undefined;
  /** Why it was rejected, as a person should read it; empty otherwise. */
  readonly reason: string;
  readonly changes: ConsumerDiff | undefined;
  /** Keys that changed and take effect only at the next start. */
  readonly needRestart: readonly string[];
}
