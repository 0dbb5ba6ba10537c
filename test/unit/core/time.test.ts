import { describe, expect, it } from 'vitest';
import { isoTime } from '../../../src/core/time.ts';

describe('isoTime', () => {
  it('writes what Date does, whatever the order of the instants', () => {
    for (const instant of [0, 999, 1000, 1_795_612_655_549, 1_795_612_655_007, 1_795_612_655_070, 1_795_612_656_000, 5])
      expect(isoTime(instant)).toBe(new Date(instant).toISOString());
  });
});
