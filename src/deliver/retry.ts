/** Whether a failed event is tried again, when, and if not, why: pure, so that every case can be tested. */
import type { ErrorCode, OuzelError } from '../errors.ts';
import { type AttemptRecord, NO_ATTEMPTS } from '../core/attempts.ts';
import type { RetryPolicy } from '../core/plan.ts';
import { confirmedRoutes, type Failure, type Run } from '../core/run.ts';
import type { Route } from './route.ts';

export type Decision =
  | { readonly retry: true; readonly delay: number; readonly reason: string; readonly record: AttemptRecord }
  /** `record`: what the dead letter says of the attempts, the last one included. */
  | { readonly retry: false; readonly reason: string; readonly record: AttemptRecord };

/** Errors that no further attempt can mend, and the reason that their dead letter bears. */
const HOPELESS: Partial<Record<ErrorCode, string>> = {
  EVENT_UNDECODABLE: 'undecodable',
  EVENT_EXPRESSION: 'expression_error',
  EVENT_MISSING_FIELD: 'missing_field',
  EVENT_MISSING_LOOKUP: 'missing_lookup',
  EVENT_INVALID: 'invalid',
  EVENT_VERSION: 'unknown_version',
  EVENT_INVALID_SUBJECT: 'invalid_subject',
  EVENT_INVALID_PATH: 'invalid_path',
  EVENT_INVALID_URL: 'invalid_url',
  EVENT_HOPS: 'too_many_hops',
  EVENT_ROUTE_GONE: 'route_gone',
  TARGET_TOO_LARGE: 'too_large',
  TARGET_REJECTED_FOR_GOOD: 'rejected',
};

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
  const known = run.record ?? NO_ATTEMPTS;
  const record: AttemptRecord = {
    ...known,
    open: false,
    alone: false,
    suspect: false,
    grave: false,
    doubtful: false,
    firstFailedAt: known.firstFailedAt === 0 ? now : known.firstFailedAt,
    failedAt: now,
    confirmed: [...known.confirmed, ...confirmedRoutes(run)],
    passed: run.passed,
  };
  const hopeless = HOPELESS[error.code];
  // No attempt was made this time.
  if (error.code === 'EVENT_POISON')
    return { retry: false, reason: 'poison', record: { ...record, cutOffs: record.cutOffs - 1 } };
  if (hopeless !== undefined) return { retry: false, reason: hopeless, record };
  if (givesUp(run, policy, error)) return { retry: false, reason: 'given_up', record };

  /** Not before the target asked for, within the longest delay. */
  const wait = (times: number): number =>
    Math.max(backoff(policy, times, chance), Math.min(error.retryAfter ?? 0, policy.max));

  if (error.kind === 'unavailable' && !isOwnFault(known, error, route)) {
    const left = record.firstFailedAt + policy.for - now;
    if (left <= 0) return { retry: false, reason: 'unavailable_too_long', record };
    const deferred = record.deferred + 1;
    // The last try is at the bound, however long the pauses have become by then.
    const delay = Math.min(left, Math.max(wait(deferred), route?.breaker.pause ?? 0));
    const doubtful = mayBeOwnFault(error) && route?.breaker.isOpen !== true;
    return {
      retry: true,
      delay,
      reason: retryReason(error),
      record: { ...record, deferred, doubtful, next: now + delay },
    };
  }

  // An own fault counts by the one before, which is certain now; this one is, when the next attempt confirms it.
  const doubtful = error.kind === 'unavailable';
  const reason = doubtful ? 'rejected' : retryReason(error);
  const used = known.used + 1;
  const made = doubtful ? used + 1 : used;
  if (made >= policy.attempts) return { retry: false, reason, record: { ...record, used: made - 1 } };
  const delay = wait(made);
  return { retry: true, delay, reason, record: { ...record, used, doubtful, next: now + delay } };
}

/** Whether an error that says "not now" may be the answer to this one event. */
const mayBeOwnFault = ({ status = 0 }: OuzelError): boolean => status >= 500;

/**
 * While other events succeed at a target, a 5xx is a refusal of this event: one poisonous event must not go round for
 * a day. None can be told from the beginning of an outage when it comes; so the first is deferred, and is known to have
 * been the event's own fault when others got through since, the target was not found to be away, and it comes again.
 */
function isOwnFault(known: AttemptRecord, error: OuzelError, route: Route | undefined): boolean {
  if (route === undefined || !known.doubtful || !mayBeOwnFault(error)) return false;
  const { breaker } = route;
  return !breaker.isOpen && breaker.succeededSince(known.failedAt) && !breaker.openedSince(known.failedAt);
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
