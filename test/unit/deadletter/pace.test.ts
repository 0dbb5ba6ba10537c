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

it('refuses what no timer could wait for', () => {
  expect(() => parseRate('0.01/h')).toThrow('--rate: "0.01/h" is less than one a day');
});

it('gives everybody a turn of their own, however many wait', async () => {
  const turn = pacer(500);
  const started = performance.now();
  let last = 0;
  for (let index = 0; index < 51; index++) await turn((ms) => Promise.resolve(void (last = ms)));
  // On a machine of any speed: the first goes at once, the last behind 49 whole intervals of 2 ms at least.
  expect(last + performance.now() - started).toBeGreaterThanOrEqual(96);
});

it('lets all pass where nobody limits them', async () => {
  await pacer(undefined)(() => Promise.reject(new Error('a pause')));
});
