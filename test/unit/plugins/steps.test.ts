/** What plugins are given, what they may answer, and what becomes of what they throw. */
import { describe, expect, it } from 'vitest';
import type { Event } from '../../../src/core/event.ts';
import type { RetryPolicy, Step } from '../../../src/core/plan.ts';
import { PENDING } from '../../../src/core/run.ts';
import { deliverStep } from '../../../src/deliver/route.ts';
import { OuzelError } from '../../../src/errors.ts';
import {
  defineFilter,
  defineTransformer,
  type EditableEvent,
  type FilterHandler,
  type PluginDelivery,
  type PluginEvent,
  RejectedError,
  type TargetHandler,
  type TransformerHandler,
  UnavailableError,
  z,
} from '../../../src/index.ts';
import { filterStep, transformerStep } from '../../../src/plugins/steps.ts';
import { preparedTarget } from '../../../src/plugins/target.ts';
import { bodyText, eventOf, harness, jsonEvent, outcome, route } from '../core/helpers.ts';

const REFUSED = outcome('filtered', 'hours');
const filtering = (handler: FilterHandler): Step => filterStep('hours', 'hours', handler, REFUSED);
const transforming = (handler: TransformerHandler): Step => transformerStep('geo', 'geo', handler);

/** Sends one event through a step; what was seen of it is in the harness. */
function through(step: Step, event: Event = jsonEvent({ total: 5 }), retry: Partial<RetryPolicy> = {}) {
  const made = harness({ steps: [step], retry });
  return { ...made, run: made.receive(event), event };
}

/** Lets promises settle. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a filter', () => {
  it('decides at once without a promise, or later with one', async () => {
    expect(through(filtering(() => true)).observer.heard).toEqual(['delivered']);
    expect(through(filtering(() => false)).observer.heard).toEqual(['filtered hours']);
    for (const answer of [true, false]) {
      const { observer } = through(filtering(() => Promise.resolve(answer)));
      expect(observer.heard).toEqual([]);
      await settled();
      expect(observer.heard).toEqual([answer ? 'delivered' : 'filtered hours']);
    }
  });

  it.each([undefined, null, 1, 'yes', {}])('that answers %j fails the event', async (answer) => {
    for (const given of [answer, Promise.resolve(answer)]) {
      const { letters } = through(
        filtering(() => given as never),
        jsonEvent({}),
        { attempts: 1 },
      );
      await settled();
      expect(letters.letters[0]).toMatchObject({ reason: 'failed', failure: { error: { code: 'PLUGIN_FAILED' } } });
      expect(letters.letters[0]?.failure.error.message).toMatch(/^plugin hours: a filter answers true or false/);
    }
  });

  it('a thenable is taken as a promise, and only its first answer counts', async () => {
    const answer = {
      // oxlint-disable-next-line unicorn/no-thenable -- that is what is tested
      then: (resolve: (value: boolean) => void) => {
        resolve(true);
        resolve(false);
      },
    };
    const { observer } = through(filtering(() => answer as unknown as Promise<boolean>));
    await settled();
    expect(observer.heard).toEqual(['delivered']);
  });
});

/** The mark that tells the errors, as another copy of the package has it. */
const MARK: unique symbol = Symbol.for('ouzel.error.kind');

describe('what a plugin throws', () => {
  class Foreign extends Error {
    readonly [MARK] = 'unavailable';
  }

  it.each<[name: string, error: unknown, heard: string]>([
    ['RejectedError', new RejectedError('no', { status: 422 }), 'retried PLUGIN_REJECTED 1000'],
    ['UnavailableError', new UnavailableError('away'), 'retried PLUGIN_UNAVAILABLE 1000'],
    ['the same from another copy of the package', new Foreign('away'), 'retried PLUGIN_UNAVAILABLE 1000'],
    ['any other error', new Error('oops'), 'retried PLUGIN_FAILED 1000'],
    ['something that is no error', 'just text', 'retried PLUGIN_FAILED 1000'],
    ['an error that Ouzel threw at it', new OuzelError('EVENT_UNDECODABLE', 'not JSON'), 'dead_lettered undecodable'],
  ])('%s', async (_name, error, heard) => {
    const thrown = (): never => {
      throw error;
    };
    const rejected = async (): Promise<never> => thrown();
    for (const handler of [thrown, rejected])
      for (const step of [filtering(handler), transforming(handler)]) {
        const { observer } = through(step);
        await settled();
        expect(observer.heard[0]).toBe(heard);
      }
  });

  it('unavailable uses up no attempt', () => {
    const { attempts } = through(
      filtering(() => {
        throw new UnavailableError('away');
      }),
    );
    expect(attempts.records.get(42)).toMatchObject({ used: 0, deferred: 1 });
  });

  it('the status goes to `give_up`', () => {
    let seen: unknown;
    const giveUp: RetryPolicy['giveUp'] = (scope) => {
      seen = (scope as { error?: unknown }).error;
      return true;
    };
    const { letters } = through(
      filtering(() => {
        throw new RejectedError('no', { status: 409 });
      }),
      jsonEvent({}),
      { giveUp },
    );
    expect(seen).toMatchObject({ code: 'PLUGIN_REJECTED', status: 409, kind: 'rejected' });
    expect(letters.letters[0]?.reason).toBe('given_up');
  });

  it('a plugin that never settles is ended by the time-out, and told so', () => {
    let signal: AbortSignal | undefined;
    const step = filtering((_event, call) => {
      ({ signal } = call);
      return new Promise(() => undefined);
    });
    const { consumer, observer } = through(step);
    consumer.sweep(performance.now() + 60_000);
    expect(observer.heard).toEqual(['retried TARGET_TIMEOUT 1000']);
    expect(signal?.aborted).toBe(true);
  });

  it('an answer that comes after the time-out changes nothing', async () => {
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const { consumer, observer } = through(filtering(() => promise));
    consumer.sweep(performance.now() + 60_000);
    resolve(true);
    await settled();
    expect(observer.heard).toEqual(['retried TARGET_TIMEOUT 1000']);
  });
});

describe('a transformer', () => {
  const changed = (change: (event: EditableEvent) => void, event = jsonEvent({ a: { b: 1 }, l: [1, 2] })): Event => {
    const made = through(
      transforming((each) => change(each)),
      event,
      { attempts: 1 },
    );
    expect(made.letters.letters.map(({ failure }) => failure.error.message)).toEqual([]);
    return event;
  };
  const refusal = (change: (event: EditableEvent) => void): string => {
    const { letters } = through(
      transforming((each) => change(each)),
      jsonEvent({ a: { b: 1 }, l: [1] }),
      { attempts: 1 },
    );
    return letters.letters[0]?.failure.error.message ?? '';
  };

  it('changes data, attributes and extensions by path', () => {
    const event = changed((each) => {
      each.set('data.a.c', { deep: [true, null, 'x', { y: 1.5 }] });
      each.set('data.l[3]', 4);
      each.remove('data.a.b');
      each.set('type', 'orders.changed');
      each.set('ext.tenant', 'blue');
    });
    expect(JSON.parse(bodyText(event))).toEqual({
      a: { c: { deep: [true, null, 'x', { y: 1.5 }] } },
      l: [1, 2, null, 4],
    });
    expect([event.type, event.extensions['tenant']]).toEqual(['orders.changed', 'blue']);
  });

  it('leaves the bytes as they came where it changes nothing', () => {
    const event = eventOf('{ "a" :  1.50 }');
    changed((each) => void each.data, event);
    expect(bodyText(event)).toBe('{ "a" :  1.50 }');
  });

  it('reads its own changes, and writes after it has read', () => {
    const event = changed((each) => {
      each.set('data.a.n', 1);
      expect(each.data).toEqual({ a: { b: 1, n: 1 }, l: [1, 2] });
      each.set('data.a.n', each.get<number>('data.a.n')! + 1);
      expect(each.get('data.a')).toEqual({ b: 1, n: 2 });
      each.set('data.a.m', 3);
    });
    expect(event.data).toEqual({ a: { b: 1, n: 2, m: 3 }, l: [1, 2] });
  });

  it('cannot write past the editor: what it reads is frozen, what it wrote is copied', () => {
    const list = [1];
    const event = changed((each) => {
      const data = each.data as { a: { b: number }; l: number[] };
      expect(() => (data.a.b = 2)).toThrow(TypeError);
      expect(() => data.l.push(3)).toThrow(TypeError);
      expect(() => ((each.extensions as Record<string, unknown>)['x'] = 1)).toThrow(TypeError);
      each.set('data.copy', list);
      list.push(2);
    });
    expect(event.data).toEqual({ a: { b: 1 }, l: [1, 2], copy: [1] });
  });

  it('gets bytes as a copy', () => {
    const event = eventOf(Uint8Array.of(1, 255), { headers: { 'Content-Type': 'application/octet-stream' } });
    changed((each) => void (each.data as Uint8Array).fill(0), event);
    expect(event.data).toEqual(Uint8Array.of(1, 255));
  });

  it('writes values as JSON has them', () => {
    const strange = JSON.parse('{"__proto__": {"x": 1}}') as object;
    const event = changed((each) =>
      each.set('data', {
        at: new Date(0),
        none: undefined,
        list: [undefined, 2n ** 60n],
        strange,
        own: Object.create(null) as object,
      }),
    );
    expect(bodyText(event)).toBe(
      '{"at":"1970-01-01T00:00:00.000Z","list":[null,1152921504606846976],"strange":{"__proto__":{"x":1}},"own":{}}',
    );
  });

  it.each<[what: string, change: (event: EditableEvent) => void, says: RegExp]>([
    ['undefined', (event) => event.set('data.x', undefined), /data\.x is set to undefined: use remove/],
    ['a function', (event) => event.set('data.x', () => 1), /a function at data\.x has no JSON form/],
    ['NaN', (event) => event.set('data.x', { y: [Number.NaN] }), /NaN at data\.x\.y\[0\] has no JSON form/],
    ['a Map', (event) => event.set('data.x', new Map()), /a Map at data\.x has no JSON form/],
    [
      'what contains itself',
      (event) => {
        const loop: Record<string, unknown> = {};
        loop['loop'] = loop;
        event.set('data.x', loop);
      },
      /nested too deep, or contains itself/,
    ],
    ['the id', (event) => event.set('id', 'x'), /"id" cannot be changed/],
    ['a prototype', (event) => event.set('data.__proto__.x', 1), /"__proto__" cannot be part of a path/],
    ['an empty path', (event) => event.set('', 1), /a path starts with a name/],
    ['below a number', (event) => event.set('data.a.b.c', 1), /cannot write below b: it is a number/],
    ['the type, taken away', (event) => event.remove('type'), /event\.type cannot be removed/],
    ['a path that is none, read', (event) => void event.get('env.HOME'), /"env\.HOME" cannot be read/],
  ])('is refused %s', (_what, change, says) => expect(refusal(change)).toMatch(says));

  it('that answers something fails the event', () => {
    const { letters } = through(
      transforming(() => false as never),
      jsonEvent({}),
      { attempts: 1 },
    );
    expect(letters.letters[0]?.failure.error.message).toMatch(/a transformer changes the event and answers nothing/);
  });

  it('waits before it changes, and cannot once it has answered', async () => {
    let kept: EditableEvent | undefined;
    const { event, observer } = through(
      transforming(async (each) => {
        await settled();
        each.set('data.later', true);
        kept = each;
      }),
    );
    await settled();
    await settled();
    expect(observer.heard).toEqual(['delivered']);
    expect(bodyText(event)).toBe('{"total":5,"later":true}');
    expect(() => kept?.set('data.x', 1)).toThrow(/cannot be changed any more/);
    expect(() => kept?.remove('data.x')).toThrow(/cannot be changed any more/);
  });
});

describe('the event', () => {
  it('has its attributes, data, extensions and message', () => {
    const headers = {
      'ce-specversion': '1.0',
      'ce-id': 'x-1',
      'ce-source': '/shop',
      'ce-type': 'orders.created',
      'ce-time': '2026-01-31T08:00:00Z',
      'ce-subject': 'o-1',
      'ce-tenant': 'blue',
      'X-Note': 'hello',
    };
    let seen: PluginEvent | undefined;
    through(
      filtering((event) => {
        seen = event;
        expect(event).toMatchObject({ id: 'x-1', source: '/shop', type: 'orders.created', subject: 'o-1' });
        expect(event).toMatchObject({
          time: '2026-01-31T08:00:00Z',
          dataschema: undefined,
          extensions: { tenant: 'blue' },
        });
        expect(event.message).toMatchObject({ subject: 'events.orders.created', stream: 'EVENTS', sequence: 42 });
        expect(event.message.header('x-note')).toBe('hello');
        expect(event.get('ext.tenant')).toBe('blue');
        expect(event.get('type')).toBe('orders.created');
        expect(event.get('data.items[1].sku')).toBe('b');
        expect(event.get('data.toString')).toBeUndefined();
        expect('set' in event).toBe(false);
        return true;
      }),
      jsonEvent({ items: [{ sku: 'a' }, { sku: 'b' }] }, { headers }),
    );
    expect(seen).toBeDefined();
  });
});

describe('a target', () => {
  const delivering = (handler: TargetHandler, retry: Partial<RetryPolicy> = {}) => {
    const target = preparedTarget(
      'out',
      handler,
      ({
        event: {
          position: { sequence },
        },
      }) => `id-${sequence}`,
    );
    const made = route('out', (delivery) => target.deliver(delivery));
    return { ...through(deliverStep([made], outcome('filtered')), jsonEvent({}), retry), route: made };
  };

  it('confirms when it returns, or when its promise is kept', async () => {
    expect(delivering(() => undefined).observer.heard).toEqual(['delivered']);
    const { observer, route: made } = delivering(() => settled());
    expect(observer.heard).toEqual([]);
    await settled();
    await settled();
    expect(observer.heard).toEqual(['delivered']);
    expect(made.cells.confirmed.value).toBe(1);
  });

  it('is told which delivery it makes', () => {
    let seen: PluginDelivery | undefined;
    delivering((_event, delivery) => void (seen = delivery));
    expect([seen?.id, seen?.route, seen?.attempt]).toEqual(['id-42', 'out', 1]);
  });

  it.each<[error: Error, heard: string]>([
    [new RejectedError('no'), 'retried TARGET_REJECTED 1000'],
    [new UnavailableError('away'), 'retried TARGET_UNAVAILABLE 1000'],
    [new Error('oops'), 'retried PLUGIN_FAILED 1000'],
  ])('that throws %s', async (error, heard) => {
    for (const handler of [
      () => {
        throw error;
      },
      () => Promise.reject(error),
    ]) {
      const { observer } = delivering(handler);
      await settled();
      expect(observer.heard).toEqual([heard]);
    }
  });

  it('hears by its signal that there is no more time', () => {
    let signal: AbortSignal | undefined;
    const { consumer, observer } = delivering((_event, delivery) => {
      ({ signal } = delivery);
      return new Promise(() => undefined);
    });
    expect(signal?.aborted).toBe(false);
    consumer.sweep(performance.now() + 60_000);
    expect(observer.heard).toEqual(['retried TARGET_TIMEOUT 1000']);
    expect(signal?.aborted).toBe(true);
  });
});

describe('a definition', () => {
  it('types its options by their schema', () => {
    const { options } = defineTransformer({
      options: z.object({ precision: z.number().default(2) }),
      setup:
        ({ options: { precision } }) =>
        (event) =>
          event.set('data.x', precision.toFixed(1)),
    });
    expect(options.parse({})).toEqual({ precision: 2 });
    // A schema that says nothing of other keys refuses them; one that does is left as it is.
    expect(options.safeParse({ precisoin: 1 }).success).toBe(false);
    const loose = defineFilter({ options: z.looseObject({}), setup: () => () => true });
    expect(loose.options.safeParse({ any: 1 }).success).toBe(true);
  });

  it('is refused without a setup, or with options that are no schema', () => {
    expect(() => defineFilter({} as never)).toThrow(/a filter needs a function `setup`/);
    expect(() => defineFilter({ options: { a: 1 }, setup: () => () => true } as never)).toThrow(/is a zod schema/);
  });
});

it('a step of a plugin that answers at once returns no PENDING', () => {
  const { run } = through(filtering(() => new Promise(() => undefined)));
  expect(filtering(() => true).run(run)).toBeUndefined();
  expect(filtering(() => Promise.resolve(true)).run(run)).toBe(PENDING);
});
