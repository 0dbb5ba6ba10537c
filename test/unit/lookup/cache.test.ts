import { describe, expect, it } from 'vitest';
import { LookupCache } from '../../../src/lookup/cache.ts';
import { Flights } from '../../../src/lookup/flights.ts';
import { type Answer, MISSING, type Question } from '../../../src/lookup/source.ts';
import { OuzelError } from '../../../src/errors.ts';

const found = (value: unknown, size = 10): Answer => ({ value, size });

describe('what was found', () => {
  const cacheAt = (options: Partial<ConstructorParameters<typeof LookupCache>[0]> = {}) => {
    const clock = { now: 0 };
    const cache = new LookupCache({ ttl: 100, negative: 10, max: 3, size: 10_000, ...options }, () => clock.now);
    return { clock, cache };
  };

  it('is known until its time is over, and what was not there for a shorter one', () => {
    const { clock, cache } = cacheAt();
    cache.put('a', found(1));
    cache.put('b', MISSING);
    clock.now = 9;
    expect([cache.get('a'), cache.get('b')]).toEqual([found(1), MISSING]);
    clock.now = 10;
    expect([cache.get('a'), cache.get('b')]).toEqual([found(1), undefined]);
    // To be used does not make it newer.
    clock.now = 100;
    expect(cache.get('a')).toBeUndefined();
    expect([cache.entries, cache.bytes]).toEqual([0, 0]);
  });

  it('is bounded in entries: the least recently used goes', () => {
    const { cache } = cacheAt();
    for (const id of ['a', 'b', 'c']) cache.put(id, found(id));
    cache.get('a');
    cache.put('d', found('d'));
    expect(['a', 'b', 'c', 'd'].filter((id) => cache.get(id) !== undefined)).toEqual(['a', 'c', 'd']);
  });

  it('is bounded in bytes, and one that is larger than all of it is not kept', () => {
    const { cache } = cacheAt({ max: 100, size: 1000 });
    for (let n = 0; n < 100; n++) {
      cache.put(`key-${n}`, found(n, 100));
      expect(cache.bytes).toBeLessThanOrEqual(1000);
    }
    expect(cache.entries).toBeGreaterThan(2);
    cache.put('key-99', found('large', 1000));
    expect(cache.get('key-99')).toBeUndefined();
    expect(cache.entries).toBeGreaterThan(1);
  });

  it('counts an entry once that is written again', () => {
    const { cache } = cacheAt();
    cache.put('a', found(1));
    const { bytes } = cache;
    cache.put('a', found(2));
    expect([cache.entries, cache.bytes, cache.get('a')]).toEqual([1, bytes, found(2)]);
  });

  it('is not kept where nothing is to be known', () => {
    const { cache } = cacheAt({ negative: 0 });
    cache.put('a', MISSING);
    expect(cache.entries).toBe(0);
  });
});

describe('questions under way', () => {
  function asking() {
    const asked: {
      readonly id: string;
      readonly signal: AbortSignal;
      readonly answer: PromiseWithResolvers<Answer>;
    }[] = [];
    const heard: string[] = [];
    const flights = new Flights((id, answer) => heard.push(`${id} ${answer === MISSING ? 'missing' : 'found'}`));
    const question = (id: string): Question => ({
      id,
      ask: (signal) => {
        const answer = Promise.withResolvers<Answer>();
        asked.push({ id, signal, answer });
        return answer.promise;
      },
      preview: () => ({ action: id }),
    });
    const ask = (id: string, who: string, signal = new AbortController().signal): void =>
      flights.ask(question(id), signal, {
        answered: () => heard.push(`${who} answered`),
        failed: ({ code }) => heard.push(`${who} ${code}`),
      });
    return { asked, heard, ask };
  }
  const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

  it('are asked once, and everybody hears', async () => {
    const { asked, heard, ask } = asking();
    ask('a', 'one');
    ask('a', 'two');
    ask('b', 'three');
    expect(asked.map(({ id }) => id)).toEqual(['a', 'b']);
    asked[0]?.answer.resolve(MISSING);
    await turn();
    expect(heard).toEqual(['a missing', 'one answered', 'two answered']);
    ask('a', 'four');
    expect(asked).toHaveLength(3);
  });

  it('that fail are known to nobody afterwards', async () => {
    const { asked, heard, ask } = asking();
    ask('a', 'one');
    ask('a', 'two');
    asked[0]?.answer.reject(new OuzelError('TARGET_TIMEOUT', 'late'));
    await turn();
    expect(heard).toEqual(['one TARGET_TIMEOUT', 'two TARGET_TIMEOUT']);
    ask('a', 'three');
    expect(asked).toHaveLength(2);
  });

  it('end when the last one leaves, who hears nothing, and the next one asks anew', async () => {
    const { asked, heard, ask } = asking();
    const [first, second] = [new AbortController(), new AbortController()];
    ask('a', 'one', first.signal);
    ask('a', 'two', second.signal);
    first.abort();
    expect(asked[0]?.signal.aborted).toBe(false);
    second.abort(new Error('over'));
    expect(asked[0]?.signal).toMatchObject({ aborted: true, reason: new Error('over') });
    ask('a', 'three');
    asked[0]?.answer.reject(new Error('over'));
    await turn();
    asked[1]?.answer.resolve(found(1));
    await turn();
    expect(heard).toEqual(['a found', 'three answered']);
  });

  it('are not asked for somebody who has left already', () => {
    const { asked, ask } = asking();
    ask('a', 'one', AbortSignal.abort());
    expect(asked).toEqual([]);
  });
});
