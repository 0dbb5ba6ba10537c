import { expect, test } from 'vitest';
import { diffLines } from '../../../src/cli/lines.ts';

const shown = (before: string[], after: string[]): string[] =>
  diffLines(before.join('\n'), after.join('\n')).map(({ mark, text }) => `${mark}${text}`);

test('the lines that went and came, with those around them', () => {
  expect(shown(['a', 'b', 'c'], ['a', 'x', 'c'])).toEqual([' a', '-b', '+x', ' c']);
  expect(shown([], ['a'])).toEqual(['+a']);
  expect(shown(['a'], [])).toEqual(['-a']);
  expect(shown(['a', 'b'], ['a', 'b'])).toEqual([]);
  expect(shown(['a', 'b', 'c', 'd'], ['b', 'c', 'x', 'd'])).toEqual(['-a', ' b', ' c', '+x', ' d']);
  const long = Array.from({ length: 20 }, (_, index) => String(index));
  expect(shown(long, long.with(9, 'x'))).toEqual(['…', ' 7', ' 8', '-9', '+x', ' 10', ' 11', '…']);
});

test('a line end at the end is no difference', () => {
  expect(diffLines('a\n', 'a')).toEqual([]);
});

test('what is left of both is what both are: any two texts', () => {
  let seed = 7;
  const random = (below: number): number => (seed = (seed * 48_271) % 2_147_483_647) % below;
  for (let round = 0; round < 300; round++) {
    const make = (): string[] => Array.from({ length: random(6) }, () => 'abc'[random(3)] ?? '');
    const [before, after] = [make(), make()];
    const lines = diffLines(before.join('\n'), after.join('\n'));
    if (lines.length === 0) expect(before).toEqual(after);
    else if (lines.every(({ mark }) => mark !== '…')) {
      const without = (mark: string): string[] => lines.filter((line) => line.mark !== mark).map(({ text }) => text);
      expect([without('+'), without('-')]).toEqual([before, after]);
    }
  }
});

test('texts too large for the table are replaced as a whole', () => {
  const [before, after] = ['a', 'b'].map((letter) => Array.from({ length: 3000 }, (_, index) => `${letter}${index}`));
  expect(shown(before ?? [], after ?? [])).toHaveLength(6000);
});
