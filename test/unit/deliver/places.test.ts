import { describe, expect, it } from 'vitest';
import { Places } from '../../../src/deliver/notify/places.ts';

const never = new AbortController().signal;

describe('places', () => {
  it('are taken in the order of asking, and no more than there are', async () => {
    const places = new Places(2);
    const taken: number[] = [];
    const asked = [1, 2, 3, 4].map((each) => places.take(never).then(() => taken.push(each)));
    await Promise.all(asked.slice(0, 2));
    expect(taken).toEqual([1, 2]);
    places.give();
    await asked[2];
    places.give();
    await asked[3];
    expect(taken).toEqual([1, 2, 3, 4]);
    places.give();
    places.give();
    await Promise.all([places.take(never), places.take(never)]);
  });

  it('are not kept for whoever gave up waiting', async () => {
    const places = new Places(1);
    await places.take(never);
    const impatient = new AbortController();
    const waiting = places.take(impatient.signal);
    const patient = places.take(never);
    impatient.abort(new Error('out of time'));
    await expect(waiting).rejects.toThrow('out of time');
    places.give();
    await patient;
    await expect(places.take(AbortSignal.abort(new Error('too late')))).rejects.toThrow('too late');
  });
});
