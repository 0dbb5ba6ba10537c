import type { ConsumerInfo } from '@nats-io/jetstream';
import { describe, expect, it } from 'vitest';
import { overlaps } from '../../../src/core/subjects.ts';
import { isOurs } from '../../../src/nats/provision.ts';
import { random } from '../core/helpers.ts';

describe('overlaps', () => {
  it.each<[left: string, right: string, both: boolean]>([
    ['a', 'a', true],
    ['a', 'b', false],
    ['a.b', 'a', false],
    ['a.*', 'a.b', true],
    ['a.*', 'a.b.c', false],
    ['a.*', '*.b', true],
    ['a.>', 'a.b.c', true],
    ['a.>', 'a', false],
    ['a.>', '>', true],
    ['>', '>', true],
    ['*', '>', true],
    ['*.*', '>', true],
    ['a.>', '*.b', true],
    ['a.b.>', 'a.*', false],
    ['a.>', 'b.>', false],
    ['a.*.c', 'a.>', true],
    ['a.*.c', '*.b.d', false],
  ])('%s and %s: %s', (left, right, both) => {
    expect(overlaps(left, right)).toBe(both);
    expect(overlaps(right, left)).toBe(both);
  });

  it('agrees with trying every subject', () => {
    const tokens = ['a', 'b'];
    const subjects = tokens.flatMap((x) => [
      x,
      ...tokens.flatMap((y) => [`${x}.${y}`, ...tokens.map((z) => `${x}.${y}.${z}`)]),
    ]);
    const matches = (pattern: string, subject: string): boolean =>
      new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '[^.]+').replace('>', '.+')}$`).test(subject);
    const chance = random(9);
    const pattern = (): string => {
      const parts = Array.from(
        { length: 1 + Math.floor(chance() * 3) },
        () => ['a', 'b', '*'][Math.floor(chance() * 3)],
      );
      if (chance() < 0.3) parts[parts.length - 1] = '>';
      return parts.join('.');
    };
    for (let round = 0; round < 2000; round++) {
      const [left, right] = [pattern(), pattern()];
      const both = subjects.some((subject) => matches(left, subject) && matches(right, subject));
      expect(overlaps(left, right), `${left} and ${right}`).toBe(both);
    }
  });
});

describe('isOurs', () => {
  it.each<[metadata: Record<string, string> | undefined, ours: boolean]>([
    [{ 'ouzel.owner': 'ouzel', other: '1' }, true],
    [{ 'ouzel.owner': 'someone' }, false],
    [{}, false],
    [undefined, false],
  ])('%j: %s', (metadata, ours) => expect(isOurs({ config: { metadata } } as unknown as ConsumerInfo)).toBe(ours));
});
