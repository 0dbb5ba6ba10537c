import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import type { Delivery } from '../../../src/deliver/delivery.ts';
import { choose, deliverStep, type Route } from '../../../src/deliver/route.ts';
import { error, Gate, harness, jsonEvent, later, outcome, POLICY, random, route, stopClocks } from '../core/helpers.ts';

const NO_ROUTE = outcome('filtered', 'no_route');

describe('choose', () => {
  const scope = harness({ steps: [new Gate()] }).receive();
  const entry = (name: string, more: Partial<Route> & { readonly holds?: boolean } = {}): Route => {
    const { holds, ...rest } = more;
    return route(name, () => undefined, { ...rest, when: holds === undefined ? undefined : () => holds });
  };

  it.each<[name: string, routes: Route[], taken: string[]]>([
    ['all without conditions', [entry('a'), entry('b')], ['a', 'b']],
    ['those that hold', [entry('a', { holds: true }), entry('b', { holds: false }), entry('c')], ['a', 'c']],
    ['none behind a stop that is taken', [entry('a', { stop: true }), entry('b')], ['a']],
    ['those behind a stop that is not', [entry('a', { stop: true, holds: false }), entry('b')], ['b']],
    ['else when no other holds', [entry('a', { holds: false }), entry('b', { otherwise: true })], ['b']],
    ['else in whatever place', [entry('b', { otherwise: true }), entry('a', { holds: false })], ['b']],
    ['not else when another holds', [entry('b', { otherwise: true }), entry('a', { holds: true })], ['a']],
    ['not else behind a stop', [entry('a', { stop: true }), entry('b', { otherwise: true })], ['a']],
    ['several else', [entry('a', { otherwise: true }), entry('b', { otherwise: true })], ['a', 'b']],
    ['nothing when nothing holds', [entry('a', { holds: false })], []],
    ['nothing of nothing', [], []],
  ])('takes %s', (_name, routes, taken) => expect(choose(routes, scope).map(({ name }) => name)).toEqual(taken));

  it.each([1, 2, 3, 4, 5])('takes what a model says, whatever the entries are (seed %i)', (seed) => {
    const chance = random(seed);
    for (let time = 0; time < 300; time++) {
      const entries = Array.from({ length: Math.floor(chance() * 7) }, (_, index) => {
        const otherwise = chance() < 0.2;
        const when = otherwise || chance() < 0.3 ? {} : { holds: chance() < 0.5 };
        return { name: `r${index}`, otherwise, stop: chance() < 0.3, ...when };
      });
      const matches = entries.filter(({ otherwise, holds = true }) => !otherwise && holds);
      const stop = matches.findIndex((each) => each.stop);
      const model = stop === -1 ? matches : matches.slice(0, stop + 1);
      const expected = model.length > 0 ? model : entries.filter(({ otherwise }) => otherwise);
      const routes = entries.map(({ name, ...more }) => entry(name, more));
      expect(choose(routes, scope).map(({ name }) => name)).toEqual(expected.map(({ name }) => name));
    }
  });

  it('asks no condition behind a stop', () => {
    const asked: string[] = [];
    const ask = (name: string, stop: boolean) => ({
      ...entry(name, { stop }),
      when: () => {
        asked.push(name);
        return true;
      },
    });
    choose([ask('a', false), ask('b', true), ask('c', false)], scope);
    expect(asked).toEqual(['a', 'b']);
  });

  it('lets an error of a condition through', () => {
    const broken = entry('a');
    const when = () => {
      throw error('EVENT_EXPRESSION');
    };
    expect(() => choose([{ ...broken, when }], scope)).toThrow('no');
  });
});

/** Targets that hold what they get, by name. */
function targets(...names: string[]) {
  const open: Record<string, Delivery> = {};
  const order: string[] = [];
  const routes = names.map((name) =>
    route(name, (delivery) => {
      order.push(name);
      open[name] = delivery;
    }),
  );
  return { open, order, routes };
}

describe('the deliver step', () => {
  stopClocks();

  it('filters an event that takes no route', () => {
    const { receive, observer } = harness({
      steps: [deliverStep([route('a', () => undefined, { when: () => false })], NO_ROUTE)],
    });
    receive();
    expect(observer.heard).toEqual(['filtered no_route']);
  });

  it('opens all deliveries before the first starts', () => {
    const seen: (readonly string[])[] = [];
    const look = (delivery: Delivery): void => {
      seen.push((delivery.run.deliveries ?? []).map((each) => `${each.route.name} ${each.state}`));
      delivery.confirm();
    };
    const { receive, counts, acks } = harness({ steps: [deliverStep([route('a', look), route('b', look)], NO_ROUTE)] });
    receive();
    expect(seen).toEqual([
      ['a open', 'b open'],
      ['a confirmed', 'b open'],
    ]);
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
  });

  it('is delivered when the last is confirmed, in whatever order', () => {
    const { open, routes } = targets('a', 'b', 'c');
    const { receive, acks } = harness({ steps: [deliverStep(routes, NO_ROUTE)] });
    receive();
    open['c']?.confirm();
    open['a']?.confirm();
    expect(acks.final).toEqual([]);
    open['b']?.confirm();
    expect(acks.final).toEqual([['ack', 'reply.42']]);
  });

  it('goes on with the steps behind it only once', () => {
    const { open, routes } = targets('a', 'b');
    const last = new Gate();
    const { receive } = harness({ steps: [deliverStep(routes, NO_ROUTE), last] });
    receive();
    open['a']?.confirm();
    open['a']?.confirm();
    open['b']?.confirm();
    open['b']?.fail(error());
    expect(last.waiting).toHaveLength(1);
  });

  it('waits for the siblings of one that failed', () => {
    const { open, routes } = targets('a', 'b');
    const { receive, acks, attempts } = harness({ steps: [deliverStep(routes, NO_ROUTE)] });
    receive();
    open['a']?.fail(error());
    expect(acks.final).toEqual([]);
    open['b']?.confirm();
    expect(acks.final).toEqual([['nak', 'reply.42', 1000]]);
    expect(attempts.records.get(42)).toMatchObject({ used: 1, confirmed: ['b'] });
  });

  it('does not repeat what is confirmed, over any number of attempts', () => {
    const { open, order, routes } = targets('a', 'b', 'c');
    const { receive, attempts, counts } = harness({ steps: [deliverStep(routes, NO_ROUTE)] });
    const again = (deliveries: number): void => {
      order.length = 0;
      later(10_000);
      receive(jsonEvent({}, { deliveries }));
    };
    again(1);
    open['a']?.confirm();
    open['b']?.fail(error('TARGET_UNAVAILABLE'));
    open['c']?.fail(error('TARGET_UNAVAILABLE'));
    again(2);
    expect(order).toEqual(['b', 'c']);
    open['b']?.fail(error('TARGET_UNAVAILABLE'));
    open['c']?.confirm();
    again(3);
    expect(order).toEqual(['b']);
    open['b']?.fail(error('TARGET_UNAVAILABLE'));
    expect(attempts.records.get(42)?.confirmed).toEqual(['a', 'c']);
    again(4);
    open['b']?.confirm();
    expect(counts()).toMatchObject({ delivered: 1, retries: 3, in_flight: 0 });
    expect(routes.map(({ cells }) => cells.confirmed.value)).toEqual([1, 1, 1]);
    expect(attempts.records.size).toBe(0);
  });

  it('does not repeat what is confirmed when the dead letter was refused', () => {
    const { open, order, routes } = targets('a', 'b');
    const { receive, letters, acks } = harness({ steps: [deliverStep(routes, NO_ROUTE)], retry: { attempts: 1 } });
    letters.answer = ({ done }) => done(new Error('full'));
    receive();
    open['a']?.confirm();
    open['b']?.fail(error('EVENT_INVALID_SUBJECT'));
    letters.answer = ({ done }) => done();
    later(5000);
    expect(order).toEqual(['a', 'b']);
    expect(acks.final).toEqual([['ack', 'reply.42']]);
    expect(letters.letters.at(-1)?.run.record?.confirmed).toEqual(['a']);
  });

  it('is delivered at once when all were confirmed before', () => {
    const { order, routes } = targets('a');
    const { receive, attempts, counts } = harness({ steps: [deliverStep(routes, NO_ROUTE)] });
    attempts.records.set(42, { ...NO_ATTEMPTS, used: 1, confirmed: ['a'] });
    receive(jsonEvent({}, { deliveries: 2 }));
    expect(order).toEqual([]);
    expect(counts()).toMatchObject({ delivered: 1, in_flight: 0 });
  });

  it.each<[name: string, deliver: Route['target']['deliver'], state: string]>([
    [
      'throws',
      () => {
        throw new TypeError('bug');
      },
      'failed',
    ],
    [
      'confirms and throws',
      (delivery) => {
        delivery.confirm();
        throw new TypeError('bug');
      },
      'confirmed',
    ],
    [
      'fails and throws',
      (delivery) => {
        delivery.fail(error());
        throw new TypeError('bug');
      },
      'failed',
    ],
  ])('starts the siblings of a target that %s', (_name, deliver, state) => {
    const { open, routes } = targets('good');
    const { receive, acks } = harness({ steps: [deliverStep([route('bad', deliver), ...routes], NO_ROUTE)] });
    const run = receive();
    expect(run.deliveries?.map((each) => each.state)).toEqual([state, 'open']);
    expect(acks.final).toEqual([]);
    open['good']?.confirm();
    expect(acks.final).toHaveLength(1);
    expect(acks.final[0]?.[0]).toBe(state === 'confirmed' ? 'ack' : 'nak');
  });

  it.each([
    [['TARGET_UNAVAILABLE', 'TARGET_REJECTED'], 'b', 'rejected'],
    [['TARGET_REJECTED', 'TARGET_UNAVAILABLE'], 'a', 'rejected'],
    [['TARGET_UNAVAILABLE', 'TARGET_TIMEOUT'], 'a', 'unavailable'],
    [['TARGET_UNAVAILABLE', 'EVENT_FAILED'], 'b', 'failed'],
    [['EVENT_INVALID_SUBJECT', 'TARGET_REJECTED'], 'a', 'invalid_subject'],
  ] as const)('%j: %s decides', (codes, decisive, reason) => {
    const { open, routes } = targets('a', 'b');
    const attempts = { ...POLICY, attempts: 1 };
    const { receive, letters, retries } = harness({
      steps: [
        deliverStep(
          routes.map((each) => ({ ...each, retry: attempts })),
          NO_ROUTE,
        ),
      ],
    });
    receive();
    open['b']?.fail(error(codes[1]));
    open['a']?.fail(error(codes[0]));
    if (reason === 'unavailable') expect(retries()).toEqual({ unavailable: 1 });
    else
      expect(letters.letters.map(({ failure, reason: why }) => [failure.route?.name, why])).toEqual([
        [decisive, reason],
      ]);
  });

  it('counts each delivery once, by its result', () => {
    const { open, routes } = targets('a', 'b', 'c');
    const { receive } = harness({ steps: [deliverStep(routes, NO_ROUTE)] });
    receive();
    open['a']?.confirm();
    open['b']?.fail(error('TARGET_TIMEOUT'));
    open['c']?.fail('a string');
    for (const delivery of Object.values(open)) {
      delivery.confirm();
      delivery.fail(error());
    }
    expect(
      routes.map(({ cells: { confirmed, rejected, unavailable, duration } }) => [
        confirmed.value,
        rejected.value,
        unavailable.value,
        duration.counts.reduce((sum, count) => sum + count),
      ]),
    ).toEqual([
      [1, 0, 0, 1],
      [0, 0, 1, 1],
      [0, 1, 0, 1],
    ]);
    expect(open['c']?.error).toMatchObject({ code: 'EVENT_FAILED', message: 'a string' });
  });

  it('fails the event when a condition does', () => {
    const when = () => {
      throw error('EVENT_EXPRESSION', 'division by zero');
    };
    const { receive, letters } = harness({ steps: [deliverStep([route('a', () => undefined, { when })], NO_ROUTE)] });
    receive();
    expect(letters.letters.map(({ reason }) => reason)).toEqual(['expression_error']);
  });
});
