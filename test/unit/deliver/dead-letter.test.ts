import { describe, expect, it } from 'vitest';
import { NO_ATTEMPTS } from '../../../src/core/attempts.ts';
import { createDeadLetterStore } from '../../../src/deadletter/store.ts';
import { deliverStep, type Route } from '../../../src/deliver/route.ts';
import { bytes, error, eventOf, type EventOptions, Gate, harness, outcome, route } from '../core/helpers.ts';
import { redriven } from '../core/handed.ts';
import { RecordingPublisher, valuesOf } from './helpers.ts';

const TOO_LARGE = () => error('TARGET_TOO_LARGE', 'too large');

function storing(body: string, options: EventOptions = {}, key?: string, remove = () => Promise.resolve()) {
  const publisher = new RecordingPublisher();
  const stored: [name: string, body: string][] = [];
  const bodies = {
    put: (name: string, content: Uint8Array) => {
      stored.push([name, Buffer.from(content).toString()]);
      return Promise.resolve(name);
    },
  };
  const store = createDeadLetterStore(publisher, bodies, {
    keyOf: () => key,
    redact: (text) => text.replaceAll('s3cret', '***'),
    remove,
  });
  const { receive } = harness({ steps: [new Gate()] });
  const run = receive(eventOf(body, options));
  const answers: (Error | undefined)[] = [];
  const done = (problem?: Error): void => void answers.push(problem);
  return { publisher, bodies, stored, run, store, answers, done };
}

describe('a dead letter', () => {
  it('has the original bytes and headers, and what happened', () => {
    const headers = {
      'Nats-Msg-Id': 'm-1',
      'X-Own': 'ü',
      'ce-x': '%41',
      'Nats-Rollup': 'all',
      'Ouzel-Run': 'forged',
      'Ouzel-Hops': '3',
    };
    const { publisher, run, store, done, answers } = storing('not { JSON', { headers }, 'o-1');
    run.record = { ...NO_ATTEMPTS, used: 1, firstFailedAt: Date.UTC(2026, 0, 2, 4) };
    store.store(
      run,
      { error: error('EVENT_UNDECODABLE', 'not JSON:\r\ns3cret'), route: undefined },
      'undecodable',
      done,
    );
    expect(publisher.last).toMatchObject({ subject: 'ouzel.dlq.billing', body: 'not { JSON' });
    expect(valuesOf(publisher.last)).toMatchObject({
      'X-Own': 'ü',
      'ce-x': '%41',
      'Ouzel-Hops': '3',
      'Ouzel-Msg-Id': 'm-1',
      'Ouzel-Consumer': 'billing',
      'Ouzel-Routes': '',
      'Ouzel-Reason': 'undecodable',
      'Ouzel-Error': 'EVENT_UNDECODABLE: not JSON:  ***',
      'Ouzel-Attempts': '2',
      'Ouzel-Stream': 'EVENTS',
      'Ouzel-Subject': 'events.orders.created',
      'Ouzel-Sequence': '42',
      'Ouzel-Time': '2026-01-02T03:04:05.006000000Z',
      'Ouzel-First-Failed': '2026-01-02T04:00:00.000Z',
      'Ouzel-Key': 'o-1',
      'Ouzel-Run': 'first',
    });
    const names = publisher.last.headers.map(([name]) => name);
    expect(names).not.toContain('Nats-Rollup');
    expect(names.filter((name) => name === 'Nats-Msg-Id')).toHaveLength(1);
    expect(valuesOf(publisher.last)['Nats-Msg-Id']).not.toBe('m-1');
    expect(answers).toEqual([]);
    publisher.last.listener?.confirmed(false);
    expect(answers).toEqual([undefined]);
  });

  it('names the routes that are still to be delivered', () => {
    const { publisher, store, done } = storing('{}');
    const hold = () => undefined;
    const { receive } = harness({
      steps: [
        deliverStep(
          [route('a', (delivery) => delivery.confirm()), route('b', hold), route('c', hold)],
          outcome('filtered'),
        ),
      ],
    });
    store.store(receive(), { error: error(), route: undefined }, 'rejected', done);
    expect(valuesOf(publisher.last)['Ouzel-Routes']).toBe('b,c');
  });

  describe('that is the end of routes', () => {
    const FULL = { ...NO_ATTEMPTS, used: 1 };

    /** `Ouzel-Routes` of an event that got no further than a stage before its deliveries. */
    const namedBefore = (more: { readonly confirmed?: string[]; readonly routes?: string[] }): string | undefined => {
      const { publisher, store, done } = storing('{}');
      const { receive, attempts } = harness({ steps: [new Gate()], routes: ['a', 'b', 'c'] });
      attempts.records.set(42, { ...FULL, confirmed: more.confirmed ?? [] });
      const handed = more.routes === undefined ? undefined : redriven({ routes: more.routes });
      const run = receive(eventOf('{}', { deliveries: 2 }), handed);
      store.store(run, { error: error('EVENT_POISON'), route: undefined }, 'poison', done);
      return valuesOf(publisher.last)['Ouzel-Routes'];
    };

    it.each<[given: { confirmed?: string[]; routes?: string[] }, named: string]>([
      [{}, ''],
      [{ confirmed: ['b'] }, 'a,c'],
      [{ routes: ['b', 'c'] }, 'b,c'],
      [{ routes: ['b', 'c'], confirmed: ['c'] }, 'b'],
    ])('before it could deliver anything names what is left: %j → "%s"', (given, named) =>
      expect(namedBefore(given)).toBe(named),
    );

    it('names those that failed in the last attempt, and none that confirmed in any', () => {
      const { publisher, store, done } = storing('{}');
      const hold = () => undefined;
      const fail: Route['target']['deliver'] = (delivery) => delivery.fail(error());
      const confirm: Route['target']['deliver'] = (delivery) => delivery.confirm();
      const routes = [route('a', confirm), route('b', fail), route('c', confirm), route('d', hold)];
      const { receive, attempts } = harness({ steps: [deliverStep(routes, outcome('filtered'))] });
      attempts.records.set(42, { ...FULL, confirmed: ['a'] });
      const run = receive(eventOf('{}', { deliveries: 2 }));
      store.store(run, { error: error(), route: undefined }, 'rejected', done);
      expect(valuesOf(publisher.last)['Ouzel-Routes']).toBe('b,d');
    });

    it('bears the run of a re-drive in its id, so that it is none of the letter before', () => {
      const { publisher, store, done, run } = storing('{}');
      const { receive } = harness({ steps: [new Gate()] });
      store.store(run, { error: error(), route: undefined }, 'rejected', done);
      const first = valuesOf(publisher.last);
      store.store(receive(eventOf('{}'), redriven()), { error: error(), route: undefined }, 'rejected', done);
      expect([first['Ouzel-Run'], valuesOf(publisher.last)['Ouzel-Run']]).toEqual(['first', 'redrive-7']);
      expect(valuesOf(publisher.last)['Nats-Msg-Id']).not.toBe(first['Nats-Msg-Id']);
    });
  });

  it.each<[name: string, remove: () => Promise<void>, answer: unknown]>([
    ['is taken away for good', () => Promise.resolve(), undefined],
    ['says so when it cannot be taken away', () => Promise.reject(error('NATS_UNAVAILABLE')), 'NATS_UNAVAILABLE'],
    ['does not let an error escape that is not ours', () => Promise.reject(new TypeError('bug')), 'INTERNAL'],
  ])('that was driven again %s', async (_name, remove, code) => {
    const { store, answers, done } = storing('{}', {}, undefined, remove);
    store.remove(7, done);
    await expect.poll(() => answers).toHaveLength(1);
    expect(answers[0]).toEqual(code === undefined ? undefined : expect.objectContaining({ code }));
  });

  it('is bounded in what an event can make it say', () => {
    const { publisher, run, store, done } = storing('{}', {}, 'k'.repeat(900_000));
    store.store(run, { error: error('TARGET_REJECTED', 'm'.repeat(900_000)), route: undefined }, 'rejected', done);
    expect(publisher.last.block.length).toBeLessThan(4096);
  });

  it.each(['a\r\nNats-Rollup: all', '\n\n', '\u0000'])(
    'cannot be made to write another header by a key of %j',
    (key) => {
      const { publisher, run, store, done } = storing('{}', {}, key);
      store.store(run, { error: error('TARGET_REJECTED', key), route: undefined }, 'rejected', done);
      expect(publisher.last.headers.every(([name]) => /^(?:Ouzel-[\w-]+|Nats-Msg-Id)$/.test(name))).toBe(true);
    },
  );

  it('reports a refusal', () => {
    const { publisher, run, store, done, answers, stored } = storing('{}');
    store.store(run, { error: error(), route: undefined }, 'rejected', done);
    const refusal = error('TARGET_UNAVAILABLE');
    publisher.last.listener?.failed(refusal);
    expect(answers).toEqual([refusal]);
    expect(stored).toEqual([]);
  });

  it('keeps a body that is too large apart, and the headers too when they are', async () => {
    const { publisher, run, store, stored } = storing('the body', { headerBlock: bytes('NATS/1.0\r\nX: 1\r\n\r\n') });
    publisher.answer = ({ listener, body, headers }) => {
      if (body !== '' || headers.some(([name]) => name === 'X')) listener?.failed(TOO_LARGE());
      else listener?.confirmed(false);
    };
    await new Promise<void>((resolve, reject) =>
      store.store(run, { error: error(), route: undefined }, 'rejected', (problem) =>
        problem === undefined ? resolve() : reject(problem),
      ),
    );
    expect(publisher.publications.map(({ body }) => body)).toEqual(['the body', '', '']);
    const { 'Ouzel-Body': body, 'Ouzel-Headers': headers, 'Ouzel-Reason': reason } = valuesOf(publisher.last);
    expect(stored).toEqual([
      [body, 'the body'],
      [headers, 'NATS/1.0\r\nX: 1\r\n\r\n'],
    ]);
    expect(reason).toBe('rejected');
    expect(new Set(publisher.publications.map((each) => valuesOf(each)['Nats-Msg-Id'])).size).toBe(1);
  });

  it('is refused when its body cannot be kept apart', async () => {
    const { publisher, run, store, bodies } = storing('the body');
    publisher.answer = ({ listener }) => listener?.failed(TOO_LARGE());
    bodies.put = () => Promise.reject(new Error('no space'));
    const problem = await new Promise((resolve) =>
      store.store(run, { error: error(), route: undefined }, 'rejected', resolve),
    );
    expect(problem).toMatchObject({ message: 'no space' });
  });
});
