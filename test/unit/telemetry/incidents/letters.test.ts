import { expect, it } from 'vitest';
import { LetterCounts } from '../../../../src/telemetry/incidents/letters.ts';

it('says the first at once, and of 200,000 one a minute with all of them counted', () => {
  const letters = new LetterCounts<{ n: number }>();
  let asked = 0;
  const reports = [];
  const total = 200_000;
  for (let n = 0; n < total; n++) {
    const detail = (): { n: number } => {
      asked++;
      return { n };
    };
    const report = letters.add(n, 'billing', 'rejected', detail);
    if (report !== undefined) reports.push(report);
    if (n % 500 === 0) reports.push(...letters.due(n));
  }
  reports.push(...letters.due(total + 60_000));
  expect(reports.reduce((sum, { count }) => sum + count, 0)).toBe(total);
  expect(reports.map(({ count }) => count)).toEqual([1, 60_000, 60_000, 60_000, 19_999]);
  // Each stands for the first of those that were not said yet.
  expect(reports.map(({ detail, since }) => [detail.n, since])).toEqual(
    [0, 1, 60_001, 120_001, 180_001].map((n) => [n, n]),
  );
  expect(asked).toBe(reports.length);
});

it('tells consumers and reasons apart, and forgets what went quiet', () => {
  const letters = new LetterCounts<object>();
  const said = (now: number, consumer: string, reason: string): boolean =>
    letters.add(now, consumer, reason, () => ({})) !== undefined;
  expect([said(0, 'a', 'rejected'), said(1, 'a', 'poison'), said(2, 'b', 'rejected')]).toEqual([true, true, true]);
  expect(said(3, 'a', 'rejected')).toBe(false);
  expect(letters.due(59_999)).toEqual([]);
  expect(letters.due(60_000)).toMatchObject([{ consumer: 'a', reason: 'rejected', count: 1, since: 3 }]);
  // Nothing since: the next one is a first one again.
  expect(letters.due(120_000)).toEqual([]);
  expect(said(120_001, 'a', 'rejected')).toBe(true);
});

it('says at the end what was only counted so far', () => {
  const letters = new LetterCounts<object>();
  for (let n = 0; n < 5; n++) letters.add(n, 'a', 'rejected', () => ({}));
  expect(letters.due(10)).toEqual([]);
  expect(letters.due(10, true)).toMatchObject([{ count: 4 }]);
});
