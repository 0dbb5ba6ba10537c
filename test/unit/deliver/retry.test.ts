import { describe, expect, it, onTestFinished } from 'vitest';
import { type AttemptRecord, NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { RetryPolicy } from '../../../src/core/plan.ts';
import type { Run } from '../../../src/core/run.ts';
import { backoff, decide, type Decision } from '../../../src/deliver/retry.ts';
import { type ErrorCode, ERRORS, OuzelError } from '../../../src/errors.ts';
import { error, Gate, harness, jsonEvent, later, POLICY, random, route, stopClocks } from '../core/helpers.ts';

interface Situation {
  readonly code?: ErrorCode;
  readonly status?: number;
  readonly policy?: Partial<RetryPolicy>;
  readonly targetPolicy?: Partial<RetryPolicy>;
  readonly known?: Partial<AttemptRecord>;
  readonly deliveries?: number;
  readonly now?: number;
  readonly chance?: number;
}

const NOW = 1_000_000;

function situation({ policy, known, deliveries = 1 }: Situation): Run {
  const { receive } = harness({ steps: [new Gate()], ...(policy === undefined ? {} : { retry: policy }) });
  const run = receive(jsonEvent({}, { deliveries }));
  if (known !== undefined) run.record = { ...NO_ATTEMPTS, firstFailedAt: NOW, failedAt: NOW, ...known };
  return run;
}

function decision(given: Situation): Decision {
  const { code = 'TARGET_REJECTED', status, targetPolicy, now = NOW, chance = 0.5 } = given;
  const failed =
    targetPolicy === undefined ? undefined : route('r', () => undefined, { retry: { ...POLICY, ...targetPolicy } });
  return decide(situation(given), { error: new OuzelError(code, 'no', { status }), route: failed }, now, chance);
}

describe('a rejected event', () => {
  it.each<[given: Situation, expected: Partial<Decision>]>([
    [{}, { retry: true, reason: 'rejected', delay: 1000 }],
    [{ known: { used: 1 } }, { retry: true, delay: 2000 }],
    [{ known: { used: 2 } }, { retry: false, reason: 'rejected' }],
    [{ known: { used: 7 } }, { retry: false, reason: 'rejected' }],
    [{ policy: { attempts: 1 } }, { retry: false, reason: 'rejected' }],
    // How often the server delivered it says nothing of attempts.
    [{ deliveries: 9 }, { retry: true, delay: 1000 }],
    [
      { deliveries: 9, known: { used: 0 } },
      { retry: true, delay: 1000 },
    ],
    [{ code: 'EVENT_FAILED' }, { retry: true, reason: 'failed' }],
    [
      { code: 'EVENT_FAILED', known: { used: 2 } },
      { retry: false, reason: 'failed' },
    ],
    [
      { code: 'INTERNAL', known: { used: 2 } },
      { retry: false, reason: 'failed' },
    ],
    // The policy of the target that failed counts, not the consumer's.
    [
      { known: { used: 2 }, targetPolicy: { attempts: 4, first: 7 } },
      { retry: true, delay: 28 },
    ],
    [{ targetPolicy: { attempts: 1 } }, { retry: false }],
    // What was put off before does not count as an attempt.
    [{ known: { used: 0, deferred: 50 } }, { retry: true, delay: 1000 }],
  ])('%j → %j', (given, expected) => expect(decision(given)).toMatchObject(expected));

  it('is put down as an attempt, with the first failure and what was confirmed', () => {
    expect(decision({})).toEqual({
      retry: true,
      reason: 'rejected',
      delay: 1000,
      record: { ...NO_ATTEMPTS, used: 1, firstFailedAt: NOW, failedAt: NOW, next: NOW + 1000 },
    });
    const known = { used: 1, open: true, deferred: 3, firstFailedAt: 5, failedAt: 6, confirmed: ['a'], next: 7 };
    expect(decision({ known })).toMatchObject({
      record: {
        used: 2,
        open: false,
        deferred: 3,
        firstFailedAt: 5,
        failedAt: NOW,
        confirmed: ['a'],
        next: NOW + 2000,
      },
    });
  });
});

describe('an unavailable target', () => {
  it.each<[given: Situation, expected: Partial<Decision>]>([
    [{}, { retry: true, reason: 'unavailable', delay: 1000 }],
    [{ known: { used: 2, deferred: 1 } }, { retry: true, delay: 2000 }],
    [{ known: { deferred: 500 } }, { retry: true, delay: 10_000 }],
    [{ deliveries: 99 }, { retry: true, delay: 1000 }],
    [
      { known: {}, now: NOW + 59_000 },
      { retry: true, delay: 1000 },
    ],
    // The last try is at the bound.
    [
      { known: {}, now: NOW + 59_999 },
      { retry: true, delay: 1 },
    ],
    [
      { known: {}, now: NOW + 60_000 },
      { retry: false, reason: 'unavailable_too_long' },
    ],
    [{ policy: { attempts: 1 } }, { retry: true }],
    [
      { policy: { for: 10 }, known: {}, now: NOW + 9 },
      { retry: true, delay: 1 },
    ],
    [
      { policy: { for: 10 }, known: {}, now: NOW + 10 },
      { retry: false, reason: 'unavailable_too_long' },
    ],
    [
      { targetPolicy: { for: 10 }, known: {}, now: NOW + 9 },
      { retry: true, delay: 1 },
    ],
    [{ targetPolicy: { for: 10 }, known: {}, now: NOW + 10 }, { retry: false }],
    [
      { code: 'TARGET_TIMEOUT', known: { used: 2 } },
      { retry: true, reason: 'unavailable' },
    ],
    [{ code: 'TARGET_NO_STREAM' }, { retry: true, reason: 'unavailable' }],
  ])('%j → %j', (given, expected) =>
    expect(decision({ code: 'TARGET_UNAVAILABLE', ...given })).toMatchObject(expected),
  );

  it('uses up no attempt', () => {
    const unavailable = { code: 'TARGET_UNAVAILABLE' } as const;
    expect(decision(unavailable)).toMatchObject({ record: { used: 0, deferred: 1 } });
    expect(decision({ ...unavailable, known: { used: 2, deferred: 4 } })).toMatchObject({
      record: { used: 2, deferred: 5 },
    });
  });
});

describe("an answer that may be this event's own fault", () => {
  stopClocks();

  const answer = (status?: number, code: ErrorCode = 'TARGET_UNAVAILABLE') => new OuzelError(code, 'no', { status });

  /** One event that fails at a target again and again, while the test decides what else happens there. */
  function failing(retry: Partial<RetryPolicy> = {}) {
    const target = route('partner', () => undefined, { retry: { ...POLICY, ...retry } });
    const run = situation({});
    const fails = (problem = answer(500)): Decision => {
      later(10);
      const made = decide(run, { error: problem, route: target }, Date.now(), 0.5);
      run.record = made.record;
      later(10);
      return made;
    };
    return { run, fails, breaker: target.breaker };
  }

  it.each([answer(500), answer(503), answer(599)])(
    'is put off at first, and counts when it comes again and others got through since: $code $status',
    (problem) => {
      const { fails, breaker } = failing();
      expect(fails(problem)).toMatchObject({ reason: 'unavailable', record: { used: 0, deferred: 1, doubtful: true } });
      breaker.succeeded(performance.now());
      // The one before does; this one may be the beginning of an outage.
      expect(fails(problem)).toMatchObject({ reason: 'rejected', record: { used: 1, deferred: 1, doubtful: true } });
    },
  );

  it('is a dead letter after as many attempts as a refusal', () => {
    const { fails, breaker } = failing();
    fails();
    breaker.succeeded(performance.now());
    fails();
    breaker.succeeded(performance.now());
    // Three in all; the letter names the last one as the record's next.
    expect(fails()).toMatchObject({ retry: false, reason: 'rejected', record: { used: 2 } });
  });

  it('is one at the second failure where two attempts are all', () => {
    const { fails, breaker } = failing({ attempts: 2 });
    fails();
    breaker.succeeded(performance.now());
    expect(fails()).toMatchObject({ retry: false, reason: 'rejected', record: { used: 1 } });
  });

  it('counts for nothing as long as nobody gets through', () => {
    const { fails, breaker } = failing();
    breaker.succeeded(performance.now());
    for (let times = 1; times <= 5; times++)
      expect(fails()).toMatchObject({ retry: true, reason: 'unavailable', record: { used: 0, deferred: times } });
  });

  it('counts for nothing when the target was found to be away since', () => {
    const { fails, breaker } = failing();
    onTestFinished(() => breaker.close());
    fails();
    for (let times = 0; times < 3; times++) breaker.failed(answer(503));
    breaker.succeeded(performance.now());
    expect(fails()).toMatchObject({ reason: 'unavailable', record: { used: 0, deferred: 2 } });
    // From now on it is as it was.
    breaker.succeeded(performance.now());
    expect(fails()).toMatchObject({ reason: 'rejected', record: { used: 1 } });
  });

  it('counts for nothing when the target is found to be away with it, nor does the first of a later outage', () => {
    const { fails, breaker } = failing();
    onTestFinished(() => breaker.close());
    for (let times = 0; times < 3; times++) breaker.failed(answer(503));
    expect(fails()).toMatchObject({ reason: 'unavailable', record: { used: 0, doubtful: false } });
    breaker.succeeded(performance.now());
    expect(fails()).toMatchObject({ reason: 'unavailable', record: { used: 0, deferred: 2, doubtful: true } });
  });

  it('counts once when a refusal follows that says so', () => {
    const { fails, breaker } = failing();
    fails();
    breaker.succeeded(performance.now());
    expect(fails(new OuzelError('TARGET_REJECTED', 'no'))).toMatchObject({ record: { used: 1, doubtful: false } });
  });

  const silent = answer(undefined, 'TARGET_TIMEOUT');
  it.each([answer(), answer(408), answer(425), answer(429), silent, answer(undefined, 'TARGET_NO_STREAM')])(
    'is none of an answer that speaks of the target alone: $code $status',
    (problem) => {
      const { fails, breaker } = failing();
      for (let times = 1; times <= 4; times++) {
        breaker.succeeded(performance.now());
        expect(fails(problem)).toMatchObject({ reason: 'unavailable', record: { used: 0, doubtful: false } });
      }
    },
  );

  it('says nothing of one before that spoke of the target', () => {
    const { fails, breaker } = failing();
    fails(answer(429));
    breaker.succeeded(performance.now());
    expect(fails(answer(500))).toMatchObject({ reason: 'unavailable', record: { used: 0, deferred: 2 } });
  });

  it('is not known of a stage before the deliveries', () => {
    const run = situation({ known: { doubtful: true } });
    const made = decide(run, { error: answer(500), route: undefined }, NOW + 1000, 0.5);
    expect(made).toMatchObject({ reason: 'unavailable', record: { used: 0 } });
  });
});

describe('Retry-After', () => {
  const asked = (retryAfter: number, more: Partial<Situation> = {}): Decision => {
    const { code = 'TARGET_UNAVAILABLE', known } = more;
    const run = situation(known === undefined ? {} : { known });
    return decide(run, { error: new OuzelError(code, 'no', { retryAfter }), route: undefined }, NOW, 0.5);
  };

  it('puts an event off for as long as the target asks for', () => {
    expect(asked(5000)).toMatchObject({ delay: 5000, record: { next: NOW + 5000 } });
    expect(asked(5000, { code: 'TARGET_REJECTED' })).toMatchObject({ delay: 5000, record: { used: 1 } });
  });

  it('never makes the delay shorter than it would be', () =>
    expect(asked(1, { known: { deferred: 2 } })).toMatchObject({ delay: 4000 }));

  it('is capped by the longest delay of the policy', () =>
    expect(asked(86_400_000)).toMatchObject({ retry: true, delay: POLICY.max }));
});

describe('an open breaker', () => {
  stopClocks();

  it('puts an event off until after its next probe', () => {
    const target = route('partner', () => undefined);
    onTestFinished(() => target.breaker.close());
    for (let times = 0; times < 5; times++) {
      target.breaker.admits();
      target.breaker.failed(error('TARGET_UNAVAILABLE'));
      later(60_000);
    }
    const made = decide(situation({}), { error: error('TARGET_BREAKER_OPEN'), route: target }, Date.now(), 0.5);
    // It opened, and two probes failed: the pauses were 1, 2 and 4 s, and the next one is 8 s, within a tenth.
    expect(made).toMatchObject({ retry: true, reason: 'unavailable', record: { used: 0 } });
    expect(made.retry && made.delay).toBeGreaterThanOrEqual(7200);
    expect(made.retry && made.delay).toBeLessThanOrEqual(8800);
  });
});

describe('what no further attempt can mend', () => {
  it.each<[code: ErrorCode, reason: string]>([
    ['EVENT_UNDECODABLE', 'undecodable'],
    ['EVENT_EXPRESSION', 'expression_error'],
    ['EVENT_MISSING_FIELD', 'missing_field'],
    ['EVENT_INVALID_SUBJECT', 'invalid_subject'],
    ['EVENT_INVALID_PATH', 'invalid_path'],
    ['EVENT_HOPS', 'too_many_hops'],
    ['EVENT_POISON', 'poison'],
    ['EVENT_ROUTE_GONE', 'route_gone'],
    ['TARGET_TOO_LARGE', 'too_large'],
  ])('%s is a dead letter at once: %s', (code, reason) => {
    expect(decision({ code })).toMatchObject({ retry: false, reason });
    expect(decision({ code, policy: { giveUp: () => false } })).toMatchObject({ retry: false, reason });
  });

  it('leaves a record by which the attempt that failed is the last one', () => {
    for (const code of ['EVENT_EXPRESSION', 'TARGET_REJECTED'] as const) {
      expect(decision({ code, known: { used: 2, confirmed: ['a'] } })).toMatchObject({
        retry: false,
        record: { used: 2, confirmed: ['a'] },
      });
    }
  });
});

describe('give_up', () => {
  it('ends the attempts, and sees the error', () => {
    const seen: unknown[] = [];
    const giveUp: RetryPolicy['giveUp'] = (scope) => {
      seen.push(scope.error);
      return scope.error?.status === 409;
    };
    expect(decision({ status: 409, policy: { giveUp } })).toMatchObject({ retry: false, reason: 'given_up' });
    expect(decision({ status: 500, policy: { giveUp } })).toMatchObject({ retry: true });
    expect(seen[0]).toEqual({ code: 'TARGET_REJECTED', message: 'no', kind: 'rejected', status: 409 });
  });

  it('ends them for an unavailable target as well', () =>
    expect(decision({ code: 'TARGET_UNAVAILABLE', policy: { giveUp: () => true } })).toMatchObject({
      retry: false,
      reason: 'given_up',
    }));

  it('is that of the target that failed', () =>
    expect(decision({ policy: { giveUp: () => true }, targetPolicy: {} })).toMatchObject({ retry: true }));

  it('that fails itself decides nothing and does not escape', () => {
    const giveUp = () => {
      throw error('EVENT_EXPRESSION');
    };
    expect(decision({ policy: { giveUp } })).toMatchObject({ retry: true, reason: 'rejected' });
    expect(decision({ policy: { giveUp }, known: { used: 2 } })).toMatchObject({ retry: false, reason: 'rejected' });
  });
});

describe('backoff', () => {
  it.each<[attempt: number, chance: number, delay: number]>([
    [1, 0.5, 1000],
    [2, 0.5, 2000],
    [4, 0.5, 8000],
    [5, 0.5, 10_000],
    [100_000, 0.5, 10_000],
    [0, 0.5, 1000],
    [1, 0, 800],
    [1, 1, 1200],
    [9, 1, 12_000],
  ])('attempt %i, chance %d: %i ms', (attempt, chance, delay) =>
    expect(backoff({ ...POLICY, jitter: 0.2 }, attempt, chance)).toBe(delay),
  );

  it('is never less than a millisecond, whatever the jitter', () =>
    expect(backoff({ ...POLICY, first: 1, jitter: 1 }, 1, 0)).toBe(1));
});

describe('any policy', () => {
  const policies = Array.from({ length: 300 }, (_, seed) => {
    const chance = random(seed + 1);
    const first = Math.ceil(chance() * 60_000);
    const policy: RetryPolicy = {
      attempts: 1 + Math.floor(chance() * 12),
      first,
      factor: 1 + chance() * 9,
      max: Math.ceil(chance() * 600_000),
      jitter: chance(),
      for: Math.ceil(chance() * 3_600_000),
      giveUp: undefined,
    };
    return { policy, chance };
  });

  it('bounds its delays by max and jitter', () => {
    for (const { policy, chance } of policies)
      for (const attempt of [1, 2, 3, 10, 1000]) {
        const delay = backoff(policy, attempt, chance());
        expect(Number.isInteger(delay)).toBe(true);
        expect(delay).toBeGreaterThanOrEqual(1);
        expect(delay).toBeLessThanOrEqual(Math.max(1, Math.round(policy.max * (1 + policy.jitter))));
        expect(backoff(policy, attempt + 1, 0.5)).toBeGreaterThanOrEqual(backoff(policy, attempt, 0.5));
      }
  });

  it('dead-letters a rejected event exactly at the last attempt, however often it is put off between', () => {
    for (const { policy, chance } of policies) {
      const run = situation({ policy: { ...policy, for: Number.MAX_SAFE_INTEGER } });
      let rejections = 0;
      for (;;) {
        const away = chance() < 0.4;
        const made = decide(
          run,
          { error: error(away ? 'TARGET_UNAVAILABLE' : 'TARGET_REJECTED'), route: undefined },
          NOW,
          chance(),
        );
        if (!away) rejections++;
        expect(made.retry).toBe(away || rejections < policy.attempts);
        if (!made.retry) break;
        expect(made.record.used).toBe(rejections);
        run.record = made.record;
      }
      expect(rejections).toBe(policy.attempts);
    }
  });

  it('bounds an outage by `for`, from the first failure', () => {
    for (const { policy, chance } of policies) {
      const run = situation({ policy });
      let now = NOW;
      for (let tries = 0; tries < 5000; tries++) {
        const made = decide(run, { error: error('TARGET_UNAVAILABLE'), route: undefined }, now, chance());
        if (!made.retry) {
          expect(made.reason).toBe('unavailable_too_long');
          expect(now - NOW).toBe(policy.for);
          break;
        }
        expect(made.record.used).toBe(0);
        now += made.delay;
        expect(now - NOW).toBeLessThanOrEqual(policy.for);
        run.record = made.record;
      }
    }
  });

  it('has an answer for every code there is', () => {
    for (const code of Object.keys(ERRORS) as ErrorCode[]) {
      const { kind } = ERRORS[code];
      const made = decision({ code, known: { used: POLICY.attempts } });
      expect(made.retry).toBe(kind === 'unavailable');
    }
  });
});
