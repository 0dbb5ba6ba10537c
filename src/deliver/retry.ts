/** Whether a failed event is tried again, when, and if not, why: pure, so that every case can be tested. */
import type { ErrorCode } from '../errors.ts';
import type { AttemptRecord } from '../core/attempts.ts';
import type { RetryPolicy } from '../core/plan.ts';
import type { Failure, Run } from '../core/run.ts';

export type Decision =
  | { readonly retry: true; readonly delay: number; readonly reason: string; readonly record: AttemptRecord }
  | { readonly retry: false; readonly reason: string };

/** Errors that no further attempt can mend, and the reason that their dead letter bears. */
const HOPELESS: Partial<Record<ErrorCode, string>> = {
  EVENT_UNDECODABLE: 'undecodable',
  EVENT_EXPRESSION: 'expression_error',
  EVENT_MISSING_FIELD: 'missing_field',
  EVENT_INVALID_SUBJECT: 'invalid_subject',
  EVENT_HOPS: 'too_many_hops',
  TARGET_TOO_LARGE: 'too_large',
};

/** The routes that confirmed in this attempt; they are not delivered to again. */
const confirmedRoutes = (run: Run): string[] =>
  (run.deliveries ?? []).filter(({ state }) => state === 'confirmed').map(({ route }) => route.name);

/**
 * Milliseconds before attempt `attempt + 1`.
 *
 * @param chance 0 to 1; 0.5 is the delay without jitter.
 */
export function backoff(policy: RetryPolicy, attempt: number, chance: number): number {
  const delay = Math.min(policy.max, policy.first * policy.factor ** Math.max(0, attempt - 1));
  return Math.max(1, Math.round(delay * (1 + policy.jitter * (2 * chance - 1))));
}

/**
 * A rejected event uses up attempts; a target that is unavailable uses up none and is bounded by `for`.
 *
 * @param now Milliseconds since the epoch.
 * @param chance 0 to 1, for the jitter.
 */
export function decide(run: Run, failure: Failure, now: number, chance: number): Decision {
  const { error, route } = failure;
  const hopeless = HOPELESS[error.code];
  if (hopeless !== undefined) return { retry: false, reason: hopeless };

  const policy = route?.retry ?? run.plan.retry;
  const known = run.consumer.attempts.get(run.event);
  const firstFailedAt = known?.firstFailedAt ?? now;
  const confirmed = [...(known?.confirmed ?? []), ...confirmedRoutes(run)];

  if (policy.giveUp !== undefined) {
    run.error = { code: error.code, message: error.message, kind: error.kind, status: error.status };
    if (policy.giveUp(run)) return { retry: false, reason: 'given_up' };
  }

  if (error.kind === 'unavailable') {
    const deferred = (known?.deferred ?? 0) + 1;
    const delay = backoff(policy, deferred, chance);
    if (now + delay - firstFailedAt > policy.for) return { retry: false, reason: 'unavailable_too_long' };
    // Deliveries by the server are no attempts: the count goes on from what was used before.
    const used = known?.used ?? run.event.position.deliveries - 1;
    return { retry: true, delay, reason: 'unavailable', record: { used, deferred, firstFailedAt, confirmed } };
  }

  const used = run.attempt;
  if (used >= policy.attempts) return { retry: false, reason: error.kind === 'internal' ? 'failed' : 'rejected' };
  return {
    retry: true,
    delay: backoff(policy, used, chance),
    reason: error.kind === 'internal' ? 'failed' : 'rejected',
    record: { used, deferred: known?.deferred ?? 0, firstFailedAt, confirmed },
  };
}
