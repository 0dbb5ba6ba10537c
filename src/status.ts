/** What a daemon says of itself: for `/readyz`, the console and the commands. */
import type { Breaker } from './deliver/breaker.ts';
import type { ReloadOutcome } from './reconcile/result.ts';
import type { ConsumerRuntime } from './reconcile/runtime.ts';
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
    /** Resources of the fleet that are not in force here as they are stored. The daemon is ready all the same. */
    readonly set_aside: readonly { readonly resource: string; readonly reason: string }[];
  };
}

/** What the status is made of. */
export interface StatusInput extends Pick<DaemonStatus, 'connected' | 'config'> {
  readonly stopping: boolean;
  /** Why the daemon as a whole cannot work; empty when it can. */
  readonly problem: string;
  /** What the server refuses, and nothing can be done without. */
  readonly denied: readonly string[];
  readonly runtimes: readonly Pick<ConsumerRuntime, 'name' | 'state' | 'reason' | 'refused'>[];
  /** Consumers that could not even be built, with the reasons. */
  readonly failed: ReadonlyMap<string, string>;
  /** Those that are open. */
  readonly breakers: readonly Pick<Breaker, 'target' | 'trouble'>[];
}

/** What a daemon says of itself. It is ready while every consumer can run; a target that is away does not change that. */
export function statusOf(input: StatusInput): DaemonStatus {
  const { stopping, problem, connected, denied, runtimes, failed, breakers, config } = input;
  const consumers = [
    ...runtimes.map(({ name, state, reason, refused }) => ({ name, state, reason, refused })),
    ...[...failed].map(([name, reason]) => ({ name, state: 'failed' as const, reason, refused: false })),
  ];
  const reasons = [
    ...(stopping ? ['draining'] : []),
    ...(problem === '' ? [] : [problem]),
    ...(problem === '' && !connected ? ['NATS: disconnected'] : []),
    ...denied.map((reason) => `NATS: ${reason}`),
    ...consumers
      .filter(({ state, refused }) => state === 'failed' || state === 'starting' || refused)
      .map(({ name, state, reason }) => `consumer ${name}: ${reason === '' ? state : reason}`),
  ];
  return {
    ready: reasons.length === 0,
    reasons,
    degraded: breakers.map(({ target, trouble }) => ({
      target,
      error: trouble?.error.message ?? '',
      since: new Date(trouble?.since ?? 0).toISOString(),
    })),
    connected,
    consumers: consumers.map(({ name, state, reason }) => ({ name, state, reason })),
    config,
  };
}
