/** What of an event's routes is still to be delivered, and what cannot be now. */
import { describe, expect, it, onTestFinished } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { Handover } from '../../../src/core/handover.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { deliverStep, type Route } from '../../../src/deliver/route.ts';
import { OuzelError } from '../../../src/errors.ts';
import { handedOver, redriven } from '../core/handed.ts';
import { error, harness, type HarnessOptions, jsonEvent, later, outcome, route, stopClocks } from '../core/helpers.ts';

stopClocks();

const NO_ROUTE = outcome('filtered', 'no_route');

/** A consumer whose targets hold what they get. */
function delivering(names: readonly string[], more: HarnessOptions = {}, own: Partial<Route> = {}) {
  const sent: Delivery[] = [];
  const routes = names.map((name) => route(name, (delivery) => void sent.push(delivery), own));
  const unavailable = (): boolean => routes.every(({ breaker }) => breaker.isOpen);
  const made = harness({ steps: [deliverStep(routes, NO_ROUTE)], unavailable, ...more });
  onTestFinished(() => {
    for (const { breaker } of routes) breaker.close();
  });
  /** The target is found to be away. */
  const goesAway = (...gone: string[]): void => {
    for (const { name, breaker } of routes)
      if (gone.includes(name)) for (let time = 0; time < 3; time++) breaker.failed(error('TARGET_UNAVAILABLE', 'away'));
  };
  const waiting = (name: string): number | undefined => routes.find((each) => each.name === name)?.breaker.waiting;
  return { ...made, sent, routes, goesAway, waiting, sentTo: () => sent.map((each) => each.route.name) };
}

describe('an event whose targets are away', () => {
  it('waits in hand while all of them are', () => {
    const { receive, goesAway, sent, waiting, acks } = delivering(['a', 'b']);
    goesAway('a', 'b');
    const run = receive();
    expect([sent, acks.answers, run.deliveries, waiting('a')]).toEqual([[], [], undefined, 1]);
    // The first probe comes in a second, within a tenth.
    later(1100);
    expect(sent.map((each) => each.route.name)).toContain('a');
  });

  it('is delivered to those that are there, and fails at once for the others', () => {
    const { receive, goesAway, sentTo, sent, acks, attempts, retries } = delivering(['a', 'b', 'c']);
    goesAway('b');
    const run = receive();
    expect(sentTo()).toEqual(['a', 'c']);
    expect(run.deliveries?.map(({ state }) => state)).toEqual(['open', 'failed', 'open']);
    expect(run.deliveries?.[1]?.error).toMatchObject({ code: 'TARGET_BREAKER_OPEN', message: 'b: away' });
    for (const delivery of sent) delivery.confirm();
    expect(acks.final.map(([verb]) => verb)).toEqual(['nak']);
    expect(attempts.records.get(42)).toMatchObject({ used: 0, deferred: 1, confirmed: ['a', 'c'] });
    expect(retries()).toEqual({ unavailable: 1 });
  });

  it('then waits for what is left', () => {
    const { receive, routes, sent, sentTo, waiting } = delivering(['a', 'b']);
    const busy = new OuzelError('TARGET_UNAVAILABLE', 'busy', { retryAfter: 60_000 });
    for (let time = 0; time < 3; time++) routes[1]?.breaker.failed(busy);
    receive();
    sent[0]?.confirm();
    later(10_000);
    receive(jsonEvent({}, { deliveries: 2 }));
    expect([sentTo(), waiting('b')]).toEqual([['a'], 1]);
  });

  it('waits while others could be delivered elsewhere, as long as few do; the rest is put off', () => {
    const routes = { limits: { prefetch: 8 } };
    const { receive, goesAway, waiting, sent, retries, consumer } = delivering(['a', 'b'], routes, {
      when: ({ event }) => event.data === 'everywhere',
    });
    goesAway('a');
    expect(consumer.room).toBe(8);
    const only = ['a'];
    for (const sequence of [1, 2, 3, 4]) receive(jsonEvent('everywhere', { sequence }), handedOver({ routes: only }));
    expect([waiting('a'), sent]).toEqual([2, []]);
    expect(retries()).toEqual({ unavailable: 2 });
  });

  it('in any number waits where nothing else could be done', () => {
    const { receive, goesAway, waiting, retries, consumer } = delivering(['a'], { limits: { prefetch: 4 } });
    goesAway('a');
    for (const sequence of [1, 2, 3, 4, 5]) receive(jsonEvent({}, { sequence }));
    expect([waiting('a'), consumer.room, retries()]).toEqual([5, 1, {}]);
  });
});

describe('a re-drive', () => {
  const driven = (names: readonly string[], more: Partial<Handover>, own: Partial<Route> = {}) => {
    const made = delivering(names, {}, own);
    const run = made.receive(jsonEvent({ total: 1 }), redriven(more));
    return { ...made, run };
  };

  it('runs only the routes that its letter names, in the order of the configuration', () => {
    const { sentTo, sent, counts, letters } = driven(['a', 'b', 'c'], { routes: ['c', 'b'] });
    expect(sentTo()).toEqual(['b', 'c']);
    for (const delivery of sent) delivery.confirm();
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
    expect(letters.removed).toEqual([7]);
  });

  it('runs all where it names none', () => expect(driven(['a', 'b'], {}).sentTo()).toEqual(['a', 'b']));

  it.each([['gone'], ['a', 'gone']])('is a dead letter when a route is gone that it names: %j', (...routes) => {
    const { letters, sent, acks } = driven(['a', 'b'], { routes });
    expect(letters.letters.map(({ reason, failure }) => [reason, failure.error.message])).toEqual([
      ['route_gone', expect.stringContaining('"gone"')],
    ]);
    expect([sent, acks.final.map(([verb]) => verb)]).toEqual([[], ['ack']]);
  });

  it('takes no route whose condition does not hold of the event as it is now', () => {
    const { sentTo, observer } = driven(['a'], { routes: ['a'] }, { when: () => false });
    expect([sentTo(), observer.heard]).toEqual([[], ['filtered no_route']]);
  });

  it('that failed in part goes on with what is left of it', () => {
    const { sent, receive, sentTo, attempts } = driven(['a', 'b', 'c'], { routes: ['b', 'c'] });
    sent[0]?.confirm();
    sent[1]?.fail(error());
    expect(attempts.records.get(42)).toMatchObject({ used: 1, confirmed: ['b'] });
    sent.length = 0;
    later(1000);
    receive(jsonEvent({ total: 1 }, { deliveries: 2 }), redriven({ routes: ['b', 'c'] }));
    expect(sentTo()).toEqual(['c']);
  });

  it('does not take what confirmed in the run before for done', () => {
    const { receive, attempts, sentTo } = delivering(['a', 'b']);
    receive(jsonEvent({}), redriven({ routes: ['a'] }));
    expect([attempts.puts, sentTo()]).toEqual([[], ['a']]);
  });
});

describe('routes that confirmed in earlier attempts', () => {
  it.each<[confirmed: string[], sentTo: string[]]>([
    [[], ['a', 'b']],
    [['b'], ['a']],
    [['gone', 'a'], ['b']],
    [['gone'], ['a', 'b']],
  ])('%j: the event goes to %j', (confirmed, expected) => {
    const { receive, attempts, sentTo } = delivering(['a', 'b']);
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1, confirmed });
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(sentTo()).toEqual(expected);
  });

  it('are brought along by a timer', () => {
    const { receive, sentTo } = delivering(['a', 'b']);
    const record = JSON.stringify({ ...NO_ATTEMPTS, used: 1, confirmed: ['a'] });
    receive(jsonEvent({}), handedOver({ record }));
    expect(sentTo()).toEqual(['b']);
  });

  it('are an outcome when they are all that the event takes', () => {
    const { receive, attempts, counts, sent } = delivering(['a', 'b'], {}, {});
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1, confirmed: ['b', 'a'] });
    receive(jsonEvent({}, { deliveries: 2 }));
    expect([sent, counts().delivered]).toEqual([[], 1]);
  });
});
