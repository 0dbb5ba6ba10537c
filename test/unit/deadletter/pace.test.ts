/** How fast letters are handed over. */
import { expect, it } from 'vitest';
import { pacer, parseRate } from '../../../src/deadletter/pace.ts';

it('reads a rate in seconds, minutes and hours', () => {
  expect(parseRate('50/s')).toBe(50);
  expect(parseRate('3000/m')).toBe(50);
  expect(parseRate('1800/h')).toBe(0.5);
  for (const text of ['50', '0/s', '-1/s', '5/d', 's', '5 /s'])
    expect(() => parseRate(text)).toThrow(
      `--rate: "${text}" is no rate. Write how many a second, minute or hour: 50/s`,
    );
});

it('lets nobody pass before the turn, however many wait', async () => {
  const turn = pacer(500);
  const started = performance.now();
  await Promise.all(Array.from({ length: 51 }, () => turn(undefined)));
  // Never sooner, on a machine of any speed: the first goes at once, the last behind 49 whole intervals of 2 ms.
  expect(performance.now() - started).toBeGreaterThanOrEqual(96);
});

it('stops waiting when it is told to', async () => {
  const turn = pacer(0.001);
  const controller = new AbortController();
  await turn(controller.signal);
  const waiting = turn(controller.signal);
  controller.abort();
  await expect(waiting).rejects.toMatchObject({ name: 'AbortError' });
});
