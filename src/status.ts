/** What a daemon says of itself: for `/readyz`, the console and the commands. */
import type { ReloadOutcome } from './reconcile/result.ts';
import type { ConsumerState } from './telemetry/names.ts';

export interface DaemonStatus {
  readonly ready: boolean;
  /** Why it is not ready. */
  readonly reasons: readonly string[];
  /** Targets that are unavailable, with what is known of it. The daemon is ready all the same. */
  readonly degraded: readonly { readonly target: string; readonly error: string; readonly since: string }[];
  readonly connected: boolean;
  readonly consumers: readonly { readonly name: string; readonly state: ConsumerState; readonly reason: string }[];
  readonly config: {
    readonly file: string;
    readonly hash: string;
    /** Configurations put in force since the start. */
    readonly generation: number;
    readonly last_reload: ReloadOutcome | null;
  };
}
