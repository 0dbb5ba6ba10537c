import { beforeEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { RetryPolicy } from '../../../src/core/plan.ts';
import { Breaker, Breakers } from '../../../src/deliver/breaker.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { type ErrorCode, OuzelError } from '../../../src/errors.ts';
import { error, harness, jsonEvent, later, outcome, POLICY, route, stopClocks } from '../core/helpers.ts';

stopClocks();

// The pauses vary at random by a tenth; this is the middle.
beforeEach(() => {
  const chance = vi.spyOn(Math, 'random').mockReturnValue(0.5);
  return () => chance.mockRestore();
});

const away = (retryAfter?: number): OuzelError => new OuzelError('TARGET_UNAVAILABLE', 'away', { retryAfter });

function breakerOf(target = 'partner') {
  /** Its state at every change. */
  const changes: boolean[] = [];
  const breaker = new Breaker(target, { changed: ({ isOpen }) => void changes.push(isOpen) });
  onTestFinished(() => breaker.close());
  const fail = (times = 1, problem = away()): void => {
    for (let time = 0; time < times; time++) breaker.failed(problem);
  };
  return { breaker, changes, fail };
}

/** A breaker that has just opened: the first probe is due in a second. */
function opened() {
  const made = breakerOf();
  made.fail(3);
  return made;
}

/** Milliseconds until a probe is let through, which then is on its way. */
function untilProbe({ admits }: { readonly admits: () => boolean }): number {
  for (let waited = 0; waited <= 600_000; waited += 100) {
    if (admits()) return waited;
    later(100);
  }
  return Number.POSITIVE_INFINITY;
}

const probeOf = (breaker: Breaker): number => untilProbe({ admits: () => breaker.admits() });

describe('a closed breaker', () => {
  it('opens when a target was unavailable three times on end, and says so once, with the reason', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(2);
    expect([breaker.state, breaker.isOpen, breaker.trouble, breaker.pause]).toEqual(['closed', false, undefined, 0]);
    later(50);
    fail(5);
    expect(breaker.state).toBe('open');
    expect(changes).toEqual([true]);
    expect(breaker.trouble).toMatchObject({ error: { code: 'TARGET_UNAVAILABLE' }, since: Date.now() });
  });

  it.each<[name: string, answer: (breaker: Breaker) => void]>([
    ['something was delivered', (breaker) => breaker.succeeded(performance.now())],
    ['an event was refused, which the target must be there for', (breaker) => breaker.failed(error())],
  ])('begins to count anew when %s', (_name, answer) => {
    const { breaker, fail } = breakerOf();
    for (let time = 0; time < 5; time++) {
      fail(2);
      answer(breaker);
    }
    fail(2);
    expect(breaker.state).toBe('closed');
    fail();
    expect(breaker.state).toBe('open');
  });

  it.each<ErrorCode>(['NATS_UNAVAILABLE', 'TARGET_BREAKER_OPEN'])('learns nothing of a target from %s', (code) => {
    const { breaker, fail } = breakerOf();
    fail(10, error(code));
    expect(breaker.state).toBe('closed');
    fail(2);
    fail(1, error(code));
    expect(breaker.state).toBe('closed');
    fail();
    expect(breaker.state).toBe('open');
  });

  it('lets everything through', () => {
    const { breaker, fail } = breakerOf();
    fail(2);
    expect([breaker.admits(), breaker.admits(), breaker.admits()]).toEqual([true, true, true]);
  });
});

describe('an open breaker', () => {
  it('lets one through when its pause is over, and no other one until that has answered', () => {
    const { breaker } = opened();
    later(999);
    expect(breaker.admits()).toBe(false);
    later(1);
    expect([breaker.admits(), breaker.state]).toEqual([true, 'probing']);
    later(60_000);
    expect([breaker.admits(), breaker.isOpen]).toEqual([false, true]);
  });

  it('waits longer before each further probe, within a bound, and is not said to have opened again', () => {
    const { breaker, changes, fail } = opened();
    const pauses: number[] = [];
    for (let probe = 0; probe < 8; probe++) {
      pauses.push(probeOf(breaker));
      fail();
    }
    expect(pauses).toEqual([1, 2, 4, 8, 16, 30, 30, 30].map((seconds) => seconds * 1000));
    expect(changes).toEqual([true]);
  });

  it('says since when, and what the last probe was told', () => {
    const { breaker, fail } = opened();
    const since = Date.now();
    probeOf(breaker);
    fail(1, error('TARGET_TIMEOUT', 'no answer'));
    expect(breaker.trouble).toMatchObject({ since, error: { code: 'TARGET_TIMEOUT', message: 'no answer' } });
  });

  it.each<[name: string, answer: (breaker: Breaker) => void]>([
    ['takes the probe', (breaker) => breaker.succeeded(performance.now())],
    ['refuses the probe for its own fault', (breaker) => breaker.failed(error('TARGET_REJECTED'))],
  ])('closes when the target %s, and begins anew', (_name, answer) => {
    const { breaker, changes, fail } = opened();
    for (let probe = 0; probe < 4; probe++) {
      probeOf(breaker);
      fail();
    }
    probeOf(breaker);
    answer(breaker);
    expect([breaker.state, breaker.isOpen, breaker.pause]).toEqual(['closed', false, 0]);
    expect([breaker.admits(), breaker.admits()]).toEqual([true, true]);
    expect(changes).toEqual([true, false]);
    fail(2);
    expect(breaker.state).toBe('closed');
    fail();
    expect(probeOf(breaker)).toBe(1000);
    expect(changes).toEqual([true, false, true]);
  });

  it('closes when something gets through that was sent before it opened', () => {
    const { breaker } = opened();
    breaker.succeeded(performance.now());
    expect([breaker.state, breaker.admits()]).toEqual(['closed', true]);
  });

  it('learns nothing from what was sent before it opened and fails now', () => {
    const { breaker, fail } = opened();
    later(500);
    fail(100);
    later(500);
    expect(breaker.admits()).toBe(true);
  });

  it('probes again soon when the connection to NATS was lost with the probe', () => {
    const { breaker, fail } = opened();
    for (let probe = 0; probe < 3; probe++) {
      probeOf(breaker);
      fail();
    }
    probeOf(breaker);
    fail(1, error('NATS_UNAVAILABLE'));
    expect(breaker.state).toBe('open');
    expect(probeOf(breaker)).toBe(1000);
    fail();
    expect(probeOf(breaker)).toBe(16_000);
  });

  it('leaves the target alone for as long as it asks, within a bound', () => {
    const { breaker, fail } = breakerOf();
    fail(3, away(45_000));
    expect(probeOf(breaker)).toBe(45_000);
    fail(1, away(86_400_000));
    expect(probeOf(breaker)).toBe(300_000);
    fail(1, away(1));
    expect(probeOf(breaker)).toBe(4000);
  });

  it('takes a probe for lost that nobody has heard of for two minutes', () => {
    const { breaker } = opened();
    probeOf(breaker);
    later(119_999);
    expect(breaker.admits()).toBe(false);
    later(1);
    expect([breaker.admits(), breaker.admits()]).toEqual([true, false]);
  });

  it('remembers when something was delivered, and when it opened', () => {
    const { breaker, fail } = breakerOf();
    const start = Date.now();
    expect([breaker.succeededSince(0), breaker.openedSince(0)]).toEqual([false, false]);
    later(10);
    breaker.succeeded(performance.now());
    later(10);
    fail(3);
    expect([breaker.succeededSince(start), breaker.succeededSince(start + 10)]).toEqual([true, false]);
    expect([breaker.openedSince(start + 10), breaker.openedSince(start + 20)]).toEqual([true, false]);
  });
});

describe('events that wait for a target', () => {
  /** A consumer that delivers there alone, with the deliveries that are on their way. */
  function waiting(count: number, retry: Partial<RetryPolicy> = {}) {
    const { breaker, fail } = opened();
    const sent: Delivery[] = [];
    const target = route('partner', (delivery) => void sent.push(delivery), {
      breaker,
      retry: { ...POLICY, ...retry },
    });
    const made = harness({
      steps: [deliverStep([target], outcome('filtered', 'no_route'))],
      unavailable: () => breaker.isOpen,
      retry,
    });
    const runs = Array.from({ length: count }, (_, index) => made.receive(jsonEvent({}, { sequence: index + 1 })));
    return { ...made, breaker, fail, sent, runs, sequences: () => sent.map(({ run }) => run.sequence) };
  }

  it('are kept in hand, begin nothing, and take up no more of the server than one probe', () => {
    const { breaker, consumer, acks, sent, runs, attempts } = waiting(3);
    expect(breaker.waiting).toBe(3);
    expect(runs.map(({ started, waitingSince }) => [started, waitingSince])).toEqual(
      runs.map(() => [false, Date.now()]),
    );
    expect([sent, acks.answers, attempts.puts]).toEqual([[], [], []]);
    expect([consumer.held, consumer.room]).toEqual([3, 1]);
  });

  it('probe in turn, the one that has waited longest first', () => {
    const { sent, sequences, breaker } = waiting(3);
    later(1000);
    expect(sequences()).toEqual([1]);
    expect(breaker.waiting).toBe(2);
    sent.at(-1)?.fail(away());
    later(2000);
    sent.at(-1)?.fail(away());
    later(4000);
    expect(sequences()).toEqual([1, 2, 3]);
    expect(breaker.waiting).toBe(0);
  });

  it('go on, all of them, in their order, as soon as one got through', () => {
    const { sent, sequences, breaker, counts, consumer } = waiting(4);
    later(1000);
    sent[0]?.confirm();
    expect(sequences()).toEqual([1, 2, 3, 4]);
    expect([breaker.waiting, consumer.room]).toEqual([0, 2000]);
    for (const delivery of sent) delivery.confirm();
    expect(counts()).toMatchObject({ delivered: 4, retries: 0, in_flight: 0 });
  });

  it('are no probes when they were settled meanwhile', () => {
    const { consumer, runs, sequences } = waiting(3);
    consumer.settle.giveBack(runs[0] as (typeof runs)[number]);
    later(1000);
    expect(sequences()).toEqual([2]);
  });

  it('leave the probe to the next event that comes when there are none', () => {
    const { receive, sequences } = waiting(0);
    later(1000);
    receive(jsonEvent({}, { sequence: 7 }));
    receive(jsonEvent({}, { sequence: 8 }));
    expect(sequences()).toEqual([7]);
  });

  it('are not noted as begun while they wait, though they came again, and are once they go on', () => {
    const { receive, attempts, sent } = waiting(0);
    const noted = (): unknown => attempts.records.get(7)?.open;
    receive(jsonEvent({}, { sequence: 7, deliveries: 2 }));
    expect([noted(), sent.length]).toEqual([false, 0]);
    later(1000);
    expect([noted(), sent.length]).toEqual([true, 1]);
  });

  it('are dead letters at once when they come again after their time', () => {
    const { receive, attempts, letters, breaker } = waiting(0, { for: 900 });
    attempts.records.set(7, { ...NO_ATTEMPTS, deferred: 1, firstFailedAt: Date.now() - 900 });
    receive(jsonEvent({}, { sequence: 7, deliveries: 2 }));
    expect(letters.letters.map(({ reason }) => reason)).toEqual(['unavailable_too_long']);
    expect(breaker.waiting).toBe(0);
  });

  it('let another one probe when the one that was let go does not get as far', () => {
    const { sequences, consumer } = waiting(3);
    consumer.goOn = () => undefined;
    later(1000);
    expect(sequences()).toEqual([]);
    Reflect.deleteProperty(consumer, 'goOn');
    later(1000);
    expect(sequences()).toHaveLength(1);
  });

  it('count their waiting as the time since their first failure', () => {
    const { runs, sent, parking, acks } = waiting(1);
    const since = Date.now();
    expect(runs[0]?.record).toMatchObject({ used: 0, firstFailedAt: since });
    later(1000);
    sent[0]?.fail(away());
    expect(runs[0]?.record).toMatchObject({ firstFailedAt: since });
    expect([acks.final.map(([verb]) => verb), parking.parked]).toEqual([['nak'], []]);
  });

  it('are dead letters when they have waited for longer than `retry.for`', () => {
    const { consumer, letters, acks, breaker, sent } = waiting(1, { for: 900 });
    later(900);
    consumer.sweep(performance.now());
    expect(letters.letters).toEqual([]);
    later(1);
    consumer.sweep(performance.now());
    expect(letters.letters.map(({ reason, failure }) => [reason, failure.error.code])).toEqual([
      ['unavailable_too_long', 'TARGET_UNAVAILABLE'],
    ]);
    expect(acks.final).toEqual([['ack', 'reply.1']]);
    later(1000);
    expect([breaker.waiting, sent]).toEqual([0, []]);
  });
});

describe('a breaker whose probe fails before the target has a say', () => {
  it.each<ErrorCode>(['EVENT_MISSING_FIELD', 'PLUGIN_FAILED', 'INTERNAL'])(
    'stays open after %s, and probes again',
    (code) => {
      const { breaker, changes, fail } = opened();
      probeOf(breaker);
      fail(1, error(code));
      expect([breaker.state, changes]).toEqual(['open', [true]]);
      expect(probeOf(breaker)).toBe(1000);
    },
  );

  it('is not probed sooner for what is held back while its probe is on its way', () => {
    const { breaker, fail } = opened();
    probeOf(breaker);
    fail(20, error('TARGET_BREAKER_OPEN'));
    expect(breaker.state).toBe('probing');
    fail();
    expect(probeOf(breaker)).toBe(2000);
  });

  it('is probed at once when the target may have been mended, and holds nothing back once it is gone', () => {
    const { breaker, changes, fail } = opened();
    for (let probe = 0; probe < 4; probe++) {
      probeOf(breaker);
      fail();
    }
    breaker.probeSoon();
    expect(probeOf(breaker)).toBeLessThanOrEqual(100);
    breaker.close();
    fail(10);
    expect([breaker.state, breaker.isGone, changes]).toEqual(['closed', true, [true, false]]);
  });
});

describe('the breakers of a daemon', () => {
  it('are one a target, shared by all who deliver there', () => {
    const breakers = new Breakers({ changed: () => undefined });
    expect(breakers.of('partner')).toBe(breakers.of('partner'));
    expect(breakers.of('partner')).not.toBe(breakers.of('billing/partner'));
  });

  it('are shown while they are open, and let go of with their targets', () => {
    const breakers = new Breakers({ changed: () => undefined });
    const [gone, kept] = [breakers.of('gone'), breakers.of('kept')];
    onTestFinished(() => void breakers.keepOnly(new Set()));
    for (let time = 0; time < 3; time++) {
      gone.failed(away());
      kept.failed(away());
    }
    expect(breakers.open).toEqual([gone, kept]);
    expect(breakers.keepOnly(new Set(['kept']))).toEqual(['gone']);
    expect(breakers.open).toEqual([kept]);
    expect(breakers.of('kept')).toBe(kept);
    expect(breakers.of('gone')).not.toBe(gone);
  });
});

describe('a disabled target', () => {
  const gone = new OuzelError('TARGET_GONE', 'answered 410 Gone', { status: 410 });

  it('is not even probed, whatever else becomes known of it', () => {
    const { breaker, changes, fail } = breakerOf();
    fail(1, gone);
    expect([breaker.isDisabled, breaker.isOpen, breaker.pause]).toEqual([true, true, 0]);
    expect(breaker.trouble).toEqual({ error: gone, since: Date.now() });
    breaker.probeSoon();
    breaker.succeeded(performance.now());
    fail(5);
    fail(1, error('TARGET_REJECTED'));
    expect(probeOf(breaker)).toBe(Number.POSITIVE_INFINITY);
    expect(changes).toEqual([true]);
    breaker.enable();
    expect([breaker.isDisabled, breaker.admits()]).toEqual([false, true]);
    expect(changes).toEqual([true, false]);
    breaker.enable();
    expect(changes).toEqual([true, false]);
  });

  it('may have been away before, and its probe finds it gone', () => {
    const { breaker, changes, fail } = opened();
    expect(probeOf(breaker)).toBe(1000);
    fail(1, gone);
    expect(probeOf(breaker)).toBe(Number.POSITIVE_INFINITY);
    expect(changes).toEqual([true, true]);
    breaker.close();
    expect(breaker.isDisabled).toBe(false);
  });

  it('is so from the start where the fleet knows of it', () => {
    const changed: string[] = [];
    const breakers = new Breakers({
      changed: ({ target }) => void changed.push(target),
      disabled: (target) => (target === 'partner' ? { error: gone, since: 7 } : undefined),
    });
    expect([breakers.of('partner').isDisabled, breakers.of('other').isDisabled]).toEqual([true, false]);
    expect(breakers.of('partner').trouble).toEqual({ error: gone, since: 7 });
    expect(changed).toEqual(['partner']);
    breakers.keepOnly(new Set());
  });
});
