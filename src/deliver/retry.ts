/** Whether a failed event is tried again, when, and if not, why: pure, so that every case can be tested. */
import type { ErrorCode, OuzelError } from '../errors.ts';
import type { AttemptRecord } from '../core/attempts.ts';
import type { RetryPolicy } from '../core/plan.ts';
import type { Failure, Run } from '../core/run.ts';

export type Decision =
  | { readonly retry: true; readonly delay: number; readonly reason: string; readonly record: AttemptRecord }
  /** What is kept should the dead letter be refused: the same attempt is made again then. */
  | { readonly retry: false; readonly reason: string; readonly record: AttemptRecord };

/** Errors that no further attempt can mend, and the reason that their dead letter bears. */
const HOPELESS: Partial<Record<ErrorCode, string>> = {
  EVENT_UNDECODABLE: 'undecodable',
  EVENT_EXPRESSION: 'expression_error',
  EVENT_MISSING_FIELD: 'missing_field',
  EVENT_INVALID_SUBJECT: 'invalid_subject',
  EVENT_INVALID_PATH: 'invalid_path',
  EVENT_INVALID_URL: 'invalid_url',
  EVENT_HOPS: 'too_many_hops',
  TARGET_TOO_LARGE: 'too_large',
  TARGET_REJECTED_FOR_GOOD: 'rejected',
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

/** Why an event is tried again, as metrics and `tap` show it. */
export function retryReason({ kind }: OuzelError): 'unavailable' | 'failed' | 'rejected' {
  if (kind === 'unavailable') return kind;
  return kind === 'internal' ? 'failed' : 'rejected';
}

/**
 * A rejected event uses up attempts; a target that is unavailable uses up none and is bounded by `for`.
 *
 * @param now Milliseconds since the epoch.
 * @param chance 0 to 1, for the jitter.
 */
export function decide(run: Run, failure: Failure, now: number, chance: number): Decision {
  const { error, route } = failure;
  const policy = route?.retry ?? run.plan.retry;
  const known = run.consumer.attempts.get(run.event);
  const { attempt } = run;
  const record: AttemptRecord = {
    used: attempt - 1,
    deferred: known?.deferred ?? 0,
    firstFailedAt: known?.firstFailedAt ?? now,
    confirmed: [...(known?.confirmed ?? []), ...confirmedRoutes(run)],
  };

  const hopeless = HOPELESS[error.code];
  if (hopeless !== undefined) return { retry: false, reason: hopeless, record };
  if (givesUp(run, policy, error)) return { retry: false, reason: 'given_up', record };

  if (error.kind === 'unavailable') {
    const deferred = record.deferred + 1;
    const delay = backoff(policy, deferred, chance);
    if (now + delay - record.firstFailedAt > policy.for)
      return { retry: false, reason: 'unavailable_too_long', record };
    return { retry: true, delay, reason: retryReason(error), record: { ...record, deferred } };
  }

  const reason = retryReason(error);
  if (attempt >= policy.attempts) return { retry: false, reason, record };
  return { retry: true, delay: backoff(policy, attempt, chance), reason, record: { ...record, used: attempt } };
}

/** Whether `give_up` holds. One that fails on this event decides nothing: the attempts have their bounds anyway. */
function givesUp(run: Run, { giveUp }: RetryPolicy, { code, message, kind, status }: OuzelError): boolean {
  if (giveUp === undefined) return false;
  run.error = { code, message, kind, status };
  try {
    return giveUp(run);
  } catch {
    return false;
  }
}
