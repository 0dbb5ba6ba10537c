import { expect, test } from 'vitest';
import { waitFor } from '../../helpers/wait.ts';

test('returns what the condition gives once it is truthy, and looks again when it throws', async () => {
  let looks = 0;
  const found = await waitFor(
    () => {
      if (++looks === 1) throw new Error('not yet');
      return looks === 3 && `look ${looks}`;
    },
    { what: 'the third look', every: 1 },
  );
  expect(found).toBe('look 3');
});

test('the error says what was waited for, and why the last look failed', async () => {
  const options = { what: () => 'Godot', timeout: 10, every: 1 };
  await expect(waitFor(() => false, options)).rejects.toThrow('Waited 10 ms for Godot');
  await expect(waitFor(() => Promise.reject(new Error('refused')), options)).rejects.toThrow(
    'for Godot; last: refused',
  );
});
